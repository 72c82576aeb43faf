"""Headline figures of other papers: accuracies and one membership attack, as gaps to retrained models.

"MIA" names many metrics: which way it counts, what it is fitted to and what it is tried on differ from paper to paper, and
so does its ideal. Each figure here asks for the protocol in words, and carries it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ebbing.errors import InputError

SPLITS = ("forget", "retain", "holdout")


@dataclass(frozen=True)
class AverageGap:
    """Four gaps to retrained models and their mean, each in [0, 1], 0 for the retrained models' own average.

    Attributes:
        forget: of the forget error (UA = 1 - accuracy on the forget set).
        retain: of the retain accuracy (RA).
        test: of the holdout accuracy (TA).
        mia: of the membership attack's figure.
        protocol: which attack that was.
    """

    forget: float
    retain: float
    test: float
    mia: float
    protocol: str

    @property
    def value(self) -> float:
        """The mean of the four."""
        return (self.forget + self.retain + self.test + self.mia) / 4


@dataclass(frozen=True)
class TugOfWarMIA:
    """Tug of war with a membership attack, see `tug_of_war_mia`.

    Attributes:
        value: in [0, 1].
        protocol: which attack it was.
    """

    value: float
    protocol: str


def average_gap(
    accuracy: Mapping[str, float], retrained: Mapping[str, float], *, mia: float, mia_retrained: float, protocol: str
) -> AverageGap:
    """Mean of the absolute gaps of forget error, retain accuracy, test accuracy and a membership attack's figure.

    The gap of the forget error UA = 1 - accuracy is that of the accuracy itself. An average hides which of the four is
    off: the parts are kept. Source: Fan et al. (SalUn), arXiv 2310.12508, whose tables are in per cent.

    Args:
        accuracy: fractions by split: forget, retain and holdout.
        retrained: the retrained models' mean fractions by split.
        mia: the attack's figure for the judged model, a fraction; SalUn's own is `salun_mia`.
        mia_retrained: the retrained models' mean of the same.
        protocol: which attack, in words, such as "SVC on confidence, share of the forget set called non-member".

    Returns:
        The gaps, their mean as ``value``, and the protocol.

    Raises:
        InputError: if a split is missing, a figure is not in [0, 1], or the protocol is empty.
    """
    gaps = _gaps(accuracy, retrained, mia=mia, mia_retrained=mia_retrained, protocol=protocol)
    return AverageGap(gaps["forget"], gaps["retain"], gaps["holdout"], gaps["mia"], protocol)


def tug_of_war_mia(
    accuracy: Mapping[str, float], retrained: Mapping[str, float], *, mia: float, mia_retrained: float, protocol: str
) -> TugOfWarMIA:
    """ToW-MIA = (1 - gap of the attack) * (1 - gap of retain) * (1 - gap of holdout), gaps absolute; 1 is retrained.

    `tug_of_war` with the gap of a membership attack in place of that of the forget accuracy. Source: Zhao et al.,
    arXiv 2406.01257, where the attack is SalUn's (`salun_mia`).

    Args:
        accuracy: fractions by split: retain and holdout are read.
        retrained: the retrained models' mean fractions by split.
        mia: the attack's figure for the judged model, a fraction.
        mia_retrained: the retrained models' mean of the same.
        protocol: which attack, in words.

    Returns:
        The product and the protocol.

    Raises:
        InputError: if a split is missing, a figure is not in [0, 1], or the protocol is empty.
    """
    gaps = _gaps(
        accuracy, retrained, mia=mia, mia_retrained=mia_retrained, protocol=protocol, splits=("retain", "holdout")
    )
    return TugOfWarMIA((1 - gaps["mia"]) * (1 - gaps["retain"]) * (1 - gaps["holdout"]), protocol)


def _gaps(
    accuracy: Mapping[str, float],
    retrained: Mapping[str, float],
    *,
    mia: float,
    mia_retrained: float,
    protocol: str,
    splits: tuple[str, ...] = SPLITS,
) -> dict[str, float]:
    """Absolute gaps by split and of the attack, once every figure is known to be a fraction."""
    if not isinstance(protocol, str) or not protocol.strip():
        raise InputError(
            f"`protocol` must say which membership attack `mia` comes from, but is {protocol!r}. The same name means different "
            'figures: write for example "SVC on confidence, share of the forget set called non-member".'
        )
    missing = [
        f"{name}[{s!r}]" for name, m in (("accuracy", accuracy), ("retrained", retrained)) for s in splits if s not in m
    ]
    if missing:
        raise InputError(
            f"accuracies must be given for {', '.join(splits)}, but {', '.join(missing)} are missing. Observe them."
        )
    pairs = {split: (accuracy[split], retrained[split]) for split in splits} | {"mia": (mia, mia_retrained)}
    wrong = {name: pair for name, pair in pairs.items() if not all(0 <= figure <= 1 for figure in pair)}
    if wrong:
        raise InputError(
            f"figures must be fractions in [0, 1], but (judged, retrained) are {wrong}. Divide per cent by 100."
        )
    return {name: abs(judged - other) for name, (judged, other) in pairs.items()}
