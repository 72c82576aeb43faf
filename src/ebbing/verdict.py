"""The rule of the verdict: three figures against bands, fixed before any method is judged and never tuned to one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ebbing.measures import Band, Figures, Hidden, Reference, left_out, prediction_band, share_removed, upper_band

JOINT_LEVEL = 0.97
TESTS = 6  # memory M and W, drift on three splits, utility
UTILITY_MARGIN = 0.005
FEWEST_ORACLES = 4
ORACLES_FOR_GOOD_NEWS = 16
FEWEST_RECORDS = 5
FEWEST_MATCHED = 20
HELD = 0.25  # of the original's M: what layers that are kin to the original's may hold unseen
MIXED = 1.5  # W over abs(M) above which the records cannot all have moved one way

UNDER = "under-forgotten"
OVER = "over-forgotten"
DAMAGED = "damaged"
NO_MEMORY = "no-memory-found"
CONSISTENT = "consistent-with-retraining"
NO_TRACE = "no-measurable-trace"
INCONCLUSIVE = "inconclusive"

# from the worst to the best: of several models the worst is reported
OUTCOMES = (UNDER, OVER, DAMAGED, INCONCLUSIVE, NO_TRACE, NO_MEMORY, CONSISTENT)

RULE = (
    "Each figure is compared with the t prediction interval (of logarithms for W and T) over the retrained models, each "
    f"left out once (levels so that jointly {JOINT_LEVEL:.0%} of held-out retrained models are expected inside). "
    "Memory M or W outside: under-forgotten or over-forgotten, by the sign of M. "
    "The same where the weights are at hand and a layer's readout (W) or the savings in relearning lie outside. "
    "Memory inside, but holdout accuracy more than 0.5 points (or the band, if wider) below the retrained mean: damaged. "
    "The original's memory inside as well: no-measurable-trace. "
    f"A layer still kin to the original's beyond its band, whose reading could not have told {HELD:.0%} of the original's "
    "memory: inconclusive. "
    f"Memory and utility inside: no-memory-found; drift inside too: consistent-with-retraining; these three need at least "
    f"{ORACLES_FOR_GOOD_NEWS} retrained models. Fewer than {FEWEST_ORACLES} retrained models, {FEWEST_RECORDS} records or "
    f"{FEWEST_MATCHED} matched unseen examples: inconclusive."
)


@dataclass(frozen=True)
class Verdict:
    """What the evidence allows to say about one unlearned model.

    Attributes:
        outcome: one of `OUTCOMES`.
        reason: the figures behind it, in a sentence or two.
    """

    outcome: str
    reason: str

    def __str__(self) -> str:
        """Outcome and reason."""
        return f"{self.outcome}: {self.reason}"


@dataclass(frozen=True)
class HiddenBands:
    """Where what one more retrained model keeps inside is expected.

    Attributes:
        probes: of W by layer, an upper end.
        savings: two-sided.
        kinship: with the original by layer, an upper end.
    """

    probes: Mapping[str, Band]
    savings: Band
    kinship: Mapping[str, Band]


@dataclass(frozen=True)
class Bands:
    """Where one more retrained model is expected to lie.

    Attributes:
        memory: of M, two-sided.
        w: of W, an upper end.
        drift: of T on forget, retain and holdout, upper ends.
        holdout_accuracy: a lower end, at least half a point under the retrained mean.
        left_out: the figures of each retrained model against the others.
        hidden: of what models keep inside; None where the weights are not at hand.
    """

    memory: Band
    w: Band
    drift: Mapping[str, Band]
    holdout_accuracy: Band
    left_out: Sequence[Figures]
    hidden: HiddenBands | None = None

    @property
    def smallest_detectable(self) -> float:
        """The smallest M > 0 that would have been called memory."""
        return self.memory.high


def bands_of(reference: Reference, *, judged: int = 1, hidden: Sequence[Hidden] | None = None) -> Bands:
    """The bands of a set of retrained models.

    The joint level is shared among the tests, and among the models that are judged together, by Bonferroni:
    each has level 1 - (1 - .97) / (tests * judged), with 6 tests, and one more for each layer and for the savings where
    the weights are at hand.

    Args:
        reference: N >= 4 retrained models.
        judged: how many models are judged as one answer.
        hidden: what each retrained model keeps inside, against the others.
    """
    found = left_out(reference)
    inner = 0 if hidden is None else len(hidden[0].probes) + 1
    level = 1 - (1 - JOINT_LEVEL) / ((TESTS + inner) * judged)
    accuracy = prediction_band(np.array([f.holdout_accuracy for f in found]), level=level, side="low")
    lowest = min(accuracy.low, accuracy.mean - UTILITY_MARGIN)
    return Bands(
        prediction_band(np.array([f.m for f in found]), level=level),
        upper_band(np.array([f.w for f in found]), level=level),
        {
            split: upper_band(np.array([f.drift[split] for f in found]), level=level)
            for split in ("forget", "retain", "holdout")
        },
        Band(lowest, accuracy.high, accuracy.mean),
        found,
        None if hidden is None else _hidden_bands(hidden, level=level),
    )


def _hidden_bands(hidden: Sequence[Hidden], *, level: float) -> HiddenBands:
    probes = {
        layer: upper_band(np.array([h.probes[layer][1] for h in hidden]), level=level) for layer in hidden[0].probes
    }
    kinship = {
        layer: prediction_band(np.array([h.kinship[layer] for h in hidden]), level=level, side="high")
        for layer in hidden[0].kinship
    }
    return HiddenBands(probes, prediction_band(np.array([h.savings for h in hidden]), level=level), kinship)


def too_little(*, oracles: int, records: int, matched: int | None, concept: bool) -> str | None:
    """Why nothing can be concluded, or None where something can."""
    if oracles == 0:
        return "no retrained model to compare with"
    if oracles < FEWEST_ORACLES:
        return f"{oracles} retrained model{'s' * (oracles > 1)}, where at least {FEWEST_ORACLES} are needed"
    if records < FEWEST_RECORDS:
        return f"{records} forgotten record{'s' * (records > 1)}, where at least {FEWEST_RECORDS} are needed"
    if not concept and (matched is None or matched < FEWEST_MATCHED):
        return (
            f"{matched or 'no'} unseen examples drawn as the forget set was, where at least {FEWEST_MATCHED} are needed"
        )
    return None


def _said(outcome: str, reason: str) -> Verdict:
    """A verdict whose reason begins as a sentence does."""
    return Verdict(outcome, reason[0].upper() + reason[1:])


def _concealed(found: Figures, bands: Bands) -> tuple[str, str] | None:
    """What lies outside inside the network, as an outcome and in words; None where nothing does or nothing was read."""
    if found.hidden is None or bands.hidden is None:
        return None
    told, signs = [], []
    for layer, band in bands.hidden.probes.items():
        m, w = found.hidden.probes[layer]
        if w not in band:
            told.append(f"what layer {layer!r} is given still tells (M {m:.2f}, W {w:.2f}, up to {band.high:.2f})")
            signs.append(m)
    savings, band = found.hidden.savings, bands.hidden.savings
    if savings not in band:
        speed = "sooner" if savings > band.high else "later"
        told.append(f"they are learned again {speed} (savings {savings:.2f}, band {band.low:.2f} to {band.high:.2f})")
        signs.append(savings - band.mean)
    return (UNDER if max(signs) > 0 else OVER, " and ".join(told)) if told else None


def _held(found: Figures, original: Figures, bands: Bands) -> str | None:
    """Which layers may hold too much unseen, in words; None where none does or nothing was read.

    A layer that a method left as it was has forgotten nothing, though its reading may be too weak to tell. With kinship r
    to the original, it may hold r * (M of the original's reading + what a reading does not tell).
    """
    if found.hidden is None or original.hidden is None or bands.hidden is None:
        return None
    told = []
    for layer, band in bands.hidden.kinship.items():
        kin = found.hidden.kinship[layer]
        most = kin * (max(original.hidden.probes[layer][0], 0.0) + bands.hidden.probes[layer].high)
        if kin not in band and most > HELD * abs(original.m):
            told.append(
                f"layer {layer!r} (kinship {kin:.2f}, retrained up to {band.high:.2f}; up to M {most:.2f} unseen)"
            )
    return " and ".join(told) or None


def judge(found: Figures, original: Figures, bands: Bands) -> Verdict:
    """The verdict on one model with enough evidence, see `RULE`. Its reason gives every figure beside its band."""
    traceless = original.m in bands.memory
    share = f"; {share_removed(found.m, original.m):.0%} of the original's M {original.m:.2f} removed"
    memory = (
        f"memory M {found.m:.2f} (band {bands.memory.low:.2f} to {bands.memory.high:.2f}), "
        f"W {found.w:.2f} (up to {bands.w.high:.2f})"
    )
    drift = ", ".join(f"{s} {found.drift[s]:.2f} (up to {band.high:.2f})" for s, band in bands.drift.items())
    rest = (
        f"{'' if traceless else share}; holdout accuracy {found.holdout_accuracy:.2%} (at least "
        f"{bands.holdout_accuracy.low:.2%}, retrained {bands.holdout_accuracy.mean:.2%}); drift T on {drift}."
    )
    if found.m not in bands.memory:
        return _said(UNDER if found.m > 0 else OVER, f"{memory} lies outside{rest}")
    if found.w not in bands.w:
        if found.w > MIXED * abs(found.m):
            mixed = "M lies inside but W outside, some records are remembered more, others less"
            return _said(UNDER, f"mixed: {memory}: {mixed}{rest}")
        return _said(UNDER if found.m > 0 else OVER, f"{memory}: W lies outside its band, which has one side{rest}")
    concealed = _concealed(found, bands)
    if concealed is not None:
        return _said(concealed[0], f"hidden: {memory} lies inside, but inside the network {concealed[1]}{rest}")
    if found.holdout_accuracy not in bands.holdout_accuracy:
        return _said(DAMAGED, f"{memory} lies inside, but the holdout accuracy does not{rest}")
    if len(bands.left_out) < ORACLES_FOR_GOOD_NEWS:
        few = (
            f"{len(bands.left_out)} retrained models are too few to say so: at least {ORACLES_FOR_GOOD_NEWS} are needed"
        )
        return _said(INCONCLUSIVE, f"{memory} lies inside, but {few}{rest}")
    if traceless and original.w in bands.w and _concealed(original, bands) is None:
        nothing = (
            f"the original's memory M {original.m:.2f} already lies inside its band, so nothing could be shown to have been "
            f"forgotten. The smallest M that would have been found is {bands.smallest_detectable:.2f}."
        )
        return _said(NO_TRACE, f"{nothing} This model: {memory}{rest}")
    held = _held(found, original, bands)
    if held is not None:
        weak = f"a trace in what is still the original's could not have been told: {held}"
        return _said(INCONCLUSIVE, f"{memory} lies inside, but {weak}{rest}")
    if any(found.drift[s] not in band for s, band in bands.drift.items()):
        told = (
            "These tests no longer find what was learned from the records; retraining would have given another model."
        )
        return _said(NO_MEMORY, f"{memory} lies inside, drift outside{rest} {told}")
    return _said(CONSISTENT, f"{memory} lies inside, drift inside{rest}")


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """Of several models' verdicts the worst, said with how many share it."""
    first = min(verdicts, key=lambda v: OUTCOMES.index(v.outcome))
    if len(verdicts) == 1:
        return first
    same = sum(v.outcome == first.outcome for v in verdicts)
    return Verdict(first.outcome, f"{same} of {len(verdicts)} models, the first: {first.reason}")
