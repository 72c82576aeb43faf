"""Canaries: training examples given wrong labels or noise on purpose, whose trace in a model is easy to see."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ebbing.errors import InputError


def mislabel(labels: Tensor, positions: npt.ArrayLike | Tensor, *, n_classes: int, seed: int) -> Tensor:
    """A copy of the labels in which the given positions carry a label of another class.

    Rule: label'[p] = (label[p] + offset[p]) mod n_classes, offset[p] drawn uniformly from {1, ...,
    n_classes - 1}. So each of the other n_classes - 1 classes has probability 1 / (n_classes - 1), and the
    true one has 0. An offset is drawn for every example, not only for the given ones: which wrong label a
    canary carries depends on n, `n_classes`, `seed` and its own position, not on which others there are or
    in what order they are given.

    Args:
        labels: int64 (n,), in [0, n_classes). Left as they are.
        positions: Integers (k,), in [0, n), without repetition; k may be 0.
        n_classes: At least 2.
        seed: At least 0.

    Returns:
        int64 (n,), on the device of `labels`; it differs from `labels` in exactly the k positions.

    Raises:
        InputError: If any of the above is not so. All problems are named at once.

    Example:
        >>> labels = torch.zeros(5, dtype=torch.int64)
        >>> mislabel(labels, [1, 3], n_classes=2, seed=0)
        tensor([0, 1, 0, 1, 0])
    """
    chosen = _as_array(positions)
    problems = [
        *_problems_of_labels(labels, n_classes),
        *_problems_of_positions(chosen, len(labels) if labels.ndim else 0),
    ]
    if n_classes < 2:
        problems.append(f"`n_classes` must be at least 2, for a wrong label to exist, but is {n_classes}.")
    if seed < 0:
        problems.append(f"`seed` must be at least 0, but is {seed}.")
    if problems:
        raise InputError("\n".join(problems))
    offsets = np.random.default_rng(seed).integers(1, n_classes, size=len(labels))  # (n,)
    index = torch.from_numpy(chosen.astype(np.int64)).to(labels.device)  # (k,)
    wrong = labels.clone()
    wrong[index] = (labels[index] + torch.from_numpy(offsets).to(labels.device)[index]) % n_classes
    return wrong


def swap_labels(labels: Tensor, positions: npt.ArrayLike | Tensor, *, classes: tuple[int, int]) -> Tensor:
    """A copy of the labels in which the given positions of two classes carry the label of the other one.

    Source: interclass confusion, Goel et al., arXiv 2201.06640.

    Args:
        labels: int64 (n,). Left as they are.
        positions: Integers (k,), in [0, n), without repetition; k may be 0. All are of one of the classes.
        classes: Two different ones.

    Returns:
        int64 (n,), on the device of `labels`; it differs from `labels` in exactly the k positions.

    Raises:
        InputError: If any of the above is not so. All problems are named at once.

    Example:
        >>> swap_labels(torch.tensor([3, 5, 0, 3]), [0, 1], classes=(3, 5))
        tensor([5, 3, 0, 3])
    """
    chosen, (a, b) = _as_array(positions), classes
    whole = labels.dtype == torch.int64 and labels.ndim == 1
    problems = _problems_of_positions(chosen, len(labels) if whole else 0)
    if not whole:
        problems = [f"`labels` must be int64 of shape (n,), but are {labels.dtype} of shape {tuple(labels.shape)}."]
    if a == b:
        problems.append(f"`classes` must be two different ones, but are {classes}.")
    swapped = labels.clone()
    if not problems:
        index = torch.from_numpy(chosen.astype(np.int64)).to(labels.device)
        found = labels[index]
        others = sorted(set(found.tolist()) - {a, b})
        if others:
            problems.append(f"the labels at `positions` must be {a} or {b}, but contain {others[:5]}.")
        swapped[index] = torch.where(found == a, b, a)
    if problems:
        raise InputError("\n".join(problems))
    return swapped


def gaussian_noise(like: Tensor, *, sd: float, seed: int) -> Tensor:
    """Independent values of N(0, sd^2), of the shape, type and device of some inputs; not clipped.

    Source: Pawelczyk et al., arXiv 2406.17216.

    Args:
        like: Floating point.
        sd: Finite, > 0, in the units of the inputs.
        seed: At least 0.

    Raises:
        InputError: If any of the above is not so.
    """
    if not like.is_floating_point() or not 0 < sd < float("inf") or seed < 0:
        raise InputError(
            f"noise needs floating-point inputs, a finite `sd` > 0 and a `seed` of at least 0, but they are {like.dtype}, {sd} "
            f"and {seed}."
        )
    drawn = np.random.default_rng(seed).standard_normal(tuple(like.shape)) * sd
    return torch.from_numpy(np.asarray(drawn)).to(like)


def _as_array(positions: npt.ArrayLike | Tensor) -> npt.NDArray[np.generic]:
    if isinstance(positions, Tensor):
        positions = positions.detach().cpu().numpy()
    try:
        return np.asarray(positions)
    except ValueError as error:  # rows of unequal length
        raise InputError(f"`positions` must be a flat list of integers, but: {error}.") from error


def _problems_of_labels(labels: Tensor, n_classes: int) -> list[str]:
    if labels.dtype != torch.int64 or labels.ndim != 1:
        return [f"`labels` must be int64 of shape (n,), but are {labels.dtype} of shape {tuple(labels.shape)}."]
    outside = sorted(set(labels[(labels < 0) | (labels >= n_classes)].tolist()))
    if outside and n_classes >= 2:
        return [f"`labels` must lie in [0, {n_classes}), but contain {outside[:5]}. Raise `n_classes`."]
    return []


def _problems_of_positions(positions: npt.NDArray[np.generic], n: int) -> list[str]:
    if positions.ndim != 1:
        return [f"`positions` must have shape (k,), but have {positions.shape}."]
    if positions.size == 0:
        return []
    if positions.dtype.kind not in "iu":
        hint = " Turn a mask into positions with mask.nonzero()." if positions.dtype.kind == "b" else ""
        return [f"`positions` must be integers, but are {positions.dtype}.{hint}"]
    problems = []
    values, counts = np.unique(positions, return_counts=True)
    outside = [int(value) for value in values if not 0 <= int(value) < n]
    if outside:
        problems.append(f"`positions` must lie in [0, {n}), but contain {outside[:5]}. They refer to `labels`.")
    repeated = values[counts > 1].tolist()
    if repeated:
        problems.append(f"`positions` must not repeat, but contain {repeated[:5]} more than once. Drop the copies.")
    return problems
