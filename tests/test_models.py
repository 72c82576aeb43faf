"""The networks of the experiments: sizes, units, and that every part can be drawn anew."""

from __future__ import annotations

import peft
import pytest
import torch
from torch import nn

from architectures import ARCHITECTURES, adapted
from ebbing.errors import InputError
from ebbing.fresh import redraw, reinitialise
from ebbing.language import CausalLM
from ebbing.models import resnet18_grey, small_resnet, small_resnet_plain, small_vit
from ebbing.models.gpt import SmallGPT
from ebbing.task import Classification
from ebbing.training import seeded
from ebbing.units import find_units


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_the_vision_transformer_has_heads_and_hidden_units_in_every_block() -> None:
    with seeded(0):
        model = small_vit()
    assert parameters(model) == 205_066
    batch = torch.randn(4, 1, 28, 28), torch.arange(4)
    found = find_units(model, task=Classification(), batch=batch)
    kinds = [(group.kind, group.size) for group in found]
    assert kinds == [("conv", 64), *[("heads", 4), ("mlp", 256)] * 4, ("linear", 10)]


def test_blocks_of_the_vision_transformer_are_drawn_each_for_itself() -> None:
    with seeded(0):
        model = small_vit()
    first, second = model.encoder.layers[0], model.encoder.layers[1]
    assert not torch.equal(first.linear1.weight, second.linear1.weight)
    assert not torch.equal(first.self_attn.in_proj_weight, second.self_attn.in_proj_weight)


def test_the_language_model_has_heads_and_hidden_units_in_every_block() -> None:
    with seeded(0):
        model = SmallGPT(700)()
    assert parameters(model) == 889_088
    tokens = torch.randint(3, 700, (4, 9))
    batch = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens), "labels": tokens}
    found = find_units(model, task=CausalLM(), batch=batch)
    assert [(group.kind, group.size) for group in found] == [("heads", 4), ("mlp", 512)] * 4


@pytest.mark.parametrize(("build", "size"), [(small_resnet, 78_042), (small_resnet_plain, 77_690)])
def test_the_small_residual_networks_have_channels_in_every_block(build, size) -> None:
    with seeded(0):
        model = build()
    assert parameters(model) == size
    found = find_units(model, task=Classification(), batch=(torch.randn(4, 1, 28, 28), torch.arange(4)))
    widths = [group.size for group in found if group.kind == "conv"]
    assert widths == [16, *[16] * 3, *[32] * 3, *[64] * 3]
    assert [group.size for group in found if group.kind == "linear"] == [10]


def test_the_large_residual_network_has_one_colour() -> None:
    model = resnet18_grey()
    assert parameters(model) == 11_172_810
    assert model.eval()(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize("build", [small_vit, small_resnet, SmallGPT(50)], ids=["vit", "resnet", "gpt"])
def test_every_parameter_is_drawn_anew(build) -> None:
    """Weights of another seed, and those drawn anew by it, have the same spread, tensor by tensor."""
    with seeded(0):
        model = build()
    fresh = {name: p.detach().clone() for name, p in model.named_parameters()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7.0)
    with seeded(1):
        reinitialise(model)
    for name, parameter in model.named_parameters():
        values = parameter.detach()
        assert float((values - 7.0).abs().min()) > 1, name
        if values.numel() > 500:
            assert float(values.std()) == pytest.approx(float(fresh[name].std()), rel=0.15, abs=1e-6), name


def test_training_that_started_from_a_model_starts_from_it_again() -> None:
    def start() -> nn.Module:
        with seeded(5):
            return nn.Linear(3, 2)

    model = nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    bias = model.bias.detach().clone()
    reinitialise(model, start)
    assert torch.equal(model.weight, start().weight)
    assert torch.equal(model.bias, bias)
    with pytest.raises(InputError, match="as many classes"):
        reinitialise(nn.Linear(3, 5), start)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("started", [True, False])
def test_statistics_go_with_what_was_trained_on(affine, started) -> None:
    def start() -> nn.Module:
        return nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3, affine=affine))

    model = start()
    model(5 + torch.randn(20, 3))
    assert float(model[1].running_mean.abs().max()) > 0
    reinitialise(model, start if started else None)
    assert float(model[1].running_mean.abs().max()) == 0
    assert int(model[1].num_batches_tracked) == 0


def test_what_cannot_be_drawn_anew_is_refused() -> None:
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(2))

    with pytest.raises(InputError, match=r"'' \(Bare\) must have reset_parameters"):
        redraw(Bare(), "")


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # PEFT asks for it
@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
def test_an_adapter_that_is_drawn_anew_does_nothing_and_its_base_stays(dora) -> None:
    model, (inputs, _) = adapted(use_dora=dora), ARCHITECTURES["bert"].batch()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    reinitialise(model)
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            assert torch.equal(parameter, before[name]), name
        elif "lora_B" in name:
            assert not parameter.any(), name
        elif "lora_A" in name:
            assert 0.1 < float(parameter.detach().std()) < 0.19, name  # uniform to 1 / sqrt(16 inputs)
    head = model.base_model.model.classifier  # PEFT trains a copy of it as a whole
    head.modules_to_save["default"].load_state_dict(head.original_module.state_dict())
    with torch.no_grad():
        found = model(**inputs).logits
        with model.disable_adapter():
            torch.testing.assert_close(found, model(**inputs).logits, rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_an_adapter_of_an_embedding_does_nothing_when_drawn_anew() -> None:
    model = nn.Sequential(nn.Embedding(30, 16), nn.Linear(16, 2))
    model = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=["0"]))
    layer = model.base_model.model[0]
    with torch.no_grad():
        layer.lora_embedding_A["default"].normal_()
        layer.lora_embedding_B["default"].zero_()
    reinitialise(model)
    assert not layer.lora_embedding_A["default"].any()
    assert 0.7 < float(layer.lora_embedding_B["default"].detach().std()) < 1.3
