"""What of a model lies in parts on several processes, and what cannot: tests/test_parallel.py runs what can."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from ebbing.errors import InputError
from ebbing.fsdp import blocks_of, is_laid_out, is_part, layout_of, own_part, part_like, refuse, whole_state
from ebbing.models.cnn import paper_cnn
from ebbing.models.vit import VisionTransformer


def block() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU())


class Blocks(nn.Module):
    """Two blocks between two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.blocks, self.last = nn.Linear(4, 4), nn.ModuleList([block(), block()]), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        """One after the other."""
        for one in [self.first, *self.blocks, self.last]:
            x = one(x)
        return x


def test_blocks_are_the_like_members_of_a_list() -> None:
    model = Blocks()
    assert blocks_of(model) == list(model.blocks)
    assert blocks_of(model, ["Linear"]) == [m for m in model.modules() if isinstance(m, nn.Linear)]
    nested = nn.Sequential(Blocks(), Blocks())
    assert blocks_of(nested) == list(nested)  # not those inside them as well


def test_blocks_of_transformers_are_their_layers() -> None:
    transformers = pytest.importorskip("transformers")
    sizes = {
        "hidden_size": 8,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "vocab_size": 9,
    }
    bert = transformers.BertForSequenceClassification(transformers.BertConfig(**sizes))
    assert blocks_of(bert) == list(bert.bert.encoder.layer)
    gpt = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=9, n_embd=8, n_layer=2, n_head=2, n_positions=4)
    )
    assert blocks_of(gpt) == list(gpt.transformer.h)
    refuse(gpt)  # whose tied weights are both outside the blocks


def test_a_vision_transformer_has_blocks_and_a_convolutional_network_none() -> None:
    model = VisionTransformer()
    assert blocks_of(model) == list(model.encoder.layers)
    assert not blocks_of(paper_cnn())


def with_a_scalar(model: Blocks) -> None:
    model.scale = nn.Parameter(torch.tensor(1.0))


def of_two_kinds(model: Blocks) -> None:
    model.last.double()


def of_whole_numbers(model: Blocks) -> None:
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(parameter.to(torch.int8), requires_grad=False))


def tied_across_blocks(model: Blocks) -> None:
    model.blocks[1][0].weight = model.blocks[0][0].weight


def tied_out_of_a_block(model: Blocks) -> None:
    model.last.weight = model.blocks[0][0].weight


def normalised(model: Blocks) -> None:
    model.blocks[0].append(nn.BatchNorm1d(4))


def nowhere(model: Blocks) -> None:
    model.first.to("meta")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (with_a_scalar, "'scale' have no axis"),
        (of_two_kinds, "torch.float32, torch.float64"),
        (of_whole_numbers, "torch.int8"),
        (tied_across_blocks, "shared"),
        (tied_out_of_a_block, "shared"),
        (normalised, "'blocks.0.2' normalise over batches"),
        (nowhere, "on the meta device"),
    ],
)
def test_models_that_cannot_lie_in_parts_are_refused(change, said) -> None:
    model = Blocks()
    refuse(model)
    change(model)
    with pytest.raises(InputError, match=said):
        refuse(model)


def test_a_compiled_model_is_refused() -> None:
    model = nn.Module()
    model._orig_mod = Blocks()  # as torch.compile has it
    with pytest.raises(InputError, match="compiled"):
        refuse(model)


def test_all_reasons_are_said_at_once() -> None:
    model = Blocks()
    with_a_scalar(model)
    normalised(model)
    with pytest.raises(InputError, match=r"normalise.*no axis"):
        refuse(model)


def test_whole_tensors_are_their_own_parts() -> None:
    model = Blocks()
    weight = model.first.weight
    assert not is_laid_out(model)
    assert not is_part(weight)
    assert own_part(weight) is weight
    assert part_like(weight, weight) is weight
    state = whole_state(model)
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    assert state["first.weight"].data_ptr() != weight.data_ptr()


def accelerator(*, half: str = "no", **state: object) -> SimpleNamespace:
    return SimpleNamespace(
        state=SimpleNamespace(**state), mixed_precision=half, num_processes=2, device=torch.device("cpu")
    )


@pytest.fixture
def plugin(monkeypatch):
    """Makes Accelerate's plugin, which writes to the environment."""
    accelerate = pytest.importorskip("accelerate")
    for name in ("ACCELERATE_USE_FSDP", "FSDP_VERSION", "FSDP_CPU_RAM_EFFICIENT_LOADING", "FSDP_OFFLOAD_PARAMS"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    return accelerate.FullyShardedDataParallelPlugin


def test_models_stay_whole_where_nobody_asks_for_parts(plugin) -> None:
    assert layout_of(accelerator(), sharded=False) is None


def test_what_the_plugin_asks_for_is_heeded(plugin, monkeypatch) -> None:
    monkeypatch.setattr("torch.distributed.device_mesh.init_device_mesh", lambda kind, shape: (kind, shape))
    asked = plugin(fsdp_version=2, reshard_after_forward=False, transformer_cls_names_to_wrap=["Linear"])
    found = layout_of(accelerator(half="bf16", fsdp_plugin=asked), sharded=False)
    assert (found.mesh, found.reshard, found.kinds) == (("cpu", (2,)), False, ("Linear",))
    assert found.precision.param_dtype == torch.bfloat16
    plain = layout_of(accelerator(), sharded=True)
    assert (plain.reshard, plain.precision, plain.kinds) == (True, None, ())


def test_what_the_plugin_asks_for_and_is_not_done_is_refused(plugin, monkeypatch) -> None:
    asked = plugin(fsdp_version=2, cpu_offload=True, activation_checkpointing=True)
    with pytest.raises(InputError, match="parameters on the processor; activation checkpointing; fp16"):
        layout_of(accelerator(half="fp16", fsdp_plugin=asked), sharded=False)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")  # all that there is of it without GPUs
    monkeypatch.setenv("FSDP_VERSION", "1")
    with pytest.raises(InputError, match="--fsdp_version 2"):
        layout_of(accelerator(), sharded=False)
