"""Looking inside models: what their layers know of the forget set, and how fast they learn it again.

A model whose head was replaced answers as if it had forgotten, though the layers below have not. Two readings see that.
*Probes*: on the input of each layer a linear readout is fitted to the retained records, the same for every model; its
margins are then judged as the model's own are. *Relearning*: a copy is trained on the forget set, and another on unseen
records drawn alike; what was merely hidden comes back sooner (Ebbinghaus called this savings). Both need the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import ConcatDataset, Dataset

from ebbing.batches import evenly, iterate, size
from ebbing.observations import Observations
from ebbing.request import ForgetRequest
from ebbing.task import Task, cross_entropy, evaluation_mode
from ebbing.training import seeded
from ebbing.units.kinds.kind import is_linear

PROBED = 4  # layers; more tests would each have to be weaker
FITTED = 2_000  # retained records that a readout is fitted to
POSITIONS = 4  # what the positions of a convolution are averaged to
RIDGE = 1e-2
RELEARNED = 64  # records, the same number of both kinds
MOST_STEPS = 100
RELEARNING_RATE = 1e-2
REGAINED = float(np.log(2))  # nats: the label has half of the probability


@dataclass(frozen=True)
class Inside:
    """What the layers of several models of one structure show, and how fast the models relearn.

    Attributes:
        probes: by the name of a layer, in the order they run, the margins of the readout on its input.
        steps_forget: (n_models,) steps until the forget set is known again, in [0, 100].
        steps_matched: (n_models,) the same for unseen records drawn alike; None where there are none.
    """

    probes: dict[str, Observations]
    steps_forget: np.ndarray
    steps_matched: np.ndarray | None

    @property
    def n_models(self) -> int:
        """Number of models."""
        return len(self.steps_forget)

    @property
    def savings(self) -> np.ndarray:
        """(n_models,) log((1 + steps for matched) / (1 + steps for forget)): > 0 where the forget set comes back sooner.

        Without matched records, log(1 / (1 + steps for forget)), which retrained models give the measure of.
        """
        other = 0.0 if self.steps_matched is None else np.log1p(self.steps_matched)
        saved: np.ndarray = other - np.log1p(self.steps_forget)
        return saved

    def __getitem__(self, models: slice | list[int]) -> Inside:
        """Some of the models."""
        matched = None if self.steps_matched is None else self.steps_matched[models]
        return Inside({n: p[models] for n, p in self.probes.items()}, self.steps_forget[models], matched)

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything by name: ``steps/forget``, ``steps/matched`` and ``probes/<layer>/<split>/<signal>``."""
        steps = {"steps/forget": self.steps_forget}
        if self.steps_matched is not None:
            steps["steps/matched"] = self.steps_matched
        return steps | {f"probes/{n}/{k}": array for n, p in self.probes.items() for k, array in p.arrays().items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Inside:
        """What `arrays` gave."""
        probes: dict[str, dict[str, np.ndarray]] = {}
        for name, array in arrays.items():
            if name.startswith("probes/"):
                layer, split, signal = name.removeprefix("probes/").rsplit("/", 2)
                probes.setdefault(layer, {})[f"{split}/{signal}"] = array
        made = {layer: Observations.from_arrays(found) for layer, found in probes.items()}
        return cls(made, arrays["steps/forget"], arrays.get("steps/matched"))

    @classmethod
    def concatenate(cls, parts: Sequence[Inside]) -> Inside:
        """The models of several, one after the other."""
        matched = [p.steps_matched for p in parts if p.steps_matched is not None]
        return cls(
            {name: Observations.concatenate([p.probes[name] for p in parts]) for name in parts[0].probes},
            np.concatenate([p.steps_forget for p in parts]),
            np.concatenate(matched) if len(matched) == len(parts) else None,
        )


def probed_layers(model: nn.Module, request: ForgetRequest, *, task: Task) -> list[str]:
    """The layers whose inputs are read: at most 4 of those that run once, evenly spaced, the last among them."""
    batch = next(iterate(evenly(request.retain, 4), batch_size=4))
    calls: dict[str, int] = {}
    with ExitStack() as stack, evaluation_mode(model):
        for name, module in model.named_modules():
            if is_linear(module) or isinstance(module, nn.modules.conv._ConvNd):

                def count(module: nn.Module, inputs: Any, name: str = name) -> None:
                    calls[name] = calls.get(name, 0) + 1

                stack.callback(module.register_forward_pre_hook(count).remove)
        task.forward(model, batch)
    once = [name for name, n in calls.items() if n == 1]
    if not once:
        return []
    return [once[i] for i in np.unique(np.linspace(0, len(once) - 1, min(PROBED, len(once))).round().astype(int))]


def look_inside(
    models: Sequence[nn.Module],
    request: ForgetRequest,
    *,
    task: Task,
    layers: Sequence[str],
    seed: int = 0,
    on_model: Callable[[], None] | None = None,
) -> Inside:
    """Fit the readouts and let copies relearn.

    Args:
        models: of one structure; left as they were.
        request: ``retain`` (at most 2,000 records) fits the readouts; for a concept ``matched`` too, as nothing retained
            has its labels.
        task: turns batches into outputs.
        layers: see `probed_layers`.
        seed: of the order of relearning.
        on_model: called after each model.
    """
    probes: dict[str, list[Observations]] = {name: [] for name in layers}
    steps: dict[str, list[float]] = {"forget": [], "matched": []}
    fewest = min(RELEARNED, size(request.forget), RELEARNED if request.matched is None else size(request.matched))
    for model in models:
        for name, found in _probe(model, request, task=task, layers=layers).items():
            probes[name].append(found)
        for split in ("forget", "matched"):
            data = getattr(request, split)
            if data is not None and not (split == "matched" and request.concept):
                steps[split].append(steps_to_relearn(model, evenly(data, fewest), task=task, seed=seed))
        if on_model is not None:
            on_model()
    matched = np.array(steps["matched"]) if steps["matched"] else None
    gathered = {name: Observations.concatenate(found) for name, found in probes.items() if found}
    return Inside(gathered, np.array(steps["forget"]), matched)


def _probe(model: nn.Module, request: ForgetRequest, *, task: Task, layers: Sequence[str]) -> dict[str, Observations]:
    """Margins of a linear readout on the input of each layer, on every split."""
    fitted: Dataset[Any] = evenly(request.retain, FITTED)
    if request.concept:
        if request.matched is None:
            return {}
        fitted = ConcatDataset([fitted, request.matched])
    features, labels = features_of(model, fitted, task=task, layers=layers)
    classes = int(max(labels.max(), task.targets(request.forget).max())) + 1
    readouts = {name: _Readout.fit(features[name], labels, classes) for name in layers}
    margins: dict[str, dict[str, np.ndarray]] = {name: {} for name in layers}
    for split in ("forget", "retain", "holdout", "matched"):
        data = getattr(request, split)
        if data is not None:
            features, labels = features_of(model, evenly(data, FITTED), task=task, layers=layers)
            for name in layers:
                margins[name][split] = readouts[name].margins(features[name], labels)[None]
    return {name: Observations.from_margins(**found) for name, found in margins.items()}


def features_of(
    model: nn.Module, dataset: Dataset[Any], *, task: Task, layers: Sequence[str]
) -> tuple[dict[str, Tensor], Tensor]:
    """(n, features) float64 inputs of each layer, and (n,) labels.

    Positions of a text are averaged without its padding, those of a convolution over images to a few.
    """
    rows: dict[str, list[Tensor]] = {name: [] for name in layers}
    labels = []
    mask: Tensor | None = None
    with evaluation_mode(model), _inputs_read(model, layers, rows, lambda: mask):
        for batch in iterate(dataset, batch_size=task.together(256)):
            mask = task.positions(batch)
            labels.append(task.forward(model, batch).targets.cpu())
    return {name: torch.cat(found).double() for name, found in rows.items()}, torch.cat(labels)


@contextmanager
def _inputs_read(
    model: nn.Module, layers: Sequence[str], rows: dict[str, list[Tensor]], mask: Callable[[], Tensor | None]
) -> Iterator[None]:
    """Append what goes into each layer to its rows; ``mask`` gives what of the present batch is data, see `Task.positions`."""

    def read(module: nn.Module, inputs: tuple[Tensor, ...], name: str) -> None:
        value, counted = inputs[0].detach().float(), mask()
        if is_linear(module):
            value = _mean_over_positions(value, counted)
        elif counted is not None and value.ndim == 3 and value.shape[::2] == counted.shape:  # over a text
            value = _mean_over_positions(value.movedim(1, -1), counted)
        else:
            value = functional.adaptive_avg_pool1d(value.flatten(2), POSITIONS).flatten(1)
        rows[name].append(value.cpu())

    with ExitStack() as stack:
        for name in layers:

            def hook(module: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
                read(module, inputs, name)

            stack.callback(model.get_submodule(name).register_forward_pre_hook(hook).remove)
        yield


def _mean_over_positions(value: Tensor, mask: Tensor | None) -> Tensor:
    """(n, features) means of (n, ..., features) over all positions, or over those of (n, length) that are no padding.

    A model may have examples and positions in one axis.
    """
    if mask is not None and len(value) == mask.numel() != len(mask):
        value = value.reshape(*mask.shape, value.shape[-1])
    flat = value.reshape(len(value), -1, value.shape[-1])
    if mask is None or len(mask) != len(value) or flat.shape[1] % mask.shape[1]:
        return flat.mean(dim=1)
    times = flat.shape[1] // mask.shape[1]
    first = value.shape[1] == mask.shape[1]  # what else there is, such as heads, lies behind the positions, else before
    counted = (mask.repeat_interleave(times, dim=1) if first else mask.repeat(1, times)).unsqueeze(2).to(value.device)
    return flat.masked_fill(~counted, 0).sum(dim=1) / counted.sum(dim=1).clamp(min=1)


@dataclass(frozen=True)
class _Readout:
    """Ridge regression from standardised features to one-hot labels: scores = [x, 1] weight."""

    centre: Tensor
    scale: Tensor
    weight: Tensor

    @classmethod
    def fit(cls, features: Tensor, labels: Tensor, classes: int) -> _Readout:
        """Least squares with penalty .01 n on each weight: W = (X'X + .01 n I)^-1 X'Y, by the smaller of two systems."""
        centre, scale = features.mean(dim=0), features.std(dim=0).clamp_min(1e-6)
        x = _with_one((features - centre) / scale)
        y = functional.one_hot(labels, classes).double()
        n, d = x.shape
        penalty = RIDGE * n
        if d <= n:
            weight = torch.linalg.solve(x.T @ x + penalty * torch.eye(d, dtype=x.dtype), x.T @ y)
        else:
            weight = x.T @ torch.linalg.solve(x @ x.T + penalty * torch.eye(n, dtype=x.dtype), y)
        return cls(centre, scale, weight)

    def margins(self, features: Tensor, labels: Tensor) -> np.ndarray:
        """(n,) score of the label minus the largest other score."""
        scores = _with_one((features - self.centre) / self.scale) @ self.weight
        own = scores.gather(1, labels[:, None])[:, 0]
        others = scores.scatter(1, labels[:, None], float("-inf")).amax(dim=1)
        found: np.ndarray = (own - others).numpy()
        return found


def _with_one(features: Tensor) -> Tensor:
    return torch.cat([features, torch.ones(len(features), 1, dtype=features.dtype)], dim=1)


def steps_to_relearn(model: nn.Module, dataset: Dataset[Any], *, task: Task, seed: int) -> float:
    """Steps until the mean loss on a few records is log 2, with the crossing interpolated; 100 if it is not by then.

    Adam with learning rate .01 on all of them at once, in evaluation mode: batch statistics and dropout stay out of it.
    """
    twin = deepcopy(model).eval()
    batch = next(iterate(dataset, batch_size=size(dataset)))
    optimizer = torch.optim.Adam([p for p in twin.parameters() if p.requires_grad], lr=RELEARNING_RATE)
    before = float("nan")
    with seeded(seed), torch.enable_grad():
        for step in range(MOST_STEPS + 1):
            loss = cross_entropy(task.forward(twin, batch)).mean()
            now = float(loss.detach())
            if now <= REGAINED:
                return float(step - (REGAINED - now) / (before - now)) if step else 0.0
            before = now
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return float(MOST_STEPS)
