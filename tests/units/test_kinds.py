"""Heads, hidden units and adapters of the architectures that people have."""

from __future__ import annotations

import pytest
import torch
import transformers
from torch import Tensor, nn
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from architectures import ARCHITECTURES, SIZES, N, TextTask, adapted, built
from ebbing.batches import NamedTensors
from ebbing.errors import InputError
from ebbing.fingerprint import of_model
from ebbing.language import IGNORED, CausalLM
from ebbing.rankings.ranking import mean_statistic
from ebbing.task import Outputs
from ebbing.units import UnitGroup, bake, by_unit, decay, find_units, fresh_anchor, gated, reading, weights_of

TASK = TextTask()


class DictTask(TextTask):
    """The same of batches that are one dict."""

    def forward(self, model: nn.Module, batch: dict[str, Tensor]) -> Outputs:
        """Take the labels out."""
        inputs = {key: value for key, value in batch.items() if key != "labels"}
        return super().forward(model, (inputs, batch["labels"]))


adapters = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)  # PEFT asks for it


def units_of(name: str, layers: str | tuple[str, ...] = ("heads", "mlp")) -> tuple[nn.Module, list[UnitGroup]]:
    model = built(name)
    return model, find_units(model, task=TASK, batch=ARCHITECTURES[name].batch(), layers=layers)


def logits(model: nn.Module, name: str) -> Tensor:
    with torch.no_grad():
        return TASK.forward(model, ARCHITECTURES[name].batch()).logits


def random_factors(groups: list[UnitGroup]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {g.name: torch.rand(g.size, generator=generator, dtype=torch.float64) for g in groups}


@pytest.fixture(params=sorted(ARCHITECTURES))
def name(request) -> str:
    return request.param


def test_every_head_and_hidden_unit_is_found(name) -> None:
    _, groups = units_of(name)
    known = ARCHITECTURES[name]
    heads, hidden = ([g for g in groups if g.kind == kind] for kind in ("heads", "mlp"))
    assert tuple(g.size for g in heads) == known.heads
    assert tuple(g.size for g in hidden) == known.hidden
    if known.head_slices:
        assert {len(g.slices) for g in heads} == {known.head_slices}
    assert {len(g.slices) for g in hidden} == {known.hidden_slices}


def test_baking_a_gate_gives_its_forward_pass(name) -> None:
    model, groups = units_of(name, "all")
    factors = random_factors(groups)
    before = logits(model, name)
    with gated(model, groups, factors):
        gate = logits(model, name)
    bake(model, groups, factors)
    torch.testing.assert_close(logits(model, name), gate, rtol=1e-4, atol=1e-5)
    assert float((gate - before).abs().max()) > 1e-3


def test_no_weight_is_in_two_groups(name) -> None:
    """Each weight is counted in every slice it lies in."""
    model, groups = units_of(name, "all")
    owned = {n: torch.zeros_like(p) for n, p in model.named_parameters()}
    for group in groups:
        for part in group.slices:
            part.of(owned[part.parameter], group.size).add_(1)
    assert {float(n.max()) for n in owned.values()} <= {0.0, 1.0}
    assert sum(int(n.sum()) for n in owned.values()) > 0


def test_what_a_gate_of_zero_leaves_does_not_hang_on_the_units_own_weights(name) -> None:
    """What makes a unit's activity is its own: with the gate shut, changing it changes nothing."""
    model, groups = units_of(name)
    for group in (groups[0], groups[-1]):
        shut = {group.name: (torch.arange(group.size) > 0).double()}
        with gated(model, [group], shut):
            wanted = logits(model, name)
            kept = weights_of(model, [group])
            with torch.no_grad():
                for part in set(group.slices) - set(group.baked):
                    part.of(model.get_parameter(part.parameter), group.size).narrow(part.axis, 0, part.block).add_(3.0)
            changed = logits(model, name)
        with torch.no_grad():
            for parameter, value in kept.items():
                model.get_parameter(parameter).copy_(value)
        torch.testing.assert_close(changed, wanted, rtol=1e-4, atol=1e-5)


def test_what_is_read_at_the_heads_of_an_attention_is_what_they_say() -> None:
    """Against softmax(q k' / sqrt(d)) v, written down from the formula."""
    model, groups = units_of("torch encoder", "heads")
    seen: dict[str, Tensor] = {}
    with torch.no_grad(), reading(model, groups, lambda group, activity: seen.__setitem__(group.name, activity)):
        x = ARCHITECTURES["torch encoder"].batch()[0]
        model(x)
        attention = model.encoder.layers[0].self_attn
        q, k, v = (x @ attention.in_proj_weight.T + attention.in_proj_bias).chunk(3, dim=-1)
        for h in range(4):
            own = slice(4 * h, 4 * h + 4)
            share = (q[..., own] @ k[..., own].transpose(1, 2) / 2).softmax(dim=-1)
            found = seen[groups[0].name][..., own]
            torch.testing.assert_close(found, share @ v[..., own], rtol=1e-4, atol=1e-5)


def test_activity_has_a_value_for_each_unit_at_each_position(name) -> None:
    model, groups = units_of(name)
    seen: dict[str, Tensor] = {}
    with reading(model, groups, lambda group, activity: seen.__setitem__(group.name, activity)):
        logits(model, name)
    for group in groups:
        activity = by_unit(seen[group.name], group)
        assert activity.shape[1] == group.size
        assert activity.shape[0] * activity.shape[2] % (N * group.block) == 0


def test_finding_units_leaves_the_model_as_it_was(name) -> None:
    model = built(name)
    before = of_model(model)
    find_units(model, task=TASK, batch=ARCHITECTURES[name].batch())
    assert of_model(model) == before
    assert sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()) == 0
    assert torch.backends.mha.get_fastpath_enabled()


def test_full_decay_is_the_fresh_anchor_and_the_rest_stays(name) -> None:
    model, groups = units_of(name)
    start, before = weights_of(model, groups), {n: p.detach().clone() for n, p in model.named_parameters()}
    anchor = fresh_anchor(model, groups, seed=4)
    decay(model, groups, {g.name: torch.zeros(g.size) for g in groups}, start=start, anchor=anchor)
    own = {n: torch.zeros_like(p, dtype=torch.bool) for n, p in model.named_parameters()}
    for group in groups:
        for part in group.slices:
            part.of(own[part.parameter], group.size).fill_(True)
    for n, parameter in model.named_parameters():
        assert torch.equal(parameter[~own[n]], before[n][~own[n]])
        if n in anchor:
            assert torch.equal(parameter[own[n]], anchor[n][own[n]])
    weights = [n for n in anchor if n.endswith("weight")]
    assert all(not torch.equal(anchor[n], start[n]) for n in weights)


def test_a_fresh_anchor_of_a_transformers_model_is_its_own_initialisation() -> None:
    """BERT draws with a standard deviation of .02, PyTorch's own layer would draw .14 of 16 inputs."""
    model, groups = units_of("bert")
    anchor = fresh_anchor(model, groups, seed=0)
    drawn = torch.cat([value.flatten() for n, value in anchor.items() if n.endswith("weight")])
    assert 0.018 < float(drawn.std()) < 0.022
    assert all(float(value.abs().max()) == 0 for n, value in anchor.items() if n.endswith("bias"))


def test_groups_are_chosen_by_kind_name_pattern_and_function() -> None:
    def found(layers) -> list[str]:
        model = built("bert")
        groups = find_units(model, task=TASK, batch=ARCHITECTURES["bert"].batch(), layers=layers)
        return [g.name for g in groups]

    assert found("heads") == [f"bert.encoder.layer.{i}.attention:heads" for i in range(2)]
    assert found("bert.encoder.layer.1:mlp") == ["bert.encoder.layer.1:mlp"]
    assert found("bert.encoder.layer.1*") == ["bert.encoder.layer.1.attention:heads", "bert.encoder.layer.1:mlp"]
    assert found(lambda group: group.kind == "mlp" and ".0" in group.name) == ["bert.encoder.layer.0:mlp"]
    assert found(["mlp", "classifier"]) == [*(f"bert.encoder.layer.{i}:mlp" for i in range(2)), "classifier"]
    rows = found("linear")
    assert "bert.encoder.layer.0.output.dense" in rows
    assert len(rows) == 2 * 6 + 2
    with pytest.raises(InputError, match=r"'bert\.encoder\.layer\.7\*'"):
        found(["mlp", "bert.encoder.layer.7*"])


def test_two_layers_with_plain_names_are_no_mlp_without_an_attention() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(16, 9), nn.Linear(9, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc2(self.fc1(x[:, 0]).relu())

    groups = find_units(Plain(), task=TASK, batch=ARCHITECTURES["torch encoder"].batch())
    assert [g.name for g in groups] == ["fc1", "fc2"]


def test_a_tied_output_layer_is_left_alone(caplog) -> None:
    model = built("gpt2")
    model.lm_head.weight = model.transformer.wte.weight
    groups = find_units(model, task=TASK, batch=ARCHITECTURES["gpt2"].batch())
    assert "lm_head" not in [g.name for g in groups]
    assert "'lm_head' is not decayed: it shares a parameter" in caplog.text


def test_a_warning_is_one_for_each_reason_and_not_for_each_layer(caplog) -> None:
    model = built("bert")
    for parameter in model.bert.parameters():
        parameter.requires_grad_(False)
    find_units(model, task=TASK, batch=ARCHITECTURES["bert"].batch())
    assert len(caplog.records) == 1
    assert "frozen" in caplog.text


@adapters
def test_an_adapter_decays_and_its_base_does_not() -> None:
    model, batch = adapted(), ARCHITECTURES["bert"].batch()
    groups = find_units(model, task=TASK, batch=batch, layers="lora")
    assert [g.size for g in groups] == [5] * 4
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    factors = random_factors(groups)
    with gated(model, groups, factors):
        gate = TASK.forward(model, batch).logits
    bake(model, groups, factors)
    torch.testing.assert_close(TASK.forward(model, batch).logits, gate, rtol=1e-4, atol=1e-5)
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert changed
    assert all("lora_A" in n for n in changed)


@adapters
def test_an_adapter_that_has_decayed_to_nothing_leaves_its_base_as_it_was() -> None:
    model, batch = adapted(), ARCHITECTURES["bert"].batch()
    groups = find_units(model, task=TASK, batch=batch, layers="lora")
    with model.disable_adapter():
        base = TASK.forward(model, batch).logits
    assert not torch.allclose(TASK.forward(model, batch).logits, base, atol=1e-3)
    anchor = fresh_anchor(model, groups, seed=0)
    assert all((float(value.abs().max()) == 0) == ("lora_B" in n) for n, value in anchor.items())
    drawn = torch.cat([value.flatten() for n, value in anchor.items() if "lora_A" in n])
    assert float(drawn.std()) == pytest.approx((1 / 3 / 16) ** 0.5, rel=0.15)  # PEFT's own, uniform to 1 / sqrt(inputs)
    start = weights_of(model, groups)
    decay(model, groups, {g.name: torch.zeros(g.size) for g in groups}, start=start, anchor=anchor)
    torch.testing.assert_close(TASK.forward(model, batch).logits, base, rtol=1e-5, atol=1e-6)


@adapters
def test_everything_of_a_model_with_adapters_is_the_adapters_and_the_new_head(caplog) -> None:
    groups = find_units(adapted(), task=TASK, batch=ARCHITECTURES["bert"].batch())
    assert [g.kind for g in groups] == ["lora"] * 4 + ["linear"]
    assert "frozen" in caplog.text


def modern() -> nn.Module:
    """A model with an attention that no layout matches."""
    kind = transformers.ModernBertForSequenceClassification
    settings = {
        "num_labels": 3,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "cls_token_id": 1,
        "sep_token_id": 2,
    }
    torch.manual_seed(0)
    model = kind(kind.config_class(**SIZES, **settings)).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.25)
    return model


def test_an_attention_of_no_known_layout_is_named_once_with_what_becomes_of_it(caplog) -> None:
    groups = find_units(modern(), task=TASK, batch=ARCHITECTURES["bert"].batch())
    assert any(group.name.endswith("attn.Wqkv") and group.kind == "linear" for group in groups)
    said = [record.getMessage() for record in caplog.records if "no known layout" in record.getMessage()]
    assert len(said) == 1
    assert said[0].startswith("ModernBertAttention: ")
    assert "requires_grad_(False)" in said[0]


def test_nothing_is_said_of_an_attention_that_is_known_or_whose_rows_were_asked_for(name, caplog) -> None:
    units_of(name, "all")
    find_units(modern(), task=TASK, batch=ARCHITECTURES["bert"].batch(), layers="linear")
    assert "no known layout" not in caplog.text


class ResidualBlock(nn.Module):
    """A convolution with a normalisation and a short cut around both."""

    def __init__(self, norm: nn.Module, *, groups: int = 1) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1, groups=groups, bias=False), norm

    def forward(self, x: Tensor) -> Tensor:
        """The input and what the block adds."""
        return x + self.norm(self.conv(x)).relu()


@pytest.mark.parametrize("norm", [lambda: nn.BatchNorm2d(4), lambda: nn.GroupNorm(2, 4)], ids=["batch", "group"])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_residual_block_decays_at_its_normalisation(norm, groups) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1), ResidualBlock(norm(), groups=groups), ResidualBlock(norm()), nn.Flatten(), nn.Linear(256, 3)
    )
    with torch.no_grad():
        for block in (model[1], model[2]):
            block.norm.weight.uniform_(0.5, 1.5)
    pixels = torch.randn(N, 3, 8, 8)
    batch = pixels, torch.zeros(N, dtype=torch.int64)
    found = find_units(model.eval(), task=TASK, batch=batch, layers="conv")
    assert [(g.name, g.site) for g in found] == [("0", "0"), ("1.conv", "1.norm"), ("2.conv", "2.norm")]
    factors = random_factors(found)
    with torch.no_grad():
        with gated(model, found, factors):
            gate = model(pixels)
        bake(model, found, factors)
        torch.testing.assert_close(model(pixels), gate, rtol=1e-4, atol=1e-5)


OVER_FEATURES = {"rms": nn.RMSNorm(9), "layer": nn.LayerNorm(9), "transformers": LlamaRMSNorm(9)}


@pytest.mark.parametrize("norm", OVER_FEATURES.values(), ids=OVER_FEATURES.keys())
def test_a_linear_layer_before_a_normalisation_over_features_decays_behind_it(norm) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 9), norm, nn.Flatten(), nn.Linear(63, 3))
    batch = ARCHITECTURES["torch encoder"].batch()
    found = find_units(model, task=TASK, batch=batch)
    assert [(g.name, g.site, g.axis) for g in found] == [("0", "1", -1), ("3", "3", -1)]


def test_a_normalisation_over_as_many_positions_as_there_are_units_has_no_scale_of_theirs(caplog) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 7), nn.BatchNorm1d(7), nn.Flatten(), nn.Linear(49, 3))
    batch = ARCHITECTURES["torch encoder"].batch()
    assert batch[0].shape[1] == 7
    assert [g.name for g in find_units(model, task=TASK, batch=batch)] == ["3"]
    assert "'0' is not decayed: a normalisation without a scale of its own for each unit" in caplog.text


PASSED = {
    "adaptive average": lambda: (nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.BatchNorm2d(4)),
    "adaptive maximum": lambda: (nn.Conv2d(3, 4, 3), nn.AdaptiveMaxPool2d(2), nn.BatchNorm2d(4)),
    "prelu": lambda: (nn.Conv2d(3, 4, 3), nn.PReLU(4), nn.BatchNorm2d(4)),
    "one dimension": lambda: (nn.Conv1d(3, 4, 3), nn.MaxPool1d(2), nn.AvgPool1d(2), nn.BatchNorm1d(4)),
    "three dimensions": lambda: (nn.Conv3d(3, 4, 3), nn.ReLU(), nn.MaxPool3d(2), nn.AvgPool3d(1), nn.BatchNorm3d(4)),
}


@pytest.mark.parametrize("what", PASSED)
def test_pooling_and_activations_that_pass_factors_on_are_looked_through(what) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(*PASSED[what](), nn.Flatten(), nn.LazyLinear(3))
    dimensions = len(model[0].kernel_size)
    pixels = torch.randn(N, 3, *[8] * dimensions)
    model.train()(pixels)
    batch = pixels, torch.zeros(N, dtype=torch.int64)
    (group,) = find_units(model.eval(), task=TASK, batch=batch, layers="conv")
    assert group.site == str(len(model) - 3)


def test_pooling_over_features_is_not_looked_through() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(16, 8), nn.AdaptiveMaxPool1d(8), nn.LayerNorm(8, eps=0.0), nn.Flatten(), nn.Linear(56, 3)
    )
    groups = find_units(model, task=TASK, batch=ARCHITECTURES["torch encoder"].batch())
    assert "2" not in [group.site for group in groups]


def test_a_function_between_a_layer_and_its_normalisation_is_named_as_the_reason(caplog) -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.last = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4 * 36, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.norm(torch.relu(self.conv(x))).flatten(1))

    torch.manual_seed(0)
    batch = torch.randn(N, 3, 8, 8), torch.zeros(N, dtype=torch.int64)
    assert [group.name for group in find_units(Functional(), task=TASK, batch=batch)] == ["last"]
    assert "functions such as F.relu cannot be followed" in caplog.text


def test_a_transposed_convolution_has_channels() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.ConvTranspose2d(3, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 81, 3))
    pixels = torch.randn(N, 3, 8, 8)
    (group, _) = find_units(model, task=TASK, batch=(pixels, torch.zeros(N, dtype=torch.int64)))
    assert (group.kind, group.size, group.slices[0].axis) == ("conv", 4, 1)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("norm", [nn.Identity, lambda: nn.BatchNorm3d(8)], ids=["bare", "batch"])
def test_a_convolution_in_three_dimensions_is_baked_as_it_is_gated(groups, norm) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv3d(4, 8, 3, groups=groups), norm(), nn.ReLU(), nn.MaxPool3d(2), nn.Flatten(), nn.LazyLinear(3))
    )
    pixels = torch.randn(N, 4, 6, 6, 6)
    model.train()(pixels)
    batch = pixels, torch.zeros(N, dtype=torch.int64)
    found = find_units(model.eval(), task=TASK, batch=batch, layers="conv")
    assert [(g.name, g.size) for g in found] == [("0", 8)]
    factors = random_factors(found)
    with torch.no_grad():
        before = model(pixels)
        with gated(model, found, factors):
            gate = model(pixels)
        bake(model, found, factors)
        torch.testing.assert_close(model(pixels), gate, rtol=1e-4, atol=1e-5)
    assert float((gate - before).abs().max()) > 1e-3


def test_a_transposed_convolution_with_groups_is_left_out_and_it_is_said_why(caplog) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.ConvTranspose2d(4, 4, 2, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 81, 3))
    batch = torch.randn(N, 4, 8, 8), torch.zeros(N, dtype=torch.int64)
    assert [group.name for group in find_units(model, task=TASK, batch=batch)] == ["3"]
    assert (
        "'0' is not decayed: channels of a transposed convolution with groups do not lie along one axis" in caplog.text
    )


@pytest.mark.filterwarnings("ignore:texts are filled up at their beginning")
def test_padding_does_not_count_for_a_language_model_of_more_texts_than_run_together() -> None:
    model, groups = units_of("gpt2")
    inputs, _ = ARCHITECTURES["gpt2"].batch()
    many = {key: value.repeat(20, 1) for key, value in inputs.items()}
    labels = many["input_ids"].masked_fill(many["attention_mask"] == 0, IGNORED)
    data = NamedTensors(**many, labels=labels)
    few, whole = (
        mean_statistic(model, groups, data, task=CausalLM(at_once=n), statistic="abs-mean") for n in (7, 1000)
    )
    for group in groups:
        torch.testing.assert_close(few[group.name], whole[group.name], rtol=1e-5, atol=1e-7)


@pytest.mark.filterwarnings("ignore:texts are filled up at their beginning")
def test_units_of_a_language_model_are_found_however_few_texts_run_together() -> None:
    model, (inputs, _) = built("gpt2"), ARCHITECTURES["gpt2"].batch()
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, IGNORED)
    found = find_units(model, task=CausalLM(at_once=2), batch={**inputs, "labels": labels}, layers="mlp")
    assert len(found) == 2


def test_pytorchs_encoder_with_nested_tensors_is_gated_as_without() -> None:
    class Padded(nn.Module):
        def __init__(self, nested: bool) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(16, 4, 24, batch_first=True, dropout=0.0)
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=nested)
            self.head = nn.Linear(16, 3)

        def forward(self, x: Tensor) -> Tensor:
            hidden = torch.arange(7).expand(len(x), 7) >= torch.arange(2, 2 + len(x)).clamp(max=7)[:, None]
            return self.head(self.encoder(x, src_key_padding_mask=hidden)[:, 0])

    torch.manual_seed(0)
    plain, nested = Padded(False).eval(), Padded(True).eval()
    nested.load_state_dict(plain.state_dict())
    batch = ARCHITECTURES["torch encoder"].batch()
    found = [[g.name for g in find_units(m, task=TASK, batch=batch)] for m in (plain, nested)]
    assert found[0] == found[1]
    assert len(found[0]) == 5


@pytest.mark.parametrize("name", ["bert", "gpt2", "opt", "distilbert"])
@pytest.mark.parametrize("statistic", ["mean", "abs-mean", "rms"])
def test_padding_does_not_count_in_a_mean_of_activity(name, statistic) -> None:
    """Against each text by itself, its padding cut off."""
    model, groups = units_of(name)
    inputs, labels = ARCHITECTURES[name].batch()
    dataset = [{**{key: value[i] for key, value in inputs.items()}, "labels": labels[i]} for i in range(len(labels))]
    found = mean_statistic(model, groups, dataset, task=DictTask(), statistic=statistic, batch_size=4)
    seen: dict[str, list[Tensor]] = {group.name: [] for group in groups}
    with reading(model, groups, lambda group, activity: seen[group.name].append(activity)):
        TASK.forward(model, (inputs, labels))
    keep = inputs["attention_mask"].bool()
    for group in groups:
        (activity,) = seen[group.name]
        values = activity.reshape(*keep.shape, group.size, group.block)[keep].double()  # (positions, n, block)
        if statistic == "mean":
            wanted = values.mean((0, 2))
        else:
            wanted = values.abs().mean((0, 2)) if statistic == "abs-mean" else values.square().mean((0, 2)).sqrt()
        torch.testing.assert_close(found[group.name], wanted, rtol=1e-4, atol=1e-6)
