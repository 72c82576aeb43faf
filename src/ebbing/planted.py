"""What was planted before training: marks on the forgotten records, known exactly, that a model shows while it remembers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ebbing.errors import InputError

SURPRISE = 6.0  # standard errors that noise may be off by, in its own standard deviation


@dataclass(frozen=True)
class SwappedLabels:
    """Each forgotten record is of one of two classes and was trained with the label of the other.

    Attributes:
        classes: the two, different and >= 0.

    Raises:
        InputError: if they are no two such classes.
    """

    classes: tuple[int, int]

    def __post_init__(self) -> None:
        """Refuse what are not two classes."""
        found = tuple(self.classes)
        whole = all(isinstance(c, (int, np.integer)) and not isinstance(c, bool) and c >= 0 for c in found)
        if not whole or len(set(found)) != 2 or len(found) != 2:
            raise InputError(
                f"`classes` of SwappedLabels must be two different whole numbers >= 0, but are {self.classes!r}. Pass the two "
                "labels that were swapped."
            )
        object.__setattr__(self, "classes", (int(found[0]), int(found[1])))

    def placed(self, given: np.ndarray, *, labels: Tensor, first: Any) -> SwappedLabels:
        """As it stands in a request.

        Args:
            given: (n_f,) positions of the forgotten records.
            labels: of the whole training set, as it was trained on.
            first: the record at the lowest of these positions.

        Raises:
            InputError: if a forgotten record has another label than these two.
        """
        others = sorted(set(labels[torch.from_numpy(given)].tolist()) - set(self.classes))
        if others:
            raise InputError(
                f"where labels of the classes {self.classes} were swapped, every forgotten record must be labelled as one of "
                f"them, but labels {others[:5]} are there as well. Forget the swapped records alone."
            )
        return self


@dataclass(frozen=True, eq=False)
class AddedNoise:
    """Noise that was added to the inputs of the forgotten records for training.

    Attributes:
        noise: (n_f, ...) floating point, what was added to each record, of the shape and in the units of the inputs as the
            model sees them; not clipped. `ForgetRequest.from_ids` takes rows in the order of its ids, a request holds them in
            the order of its ``forget_ids``.
        sd: standard deviation that each value was drawn with, normal around 0; > 0.

    Raises:
        InputError: if the noise is of another kind, not finite, or was hardly drawn with this deviation.
    """

    noise: Tensor
    sd: float

    def __post_init__(self) -> None:
        """Refuse noise that no score could be computed from, before anything is trained on it."""
        problems = []
        fine = isinstance(self.noise, Tensor) and self.noise.is_floating_point() and self.noise.ndim >= 2
        if not fine or not self.noise.numel() or not bool(self.noise.isfinite().all()):
            problems.append(
                "`noise` must be a finite floating-point tensor of shape (n_f, ...), one row for each record"
            )
        if not (isinstance(self.sd, (int, float)) and math.isfinite(self.sd) and self.sd > 0):
            problems.append(f"`sd` must be finite and > 0, but is {self.sd!r}; it is a deviation, not a variance")
        if not problems and (seen := misfit(self.noise, self.sd)) is not None:
            problems.append(
                f"`noise` must have been drawn with `sd` = {self.sd:.4g}, but has a root mean square of {seen:.4g}; scale both "
                "as the inputs are, and do not clip"
            )
        if problems:
            raise InputError(f"AddedNoise: {'. '.join(problems)}.")

    def placed(self, given: np.ndarray, *, labels: Tensor, first: Any) -> AddedNoise:
        """With its rows in ascending order of the positions.

        Args:
            given: (n_f,) positions of the forgotten records, in the order of the rows.
            labels: not read.
            first: the record at the lowest of these positions.

        Raises:
            InputError: if there is not one row of noise, of the inputs' shape, for each record.
        """
        if len(self.noise) != len(given):
            raise InputError(
                f"`noise` must have one row for each of the {len(given)} forgotten records, in the order of `ids`, but has "
                f"{len(self.noise)}."
            )
        inputs = first[0] if isinstance(first, (tuple, list)) else None
        shape = None if inputs is None or isinstance(inputs, dict) else tuple(np.shape(inputs))
        if shape != tuple(self.noise.shape[1:]):
            found = "are no tensors" if shape is None else f"have {shape}"
            raise InputError(
                f"`noise` must have the shape of the inputs of each record, but its rows have {tuple(self.noise.shape[1:])} "
                f"and the inputs {found}. Records must be (inputs, label) with a tensor of inputs."
            )
        return replace(self, noise=self.noise[torch.from_numpy(np.argsort(given))])


Mark = SwappedLabels | AddedNoise


def misfit(noise: Tensor, sd: float) -> float | None:
    """The root mean square of noise that was hardly drawn from N(0, sd^2); None where it may have been."""
    seen = float(noise.double().square().mean().sqrt())
    allowed = SURPRISE / math.sqrt(2 * noise.numel())  # the relative standard error of a normal's deviation
    return None if abs(seen / sd - 1) <= allowed + 1e-3 else seen
