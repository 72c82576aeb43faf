"""Shards and slices: which record is where, and what share of a retraining it costs to take records out. Loads no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ebbing.errors import InputError

LARGE = 10_000  # from here on Stirling's formula is exact but for rounding


@dataclass(frozen=True)
class Sharding:
    """How training data are cut into shards, and each shard into slices (Bourtoule et al., arXiv 1912.03817).

    A member of the ensemble is trained on each shard in one stage for each slice: stage r goes on from stage r - 1, on slices
    1 to r. Where a record lies depends on its position, the number of positions and the seed alone, so that it stays
    there whatever else is taken out.

    Attributes:
        shards: S >= 1, members of the ensemble.
        slices: R >= 1, stages of a member's training.
        seed: of the assignment, >= 0.
    """

    shards: int = 5
    slices: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every field and report all problems at once."""
        problems = [
            f"{name} must be a whole number >= {least}, but is {getattr(self, name)!r}"
            for name, least in (("shards", 1), ("slices", 1), ("seed", 0))
            if type(getattr(self, name)) is not int or getattr(self, name) < least
        ]
        if problems:
            raise InputError("sharding: " + "; ".join(problems) + ".")

    def require_room(self, n: int) -> None:
        """Refuse fewer records than cells.

        Raises:
            InputError: if a slice would hold none of n records.
        """
        cells = self.shards * self.slices
        if n < cells:
            raise InputError(
                f"every slice of every shard must hold a record, but {self.shards} shards of {self.slices} slices are "
                f"{cells} for {n} records. Take fewer."
            )

    def places(self, n: int) -> np.ndarray:
        """(n,) int64 cell of each of n positions: shard * slices + slice. Cells differ by one record at most.

        Raises:
            InputError: if there are fewer records than cells.
        """
        self.require_room(n)
        cells = self.shards * self.slices
        order = np.random.default_rng([self.seed, n]).permutation(n)
        places = np.empty(n, dtype=np.int64)
        places[order] = np.arange(n) % cells
        return places

    def stage(self, n: int, ids: Iterable[int], *, shard: int, slices: int) -> list[int]:
        """Positions, ascending, that a shard is trained on in the stage that ends with so many slices.

        Args:
            n: positions altogether.
            ids: positions that are there.
            shard: in [0, S).
            slices: in [1, R].
        """
        places = self.places(n)
        first = shard * self.slices
        return [i for i in sorted(ids) if first <= places[i] < first + slices]

    def stages(self, n: int, gone: Iterable[int]) -> list[tuple[int, int]]:
        """(shard, number of the stage from 1) that must be trained again where these positions go, in order.

        Of each shard that holds one: from the first slice that does to the last.

        Raises:
            InputError: if a position is none of n.
        """
        hit: dict[int, int] = {}
        places, ids = self.places(n), list(gone)
        if ids and not 0 <= min(ids) <= max(ids) < n:
            raise InputError(f"positions must lie in [0, {n}), but reach from {min(ids)} to {max(ids)}.")
        for place in places[ids].tolist():
            shard, number = divmod(place, self.slices)
            hit[shard] = min(hit.get(shard, number), number)
        return [(shard, r + 1) for shard in sorted(hit) for r in range(hit[shard], self.slices)]

    def epochs(self, epochs: float) -> float:
        """Epochs of each stage: 2 * epochs / (R + 1), with which a shard is as costly in slices as in one piece.

        Example:
            >>> Sharding(slices=3).epochs(10)
            5.0
        """
        return 2 * epochs / (self.slices + 1)

    def share(self, n: int, gone: Iterable[int]) -> float:
        """What taking these positions out costs, as a share of training the whole ensemble, in [0, 1].

        Stage r of a shard counts r of R (R + 1) / 2 parts; the few records that are no longer there are not deducted.
        """
        parts = self.shards * self.slices * (self.slices + 1) / 2
        return sum(number for _, number in self.stages(n, gone)) / parts

    def expected_share(self, n: int, size: int) -> float:
        """`share` of a request for ``size`` of n records, each equally likely to be asked for.

        Stage r is trained again unless all of them lie outside slices 1 to r of its shard:

            sum over r of 2 r / (R (R + 1)) * (1 - C(n - r n / (S R), size) / C(n, size)).

        For one record that is (2 R + 1) / (3 R S): 1 / S without slices, 2 / (3 S) with many.

        Args:
            n: records, >= S * R.
            size: of the request, in [0, n].

        Raises:
            InputError: if the numbers do not fit.

        Example:
            >>> round(Sharding(shards=10, slices=1).expected_share(1000, 1), 6)
            0.1
        """
        if not 0 <= size <= n:
            raise InputError(f"the size of a request must lie in [0, {n}], the records there are, but is {size}.")
        self.require_room(n)
        total = 0.0
        for r in range(1, self.slices + 1):
            inside = r * n / (self.shards * self.slices)
            total += r * (1 - _all_outside(n, inside, size))
        return 2 * total / (self.slices * (self.slices + 1))


def _all_outside(n: int, inside: float, size: int) -> float:
    """C(n - inside, size) / C(n, size): that none of ``size`` records drawn from n is one of ``inside``."""
    outside = n - inside
    if size > outside:
        return 0.0
    if outside - size < LARGE:
        logs = (math.lgamma(a + 1) for a in (outside, n - size, outside - size, n))
        one, two, three, four = logs
        return math.exp(one + two - three - four)
    # Stirling's formula, so arranged that no two large terms cancel: logs of factorials of millions have lost the digits
    log = size * math.log1p(-(inside + size) / n)
    log += (n - size + 0.5) * math.log1p(-size / n) - (outside + 0.5) * math.log1p(-size / outside)
    log += (1 / outside - 1 / (outside - size) + 1 / (n - size) - 1 / n) / 12
    return math.exp(log)
