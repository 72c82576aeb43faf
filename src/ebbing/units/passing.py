"""Standing where activity passes: at what a module returns, or at what it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Change = Callable[[Tensor], Tensor]
WEIGHT = 11  # position of the output projection's weight among the arguments of multi_head_attention_forward
Place = tuple[str, Literal["output", "input"], Change]


@contextmanager
def slow_path() -> Iterator[None]:
    """PyTorch's transformers without their fused calls, in which nothing can be caught, and without nested tensors."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


@contextmanager
def passing(model: nn.Module, places: Sequence[Place]) -> Iterator[None]:
    """Put ``change`` where activity passes in every forward pass inside; what was put there always comes off.

    The output projection of `nn.MultiheadAttention` is never called as a module: its weight is used by the function of the
    whole attention, and that call is caught instead. There the activity is (examples, positions, features) whatever the
    order of the model.

    Args:
        model: watched where it is.
        places: name of a module, whether what it returns or the first thing that it is given, and what becomes of that.
    """
    with ExitStack() as stack, slow_path():
        caught: dict[str, Change] = {}
        for name, where, change in places:
            module = model.get_submodule(name)
            if where == "output":
                stack.callback(module.register_forward_hook(_after(change)).remove)
            elif isinstance(module, nn.modules.linear.NonDynamicallyQuantizableLinear):
                caught[name] = change
            else:
                stack.callback(module.register_forward_pre_hook(_before(change)).remove)
        if caught:
            stack.enter_context(
                _AttentionOutputs([(model.get_submodule(name), change) for name, change in caught.items()])
            )
        yield


def _after(change: Change) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    return lambda module, inputs, output: change(output)


def _before(change: Change) -> Callable[[nn.Module, Any], Any]:
    return lambda module, inputs: (change(inputs[0]), *inputs[1:])


class _AttentionOutputs(TorchFunctionMode):
    """Catches the function of attentions whose output projections are known, and takes that projection out of it."""

    def __init__(self, changes: Sequence[tuple[nn.Module, Change]]) -> None:
        super().__init__()
        self.changes = changes  # by the output projection, whose weight may be another tensor each time that it runs

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Let the function end with the identity, change what it returns, and project that."""
        named = kwargs or {}
        change = None
        if func is functional.multi_head_attention_forward:
            change = next((change for projection, change in self.changes if projection.weight is args[WEIGHT]), None)
        if change is None:
            return func(*args, **named)
        weight, bias = args[WEIGHT], args[WEIGHT + 1]
        identity = torch.eye(weight.shape[1], dtype=weight.dtype, device=weight.device)
        heads, scores = func(*[*args[:WEIGHT], identity, None, *args[WEIGHT + 2 :]], **named)
        batched = heads.transpose(0, 1) if heads.ndim == 3 else heads.unsqueeze(0)  # (examples, positions, features)
        changed = change(batched)
        back = changed.transpose(0, 1) if heads.ndim == 3 else changed.squeeze(0)
        return functional.linear(back, weight, bias), scores
