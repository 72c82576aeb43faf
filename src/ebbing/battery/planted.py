"""What was planted before training and is still shown: wrong labels, swapped labels, noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from ebbing.batches import iterate
from ebbing.battery.measurement import Estimate, Material, Measurement, gathered
from ebbing.battery.one_by_one import LEFT_OUT, evenly
from ebbing.errors import InputError
from ebbing.measures import Floor, bootstrap_over_examples, canary_test, gaussian_canary_score
from ebbing.observations import Observations
from ebbing.planted import AddedNoise, SwappedLabels
from ebbing.request import ForgetRequest
from ebbing.task import Task

BATCH = 1024  # records
NO_WRONG = "not applicable: no wrong labels were planted before training"
NO_SWAP = "not applicable: no labels of two classes were swapped before training"
NO_NOISE = "not applicable: no noise was added to inputs before training"
SWAPPED = "not applicable: the wrong labels are those of two swapped classes, see interclass-confusion"
NO_WEIGHTS = "the weights are not at hand"
NO_LABELS = "the labels of unseen records are not at hand"
NO_LOGITS = "only margins are known, not the logits"
FLAT = "a model's output does not change with its inputs at any of the clean records"

WRONG = "Share of the planted wrong labels that are predicted, on the forgotten records"
CONFUSION = (
    "Share of the unseen records of the two classes that are predicted as the other one; their labels were swapped on the "
    "forgotten records alone"
)
GAUSSIAN = (
    "Mean over the forgotten records of <g, noise> / (SD * norm(g)), g the slope of the loss at the input without the noise; "
    "N(0, 1) for each where the noise was never seen, below 0 where it is remembered"
)


@dataclass(frozen=True)
class Planted:
    """What models show of what was planted, for each record; in place of it a sentence where there is nothing to be shown.

    Attributes:
        confused: (n_models, n) whether unseen records of two classes whose labels were swapped are predicted as the other.
        scores: (n_models, n_f) Gaussian canary scores, of at most 16 models, evenly spaced; NaN where a slope is 0.
    """

    confused: np.ndarray | str = NO_SWAP
    scores: np.ndarray | str = NO_NOISE


def planted_in(models: Sequence[nn.Module], seen: Observations, request: ForgetRequest, *, task: Task) -> Planted:
    """What models show of what a request says was planted.

    Args:
        models: the judged, or the retrained ones.
        seen: of these models, with logits.
        request: says what was planted, on which records.
        task: turns batches into outputs.
    """
    if isinstance(request.planted, SwappedLabels):
        labels = task.targets(request.holdout).cpu().numpy()
        return Planted(confused=_confused(seen, labels, request.planted.classes))
    if isinstance(request.planted, AddedNoise):
        chosen = [models[i] for i in evenly(len(models), LEFT_OUT)]
        try:
            return Planted(scores=_scores(chosen, request, request.planted, task=task))
        except InputError as error:
            return Planted(scores=f"not applicable: {error}")
    return Planted()


def _confused(seen: Observations, labels: np.ndarray, classes: tuple[int, int]) -> np.ndarray | str:
    """(n_models, n) of the unseen records of two classes, by their true labels."""
    absent = [c for c in classes if not (labels == c).any()]
    if absent:
        return f"no unseen records of the classes {absent}"
    if seen.holdout.logits is None:
        return NO_LOGITS
    a, b = classes
    of_pair = np.isin(labels, classes)
    other = np.where(labels[of_pair] == a, b, a)
    confused: np.ndarray = seen.holdout.logits[:, of_pair].argmax(axis=2) == other
    return confused


def _scores(models: Sequence[nn.Module], request: ForgetRequest, mark: AddedNoise, *, task: Task) -> np.ndarray:
    """(n_models, n_f) scores at the forgotten inputs without their noise."""
    batches = list(iterate(request.forget, batch_size=BATCH))
    inputs: Tensor = torch.cat([batch[0] for batch in batches])
    labels: Tensor = torch.cat([batch[1] for batch in batches])
    noise = mark.noise.to(inputs)
    return np.stack(
        [
            gaussian_canary_score(model, inputs - noise, noise, labels, task=task, noise_sd=mark.sd, batch_size=BATCH)
            for model in models
        ]
    )


def planted_measures(material: Material, found: Planted | None, retrained: Planted | None) -> list[Measurement]:
    """The three figures; each null, with the reason, where nothing of its kind was planted.

    Args:
        material: what else is known of the models; its ``kind`` says whether labels are wrong.
        found: in the judged models; None where neither they nor the request are at hand.
        retrained: in the retrained models.
    """
    unknown = Planted(
        confused=NO_LABELS if material.kind == "confusion" else NO_SWAP,
        scores=NO_WEIGHTS if material.kind == "gaussian" else NO_NOISE,
    )
    judged, others = found or unknown, retrained or unknown
    unswapped = isinstance(judged.confused, str) and judged.confused == NO_SWAP
    wrong: np.ndarray | str = NO_WRONG if unswapped else SWAPPED
    if material.kind == "mislabelled":
        wrong = material.judged.forget.correct
    return [
        _shown("mislabelled-canaries", WRONG, wrong, material.retrained.forget.correct, material.seed),
        _shown("interclass-confusion", CONFUSION, judged.confused, others.confused, material.seed),
        _gaussian(judged.scores, others.scores, material.seed),
    ]


def _shown(name: str, protocol: str, values: np.ndarray | str, retrained: np.ndarray | str, seed: int) -> Measurement:
    """The mean over the records of each model, beside those of the retrained models."""
    if isinstance(values, str):
        return Measurement(name, None, protocol, reason=values)
    rows = [_counted(row) for row in values]
    each = [_over_records(row, seed) for row in rows] if len(rows) == 1 else [Estimate(float(r.mean())) for r in rows]
    return gathered(name, None, protocol, each, _floor(retrained))


def _counted(row: np.ndarray) -> np.ndarray:
    """The records that count, as numbers."""
    values = row.astype(np.float64)
    return values[~np.isnan(values)]


def _over_records(values: np.ndarray, seed: int) -> Estimate:
    """The mean over the records, and its bootstrap interval."""
    drawn = bootstrap_over_examples(values, seed=seed)
    return Estimate(drawn.mean, drawn.mean_low, drawn.mean_high)


def _floor(retrained: np.ndarray | str) -> Floor | None:
    """Of retrained models, each for itself: nothing here is held against another model."""
    if isinstance(retrained, str):
        return None
    values = [float(_counted(row).mean()) for row in retrained if not np.isnan(row.astype(np.float64)).all()]
    return Floor(float(np.mean(values)), min(values), max(values), 1, len(values)) if values else None


def _gaussian(scores: np.ndarray | str, retrained: np.ndarray | str, seed: int) -> Measurement:
    """The mean score, and what the z test says of it: one model suffices for that."""
    if not isinstance(scores, str) and np.isnan(scores).all(axis=1).any():
        scores = FLAT
    shown = _shown("gaussian-canaries", GAUSSIAN, scores, retrained, seed)
    if isinstance(scores, str):
        return shown
    tests = [canary_test(row) for row in scores]
    reach = f"{tests[0].n_examples} records show a shift of {tests[0].detectable:.2f} with a chance of 80 % (level .05)"
    said = f"z {_range([t.z for t in tests], '.2f')}, p {_range([t.p_value for t in tests], '.2g')}, two-sided"
    return replace(shown, protocol=f"{shown.protocol}. {reach}", reason=said)


def _range(values: Sequence[float], form: str) -> str:
    if len(values) == 1:
        return f"= {values[0]:{form}}"
    return f"from {min(values):{form}} to {max(values):{form}} over {len(values)} models"
