"""The measures of a report, by how much one wants to know: quick, standard, full."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal, get_args

from ebbing.battery.deployed import Copies, deployed_measures
from ebbing.battery.measurement import FEWEST_RETRAINED, Material, Measurement
from ebbing.battery.one_by_one import QUICK, STANDARD, OneByOne
from ebbing.battery.planted import Planted, planted_measures
from ebbing.battery.salun import SalunFigures
from ebbing.battery.together import Together
from ebbing.measures import Floor
from ebbing.observations import Observations

Level = Literal["quick", "standard", "full"]
LEVELS: tuple[Level, ...] = get_args(Level)


class Battery:
    """What all models of one audit are measured by; floors are computed once."""

    def __init__(
        self,
        originals: Observations,
        retrained: Observations | None,
        *,
        level: Level,
        concept: bool = False,
        kind: str = "ids",
        seed: int = 0,
        copies: Copies | None = None,
        planted: Planted | None = None,
    ) -> None:
        """Keep what every model is held against.

        Args:
            originals: of the models before.
            retrained: of the retrained models; None if there are none.
            level: "quick": accuracies, predictions and margins of one model; "standard": what several models are needed
                for, attacks record by record, and copies with rounded weights; "full": what was planted before training.
            concept: whether whole classes were to be forgotten.
            kind: how the forgotten records were chosen.
            seed: of every draw.
            copies: what rounded copies of retrained models answer.
            planted: what retrained models show of what was planted, see `planted_in`.
        """
        self.originals, self.retrained, self.level = originals, retrained, level
        self.concept, self.kind, self.seed, self.copies = concept, kind, seed, copies or {}
        self.planted = planted
        self.floors: dict[str, Floor] = {}
        self.seconds = 0.0  # spent on measuring so far

    @cached_property
    def _salun(self) -> SalunFigures:
        return SalunFigures(self._reference, seed=self.seed)

    @cached_property
    def _together(self) -> Together:
        return Together(self._reference, self.originals, seed=self.seed)

    @property
    def _reference(self) -> Observations:
        if self.retrained is None:
            raise ValueError("nothing is measured without retrained models.")
        return self.retrained

    def measure(
        self, judged: Observations, *, copies: Copies | None = None, planted: Planted | None = None
    ) -> dict[str, dict[str, Any]] | None:
        """The measures of some models, by their keys; None where there are too few retrained models to compare with.

        Args:
            judged: of the models of one method, or of the originals.
            copies: what copies of them answer, see `copies_of`; None where the weights are not at hand.
            planted: what they show of what was planted; None likewise.
        """
        if self.retrained is None or self.retrained.n_models < FEWEST_RETRAINED:
            return None
        started = time.perf_counter()
        material = Material(judged, self.originals, self.retrained, self.concept, self.kind, self.seed)
        found = self._one_by_one(material, QUICK)
        if self.level != "quick":
            found += self._one_by_one(material, STANDARD)
            found += self._salun.measure(judged)
            found += self._together.measure(judged)
            found += deployed_measures(material, copies, self.copies)
        if self.level == "full":
            found += planted_measures(material, planted, self.planted)
        self.seconds += time.perf_counter() - started
        return {one.key: one.as_dict() for one in found}

    def _one_by_one(self, material: Material, measures: Sequence[OneByOne]) -> list[Measurement]:
        found = []
        for one in measures:
            lacking = one.lacking(material.judged, material.retrained)
            if lacking is not None:
                found.append(Measurement(one.name, one.split, one.protocol, reason=lacking))
                continue
            key = f"{one.name}/{one.split}"
            if key not in self.floors:
                self.floors[key] = one.floor(material.retrained, material.originals)
            found.append(one.measure(material, self.floors[key]))
        return found
