"""What every exported membership attack promises."""

from __future__ import annotations

import copy
from dataclasses import FrozenInstanceError, is_dataclass

import numpy as np
import pytest

import ebbing.attacks
from ebbing.attacks import STANDARD, Attack, AttackResult, LossLogistic
from ebbing.observations import Observations, Signals

N_CLASSES = 5
EXPORTED = [getattr(ebbing.attacks, name) for name in ebbing.attacks.__all__]
ATTACKS = [
    member() for member in EXPORTED if isinstance(member, type) and issubclass(member, Attack) and member is not Attack
]

pytestmark = pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)


def signals(logits: np.ndarray) -> Signals:
    """Signals of (n_models, n_examples, n_classes) logits whose label is class 0, from their definitions."""
    p = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    others = np.log(np.exp(logits[:, :, 1:]).sum(axis=2))
    modified = -(1 - p[:, :, 0]) * np.log(p[:, :, 0]) - (p[:, :, 1:] * np.log1p(-p[:, :, 1:])).sum(axis=2)
    return Signals(
        margin=logits[:, :, 0] - others,
        confidence=p.max(axis=2),
        entropy=-(p * np.log(p)).sum(axis=2),
        modified_entropy=modified,
        correct=p.argmax(axis=2) == 0,
    )


def draw(seed: int, n: int, *, models: int = 3, boost: float = 0.0) -> Signals:
    """Signals of random logits, with the label's raised by ``boost``."""
    logits = np.random.default_rng(seed).normal(size=(models, n, N_CLASSES))
    logits[:, :, 0] += boost
    return signals(logits)


def observe(forget: Signals, matched: Signals | None) -> Observations:
    rest = draw(99, 10, models=forget.n_models)
    return Observations(forget=forget, retain=rest, holdout=rest, matched=matched)


def figures(result: AttackResult) -> list[float | None]:
    return [result.auc, result.low, result.high, result.tpr_at_1pct_fpr, result.accuracy]


def test_it_is_a_frozen_recipe_with_a_name_of_its_own(attack: Attack) -> None:
    assert is_dataclass(attack)
    assert [other.name for other in ATTACKS].count(attack.name) == 1
    assert attack in STANDARD
    with pytest.raises((FrozenInstanceError, AttributeError)):
        attack.name = "other"


def test_scores_have_the_shape_of_the_signals(attack: Attack) -> None:
    seen = draw(0, 17)
    scores = attack.scores(seen)
    assert scores.shape == (seen.n_models, seen.n_examples)
    assert np.isfinite(scores).all()


def test_one_result_per_model_within_its_range(attack: Attack) -> None:
    results = attack.run(observe(draw(0, 150, boost=1.5), draw(1, 120)))
    assert len(results) == 3
    for result in results:
        assert result.reason is None
        assert 0 <= result.low <= result.auc <= result.high <= 1
        assert all(0 <= figure <= 1 for figure in figures(result) if figure is not None)


def test_equal_distributions_are_not_told_apart(attack: Attack) -> None:
    results = attack.run(observe(draw(2, 400, models=10), draw(3, 300, models=10)))
    # An interval covers in 87 (regression) to 95 of 100 draws: seven or more of ten in at least 96 of 100.
    assert sum(result.low <= 0.5 <= result.high for result in results) >= 7
    assert np.mean([result.auc for result in results]) == pytest.approx(0.5, abs=0.03)


def test_separated_distributions_are_told_apart(attack: Attack) -> None:
    seen = observe(draw(4, 200, boost=9), draw(5, 250))
    for result in attack.run(seen):
        assert result.auc > 0.97
        assert result.low > 0.9
    for result in attack.run(observe(draw(5, 250), draw(4, 200, boost=9))):
        if isinstance(attack, LossLogistic):
            assert result.auc > 0.97  # it learns the direction
        else:
            assert result.auc < 0.03
            assert result.high < 0.1


def test_without_matched_non_members_everything_is_null_with_the_reason(attack: Attack) -> None:
    results = attack.run(observe(draw(0, 50), None))
    assert len(results) == 3
    for result in results:
        assert figures(result) == [None] * 5
        assert "matched" in result.reason


@pytest.mark.parametrize(("members", "non_members", "enough"), [(19, 50, 0), (50, 19, 0), (20, 20, 1)])
def test_below_twenty_records_everything_is_null_with_the_reason(
    attack: Attack, members: int, non_members: int, enough: int
) -> None:
    for result in attack.run(observe(draw(0, members), draw(1, non_members))):
        if enough:
            assert result.auc is not None
        else:
            assert figures(result) == [None] * 5
            assert f"has {members} and {non_members}" in result.reason


def test_the_rate_at_one_percent_is_null_below_a_hundred_non_members(attack: Attack) -> None:
    for result in attack.run(observe(draw(0, 300), draw(1, 99)), intervals=False):
        assert result.tpr_at_1pct_fpr is None
        assert result.reason is None
    for result in attack.run(observe(draw(0, 1000), draw(1, 1000)), intervals=False):
        assert result.tpr_at_1pct_fpr is not None


def test_a_model_that_diverged_is_null_and_the_others_are_not(attack: Attack) -> None:
    forget = draw(0, 30)
    for name, array in forget.arrays().items():
        if name != "correct":
            array[1, 4] = np.nan
    first, second, third = attack.run(observe(forget, draw(1, 30)))
    assert figures(second) == [None] * 5
    assert "NaN" in second.reason
    assert first.auc is not None
    assert third.auc is not None


def test_the_same_seed_gives_the_same_result(attack: Attack) -> None:
    seen = observe(draw(0, 60, boost=0.5), draw(1, 80))
    assert attack.run(seen, seed=3) == attack.run(seen, seed=3)
    assert attack.run(seen, seed=3) != attack.run(seen, seed=4)


def test_a_result_does_not_depend_on_the_models_beside_it(attack: Attack) -> None:
    seen = observe(draw(0, 60, boost=0.5), draw(1, 80))
    assert attack.run(seen)[2:] == attack.run(seen[2:])


def test_without_intervals_only_the_interval_is_missing(attack: Attack) -> None:
    seen = observe(draw(0, 60, boost=0.5), draw(1, 120))
    for full, bare in zip(attack.run(seen), attack.run(seen, intervals=False), strict=True):
        assert bare.low is None
        assert bare.high is None
        assert (bare.auc, bare.tpr_at_1pct_fpr, bare.accuracy) == (
            full.auc,
            full.tpr_at_1pct_fpr,
            full.accuracy,
        )


def test_observations_and_the_global_random_state_are_left_alone(attack: Attack) -> None:
    seen = observe(draw(0, 60), draw(1, 80))
    before, state = copy.deepcopy(seen), np.random.get_state()[1].copy()  # noqa: NPY002
    for split in (seen.forget, seen.retain, seen.holdout, seen.matched):
        for array in split.arrays().values():
            array.flags.writeable = False
    attack.run(seen)
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    for split in ("forget", "retain", "holdout", "matched"):
        now, then = (getattr(observations, split).arrays() for observations in (seen, before))
        assert now.keys() == then.keys()
        assert all(np.array_equal(now[name], then[name]) for name in now)


def test_figures_are_plain_floats(attack: Attack) -> None:
    for result in attack.run(observe(draw(0, 60), draw(1, 120))):
        assert all(figure is None or type(figure) is float for figure in figures(result))
