"""A model whose parameters lie in parts on several processes while it runs (PyTorch's FSDP2), and whole again afterwards."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ebbing.compiled import is_compiled
from ebbing.errors import InputError

MARK = "_is_fsdp_managed_module"  # what PyTorch puts on every module of a model that is laid out
ADDED = (MARK, "_fsdp_use_orig_params", "__composable_api")  # how attributes begin that it puts on modules
VERSION_1 = "version 1 of FSDP (pass --fsdp_version 2)"
RAM_EFFICIENT = "FSDP_CPU_RAM_EFFICIENT_LOADING"  # of Accelerate: all processes but one begin with empty weights
MANY = 5  # names that an error lists


@dataclass(frozen=True)
class Layout:
    """How models are laid out.

    Attributes:
        mesh: `torch.distributed.DeviceMesh` of all processes, with one axis; its kind of device is where models run.
        reshard: whether a block is let go behind its forward pass, and gathered once more for the backward pass.
        precision: `torch.distributed.fsdp.MixedPrecisionPolicy`, None to compute in the model's own numbers.
        kinds: names of the classes of blocks; where there are none, `blocks_of` finds them.
    """

    mesh: Any
    reshard: bool = True
    precision: Any = None
    kinds: tuple[str, ...] = ()


def layout_of(accelerator: Any, *, sharded: bool) -> Layout | None:
    """How parameters are to lie in parts, by Accelerate's FSDP plugin; None where neither it nor the caller asks for it.

    Raises:
        InputError: if the plugin asks for what is not done here, with all of that at once.
    """
    plugin: Any = getattr(
        accelerator.state, "fsdp_plugin", None
    )  # without GPUs, Accelerate leaves it in the environment
    if plugin is None and not sharded and not told_to_shard():
        return None
    from accelerate import FullyShardedDataParallelPlugin
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import CPUOffloadPolicy

    if plugin is None:
        plugin = FullyShardedDataParallelPlugin(fsdp_version=int(os.environ.get("FSDP_VERSION", "2")))
    half = accelerator.mixed_precision
    problems = [
        *([VERSION_1] if plugin.fsdp_version != 2 else []),
        *(["parameters on the processor"] if isinstance(plugin.cpu_offload, CPUOffloadPolicy) else []),
        *(["activation checkpointing"] if plugin.activation_checkpointing else []),
        *(["modules that are left out"] if plugin.ignored_modules else []),
        *([f"{half} numbers (bf16 or none will do)"] if half not in ("no", "bf16") else []),
        *(["other kinds of parallelism"] if getattr(accelerator, "parallelism_config", None) is not None else []),
    ]
    if problems:
        raise not_heeded(problems)
    if half == "bf16" and plugin.mixed_precision_policy is None:
        plugin.set_mixed_precision(half)
    return Layout(
        init_device_mesh(accelerator.device.type, (accelerator.num_processes,)),
        reshard=plugin.reshard_after_forward,
        precision=plugin.mixed_precision_policy,
        kinds=tuple(plugin.transformer_cls_names_to_wrap or ()),
    )


def told_to_shard() -> bool:
    """Whether `accelerate launch` was given --use_fsdp."""
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def not_heeded(problems: Sequence[str]) -> InputError:
    """What to raise where Accelerate was told what is not done here."""
    return InputError(
        "of Accelerate's FSDP plugin version 2, its blocks, reshard_after_forward and bf16 are heeded, but it asks for "
        f"{'; '.join(problems)}. Leave that out, or FSDP altogether: data_parallel() then keeps the model whole on every "
        "process."
    )


@contextmanager
def whole_when_loaded() -> Iterator[None]:
    """Inside, models of the transformers library are read by every process, and not by the first alone."""
    before = os.environ.get(RAM_EFFICIENT)
    os.environ[RAM_EFFICIENT] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[RAM_EFFICIENT]
        else:
            os.environ[RAM_EFFICIENT] = before


def is_laid_out(model: nn.Module) -> bool:
    """Whether the parameters of a model lie in parts on several processes."""
    return any(MARK in vars(module) for module in model.modules())


def is_part(tensor: Tensor) -> bool:
    """Whether a tensor is a parameter that lies in parts, or what was computed from it."""
    return hasattr(tensor, "to_local")


def own_part(tensor: Tensor) -> Tensor:
    """What lies here of a parameter, in its own memory; a whole tensor as it is."""
    placed: Any = tensor
    return placed.to_local() if is_part(tensor) else tensor


def part_like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """What would lie here of a whole tensor that has the shape of a parameter; the tensor as it is where that is whole."""
    if not is_part(parameter):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    placed: Any = parameter
    return own_part(distribute_tensor(tensor, placed.device_mesh, placed.placements, src_data_rank=None))


def whole_state(model: nn.Module) -> dict[str, Tensor]:
    """Copies of all parameters and buffers by name, gathered where they lie in parts: all processes must call it."""
    state: dict[str, Any] = model.state_dict()
    return {n: _gathered(v).detach().clone() if isinstance(v, Tensor) else deepcopy(v) for n, v in state.items()}


def blocks_of(model: nn.Module, kinds: Sequence[str] = ()) -> list[nn.Module]:
    """What is gathered at once: modules of the classes that are named, else the like members of lists of modules.

    A list counts from two members of one class on that have parts of their own, as the layers of a transformer do. Lists
    inside a block belong to it.
    """
    if kinds:
        return [module for module in model.modules() if type(module).__name__ in kinds and module is not model]
    found: list[nn.Module] = []

    def walk(module: nn.Module) -> None:
        members = list(module.children())
        alike = len(members) > 1 and len({type(member) for member in members}) == 1
        if isinstance(module, (nn.ModuleList, nn.Sequential)) and alike and all(any(m.children()) for m in members):
            found.extend(members)
            return
        for member in members:
            walk(member)

    walk(model)
    return list(dict.fromkeys(found))


@contextmanager
def laid_out(model: nn.Module, layout: Layout, *, trained: bool) -> Iterator[None]:
    """Inside, each process holds a part of every parameter, and of gradients and optimizer states; afterwards all is whole.

    A block is gathered when it runs, forward or backward, and let go. The model is changed in place, so that hooks and
    references to its modules stay good; its parameters are others inside. The whole ones stay untouched where they lived
    until all went well: where anything is raised, the model is as it was before.

    Args:
        model: whole, with the same weights on every process.
        layout: where and how.
        trained: whether parameters are changed inside: they are then gathered one by one, and written into the whole ones.

    Raises:
        InputError: if the model cannot be laid out, before anything is changed.
    """
    if is_laid_out(model):
        yield
        return
    refuse(model, kinds=layout.kinds)
    modules = [_Before(module) for module in model.modules()]
    buffers = [(buffer, buffer.device) for buffer in model.buffers()]
    try:
        _lay_out(model, layout)
        yield
        if trained:
            _write_back(model, modules)
    finally:
        for before in modules:
            before.restore()
        for buffer, device in buffers:
            buffer.data = buffer.data.to(device)


def refuse(model: nn.Module, *, kinds: Sequence[str] = ()) -> None:
    """Refuse a model that cannot be laid out, or would learn otherwise if it were.

    Raises:
        InputError: with all reasons at once.
    """
    named = dict(model.named_parameters())
    kept = sorted({str(p.dtype) for p in named.values()})
    norms = [n for n, m in model.named_modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    scalars = [name for name, p in named.items() if p.ndim == 0]
    elsewhere = [name for name, p in named.items() if p.is_meta or is_part(p)]
    blocks = blocks_of(model, kinds)
    claims = Counter(id(p) for block in blocks for p in set(block.parameters()))
    inside = {id(module) for block in blocks for module in block.modules()}
    for module in model.modules():
        if id(module) not in inside:
            claims.update({id(p) for p in module.parameters(recurse=False)} & claims.keys())
    tied = [name for name, p in named.items() if claims[id(p)] > 1]
    problems = [
        *(["it is compiled: pass ebbing.compiled.uncompiled(model)"] if is_compiled(model) else []),
        *([f"{_few(norms)} normalise over batches, of which each process sees a share"] if norms else []),
        *([f"its parameters are of several kinds or of whole numbers: {', '.join(kept)}"] if _mixed(named) else []),
        *([f"{_few(scalars)} have no axis to be cut along"] if scalars else []),
        *([f"{_few(elsewhere)} are on the meta device or lie in parts already"] if elsewhere else []),
        *([f"{_few(tied)} are shared by a block and what is outside it"] if tied else []),
    ]
    if problems:
        raise InputError(
            "a model whose parameters are to lie in parts on several processes must be whole, of one kind of floating-point "
            f"numbers, and the same for shares of a batch, but {'; '.join(problems)}. Leave `sharded` and --use_fsdp out: "
            "data_parallel() then keeps the model whole on every process."
        )


def _mixed(named: dict[str, nn.Parameter]) -> bool:
    kinds = {p.dtype for p in named.values()}
    return len(kinds) > 1 or not all(kind.is_floating_point for kind in kinds)


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - MANY} more" if len(names) > MANY else ""
    return ", ".join(repr(name) for name in names[:MANY]) + more


def _lay_out(model: nn.Module, layout: Layout) -> None:
    """Cut every parameter, block by block, so that no more than a block lies whole on the device."""
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    others: dict[int, nn.Parameter] = {}  # tied ones stay tied; PyTorch moves to the device what it is given, in place
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                whole = others.setdefault(
                    id(parameter), nn.Parameter(parameter.detach().contiguous(), parameter.requires_grad)
                )
                module._parameters[name] = whole
    precision = layout.precision or MixedPrecisionPolicy()
    for block in blocks_of(model, layout.kinds):
        fully_shard(block, mesh=layout.mesh, reshard_after_forward=layout.reshard, mp_policy=precision)
    fully_shard(model, mesh=layout.mesh, mp_policy=precision)


def _write_back(model: nn.Module, modules: Iterable[_Before]) -> None:
    """Gather parameters one by one into those that were there before; what is frozen did not change."""
    from torch.distributed.fsdp import FSDPModule

    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()
    written = set()
    for before in modules:
        for name, whole in before.parameters.items():
            if whole is not None and whole.requires_grad and id(whole) not in written:
                written.add(id(whole))
                found = _gathered(before.module._parameters[name])
                with torch.no_grad():
                    whole.copy_(found)


def _gathered(tensor: Any) -> Tensor:
    """The whole of a tensor: all processes must call it."""
    found: Tensor = tensor.full_tensor() if is_part(tensor) else tensor
    return found


class _Before:
    """What a module was before it was laid out. PyTorch has no way back of its own."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.kind = module, type(module)
        self.names = set(vars(module))
        self.parameters = dict(module._parameters)
        self.hooks = {
            name: set(kept) for name, kept in vars(module).items() if "_hooks" in name and isinstance(kept, dict)
        }

    def restore(self) -> None:
        """Take off what was put on, and put the whole parameters back."""
        module = self.module
        module.__class__ = self.kind
        module._parameters.update(self.parameters)
        for name, kept in self.hooks.items():
            hooks = vars(module)[name]
            for key in set(hooks) - kept:
                del hooks[key]
        for name in set(vars(module)) - self.names:
            if name.startswith(ADDED):
                del vars(module)[name]
        from torch.distributed import _composable_state  # it refuses to lay a module out that it remembers

        _composable_state._module_state_mapping.pop(module, None)
