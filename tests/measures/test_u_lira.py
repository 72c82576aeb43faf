"""U-LiRA: by hand, against SciPy one ratio at a time, its floor, and what margins see that correct answers do not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score, roc_curve

from ebbing.errors import InputError
from ebbing.measures import u_lira_efficacy, u_lira_privacy
from ebbing.measures.margin_gap import MIN_SD


def log_ratio(x, ours, theirs):
    """One ratio from the margins of the shadow models of either world."""
    fits = [(np.mean(w), max(np.std(w, ddof=1), MIN_SD)) for w in (ours, theirs)]
    return norm.logpdf(x, *fits[0]) - norm.logpdf(x, *fits[1])


def efficacy_by_scipy(unlearned, retrained, folds):
    """All ratios of both sides, (models, records), one model and record at a time."""
    sides = []
    for side in (unlearned, retrained):
        ratios = np.empty(side.shape)
        for i, j in np.ndindex(side.shape):
            rest = [x[np.arange(len(x)) % folds != i % folds, j] for x in (unlearned, retrained)]
            ratios[i, j] = log_ratio(side[i, j], *rest)
        sides.append(ratios)
    return sides


def privacy_by_scipy(z_forget, z_matched, folds):
    """Likewise, from standardised margins."""
    sides = []
    for side in (z_forget, z_matched):
        ratios = np.empty(side.shape)
        for i, j in np.ndindex(side.shape):
            models = np.arange(len(side)) != i
            rest = [z[models][:, np.arange(z.shape[1]) % folds != j % folds] for z in (z_forget, z_matched)]
            ratios[i, j] = log_ratio(side[i, j], *rest)
        sides.append(ratios)
    return sides


def check_figures(found, positive, negative):
    """Pooled figures against scikit-learn's."""
    truth = np.repeat([1, 0], [positive.size, negative.size])
    scores = np.concatenate((positive.ravel(), negative.ravel()))
    assert found.auc == pytest.approx(roc_auc_score(truth, scores), abs=1e-6)
    right = (np.mean(positive > 0) + np.mean(negative < 0)) / 2
    assert found.balanced_accuracy == pytest.approx(right, abs=1e-6)
    fpr, tpr, _ = roc_curve(truth, scores, drop_intermediate=False)
    for rate, given_rate in ((0.01, found.tpr_at_1pct_fpr), (0.001, found.tpr_at_01pct_fpr)):
        if negative.size * rate < 1:
            assert given_rate is None
        else:
            assert given_rate == pytest.approx(tpr[fpr <= rate + 1e-12].max(), abs=1e-6)
    assert (found.n_positive, found.n_negative) == (positive.size, negative.size)


# ---------------------------------------------------------------- efficacy


def test_ratios_computed_by_hand():
    # First record, U = 1, 2, 3 and O their negatives. Without the first of both the fits are N(+-2.5, 1/2), and the ratio
    # 10 phi; without the second N(+-2, 2), 2 phi; without the third N(+-1.5, 1/2), 6 phi: 10, 4, 18 and the negatives.
    # Second, U = 1, 2, -4: -phi / 9, -6/25 phi and 6 phi: -.11, -.48, -24 and the negatives.
    unlearned = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, -4.0]])
    found = u_lira_efficacy(unlearned, -unlearned)
    assert found.auc == pytest.approx(21 / 36)
    assert found.balanced_accuracy == 0.5
    assert found.per_example_auc.tolist() == [1.0, 0.0]
    assert (found.tpr_at_1pct_fpr, found.n_positive, found.n_negative) == (None, 6, 6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 7), st.integers(3, 7), st.integers(1, 4), st.integers(2, 5))
def test_every_figure_is_that_of_one_ratio_at_a_time(seed, n_u, n_o, n, folds):
    generator = np.random.default_rng(seed)
    unlearned, retrained = generator.normal(1, 2, (n_u, n)), generator.normal(0, 1, (n_o, n))
    found = u_lira_efficacy(unlearned, retrained, folds=folds)
    folds = min(folds, n_u, n_o) if min(n_u, n_o) > 3 else 3
    positive, negative = efficacy_by_scipy(unlearned, retrained, folds)
    check_figures(found, positive, negative)
    for j, area in enumerate(found.per_example_auc):
        pairs = [positive[i, j] > negative[k, j] for i in range(n_u) for k in range(n_o) if i % folds == k % folds]
        assert area == pytest.approx(np.mean(pairs))


def test_rates_at_few_false_positives_are_those_of_one_ratio_at_a_time():
    generator = np.random.default_rng(0)
    unlearned, retrained = generator.normal(1, 1, (12, 100)), generator.normal(size=(12, 100))
    check_figures(u_lira_efficacy(unlearned, retrained), *efficacy_by_scipy(unlearned, retrained, 10))


@pytest.mark.parametrize(("n_u", "n_o"), [(4, 4), (8, 8), (16, 16), (100, 100), (10, 24)])
def test_retrained_models_are_not_told_from_others_whatever_the_counts(n_u, n_o):
    generator = np.random.default_rng(n_u)
    found = u_lira_efficacy(generator.normal(size=(n_u, 10_000)), generator.normal(size=(n_o, 10_000)))
    within = 0.004 + 2 / np.sqrt(10_000 * n_u)  # what 10,000 records leave to chance
    assert found.auc == pytest.approx(0.5, abs=within)
    assert found.balanced_accuracy == pytest.approx(0.5, abs=within)
    assert found.per_example_auc.mean() == pytest.approx(0.5, abs=within)
    assert found.tpr_at_1pct_fpr == pytest.approx(0.01, abs=0.004)


def test_leaving_out_one_model_of_its_own_side_alone_would_favour_a_side():
    generator = np.random.default_rng(1)
    first, second = generator.normal(size=(2, 4, 3_000))
    found = u_lira_efficacy(first, second)
    alone = []
    for side, other in ((first, second), (second, first)):
        ratios = np.empty(side.shape)
        for i in range(len(side)):
            rest = np.delete(side, i, axis=0)
            fits = [(w.mean(axis=0), w.std(axis=0, ddof=1)) for w in (rest, other)]
            ratios[i] = norm.logpdf(side[i], *fits[0]) - norm.logpdf(side[i], *fits[1])
        alone.append(ratios.ravel())
    biased = roc_auc_score(np.repeat([1, 0], 12_000), np.concatenate((alone[0], -alone[1])))
    assert biased < 0.48 < found.auc


def test_half_over_and_half_under_forgotten_is_seen_where_the_mean_margin_is_right():
    generator = np.random.default_rng(2)
    unlearned, retrained = generator.normal(size=(2, 16, 200))
    unlearned[:, ::2] += 3
    unlearned[:, 1::2] -= 3
    assert abs(unlearned.mean() - retrained.mean()) < 0.1
    found = u_lira_efficacy(unlearned, retrained)
    assert found.auc > 0.95
    assert found.balanced_accuracy > 0.9


def test_margins_tell_what_correct_answers_do_not():
    # Public code fits the Gaussians to whether the label was predicted: here always, by every model.
    generator = np.random.default_rng(3)
    unlearned, retrained = generator.normal(9, 1, (16, 50)), generator.normal(5, 1, (16, 50))
    assert u_lira_efficacy(unlearned, retrained).auc > 0.98
    bits = [(side > 0).astype(float) for side in (unlearned, retrained)]
    assert u_lira_efficacy(*bits).auc == 0.5


def test_a_change_of_scale_or_a_shift_of_both_does_not_matter():
    unlearned, retrained = np.random.default_rng(4).normal([[[1.0]], [[0.0]]], 1, (2, 8, 40))
    first, second = u_lira_efficacy(unlearned, retrained), u_lira_efficacy(4 * unlearned + 8, 4 * retrained + 8)
    assert first.auc == pytest.approx(second.auc, abs=1e-4)
    np.testing.assert_allclose(first.per_example_auc, second.per_example_auc, atol=1e-12)


# ---------------------------------------------------------------- privacy


def test_a_privacy_game_computed_by_hand():
    # Retrained models have mean 0 and deviation 1, so that z is the margin. In either fold the other model's other records
    # are fitted by N(2, 2) and N(0, 2): the ratio is phi - 1, so 0 and 2 on forgotten records and -2 and 0 on unseen ones.
    retrained = np.repeat([[-1.0], [0.0], [1.0]], 4, axis=1)
    found = u_lira_privacy(
        forget=np.array([[1.0, 3.0, 3.0, 1.0]] * 2),
        matched=np.array([[-1.0, 1.0, 1.0, -1.0]] * 2),
        retrained_forget=retrained,
        retrained_matched=retrained,
    )
    assert found.game == "privacy"
    assert found.balanced_accuracy == pytest.approx(0.75)
    assert found.auc == pytest.approx(0.875)
    assert found.per_example_auc.tolist() == [0.75, 1.0, 1.0, 0.75]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 4), st.integers(4, 9), st.integers(4, 9), st.integers(2, 4))
def test_the_privacy_game_is_that_of_one_ratio_at_a_time(seed, n_u, n_f, n_m, folds):
    generator = np.random.default_rng(seed)
    forget, matched = generator.normal(1, 1, (n_u, n_f)), generator.normal(0, 2, (n_u, n_m))
    by_f, by_m = generator.normal(size=(5, n_f)), generator.normal(size=(5, n_m))
    found = u_lira_privacy(forget=forget, matched=matched, retrained_forget=by_f, retrained_matched=by_m, folds=folds)
    z_f, z_m = ((x - r.mean(axis=0)) / r.std(axis=0, ddof=1) for x, r in ((forget, by_f), (matched, by_m)))
    folds = min(folds, n_f // 2, n_m // 2)
    positive, negative = privacy_by_scipy(z_f, z_m, folds)
    check_figures(found, positive, negative)
    for j, area in enumerate(found.per_example_auc):
        beside = np.arange(n_m) % folds == j % folds
        assert area == pytest.approx(np.mean(positive[:, [j]] > negative[:, beside]))


def game(seed, *, shift=0.0, both=0.0, n_u=8, n_f=200):
    """A privacy game of Gaussian models."""
    generator = np.random.default_rng(seed)
    means = generator.normal(0, 3, 2 * n_f)  # each record has a difficulty of its own
    unlearned, retrained = (means + generator.normal(size=(n, 2 * n_f)) for n in (n_u, 16))
    unlearned[:, :n_f] += shift
    unlearned = unlearned + both
    return u_lira_privacy(
        forget=unlearned[:, :n_f],
        matched=unlearned[:, n_f:],
        retrained_forget=retrained[:, :n_f],
        retrained_matched=retrained[:, n_f:],
    )


def test_retrained_models_as_the_judged_keep_their_records_private():
    found = [game(seed) for seed in range(40)]
    assert np.mean([x.auc for x in found]) == pytest.approx(0.5, abs=0.01)
    assert np.mean([x.per_example_auc.mean() for x in found]) == pytest.approx(0.5, abs=0.01)
    assert np.mean([x.balanced_accuracy for x in found]) == pytest.approx(0.5, abs=0.01)


def test_what_was_remembered_is_seen_and_a_change_of_everything_is_not():
    assert game(0, shift=4.0).auc > 0.95
    assert game(0, shift=-4.0).auc > 0.95  # over-forgotten as well
    assert game(0, both=4.0).auc == pytest.approx(0.5, abs=0.03)  # four standard deviations of 200 records
    assert game(0, shift=np.repeat([3.0, -3.0], 100)).auc > 0.9


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("unlearned", "retrained", "settings", "message"),
    [
        (
            np.zeros((2, 3)),
            np.zeros((3, 3)),
            {},
            r"U-LiRA \(efficacy\) cannot.*`unlearned` must hold at least 3 models",
        ),
        (np.zeros((3, 2)), np.zeros((3, 3)), {}, "the same examples, in the same order"),
        (
            np.zeros((3, 3)),
            np.zeros((3, 3)),
            {"folds": 1},
            r"`folds` must be a whole number >= 2, but is 1.*10 is usual",
        ),
        (np.zeros((3, 3)), np.zeros((3, 3)), {"folds": True}, "`folds` must be"),
        (np.zeros((3, 3)), np.zeros((3, 3)), {"min_sd": 0.0}, "`min_sd` must be positive"),
    ],
)
def test_no_game_without_shadow_models(unlearned, retrained, settings, message):
    with pytest.raises(InputError, match=message):
        u_lira_efficacy(unlearned, retrained, **settings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"forget": np.zeros((1, 4))}, r"U-LiRA \(privacy\).*`forget` must hold at least 2 models"),
        ({"matched": np.zeros((3, 5))}, r"must show the same models.*\(2, 4\), \(3, 5\).*Observe the same models"),
        ({"forget": np.zeros((2, 3)), "retrained_forget": np.zeros((2, 3))}, "at least 4 records"),
        ({"retrained_matched": np.zeros((2, 6))}, "the same examples"),
    ],
)
def test_records_of_other_models_are_refused_with_a_way_out(change, message):
    arrays = {
        "forget": np.zeros((2, 4)),
        "matched": np.zeros((2, 5)),
        "retrained_forget": np.zeros((2, 4)),
        "retrained_matched": np.zeros((2, 5)),
    }
    with pytest.raises(InputError, match=message):
        u_lira_privacy(**(arrays | change))
