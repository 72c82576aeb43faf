"""The verdict's rule on models whose truth is known: every outcome is reached, and good news is not given lightly."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from ebbing import verdict
from ebbing.evidence import Judge
from ebbing.inside import Inside
from ebbing.measures import Figures, Hidden, Reference, figures
from ebbing.observations import Observations, Signals
from ebbing.seen import Seen
from ebbing.verdict import OUTCOMES, RULE, Verdict, bands_of, judge, too_little, worst

FORGET, RETAIN, HOLDOUT, MATCHED = 80, 100, 300, 80
SPLITS = ("forget", "retain", "holdout", "matched")


def signals(margin: np.ndarray) -> Signals:
    none = np.full_like(margin, np.nan)
    return Signals(margin, none, none, none, margin > 0)


def models(
    seed: int, n: int, *, remembers: float | np.ndarray = 0.0, slope: float = 1.0, offset: float = 0.0
) -> Observations:
    """``n`` models: each example has a mean margin and a spread of its own, around which the models vary.

    Args:
        seed: of this draw; the examples are the same for every seed.
        n: how many.
        remembers: how many of its spreads the margin of a forgotten record is larger.
        slope, offset: a difference between these models and the others on all examples.
    """
    rng, parts = np.random.default_rng(seed), []
    for place, size in enumerate((FORGET, RETAIN, HOLDOUT, MATCHED)):
        examples = np.random.default_rng(1000 + place)
        mean, spread = examples.normal(2.0, 2.0, size), examples.uniform(0.5, 1.5, size)
        shift = remembers if place == 0 else 0.0
        parts.append(signals(slope * (mean + spread * (rng.normal(size=(n, size)) + shift)) + offset))
    return Observations(*parts)


def judged(
    after: Observations, *, retrained: Observations, before: Observations | None = None, concept: bool = False
) -> Verdict:
    """The verdict on one model; the original remembers unless it is given."""
    reference = Reference(retrained, concept)
    before = before if before is not None else models(7, 1, remembers=3.0)
    return judge(figures(after, reference), figures(before, reference), bands_of(reference))


RETRAINED = models(0, 16)
FRESH = models(1, 1)
HALVES = np.where(np.arange(FORGET) % 2 == 0, 4.0, -4.0)

CASES = {
    "remembers": (models(1, 1, remembers=3.0), {}, verdict.UNDER, "of the original's M"),
    "avoids": (models(1, 1, remembers=-3.0), {}, verdict.OVER, "lies outside"),
    "some more, some less": (
        models(1, 1, remembers=HALVES),
        {},
        verdict.UNDER,
        "Mixed: .* some records are remembered",
    ),
    "less confident, less right": (models(1, 1, offset=-2.0), {}, verdict.DAMAGED, "holdout accuracy"),
    "more confident": (models(1, 1, slope=3.0), {}, verdict.NO_MEMORY, "drift outside; .* drift T on forget"),
    "retrained": (FRESH, {}, verdict.CONSISTENT, "drift inside"),
    "nothing to forget": (FRESH, {"before": models(2, 1)}, verdict.NO_TRACE, "smallest M that would have been found"),
    "too few for good news": (
        FRESH,
        {"retrained": models(0, 15)},
        verdict.INCONCLUSIVE,
        "15 retrained models are too few",
    ),
    "few, but bad news": (models(1, 1, remembers=3.0), {"retrained": models(0, 6)}, verdict.UNDER, "lies outside"),
    "few, damaged": (models(1, 1, offset=-3.0), {"retrained": models(0, 6)}, verdict.DAMAGED, "holdout accuracy"),
}


@pytest.mark.parametrize("case", CASES)
def test_every_outcome_is_reached(case: str) -> None:
    after, settings, outcome, why = CASES[case]
    found = judged(after, **{"retrained": RETRAINED} | settings)
    assert found.outcome == outcome, found
    assert re.search(why, found.reason), found
    assert str(found) == f"{outcome}: {found.reason}"


def test_all_outcomes_are_among_the_cases() -> None:
    assert {outcome for _, _, outcome, _ in CASES.values()} == set(OUTCOMES)


def test_a_concept_is_judged_without_matched_examples() -> None:
    def bare(seen: Observations) -> Observations:
        return Observations(seen.forget, seen.retain, seen.holdout, None)

    settings = {"retrained": bare(RETRAINED), "before": bare(models(7, 1, remembers=3.0)), "concept": True}
    assert judged(bare(FRESH), **settings).outcome == verdict.CONSISTENT
    assert judged(bare(models(1, 1, remembers=3.0)), **settings).outcome == verdict.UNDER
    assert judged(bare(models(1, 1, remembers=-3.0)), **settings).outcome == verdict.OVER


# ---------------------------------------------------------------- too little evidence


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"oracles": 0}, "no retrained model to compare with"),
        ({"oracles": 1}, "1 retrained model, where at least 4"),
        ({"oracles": 3}, "3 retrained models, where at least 4"),
        ({"oracles": 4}, None),
        ({"oracles": 15}, None),
        ({"oracles": 16}, None),
        ({"records": 4}, "4 forgotten records, where at least 5"),
        ({"records": 5}, None),
        ({"matched": None}, "no unseen examples drawn as the forget set was"),
        ({"matched": 0}, "no unseen examples drawn as the forget set was"),
        ({"matched": 19}, "19 unseen examples drawn as the forget set was, where at least 20"),
        ({"matched": 20}, None),
        ({"matched": None, "concept": True}, None),
        ({"matched": None, "concept": True, "oracles": 2}, "2 retrained models"),
    ],
)
def test_too_little_evidence_is_named(given: dict, why: str | None) -> None:
    found = too_little(**{"oracles": 16, "records": 50, "matched": 50, "concept": False} | given)
    assert found is None if why is None else why in found


@pytest.mark.parametrize("n", [4, 8, 15])
def test_fewer_than_sixteen_retrained_models_never_give_good_news(n: int) -> None:
    for seed in range(10):
        found = judged(models(50 + seed, 1), retrained=models(100 + seed, n))
        assert found.outcome not in (verdict.CONSISTENT, verdict.NO_MEMORY)


@pytest.mark.parametrize("n", [4, 8, 15])
def test_fewer_than_sixteen_never_say_that_there_was_no_trace(n: int) -> None:
    """With few the band is so wide that a memory of several standard deviations lies inside it."""
    found = judged(models(1, 1, remembers=1.0), retrained=models(0, n), before=models(7, 1, remembers=1.0))
    assert found.outcome in (verdict.INCONCLUSIVE, verdict.UNDER)


def test_four_retrained_models_find_a_large_memory_and_no_small_one() -> None:
    four = models(0, 4)
    assert judged(models(1, 1, remembers=30.0), retrained=four).outcome == verdict.UNDER
    smallest = bands_of(Reference(four)).smallest_detectable
    assert smallest > bands_of(Reference(RETRAINED)).smallest_detectable > 0


# ---------------------------------------------------------------- what is inside


def hidden_of(seed: int, *, m: float = 0.0, savings: float = 0.1, kinship: float = 0.0) -> Hidden:
    rng = np.random.default_rng(seed)
    here = m + 0.1 * rng.normal()
    probes = {"fc": (here, abs(here) + 0.1), "head": (0.1 * rng.normal(), 0.2)}
    savings += 0.1 * rng.normal()
    return Hidden(probes, savings, {"fc": kinship + 0.05 * rng.normal(), "head": 0.0})


def judged_inside(seen: Hidden | None, *, before: Hidden | None = None, remembers: float = 3.0) -> Verdict:
    """A model whose answers are a retrained one's, with this inside."""
    reference = Reference(RETRAINED)
    bands = bands_of(reference, hidden=[hidden_of(i) for i in range(16)])
    original = replace(figures(models(7, 1, remembers=remembers), reference), hidden=before or hidden_of(99, m=5))
    return judge(replace(figures(FRESH, reference), hidden=seen), original, bands)


@pytest.mark.parametrize(
    ("seen", "outcome", "why"),
    [
        (hidden_of(50), verdict.CONSISTENT, "drift inside"),
        (hidden_of(50, m=4.0), verdict.UNDER, r"Hidden: .*what layer 'fc' is given still tells \(M 4"),
        (hidden_of(50, m=-4.0), verdict.OVER, r"what layer 'fc' is given still tells \(M -3.9"),
        (hidden_of(50, savings=3.0), verdict.UNDER, r"learned again sooner \(savings 3"),
        (hidden_of(50, savings=-3.0), verdict.OVER, r"learned again later \(savings -2"),
        (hidden_of(50, m=-4.0, savings=3.0), verdict.UNDER, "still tells .* and they are learned again sooner"),
        (None, verdict.CONSISTENT, "drift inside"),
    ],
)
def test_what_the_answers_hide_is_found_inside(seen: Hidden | None, outcome: str, why: str) -> None:
    found = judged_inside(seen)
    assert found.outcome == outcome, found
    assert re.search(why, found.reason), found


@pytest.mark.parametrize(
    ("kinship", "m", "outcome"),
    [
        (0.98, 0.6, verdict.INCONCLUSIVE),  # the same layer, and a trace in it that a reading may miss
        (0.98, 0.0, verdict.CONSISTENT),  # the same layer, but no trace in the original's to speak of
        (0.05, 0.6, verdict.CONSISTENT),  # a layer of its own
        (0.4, 0.6, verdict.CONSISTENT),  # akin, but too little to hold a quarter
    ],
)
def test_a_layer_that_is_still_the_originals_must_be_shown_to_hold_nothing(kinship, m, outcome) -> None:
    found = judged_inside(hidden_of(50, kinship=kinship), before=hidden_of(99, m=m, kinship=1.0))
    assert found.outcome == outcome, found
    if outcome == verdict.INCONCLUSIVE:
        assert re.search(r"still the original's could not have been told: layer 'fc' \(kinship 0.9", found.reason)


def test_kinship_only_ever_takes_good_news_away() -> None:
    for m in (4.0, -4.0):
        worse = judged_inside(hidden_of(50, m=m, kinship=1.0), before=hidden_of(99, m=m))
        assert worse.outcome == judged_inside(hidden_of(50, m=m), before=hidden_of(99, m=m)).outcome
    nothing = judged_inside(hidden_of(50, kinship=1.0), remembers=0.0, before=hidden_of(51, kinship=1.0))
    assert nothing.outcome == verdict.NO_TRACE


def test_a_trace_that_only_the_inside_shows_is_a_trace() -> None:
    assert judged_inside(hidden_of(50), remembers=0.0).outcome == verdict.CONSISTENT
    assert judged_inside(hidden_of(50), remembers=0.0, before=hidden_of(51)).outcome == verdict.NO_TRACE


def test_more_tests_make_each_band_wider() -> None:
    reference = Reference(RETRAINED)
    bare, with_inside = bands_of(reference), bands_of(reference, hidden=[hidden_of(i) for i in range(16)])
    assert with_inside.memory.high > bare.memory.high
    assert with_inside.hidden.savings.low < 0.1 < with_inside.hidden.savings.high


# ---------------------------------------------------------------- how much is read


def seen_inside(seed: int, n: int) -> Seen:
    """Answers, and one layer that says the same."""
    answers = models(seed, n)
    return Seen(answers, Inside({"fc": answers}, np.arange(n, dtype=np.float64), np.arange(n, dtype=np.float64)))


def test_twice_as_many_retrained_models_are_read_twice_as_often_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is left out once: by reading all others each time they would be read four times as often."""
    rows, choose = [], Signals.__getitem__

    def counted(self: Signals, chosen: slice | list[int]) -> Signals:
        found = choose(self, chosen)
        rows.append(found.n_models)
        return found

    monkeypatch.setattr(Signals, "__getitem__", counted)
    read = []
    for n in (16, 32):
        rows.clear()
        court = Judge(seen_inside(7, 1), seen_inside(0, n), concept=False, seed=0)
        court.verdict(seen_inside(1, 1))
        court.note_on_matched()
        read.append(sum(rows))
    assert read[1] < 2.1 * read[0], read


# ---------------------------------------------------------------- how often it is wrong


def test_held_out_retrained_models_pass() -> None:
    """Nominally 97 % of them lie inside all bands."""
    outcomes = [judged(models(10_000 + i, 1), retrained=models(20_000 + i, 16)).outcome for i in range(200)]
    assert outcomes.count(verdict.CONSISTENT) >= 190, {o: outcomes.count(o) for o in set(outcomes)}


@pytest.mark.parametrize("shift", [3.0, -3.0])
def test_a_memory_of_three_standard_deviations_is_never_called_consistent(shift: float) -> None:
    outcomes = {
        judged(models(30_000 + i, 1, remembers=shift), retrained=models(40_000 + i, 16)).outcome for i in range(100)
    }
    assert outcomes == {verdict.UNDER if shift > 0 else verdict.OVER}


def test_doing_nothing_is_never_consistent() -> None:
    """What the original is itself judged to be, wherever there is a memory to find."""
    for i in range(20):
        before = models(50_000 + i, 1, remembers=2.0)
        assert judged(before, retrained=models(60_000 + i, 16), before=before).outcome == verdict.UNDER


def test_several_models_judged_as_one_answer_have_wider_bands() -> None:
    reference = Reference(RETRAINED)
    one, five = bands_of(reference), bands_of(reference, judged=5)
    assert five.memory.low < one.memory.low < one.memory.high < five.memory.high
    assert five.w.high > one.w.high
    assert all(five.drift[s].high > one.drift[s].high for s in one.drift)


def test_the_utility_band_is_at_least_half_a_point_wide() -> None:
    same = models(0, 16)
    same.holdout.correct[:] = np.arange(HOLDOUT) < 270  # all retrained models have 90 %
    bands = bands_of(Reference(same))
    assert bands.holdout_accuracy.mean == pytest.approx(0.9)
    assert bands.holdout_accuracy.low == pytest.approx(0.895)
    assert 0.896 in bands.holdout_accuracy
    assert 0.894 not in bands.holdout_accuracy
    assert 1.0 in bands.holdout_accuracy  # better is no damage


# ---------------------------------------------------------------- one answer for several models


def test_the_worst_of_several_is_reported_with_how_many_share_it() -> None:
    found = worst([Verdict(verdict.CONSISTENT, "a."), Verdict(verdict.UNDER, "b."), Verdict(verdict.UNDER, "c.")])
    assert (found.outcome, found.reason) == (verdict.UNDER, "2 of 3 models, the first: b.")
    assert worst([Verdict(verdict.OVER, "a.")]) == Verdict(verdict.OVER, "a.")


@pytest.mark.parametrize(("better", "bad"), [(b, a) for i, a in enumerate(OUTCOMES) for b in OUTCOMES[i + 1 :]])
def test_a_better_outcome_never_hides_a_worse_one(better: str, bad: str) -> None:
    assert worst([Verdict(better, ""), Verdict(bad, "")]).outcome == bad


def test_good_news_comes_last_in_the_order_of_outcomes() -> None:
    assert OUTCOMES[0] == verdict.UNDER
    assert OUTCOMES[-1] == verdict.CONSISTENT
    assert OUTCOMES.index(verdict.INCONCLUSIVE) < OUTCOMES.index(verdict.NO_MEMORY)


# ---------------------------------------------------------------- words


def test_no_reason_promises_what_no_test_can_show() -> None:
    settings = {"retrained": RETRAINED}
    texts = [RULE, *OUTCOMES]
    for after, more, _, _ in CASES.values():
        texts.append(str(judged(after, **settings | more)))
    texts += [
        str(too_little(oracles=n, records=r, matched=m, concept=False))
        for n, r, m in ((0, 9, 9), (16, 1, 9), (16, 9, 1))
    ]
    for word in ("erased", "deleted", "proven", "certified", "compliant", "anonymous", "guarantee"):
        assert not [t for t in texts if word in t.lower()], word


def test_figures_that_are_missing_are_never_inside() -> None:
    reference = Reference(RETRAINED)
    nan = float("nan")
    found = Figures(nan, nan, dict.fromkeys(("forget", "retain", "holdout"), nan), nan, np.empty(0), None)
    outcome = judge(found, figures(models(7, 1, remembers=3.0), reference), bands_of(reference)).outcome
    assert outcome not in (verdict.CONSISTENT, verdict.NO_MEMORY, verdict.NO_TRACE)
