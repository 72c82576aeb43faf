"""Whether a group of units can be decayed: tried by running the model."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ebbing.task import Task, evaluation_mode
from ebbing.training import seeded
from ebbing.units.group import Slice, UnitGroup, gated
from ebbing.units.kinds.kind import parameter_of
from ebbing.units.passing import slow_path
from ebbing.units.weights import bake, weights_of

# over positions, so that they keep channels apart, but not the features of the last axis
POOLS = (
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d),
    *(nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    *(nn.LPPool1d, nn.LPPool2d, nn.LPPool3d),
)
# a factor >= 0 on one side of these is the same factor on the other, unit by unit; GELU or Hardtanh are not such
TRANSPARENT = (
    *(nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.RReLU),
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
    nn.Identity,
    *POOLS,
)
NORMS = (
    nn.modules.batchnorm._BatchNorm,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.modules.instancenorm._InstanceNorm,
)
OVER_FEATURES = (nn.LayerNorm, nn.RMSNorm)  # with one scale for each feature, the last axis
UNDONE = 1e-2  # of the outputs' spread: less is what a normalisation's epsilon leaves
UNFAITHFUL = 1e-4  # of the outputs' spread, in single precision
# of the distance from 1 to the next number: a factor is rounded into a weight, or into an activity, and what follows rounds
# the difference on; faithful units of two blocks differ by up to 3 of them in bfloat16 as in float16
ROUNDINGS = 8
UNREACHED = (
    "a normalisation undoes any factor on it, and none is reached from it through modules alone that pass factors on, such as "
    "nn.ReLU or pooling (functions such as F.relu cannot be followed)"
)
NOTHING = 0.0  # units that mix with others before a normalisation: any change will do


class Fitness:
    """What is known of a model from running it on a batch: which groups run, share parameters, and answer to factors.

    Args:
        model: left as it was.
        task: runs the model on ``batch``.
        batch: a few examples, at least 2.
    """

    def __init__(self, model: nn.Module, *, task: Task, batch: Any) -> None:
        self.model, self.task, self.batch = model, task, batch
        self._calls: dict[str, int] = {}
        self._axes: dict[str, int] = {}
        self._position: dict[str, int] = {}
        self._readers: dict[str, list[str]] = {}
        self._owners: dict[int, int] = {}
        for module in model.modules():
            for parameter in module.parameters(recurse=False):
                self._owners[id(parameter)] = self._owners.get(id(parameter), 0) + 1
        self._rounding = rounding_of(model)
        self._trace()

    def order(self, group: UnitGroup) -> int:
        """Where a group comes in a forward pass; behind all others if it does not run."""
        return self._position.get(group.runs[0], len(self._position))

    def of(self, group: UnitGroup) -> UnitGroup | str:
        """The group, gated where that is faithful and effective, or why there is none."""
        if group.unfit:
            return group.unfit
        for name in group.runs:
            if self._calls.get(name, 0) != 1:
                return f"it runs {self._calls.get(name, 0)} times in one forward pass"
        parameters = [parameter_of(self.model, part.parameter) for part in group.slices]
        if not group.baked or any(p is None for p in parameters) or self._computed(group):
            return "its weight is computed from other parameters"
        if any(self._owners[id(p)] > 1 for p in parameters):
            return "it shares a parameter with another module"
        if any(p is not None and not p.requires_grad for p in parameters):
            return "its parameters are frozen, so that no repair could reach them"
        # one factor for all units is what a normalisation over them undoes; one further on leaves factors that differ alone
        one, differing = torch.full((group.size,), 0.25), torch.linspace(0.1, 0.9, group.size)
        if group.site != group.name:  # units inside a block, whose output projection mixes them before anything else
            if not self._changes(group, differing, more_than=NOTHING):
                return "no factor on it changes what the model returns"
        elif not self._changes(group, one, more_than=UNDONE):
            norm = self._norm_behind(group)
            if norm is not None:
                scale = getattr(self.model.get_submodule(norm), "weight", None)
                own = isinstance(scale, Tensor) and scale.shape == (group.size,)
                if not own or not self._is_along(group, norm):
                    return "a normalisation without a scale of its own for each unit undoes any factor on it"
                group = self._behind(group, norm)
                if not self._changes(group, differing, more_than=UNDONE):
                    return "normalisation undoes any factor on it, also on its scale and shift"
            elif not self._changes(group, differing, more_than=UNDONE):
                return UNREACHED
        if not self._is_faithful(group):
            return "a factor on its activity cannot be written into its weights exactly"
        return group

    def _computed(self, group: UnitGroup) -> bool:
        """Whether a module of the group has a weight that is no parameter of its own."""
        modules = [self.model.get_submodule(name) for name in group.claims]
        return any(isinstance(getattr(m, "weight", None), Tensor) and "weight" not in m._parameters for m in modules)

    def _behind(self, group: UnitGroup, norm: str) -> UnitGroup:
        """The group gated at a normalisation behind it."""
        module = self.model.get_submodule(norm)
        baked = [Slice(f"{norm}.weight", 0)]
        if getattr(module, "bias", None) is not None:
            baked.append(Slice(f"{norm}.bias", 0))
        return replace(group, site=norm, axis=_axis_of(module), baked=tuple(baked), slices=(*group.slices, *baked))

    def _is_along(self, group: UnitGroup, norm: str) -> bool:
        """Whether the scales of a normalisation lie along the axis of the units, and not along one that is as long."""
        axes = self._axes[norm]
        return group.axis % axes == _axis_of(self.model.get_submodule(norm)) % axes

    def _trace(self) -> None:
        """Run the batch once: how often modules run, in which order, and, by identity, which leaf reads whose output."""
        made: dict[int, str] = {}
        alive = []  # an id is only unique while its tensor lives

        def watch(name: str, is_leaf: bool) -> Callable[[nn.Module, Any, Any], None]:
            def hook(module: nn.Module, inputs: Any, output: Any) -> None:
                self._calls[name] = self._calls.get(name, 0) + 1
                self._position.setdefault(name, len(self._position))
                if not is_leaf:
                    return
                for value in inputs:
                    if isinstance(value, Tensor) and id(value) in made:
                        self._readers.setdefault(made[id(value)], []).append(name)
                if isinstance(output, Tensor):
                    self._axes[name] = output.ndim
                    made[id(output)] = name
                    alive.append(output)

            return hook

        with ExitStack() as stack, evaluation_mode(self.model), slow_path():
            for name, module in self.model.named_modules():
                handle = module.register_forward_hook(watch(name, not list(module.children())))
                stack.callback(handle.remove)
            self.task.forward(self.model, self.batch)

    def _norm_behind(self, group: UnitGroup) -> str | None:
        """The one normalisation that reads a layer, directly or through modules that pass a factor on."""
        name = group.name
        while True:
            readers = self._readers.get(name, [])
            if len(readers) != 1:
                return None
            name = readers[0]
            module = self.model.get_submodule(name)
            if isinstance(module, NORMS) or _is_rms_norm(module):
                return name
            if not isinstance(module, TRANSPARENT) or (group.axis == -1 and isinstance(module, POOLS)):
                return None

    def _outputs(self, *, training: bool) -> Tensor:
        """Logits on the batch, seeded, with buffers (running statistics) restored afterwards."""
        buffers = {n: b.clone() for n, b in self.model.named_buffers()}
        with evaluation_mode(self.model), seeded(0), slow_path():
            self.model.train(training)
            logits = self.task.forward(self.model, self.batch).logits
        with torch.no_grad():
            for n, b in self.model.named_buffers():
                b.copy_(buffers[n])
        return logits

    def _changes(self, group: UnitGroup, factor: Tensor, *, more_than: float) -> bool:
        """Whether factors (n,) on the units of a group change the outputs when batch statistics are taken anew."""
        before = self._outputs(training=True)
        with gated(self.model, [group], {group.name: factor}):
            after = self._outputs(training=True)
        return self._far(before, after, more_than=more_than)

    def _is_faithful(self, group: UnitGroup) -> bool:
        """Whether baking gives the outputs of the gate, for factors that differ from unit to unit."""
        factors = {group.name: torch.linspace(0.1, 0.9, group.size)}
        with gated(self.model, [group], factors):
            wanted = self._outputs(training=False)
        before = weights_of(self.model, [group])
        try:
            bake(self.model, [group], factors)
            found = self._outputs(training=False)
        finally:
            with torch.no_grad():
                for name, weight in before.items():
                    self.model.get_parameter(name).copy_(weight)
        return not self._far(wanted, found, more_than=UNFAITHFUL)

    def _far(self, a: Tensor, b: Tensor, *, more_than: float) -> bool:
        """Whether two outputs differ by more than a share of their spread, and by more than rounding explains.

        Where any change will do, rounding is none: nothing that is computed alike is rounded otherwise.
        """
        share = max(more_than, self._rounding) if more_than > NOTHING else NOTHING
        scale = float(a.abs().max()) + 1e-12
        return bool((a - b).abs().max() > share * scale)


def _axis_of(norm: nn.Module) -> int:
    """The axis along which the scales of a normalisation lie."""
    return -1 if isinstance(norm, OVER_FEATURES) or _is_rms_norm(norm) else 1


def _is_rms_norm(module: nn.Module) -> bool:
    """Whether a module is called as those are that the transformers library has for each family of models."""
    return type(module).__name__.endswith("RMSNorm")


def rounding_of(model: nn.Module) -> float:
    """By how much of their spread the outputs of two exact ways to decay a model may differ, as its numbers are rounded."""
    coarsest = max((torch.finfo(p.dtype).eps for p in model.parameters() if p.is_floating_point()), default=0.0)
    return ROUNDINGS * coarsest
