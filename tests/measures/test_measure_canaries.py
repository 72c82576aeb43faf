"""Interclass confusion by hand; Gaussian canaries by a closed form, under the null, and on a model that was trained."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import confusion_matrix
from torch import nn

from ebbing.errors import InputError
from ebbing.measures.canaries import canary_power, canary_test, gaussian_canary_score, interclass_confusion
from ebbing.task import BinaryClassification, Classification

TASK = Classification()


def small_net(seed, *, inputs=20, classes=3):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(inputs, 16), nn.ReLU(), nn.Dropout(0.5), nn.BatchNorm1d(16), nn.Linear(16, classes))


def drawn(seed, n, *shape, sd=1.0):
    return sd * torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed))


# Interclass confusion


def test_confusion_computed_by_hand():
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    predictions = np.array([0, 1, 1, 2, 1, 0, 0, 1])  # of the six: 2 right, 3 swapped, 1 elsewhere; class 2 is left out
    found = interclass_confusion(predictions, labels, classes=(0, 1))
    assert (found.error, found.confusion, found.n_examples) == (4 / 6, 3 / 6, 6)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=40))
def test_confusion_is_part_of_the_error_and_scikit_learns(pairs):
    predictions, labels = np.array([*pairs, (0, 0), (1, 1)]).T
    found = interclass_confusion(predictions, labels, classes=(0, 1))
    table = confusion_matrix(labels, predictions, labels=[0, 1, 2, 3])[:2]
    assert 0 <= found.confusion <= found.error <= 1
    assert found == interclass_confusion(predictions, labels, classes=(1, 0))
    assert found.n_examples == table.sum()
    assert found.confusion == pytest.approx((table[0, 1] + table[1, 0]) / table.sum())
    assert found.error == pytest.approx(1 - (table[0, 0] + table[1, 1]) / table.sum())


def test_a_swap_that_is_kept_is_told_from_one_that_is_forgotten():
    labels = np.repeat([0, 1, 2], 10)
    kept = np.where(labels == 0, 1, np.where(labels == 1, 0, labels))
    assert interclass_confusion(kept, labels, classes=(0, 1)).confusion == 1.0
    assert interclass_confusion(labels, labels, classes=(0, 1)).error == 0.0
    assert interclass_confusion(np.full(30, 2), labels, classes=(0, 1)).confusion == 0.0  # wrong, but not by the swap


@pytest.mark.parametrize(
    ("predictions", "labels", "classes", "message"),
    [
        (np.zeros((4, 2)), np.zeros(4), (0, 1), r"one shape \(n_examples,\).*\(4, 2\) and \(4,\). Pass classes"),
        (np.zeros(4), np.array([0, 0, 1, 1]), (1, 1), r"two different ones.*but are \(1, 1\). Pass the two"),
        (np.zeros(4), np.array([0, 0, 1, 1]), (0, 7), r"but are \(0, 7\), and labels have no \[7\]. Pass the two"),
    ],
)
def test_other_classes_and_shapes_are_refused(predictions, labels, classes, message):
    with pytest.raises(InputError, match=message):
        interclass_confusion(predictions, labels, classes=classes)


# Gaussian canaries: the score


def test_a_score_of_a_linear_model_computed_by_hand():
    # Logits (0, w x) with w = (3, 4): the loss of label 1 falls along w, so I = -<w, xi> / (sd * 5); of label 0 it rises.
    model = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
    noise = torch.tensor([[1.0, 2.0], [1.0, 2.0], [-2.0, -1.0]])
    found = gaussian_canary_score(model, torch.zeros(3, 2), noise, torch.tensor([1, 0, 1]), task=TASK, noise_sd=1.6)
    assert found == pytest.approx([-11 / 8, 11 / 8, 10 / 8])


@pytest.mark.parametrize("shape", [(20,), (1, 4, 5)])
def test_scores_equal_those_of_the_loss_one_record_at_a_time(shape):
    model = nn.Sequential(nn.Flatten(), small_net(0))
    images, noise, labels = drawn(1, 9, *shape), drawn(2, 9, *shape, sd=0.3), torch.arange(9) % 3
    found = gaussian_canary_score(model, images, noise, labels, task=TASK, noise_sd=0.3, batch_size=4)
    model.eval()
    for i in range(9):
        x = images[i : i + 1].double().requires_grad_()
        (g,) = torch.autograd.grad(nn.functional.cross_entropy(model.double()(x), labels[i : i + 1]), x)
        assert found[i] == pytest.approx(float((g * noise[i]).sum() / (0.3 * g.norm())), abs=1e-4)


def test_a_model_that_is_too_sure_for_a_loss_still_has_a_score():
    model = nn.Linear(4, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.0] * 4, [1e3] * 4]))
    images, noise, labels = torch.ones(50, 4), drawn(3, 50, 4), torch.ones(50, dtype=torch.int64)
    x = images.clone().requires_grad_()
    nn.functional.cross_entropy(model(x), labels).backward()
    assert not x.grad.any()  # the gradient of the loss is 0 in floating point
    found = gaussian_canary_score(model, images, noise, labels, task=TASK, noise_sd=1.0)
    assert found == pytest.approx(-noise.sum(1).double().numpy() / 2, abs=1e-5)


def test_one_logit_is_judged_as_two_are():
    torch.manual_seed(0)
    one = nn.Linear(5, 1)
    two = nn.Linear(5, 2)
    with torch.no_grad():
        two.weight.copy_(torch.cat([torch.zeros(1, 5), one.weight]))
        two.bias.copy_(torch.tensor([0.0, float(one.bias)]))
    parts = (drawn(0, 30, 5), drawn(1, 30, 5), torch.arange(30) % 2)
    found = gaussian_canary_score(one, *parts, task=BinaryClassification(), noise_sd=1.0)
    assert found == pytest.approx(gaussian_canary_score(two, *parts, task=TASK, noise_sd=1.0), abs=1e-5)


def test_the_model_is_left_as_it_was():
    model = small_net(0).train()
    model[0].eval()
    model[0].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = drawn(1, 60, 20)
    state = torch.get_rng_state()
    gaussian_canary_score(model, images, drawn(2, 60, 20), torch.arange(60) % 3, task=TASK, noise_sd=1.0)
    assert torch.equal(state, torch.get_rng_state())  # no dropout was drawn
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert [module.training for module in model] == [False, True, True, True, True]
    assert not images.requires_grad


def test_noise_that_a_model_never_saw_gives_a_standard_normal():
    # Whatever the model: here an arbitrary one. It has no slope at a few records, where all its hidden units are off.
    images, labels = drawn(4, 4_000, 20), torch.arange(4_000) % 3
    found = gaussian_canary_score(small_net(5), images, drawn(6, 4_000, 20, sd=0.2), labels, task=TASK, noise_sd=0.2)
    known = found[~np.isnan(found)]
    assert len(known) > 3_900
    assert stats.kstest(known, "norm").pvalue > 0.001
    assert stats.kstest(1.25 * known, "norm").pvalue < 1e-6  # the control: a quarter too wide is seen


def test_a_model_that_trained_on_the_noise_is_seen_and_one_that_did_not_is_not():
    n, inputs, sd = 200, 100, 1.0
    images, noise, other = drawn(0, n, inputs), drawn(1, n, inputs, sd=sd), drawn(2, n, inputs, sd=sd)
    labels = torch.arange(n) % 3
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(inputs, 64), nn.ReLU(), nn.Linear(64, 3))
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(images + noise), labels).backward()
        optimiser.step()
    trained, fresh = (
        canary_test(gaussian_canary_score(model, images, xi, labels, task=TASK, noise_sd=sd)) for xi in (noise, other)
    )
    assert trained.p_value < 1e-6
    assert trained.mean < -0.5  # below 0: the loss falls towards what was seen
    assert fresh.p_value > 0.01


def test_a_constant_model_has_no_score():
    model = nn.Linear(4, 2)
    nn.init.zeros_(model.weight)
    found = gaussian_canary_score(model, drawn(0, 9, 4), drawn(1, 9, 4), torch.zeros(9).long(), task=TASK, noise_sd=1.0)
    assert np.isnan(found).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"noise": torch.zeros(40, 19)},
            r"one shape \(n, ...\).*\(40, 20\), \(40, 19\) and \(40,\). Pass the clean inputs",
        ),
        ({"labels": torch.zeros(39).long()}, r"and \(39,\)"),
        ({"images": torch.zeros(40, 20).long()}, "must be floating point, but are torch.int64"),
        ({"noise_sd": 0.0}, "must be finite and > 0, but is 0.0. It is a deviation"),
        ({"noise_sd": 0.25}, "= 0.25, but has a root mean square of 0.5.*deviation, not a variance"),
        ({"noise": drawn(1, 40, 20, sd=0.5).clamp(0, 1)}, "do not clip"),
        ({"batch_size": 0}, "`batch_size` must be at least 1, but is 0"),
    ],
)
def test_what_fits_no_score_is_refused_with_a_way_out(change, message):
    parts = {
        "images": drawn(0, 40, 20),
        "noise": drawn(1, 40, 20, sd=0.5),
        "labels": torch.zeros(40).long(),
        "noise_sd": 0.5,
    }
    with pytest.raises(InputError, match=message):
        gaussian_canary_score(small_net(0), **(parts | change), task=TASK)


def test_all_problems_are_said_at_once():
    with pytest.raises(InputError, match=r"one shape.*floating point.*batch_size.*noise_sd"):
        gaussian_canary_score(
            small_net(0),
            torch.zeros(2, 3).long(),
            torch.zeros(2),
            torch.zeros(2),
            task=TASK,
            noise_sd=-1.0,
            batch_size=0,
        )


@pytest.mark.parametrize("cut", [lambda x: x.detach() * nn.Parameter(torch.ones(2)), lambda x: x.detach()])
def test_a_model_that_stops_gradients_is_refused(cut):
    class Cut(nn.Module):
        def forward(self, x):
            return cut(x)

    with pytest.raises(InputError, match=r"let gradients through.*do not detach"):
        gaussian_canary_score(Cut(), drawn(0, 50, 2), drawn(1, 50, 2), torch.zeros(50).long(), task=TASK, noise_sd=1.0)


def test_a_model_that_writes_into_its_inputs_is_judged_all_the_same():
    model = nn.Sequential(nn.ReLU(inplace=True), small_net(0))
    images = drawn(0, 50, 20)
    before = images.clone()
    found = gaussian_canary_score(model, images, drawn(1, 50, 20), torch.zeros(50).long(), task=TASK, noise_sd=1.0)
    assert np.isfinite(found).all()
    assert torch.equal(images, before)


# Gaussian canaries: the test of the mean


def test_a_test_computed_by_hand():
    found = canary_test(np.array([-1.0, 0.0, np.nan, -1.0, -2.0]))
    assert (found.mean, found.z, found.n_examples) == (-1.0, -2.0, 4)
    assert found.p_value == pytest.approx(0.0455, abs=1e-4)
    assert found.detectable == pytest.approx((1.95996 + 0.84162) / 2, abs=1e-5)
    assert canary_test(np.zeros(100)).detectable == pytest.approx(0.28, abs=0.001)


@given(st.floats(-3, 3), st.integers(1, 10_000), st.floats(0.001, 0.5))
def test_power_is_the_level_without_a_shift_and_grows_with_it(shift, n, level):
    power = canary_power(shift=shift, n_examples=n, level=level)
    assert level - 1e-12 <= power <= 1
    assert power == pytest.approx(canary_power(shift=-shift, n_examples=n, level=level))
    assert canary_power(shift=0.0, n_examples=n, level=level) == pytest.approx(level)
    assert power <= canary_power(shift=2 * shift, n_examples=n, level=level) + 1e-12


@pytest.mark.parametrize("n", [1, 50, 1_000])
def test_the_detectable_shift_is_found_four_times_in_five(n):
    reach = canary_test(np.zeros(n)).detectable
    assert canary_power(shift=reach, n_examples=n) == pytest.approx(0.8, abs=1e-5)  # the other tail is left out of it


def test_the_test_keeps_its_level_and_its_power_on_draws():
    rng = np.random.default_rng(0)
    null = [canary_test(rng.normal(size=50)).p_value < 0.05 for _ in range(2_000)]
    shifted = [canary_test(rng.normal(-0.3, size=50)).p_value < 0.05 for _ in range(2_000)]
    assert np.mean(null) == pytest.approx(0.05, abs=0.016)  # three standard errors
    assert np.mean(shifted) == pytest.approx(canary_power(shift=-0.3, n_examples=50), abs=0.034)


@pytest.mark.parametrize(
    ("scores", "level", "message"),
    [
        (np.array([np.nan]), 0.05, "at least one that is not NaN.*and 0. A model whose slope is 0"),
        (np.zeros((2, 3)), 0.05, r"shape \(n,\).*but have \(2, 3\)"),
        (np.zeros(3), 1.0, r"must lie in \(0, 1\), but is 1.0"),
    ],
)
def test_scores_that_say_nothing_are_refused(scores, level, message):
    with pytest.raises(InputError, match=message):
        canary_test(scores, level=level)


def test_a_power_without_canaries_is_refused():
    with pytest.raises(InputError, match=r"at least 1.*but they are 0, 0.05 and nan\. Plan"):
        canary_power(shift=math.nan, n_examples=0)
