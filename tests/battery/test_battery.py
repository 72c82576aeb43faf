"""The measures of a report: each beside its floor, at the same counts, and null with a reason where it cannot be had."""

import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from ebbing.battery import LEVELS, Battery, copies_of, cost_of
from ebbing.measures import tug_of_war
from ebbing.observations import Observations, Signals, observe
from ebbing.report import citations
from ebbing.task import Classification
from ebbing.testing.problems import bits, problems

CLASSES = 3
COUNTS = {"forget": 40, "retain": 150, "holdout": 120, "matched": 60}


def signals(logits, labels):
    """What `observe` gives, from (n_models, n, classes) logits."""
    rows = torch.from_numpy(logits).double()
    y = torch.from_numpy(labels).expand(rows.shape[:2])[..., None]
    own = rows.gather(2, y)[..., 0]
    rest = rows.scatter(2, y, float("-inf")).logsumexp(dim=2)
    p = rows.softmax(dim=2)
    return Signals(
        (own - rest).numpy(),
        p.amax(dim=2).numpy(),
        -(p * p.log()).sum(dim=2).numpy(),
        np.zeros(rows.shape[:2]),
        (rows.argmax(dim=2) == y[..., 0]).numpy(),
        logits,
    )


def models(n, *, seed, remembered=0.0, temperature=1.0):
    """Observations of n models that share what a record is like and differ by chance; `remembered` on the forget set."""
    world, own = np.random.default_rng(0), np.random.default_rng(seed)
    made = {}
    for split, count in COUNTS.items():
        labels = world.integers(CLASSES, size=count)
        centre = world.standard_normal((count, CLASSES)) + 1.5 * np.eye(CLASSES)[labels]
        logits = centre + 0.6 * own.standard_normal((n, count, CLASSES))
        if split == "forget":
            logits += remembered * np.eye(CLASSES)[labels]
        made[split] = signals(logits / temperature, labels)
    return Observations(**made)


@pytest.fixture(scope="module")
def retrained():
    return models(24, seed=1)


def measured(judged, retrained, *, level="standard", **rest):
    return Battery(models(12, seed=5, remembered=6.0), retrained, level=level, **rest).measure(judged)


def test_levels_add_and_never_take_away_and_every_measure_is_cited(retrained):
    keys = [set(measured(models(4, seed=2), retrained, level=level)) for level in LEVELS]
    assert {key.partition("/")[0] for key in keys[-1]} <= set(citations.MEASURES)
    assert keys[0] < keys[1] < keys[2]


def test_a_retrained_model_stands_at_the_floor_and_one_that_remembers_above_it(retrained):
    """The promise, with its control: what is not retraining is told from it by every figure that looks at the forget set."""
    clean = measured(models(12, seed=3), retrained)
    remembering = measured(models(12, seed=4, remembered=6.0), retrained)
    upwards = ("margin-gap/forget", "js/forget", "activation-distance/forget", "klom-gaussian/forget", "worst-decile")
    for key in (*upwards, "u-lira/efficacy", "u-lira/privacy", "rmia"):
        floor = clean[key]["floor"]
        width = max(floor["high"] - floor["low"], 0.02)
        value = {name: mean_of(found[key]["value"]) for name, found in (("c", clean), ("r", remembering))}
        assert floor["low"] - width <= value["c"] <= floor["high"] + width, key
        assert value["r"] > floor["high"] + width, key
    for key in ("tow", "forgetting-score"):
        assert mean_of(remembering[key]["value"]) < remembering[key]["floor"]["low"], key


def mean_of(value):
    return value["mean"] if isinstance(value, dict) else value


def test_figures_of_several_models_have_the_counts_of_their_floor(retrained):
    found = measured(models(9, seed=2), retrained)
    for key in ("klom-gaussian/forget", "u-lira/efficacy", "worst-decile", "forgetting-score"):
        assert (found[key]["floor"]["n_unlearned"], found[key]["floor"]["n_retrained"]) == (9, 12), key
    assert measured(models(20, seed=2), retrained)["worst-decile"]["floor"]["n_unlearned"] == 12


def test_one_model_has_an_interval_around_its_figure_and_several_a_range(retrained):
    one, several = (measured(models(n, seed=2), retrained) for n in (1, 4))
    for key in ("tow", "agreement/forget", "margin-gap/forget", "salun-mia", "average-gap", "tow-mia", "rmia"):
        assert one[key]["low"] <= one[key]["value"] <= one[key]["high"], key
        assert several[key]["value"]["low"] <= several[key]["value"]["mean"] <= several[key]["value"]["high"], key
        assert several[key]["low"] is None, key


def test_tug_of_war_by_hand(retrained):
    judged = models(1, seed=2)
    own, others = (
        {split: float(getattr(o, split).accuracy.mean()) for split in ("forget", "retain", "holdout")}
        for o in (judged, retrained)
    )
    assert measured(judged, retrained)["tow"]["value"] == pytest.approx(tug_of_war(own, others))


def test_the_floor_of_a_distance_is_that_of_models_left_out(retrained):
    found = measured(models(1, seed=2), retrained)["margin-gap/holdout"]["floor"]
    margins = retrained.holdout.margin
    chosen = np.unique(np.linspace(0, 23, 16).round().astype(int))
    by_hand = []
    for i in chosen:
        others = np.delete(margins, i, axis=0)
        by_hand.append(np.mean(np.abs(margins[i] - others.mean(axis=0)) / others.std(axis=0, ddof=1)))
    assert (found["mean"], found["low"], found["high"]) == pytest.approx((np.mean(by_hand), min(by_hand), max(by_hand)))


def test_an_interval_widens_as_records_become_fewer(retrained):
    def width(keep):
        originals, judged, others = (thinned(o, keep) for o in (models(4, seed=5), models(1, seed=2), retrained))
        found = Battery(originals, others, level="quick").measure(judged)["margin-gap/forget"]
        return found["high"] - found["low"]

    def thinned(seen, keep):
        parts = {split: getattr(seen, split).arrays() for split in COUNTS}
        return Observations(**{s: Signals(**{n: a[:, ::keep] for n, a in part.items()}) for s, part in parts.items()})

    assert width(4) > 1.3 * width(1)


def test_one_model_of_a_method_has_no_figure_over_models_and_says_why(retrained):
    found = measured(models(1, seed=2), retrained)["u-lira/efficacy"]
    assert found["value"] is None
    assert found["reason"] == ("it needs at least 3 models of the method and 6 retrained ones, but there are 1 and 24")


def test_histograms_need_64_models(retrained):
    few = measured(models(12, seed=2), retrained)["klom/forget"]
    assert few["value"] is None
    assert "see klom-gaussian" in few["reason"]
    many = measured(models(64, seed=2), models(64, seed=1))["klom/forget"]
    assert many["floor"]["mean"] == pytest.approx(0.62, abs=0.06)  # Gaussian margins, 64 against 64
    assert many["value"] == pytest.approx(many["floor"]["mean"], abs=0.2)


def test_the_normalised_score_of_retraining_is_one(retrained):
    found = measured(models(12, seed=2), retrained)
    score, relative = found["forgetting-score"], found["forgetting-score-normalised"]
    assert relative["value"] == pytest.approx(score["value"] / score["floor"]["mean"])
    assert relative["floor"]["mean"] == 1.0
    assert relative["value"] == pytest.approx(1.0, abs=0.25)


def test_what_margins_alone_do_not_tell_is_null_with_a_reason():
    def bare(seen):
        return Observations.from_margins(**{split: getattr(seen, split).margin for split in COUNTS})

    found = Battery(bare(models(4, seed=5)), bare(models(16, seed=1)), level="standard").measure(
        bare(models(4, seed=2))
    )
    assert found["js/forget"]["value"] is None
    assert found["js/forget"]["reason"].startswith("the logits are not at hand: only margins were given")
    assert found["ece-gap/holdout"]["reason"] == "only margins are known, not the confidence"
    assert found["klom-gaussian/forget"]["value"] is not None
    assert found["int8"]["reason"] == "the weights are not at hand"


def test_without_matched_records_membership_is_null():
    def unmatched(seen):
        return Observations(seen.forget, seen.retain, seen.holdout, None)

    parts = (unmatched(models(4, seed=5)), unmatched(models(16, seed=1)))
    found = Battery(*parts, level="standard").measure(unmatched(models(4, seed=2)))
    for key in ("rmia", "u-lira/privacy"):
        assert found[key]["value"] is None, key
        assert "unseen records" in found[key]["reason"], key
    assert found["u-lira/efficacy"]["value"] is not None


def test_too_few_retrained_models_measure_nothing():
    judged = models(1, seed=2)
    assert Battery(judged, models(3, seed=1), level="full").measure(judged) is None
    assert Battery(judged, None, level="full").measure(judged) is None


def test_the_same_seed_gives_the_same_figures(retrained):
    judged = models(5, seed=2)
    assert measured(judged, retrained) == measured(judged, retrained)


def shifted(seen, **by):
    """Margins moved on some splits."""
    parts = {split: getattr(seen, split).arrays() for split in COUNTS}
    return Observations(
        **{split: Signals(**(part | {"margin": part["margin"] + by.get(split, 0.0)})) for split, part in parts.items()}
    )


def test_riskier_counts_what_stands_out_more_than_before_and_not_what_is_surer_of_everything(retrained):
    battery = Battery(models(12, seed=5), retrained, level="quick")
    plain = models(1, seed=2)
    half = np.where(np.arange(COUNTS["retain"]) % 2, 4.0, 0.0)
    found = {
        "plain": battery.measure(plain)["riskier"],
        "half": battery.measure(shifted(plain, retain=half))["riskier"],
        "surer": battery.measure(shifted(plain, retain=4.0, holdout=4.0))["riskier"],
    }
    assert found["half"]["value"] > 0.4
    assert found["surer"]["value"] == found["plain"]["value"] < 0.15
    assert found["plain"]["floor"]["mean"] == pytest.approx(0.05, abs=0.04)


def test_a_control_that_cancels_is_seen_by_the_worst_decile(retrained):
    """Half over- and half under-forgotten: the mean margin is that of retraining, and no average sees it."""
    judged = models(12, seed=2)
    half = np.where(np.arange(COUNTS["forget"]) % 2, 4.0, -4.0)
    shifted = Signals(**(judged.forget.arrays() | {"margin": judged.forget.margin + half}))
    assert stats.ttest_1samp(half, 0).pvalue == 1.0
    mixed = Observations(shifted, judged.retain, judged.holdout, judged.matched)
    found = measured(mixed, retrained)
    assert found["worst-decile"]["value"] > found["worst-decile"]["floor"]["high"]


class TestCopies:
    """Models as they might be deployed."""

    @pytest.fixture
    def problem(self):
        return next(problems())

    def test_copies_are_made_of_each_kind_and_leave_the_model_alone(self, problem):
        before = bits(problem.model)
        copies = copies_of([problem.model], problem.request, task=Classification(), original=problem.model)
        assert set(copies) == {"int8", "int4", "gate-off"}
        assert bits(problem.model) == before
        assert set(copies_of([problem.model], problem.request, task=Classification())) == {"int8", "int4"}

    def test_the_bare_weights_answer_as_they_do_and_rounded_ones_nearly(self, problem):
        plain = observe([problem.model], problem.request, task=Classification()).holdout.margin
        copies = copies_of([problem.model], problem.request, task=Classification(), original=problem.model)
        assert np.array_equal(copies["gate-off"].holdout.margin, plain)
        off = {kind: np.abs(copies[kind].holdout.margin - plain).mean() for kind in ("int8", "int4")}
        assert 0 < off["int8"] < off["int4"]

    def test_a_gate_that_hides_is_taken_off(self, problem):
        """The control: a hook that silences the output hides everything, and the bare weights still show it."""
        plain = observe([problem.model], problem.request, task=Classification()).forget.margin
        fresh = deepcopy(problem.model)
        handle = problem.model.register_forward_hook(lambda module, inputs, output: 0 * output)
        try:
            gated = copies_of([problem.model], problem.request, task=Classification(), original=fresh)
        finally:
            handle.remove()
        assert np.array_equal(gated["gate-off"].forget.margin, plain)
        assert np.ptp(gated["int8"].forget.margin) == 0

    def test_weights_of_another_network_are_not_applicable(self, problem):
        other = nn.Sequential(nn.Linear(6, 3))
        found = copies_of([other], problem.request, task=Classification(), original=problem.model)
        assert found["gate-off"] == "not applicable: its weights do not fit the original's network"


def test_what_is_said_of_the_cost_is_near_what_was_measured():
    path = Path(__file__).parents[2] / "results" / "standard" / "digits.json"
    run = json.loads(path.read_text(encoding="utf-8"))
    request, n = run["request"], run["models"]
    said = cost_of(
        "standard",
        records=sum(request[split] for split in COUNTS),
        forget=request["forget"],
        unseen=request["holdout"],
        classes=10,
        originals=n,
        methods=len(run["methods"]),
        retrained=n,
    )
    assert run["measures"]["seconds"] <= said.seconds <= 2 * run["measures"]["seconds"]


def test_the_cost_grows_with_what_is_asked():
    asked = {
        "records": 2_000,
        "forget": 65,
        "unseen": 400,
        "classes": 10,
        "originals": 1,
        "methods": 2,
        "retrained": 16,
    }
    quick, standard = (cost_of(level, **asked) for level in ("quick", "standard"))
    assert quick.passes == 0 < standard.passes
    assert 0 < quick.seconds < standard.seconds
    assert cost_of("standard", **asked | {"originals": 64}).passes > standard.passes
