import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from ebbing.data import mislabel
from ebbing.data.canaries import gaussian_noise, swap_labels
from ebbing.errors import InputError

LABELS = torch.arange(100) % 10


@given(data=st.data(), n=st.integers(1, 40), n_classes=st.integers(2, 12), seed=st.integers(0, 2**32))
def test_exactly_the_given_positions_are_wrong(data: st.DataObject, n: int, n_classes: int, seed: int) -> None:
    labels = torch.tensor(data.draw(st.lists(st.integers(0, n_classes - 1), min_size=n, max_size=n)))
    positions = data.draw(st.lists(st.integers(0, n - 1), unique=True))
    before = labels.clone()
    wrong = mislabel(labels, positions, n_classes=n_classes, seed=seed)
    assert torch.equal(labels, before)
    assert wrong.dtype == torch.int64
    assert (wrong != labels).nonzero().flatten().tolist() == sorted(positions)
    assert wrong.min() >= 0
    assert wrong.max() < n_classes


def test_two_classes_flip() -> None:
    labels = torch.tensor([0, 1, 0, 1])
    assert mislabel(labels, [0, 1], n_classes=2, seed=5).tolist() == [1, 0, 0, 1]


def test_the_other_classes_are_equally_likely() -> None:
    n = 20_000
    wrong = mislabel(torch.full((n,), 3), range(n), n_classes=10, seed=0)
    counts = wrong.bincount(minlength=10).numpy()
    assert counts[3] == 0
    assert chisquare(np.delete(counts, 3)).pvalue > 0.01  # a fixed seed: this cannot fail by chance later


def test_a_label_depends_on_its_own_position_only() -> None:
    both = mislabel(LABELS, [70, 4], n_classes=10, seed=1)
    assert torch.equal(both, mislabel(LABELS, [4, 70], n_classes=10, seed=1))
    assert both[70] == mislabel(LABELS, [70], n_classes=10, seed=1)[70]


def test_seeds_differ() -> None:
    first, second = (mislabel(LABELS, range(100), n_classes=10, seed=seed) for seed in (0, 1))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor, lambda p: np.array(p, dtype=np.uint8)])
def test_positions_of_any_kind(kind) -> None:
    expected = mislabel(LABELS, [1, 99], n_classes=10, seed=0)
    assert torch.equal(mislabel(LABELS, kind([1, 99]), n_classes=10, seed=0), expected)


def test_no_positions_make_a_copy() -> None:
    copy = mislabel(LABELS, [], n_classes=10, seed=0)
    assert torch.equal(copy, LABELS)
    assert copy.data_ptr() != LABELS.data_ptr()


@pytest.mark.parametrize(
    ("positions", "text"),
    [
        ([0, 100, -1], r"in \[0, 100\), but contain \[-1, 100\]"),
        (np.array([2**64 - 1], dtype=np.uint64), r"in \[0, 100\)"),
        ([5, 7, 5], r"not repeat, but contain \[5\]"),
        ([[1, 2]], r"shape \(k,\), but have \(1, 2\)"),
        ([[1, 2], [3]], "flat list of integers"),
        (3, r"shape \(k,\), but have \(\)"),
        ([0.5], "must be integers, but are float64"),
        ([2**70], "must be integers, but are object"),
        (LABELS == 3, "mask.nonzero"),
    ],
)
def test_refuses_positions(positions: object, text: str) -> None:
    with pytest.raises(InputError, match=text):
        mislabel(LABELS, positions, n_classes=10, seed=0)


@pytest.mark.parametrize("labels", [LABELS.int(), LABELS.float(), LABELS.reshape(10, 10), torch.tensor(1)], ids=str)
def test_refuses_labels_of_other_types_and_shapes(labels: torch.Tensor) -> None:
    with pytest.raises(InputError, match=r"`labels` must be int64 of shape \(n,\)"):
        mislabel(labels, [], n_classes=10, seed=0)


def test_names_all_problems_at_once() -> None:
    with pytest.raises(InputError) as caught:
        mislabel(LABELS, [3, 3, 200], n_classes=1, seed=-1)
    for text in ("`n_classes` must be at least 2", "[200]", "[3] more than once", "`seed` must be"):
        assert text in str(caught.value)
    with pytest.raises(InputError, match=r"`labels` must lie in \[0, 5\), but contain \[5, 6, 7, 8, 9\]"):
        mislabel(LABELS, [3], n_classes=5, seed=0)


# ---------------------------------------------------------------- two classes, and noise


@given(data=st.data(), n=st.integers(1, 40))
def test_exactly_the_given_positions_are_swapped_and_twice_is_nothing(data: st.DataObject, n: int) -> None:
    labels = torch.tensor(data.draw(st.lists(st.integers(0, 4), min_size=n, max_size=n)))
    of_pair = ((labels == 1) | (labels == 4)).nonzero().flatten().tolist()
    positions = data.draw(st.lists(st.sampled_from(of_pair), unique=True)) if of_pair else []
    before = labels.clone()
    swapped = swap_labels(labels, positions, classes=(1, 4))
    assert torch.equal(labels, before)
    assert (swapped != labels).nonzero().flatten().tolist() == sorted(positions)
    assert {int(labels[p]) + int(swapped[p]) for p in positions} <= {5}
    assert torch.equal(swap_labels(swapped, positions, classes=(1, 4)), labels)


@pytest.mark.parametrize(
    ("labels", "positions", "classes", "message"),
    [
        (LABELS, [0, 1], (0, 2), r"must be 0 or 2, but contain \[1\]"),
        (LABELS, [0], (0, 0), "two different ones"),
        (LABELS, [100], (0, 1), r"must lie in \[0, 100\)"),
        (LABELS, [0, 0], (0, 1), "must not repeat"),
        (LABELS.float(), [0], (0, 1), "must be int64"),
    ],
)
def test_what_cannot_be_swapped(labels, positions, classes, message) -> None:
    with pytest.raises(InputError, match=message):
        swap_labels(labels, positions, classes=classes)


def test_noise_is_normal_and_drawn_by_its_seed() -> None:
    like = torch.zeros(100, 1, 8, 8)
    noise = gaussian_noise(like, sd=0.3, seed=1)
    assert (noise.shape, noise.dtype) == (like.shape, like.dtype)
    assert kstest(noise.flatten().numpy() / 0.3, "norm").pvalue > 0.01  # a fixed seed
    assert torch.equal(noise, gaussian_noise(like, sd=0.3, seed=1))
    assert not torch.equal(noise, gaussian_noise(like, sd=0.3, seed=2))


@pytest.mark.parametrize("wrong", [{"sd": 0.0}, {"sd": float("nan")}, {"seed": -1}, {"like": LABELS}])
def test_noise_that_cannot_be_drawn(wrong) -> None:
    with pytest.raises(InputError, match="noise needs floating-point inputs"):
        gaussian_noise(**{"like": torch.zeros(2, 2), "sd": 1.0, "seed": 0} | wrong)
