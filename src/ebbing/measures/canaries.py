"""Canaries: marks put into training data so that it is known what a model must forget.

*Interclass confusion*: the labels of two classes are swapped on some records. *Gaussian canaries*: noise that is kept on
record is added to some inputs; that needs the weights, and no second model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy
import torch
from torch import Tensor, nn

from ebbing.errors import InputError
from ebbing.planted import misfit
from ebbing.task import Task, evaluation_mode, margin

POWER = 0.8  # the chance at which a shift counts as detectable


@dataclass(frozen=True)
class InterclassConfusion:
    """What swapped labels left behind, on test points of the two classes with their true labels.

    Attributes:
        error: share of them that is predicted as another class, in [0, 1].
        confusion: share of them that is predicted as the other one of the two, in [0, ``error``].
        n_examples: how many test points of the two classes there were.
    """

    error: float
    confusion: float
    n_examples: int


def interclass_confusion(
    predictions: np.ndarray, labels: np.ndarray, *, classes: tuple[int, int]
) -> InterclassConfusion:
    """Errors and mutual confusion of two classes whose labels were swapped on forgotten training records.

    Over the test points labelled a or b: error = share with prediction != label; confusion = share of a predicted as b or
    b as a. Retrained models confuse similar classes as well: only the surplus over theirs is memory of the swap.
    Source: Goel et al., arXiv 2201.06640.

    Args:
        predictions: (n_examples,) predicted classes on test data.
        labels: (n_examples,) true labels, not swapped.
        classes: the two classes a and b.

    Returns:
        Both shares, and over how many points.

    Raises:
        InputError: if the shapes differ or are others, the classes are the same, or one has no test point.
    """
    told, true = np.asarray(predictions), np.asarray(labels)
    if true.ndim != 1 or told.shape != true.shape:
        raise InputError(
            f"`predictions` and `labels` must have one shape (n_examples,), but have {told.shape} and {true.shape}. Pass "
            "classes, such as logits.argmax(axis=1), not logits."
        )
    a, b = classes
    absent = [c for c in classes if not (true == c).any()]
    if a == b or absent:
        raise InputError(
            f"`classes` must be two different ones that `labels` contain, but are {tuple(classes)}"
            f"{f', and labels have no {absent}' if absent else ''}. Pass the two whose labels were swapped."
        )
    of_pair = (true == a) | (true == b)
    told, true = told[of_pair], true[of_pair]
    swapped = told == np.where(true == a, b, a)
    return InterclassConfusion(float((told != true).mean()), float(swapped.mean()), len(true))


def gaussian_canary_score(
    model: nn.Module,
    images: Tensor,
    noise: Tensor,
    labels: Tensor,
    *,
    task: Task,
    noise_sd: float,
    batch_size: int = 256,
) -> np.ndarray:
    """How far a model's slope at clean records leans along the noise that they were trained with.

    With g = gradient of the loss at the clean input x with respect to x, xi the noise that was added for training, drawn
    from N(0, noise_sd^2) for each value:

        I = <g, xi> / (noise_sd * norm(g))

    A model that never saw xi gives exactly N(0, 1), whatever else it learned, independently over the records. A model that
    did has a lower loss at x + xi than at x, which draws I **below** 0: a step of descent changes the first layer by
    -rate * d (x + xi)^T with d = dL / d(its output), and that changes <g, xi> by -rate * norm(d)^2 * norm(xi)^2 on average.
    See `canary_test` for the mean.

    For cross entropy g is a negative multiple of the gradient of the margin, so I is computed from that: it does not
    vanish where a sure model's loss is 0 in floating point. Evaluation mode; the gradient is taken with respect to the
    inputs alone, and weights, their gradients and modes are left as they were.
    Source: Pawelczyk et al., arXiv 2406.17216 (Gaussian unlearning score).

    Args:
        model: the judged model.
        images: (n, ...) clean inputs, floating point, of any shape.
        noise: (n, ...) what was added to them in training, of the same shape; not clipped.
        labels: (n,) the labels they were trained with.
        task: turns a batch (inputs, labels) into outputs.
        noise_sd: standard deviation that the noise was drawn with, > 0, in the units of the inputs as the model sees them.
        batch_size: records per pass, >= 1.

    Returns:
        (n,) float64 scores; NaN where the model's slope is 0, as for a constant one.

    Raises:
        InputError: if the shapes differ or are others, inputs are not floating point, ``noise_sd`` does not fit the
            noise, or the model's output does not depend on its inputs by a gradient.
    """
    _check_canaries(images, noise, labels, noise_sd=noise_sd, batch_size=batch_size)
    slopes = []
    with evaluation_mode(model), torch.enable_grad():
        for start in range(0, len(images), batch_size):
            x, y = (part[start : start + batch_size] for part in (images, labels))
            at = x.detach().clone().requires_grad_()
            # In evaluation mode no record sees another. The copy is for models that write into their inputs.
            total = margin(task.forward(model, (at.clone(), y))).sum()
            slope = torch.autograd.grad(total, at, allow_unused=True)[0] if total.requires_grad else None
            if slope is None:
                raise InputError(
                    "the model must let gradients through to its inputs, but its output has none. Take it out of "
                    "torch.no_grad and do not detach, or judge these canaries by their outputs."
                )
            slopes.append(slope.flatten(1).double().cpu().numpy())
    g = -np.concatenate(slopes)  # (n, values) along the gradient of the loss
    xi = noise.detach().flatten(1).double().cpu().numpy()
    length = np.linalg.norm(g, axis=1)
    scores = np.full(len(g), np.nan)
    np.divide((g * xi).sum(axis=1), noise_sd * length, out=scores, where=length > 0)
    return scores


@dataclass(frozen=True)
class CanaryTest:
    """Whether the mean of Gaussian canary scores is that of a model that never saw the noise.

    Attributes:
        mean: of the scores, < 0 where the noise is remembered.
        z: mean * sqrt(n), standard normal after perfect unlearning.
        p_value: two-sided, in [0, 1].
        detectable: the expected shift of the scores, either way, that n scores show at the level with a chance of 80 %. A
            mean that is not significant rules out no smaller shift.
        n_examples: scores that counted; those that were NaN are left out.
    """

    mean: float
    z: float
    p_value: float
    detectable: float
    n_examples: int


def canary_test(scores: np.ndarray, *, level: float = 0.05) -> CanaryTest:
    """Two-sided z test of the mean of Gaussian canary scores, whose standard deviation is known to be 1.

    Two-sided, because over-forgetting (a gradient ascent on the canaries) shifts the mean the other way. The p-value falls
    with n for the same shift: read the mean, which does not.

    Args:
        scores: (n,) from `gaussian_canary_score`; NaN is left out.
        level: significance for ``detectable``, in (0, 1).

    Returns:
        The test. ``detectable`` = (q(1 - level / 2) + q(.8)) / sqrt(n) with q the standard normal quantile: .28 at
        n = 100 and level .05.

    Raises:
        InputError: if no score is left, they have another shape, or ``level`` is out of range.
    """
    values = np.asarray(scores, dtype=np.float64)
    kept = values[~np.isnan(values)]
    if values.ndim != 1 or not len(kept):
        raise InputError(
            f"`scores` must have shape (n,) with at least one that is not NaN, but have {values.shape} and {len(kept)}. A "
            "model whose slope is 0 everywhere cannot be judged by these canaries."
        )
    if not 0 < level < 1:
        raise InputError(f"`level` must lie in (0, 1), but is {level}. 0.05 is usual.")
    mean, root = float(kept.mean()), math.sqrt(len(kept))
    z = mean * root
    reach = float(scipy.stats.norm.isf(level / 2) + scipy.stats.norm.ppf(POWER)) / root
    return CanaryTest(mean, z, float(2 * scipy.stats.norm.sf(abs(z))), reach, len(kept))


def canary_power(*, shift: float, n_examples: int, level: float = 0.05) -> float:
    """Chance that `canary_test` is significant where the scores' expectation is ``shift`` (and their deviation 1).

    P(abs(z) > q) with z from N(shift * sqrt(n), 1) and q = q(1 - level / 2); it is ``level`` at shift 0.

    Args:
        shift: expected score, either sign.
        n_examples: number of canaries, >= 1.
        level: significance, in (0, 1).

    Returns:
        In (0, 1].

    Raises:
        InputError: if a setting is out of range.
    """
    if n_examples < 1 or not 0 < level < 1 or not math.isfinite(shift):
        raise InputError(
            f"`n_examples` must be at least 1, `level` lie in (0, 1) and `shift` be finite, but they are {n_examples}, "
            f"{level} and {shift}. Plan with the shift that you want to see."
        )
    q, centre = float(scipy.stats.norm.isf(level / 2)), abs(shift) * math.sqrt(n_examples)
    return float(scipy.stats.norm.sf(q - centre) + scipy.stats.norm.cdf(-q - centre))


def _check_canaries(images: Tensor, noise: Tensor, labels: Tensor, *, noise_sd: float, batch_size: int) -> None:
    """Refuse what no score can be computed from, with all problems at once."""
    problems = []
    if images.ndim < 2 or not len(images) or noise.shape != images.shape or labels.shape != images.shape[:1]:
        problems.append(
            "`images` and `noise` must have one shape (n, ...) and `labels` (n,) with n >= 1, but they have "
            f"{tuple(images.shape)}, {tuple(noise.shape)} and {tuple(labels.shape)}. Pass the clean inputs and the noise alone"
        )
    if not (images.is_floating_point() and noise.is_floating_point()):
        problems.append(
            f"`images` and `noise` must be floating point, but are {images.dtype} and {noise.dtype}. Pass what the model sees"
        )
    if batch_size < 1:
        problems.append(f"`batch_size` must be at least 1, but is {batch_size}. 256 is usual")
    if not (math.isfinite(noise_sd) and noise_sd > 0):
        problems.append(f"`noise_sd` must be finite and > 0, but is {noise_sd}. It is a deviation, not a variance")
    elif not problems and (seen := misfit(noise, noise_sd)) is not None:
        problems.append(
            f"`noise` must have been drawn with `noise_sd` = {noise_sd:.4g}, but has a root mean square of {seen:.4g}. "
            "Scale both as the inputs are, do not clip, and pass a deviation, not a variance"
        )
    if problems:
        raise InputError(". ".join(problems) + ".")
