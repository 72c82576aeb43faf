"""Tasks: what a batch becomes, and the figures of outputs against float64 closed forms."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset, Subset, TensorDataset

from ebbing.errors import InputError
from ebbing.task import (
    BinaryClassification,
    Classification,
    Outputs,
    accuracy,
    confidence,
    correct,
    cross_entropy,
    entropy,
    evaluation_mode,
    margin,
    modified_entropy,
)

logit_arrays = st.integers(2, 6).flatmap(lambda c: arrays(np.float64, (4, c), elements=st.floats(-12, 12)))


def outputs(logits: np.ndarray, label: int = 0, dtype: torch.dtype = torch.float64) -> Outputs:
    return Outputs(torch.tensor(logits, dtype=dtype), torch.full((len(logits),), label))


def softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


# ---------------------------------------------------------------- closed forms


@given(logits=logit_arrays, label=st.integers(0, 1))
def test_against_the_closed_forms(logits: np.ndarray, label: int) -> None:
    p = softmax(logits)
    own = p[:, label]
    rest = np.delete(p, label, axis=1)
    found = outputs(logits, label)
    others = np.log(np.exp(np.delete(logits, label, axis=1)).sum(axis=1))
    np.testing.assert_allclose(margin(found).numpy(), logits[:, label] - others, atol=1e-9)
    np.testing.assert_allclose(margin(found).numpy(), np.log(own / rest.sum(axis=1)), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(cross_entropy(found).numpy(), -np.log(own), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(confidence(found).numpy(), p.max(axis=1), rtol=1e-12)
    np.testing.assert_allclose(entropy(found).numpy(), -(p * np.log(p)).sum(axis=1), rtol=1e-9, atol=1e-12)
    # 1 - p_j as the sum of the others: the difference would lose all digits where p_j is near 1
    complement = np.stack([np.delete(p, j, axis=1).sum(axis=1) for j in range(p.shape[1])], axis=1)
    wanted = -complement[:, label] * np.log(own)
    wanted -= (rest * np.log(np.delete(complement, label, axis=1))).sum(axis=1)
    np.testing.assert_allclose(modified_entropy(found).numpy(), wanted, rtol=1e-7, atol=1e-12)


@given(logits=logit_arrays)
def test_single_precision_is_close_to_double(logits: np.ndarray) -> None:
    logits = logits.astype(np.float32).astype(np.float64)
    for function in (margin, cross_entropy, confidence, entropy, modified_entropy):
        single, double = function(outputs(logits, dtype=torch.float32)), function(outputs(logits))
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), double, atol=2e-5, rtol=2e-5)


@given(logits=logit_arrays, shift=st.floats(-50, 50))
def test_a_constant_on_all_logits_changes_nothing(logits: np.ndarray, shift: float) -> None:
    for function in (margin, cross_entropy, confidence, entropy, modified_entropy):
        torch.testing.assert_close(function(outputs(logits + shift)), function(outputs(logits)), atol=1e-8, rtol=1e-6)


@given(logits=logit_arrays)
def test_the_loss_is_a_function_of_the_margin(logits: np.ndarray) -> None:
    found = outputs(logits)
    torch.testing.assert_close(cross_entropy(found), torch.log1p(torch.exp(-margin(found))), atol=1e-9, rtol=1e-9)


def test_uniform_logits() -> None:
    found = outputs(np.zeros((1, 4)))
    assert float(margin(found)) == pytest.approx(-np.log(3))
    assert float(confidence(found)) == 0.25
    assert float(entropy(found)) == pytest.approx(np.log(4))
    assert float(modified_entropy(found)) == pytest.approx(0.75 * np.log(4) + 0.75 * np.log(4 / 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [50.0, 1e3, 1e6, 1e30])
@pytest.mark.parametrize("top", [0, 1])
def test_extreme_logits_stay_finite(scale: float, top: int, dtype: torch.dtype) -> None:
    logits = np.zeros((1, 3))
    logits[0, top], logits[0, 2] = scale, -scale
    found = outputs(logits, dtype=dtype)
    for function in (margin, cross_entropy, confidence, entropy, modified_entropy):
        assert bool(torch.isfinite(function(found)).all()), function.__name__
    assert float(margin(found)) == pytest.approx(scale if top == 0 else -scale, rel=1e-6, abs=1)


def test_modified_entropy_where_a_probability_is_one() -> None:
    """Sure and right: none left. Sure and wrong: -log p of the label, and as much again for the wrong class."""
    right, wrong = outputs(np.array([[200.0, 0.0]])), outputs(np.array([[0.0, 200.0]]))
    assert float(torch.softmax(right.logits, dim=1)[0, 0]) == 1.0
    assert 0 <= float(modified_entropy(right)) < 1e-80
    assert float(modified_entropy(wrong)) == pytest.approx(400.0)
    assert float(entropy(wrong)) < 1e-80


def test_modified_entropy_grows_as_the_label_becomes_less_likely() -> None:
    found = [float(modified_entropy(outputs(np.array([[z, 0.0, 0.0]])))) for z in np.linspace(9, -9, 30)]
    assert found == sorted(found)


def test_correct_is_whether_the_label_is_largest() -> None:
    found = Outputs(torch.tensor([[1.0, 2.0], [3.0, 2.0]]), torch.tensor([1, 1]))
    assert correct(found).tolist() == [True, False]


def test_masked_examples_do_not_count_in_the_loss() -> None:
    logits, targets = torch.tensor([[2.0, 0.0], [0.0, 5.0], [1.0, 1.0]]), torch.tensor([0, 0, 1])
    task = Classification()
    each = cross_entropy(Outputs(logits, targets))
    torch.testing.assert_close(task.loss(Outputs(logits, targets)), each.mean())
    mask = torch.tensor([True, False, True])
    torch.testing.assert_close(task.loss(Outputs(logits, targets, mask)), each[mask].mean())


# ---------------------------------------------------------------- batches


class Named(nn.Module):
    """Takes keywords, and answers in the way it is asked to."""

    def __init__(self, answer) -> None:
        super().__init__()
        self.layer, self.answer = nn.Linear(2, 3), answer

    def forward(self, a: Tensor, b: Tensor):
        return self.answer(self.layer(a + b))


@pytest.mark.parametrize(
    "answer",
    [lambda z: z, lambda z: (z, "more"), lambda z: SimpleNamespace(logits=z)],
    ids=["tensor", "tuple", "object"],
)
def test_dict_batches_and_every_kind_of_answer(answer) -> None:
    model, a, b, y = Named(answer), torch.ones(5, 2), torch.ones(5, 2), torch.arange(5) % 3
    wanted = model.layer(a + b)
    for batch in ({"a": a, "b": b, "labels": y}, ({"a": a, "b": b}, y)):
        found = Classification().forward(model, batch)
        assert torch.equal(found.logits, wanted)
        assert torch.equal(found.targets, y)
        assert found.mask is None


def test_a_dict_batch_without_labels_is_refused() -> None:
    with pytest.raises(InputError, match=r"'labels' entry, but has \['a', 'b'\]"):
        Classification().forward(Named(None), {"b": torch.ones(1), "a": torch.ones(1)})


@pytest.mark.parametrize("batch", [(torch.ones(2, 2),), [torch.ones(2, 2), torch.zeros(2).long(), torch.ones(2)]])
def test_a_batch_of_other_than_two_parts_is_refused(batch) -> None:
    with pytest.raises(InputError, match=f"has {len(batch)} parts"):
        Classification().forward(nn.Linear(2, 3), batch)


@pytest.mark.parametrize(
    "model",
    [
        nn.Flatten(0),
        nn.Sequential(nn.Linear(2, 6), nn.Unflatten(1, (2, 3))),
        nn.Sequential(nn.Flatten(0), nn.Unflatten(0, (1, 8))),
    ],
    ids=["one axis", "three axes", "another number of examples"],
)
def test_outputs_of_another_shape_are_refused(model) -> None:
    with pytest.raises(InputError, match=r"logits of shape \(n, classes\) with classes >= 2 for n = 4 labels"):
        Classification().forward(model, (torch.ones(4, 2), torch.zeros(4).long()))


@pytest.mark.parametrize("model", [nn.Linear(2, 1), nn.Sequential(nn.Linear(2, 1), nn.Flatten(0))])
def test_one_number_for_each_record_is_sent_to_the_binary_task(model) -> None:
    with pytest.raises(InputError, match=r"one number for each record.*BinaryClassification.*regression"):
        Classification().forward(model, (torch.ones(4, 2), torch.zeros(4).long()))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.tensor([0.5, 1.25]), "must be whole numbers, the classes, but are torch.float32"),
        (torch.tensor([0.0, 1.0]), "ebbing.BinaryClassification"),
        (torch.eye(2), r"one whole number for each record, of shape \(n,\), but have shape \(2, 2\)"),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels, message) -> None:
    with pytest.raises(InputError, match=message):
        Classification().targets(TensorDataset(torch.zeros(2, 3), labels))
    with pytest.raises(InputError, match=message):
        Classification().forward(nn.Linear(3, 4), (torch.zeros(2, 3), labels))


@pytest.mark.parametrize("kind", [torch.uint8, torch.int32, torch.int64, torch.bool])
def test_labels_of_every_whole_type_become_int64(kind) -> None:
    labels = torch.tensor([0, 1, 1]).to(kind)
    assert Classification().targets(TensorDataset(torch.zeros(3, 2), labels)).dtype == torch.int64
    assert Classification().forward(nn.Linear(2, 3), (torch.zeros(3, 2), labels)).targets.tolist() == [0, 1, 1]


@pytest.mark.parametrize("shape", [(6,), (6, 1)])
@pytest.mark.parametrize("kind", [torch.float32, torch.int64, torch.bool])
def test_one_logit_gives_the_loss_and_log_odds_of_the_sigmoid(shape, kind) -> None:
    z = torch.tensor([-40.0, -2.0, -0.1, 0.3, 5.0, 60.0])
    y = torch.tensor([0, 1, 0, 1, 1, 0])
    model = nn.Identity() if shape == (6, 1) else nn.Flatten(0)
    found = BinaryClassification().forward(model, (z[:, None], y.to(kind).reshape(shape)))
    wanted = functional.binary_cross_entropy_with_logits(z, y.float(), reduction="none")
    torch.testing.assert_close(cross_entropy(found), wanted)
    torch.testing.assert_close(BinaryClassification().loss(found), wanted.mean())
    torch.testing.assert_close(margin(found), torch.where(y == 1, z, -z))
    torch.testing.assert_close(confidence(found), torch.maximum(z.sigmoid(), (-z).sigmoid()))
    assert correct(found).tolist() == [True, False, True, True, True, False]
    assert BinaryClassification().targets(TensorDataset(z, y.to(kind).reshape(shape))).tolist() == y.tolist()


def test_a_binary_task_refuses_other_labels_and_outputs() -> None:
    with pytest.raises(InputError, match=r"must be 0 or 1, but contain \[0.5, 2.0\].*Regression"):
        BinaryClassification().targets(TensorDataset(torch.zeros(3, 2), torch.tensor([0.5, 1.0, 2.0])))
    with pytest.raises(InputError, match=r"shape \(3, 2\)"):
        BinaryClassification().targets(TensorDataset(torch.zeros(3, 2), torch.zeros(3, 2)))
    with pytest.raises(InputError, match=r"one logit for each of n = 3 records.*\(3, 2\).*Classification"):
        BinaryClassification().forward(nn.Linear(2, 2), (torch.zeros(3, 2), torch.zeros(3)))


class Positional(nn.Module):
    """Takes a dict as it is."""

    def forward(self, batch):
        return batch["a"] @ torch.eye(2)


def test_a_dict_is_passed_as_keywords_or_as_it_is() -> None:
    inputs = {"a": torch.ones(3, 2), "b": torch.zeros(3)}
    labels = torch.tensor([0, 1, 0])
    for batch in ((inputs, labels), inputs | {"labels": labels}):
        assert Classification().forward(Positional(), batch).logits.shape == (3, 2)


def test_an_output_that_holds_no_logits_is_refused() -> None:
    class Wordy(nn.Module):
        def forward(self, x):
            return {"scores": x}

    with pytest.raises(InputError, match=r"an object with .logits, but returned a dict"):
        Classification().forward(Wordy(), (torch.ones(2, 2), torch.zeros(2).long()))


def test_a_model_without_parameters_runs_on_the_cpu() -> None:
    found = Classification().forward(nn.Identity(), (torch.ones(4, 2), torch.zeros(4).long()))
    assert found.logits.shape == (4, 2)


class Dicts(Dataset):
    def __len__(self) -> int:
        return 7

    def __getitem__(self, i: int):
        return {"a": torch.ones(2), "b": torch.full((2,), float(i)), "labels": i % 3}


def test_targets_of_every_kind_of_data_set() -> None:
    task, y = Classification(), torch.tensor([2, 0, 1, 1])
    data = TensorDataset(torch.zeros(4, 2), y)
    assert task.targets(data).tolist() == [2, 0, 1, 1]
    assert task.targets(Subset(Subset(data, [3, 0, 1]), [1, 2])).tolist() == [2, 0]
    assert task.targets([(torch.zeros(2), 1), (torch.zeros(2), 0)]).tolist() == [1, 0]
    assert task.targets(Dicts()).tolist() == [0, 1, 2, 0, 1, 2, 0]


# ---------------------------------------------------------------- accuracy and modes


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_accuracy_is_the_fraction_that_is_right(batch_size: int) -> None:
    data = TensorDataset(torch.eye(2)[[0, 1, 0, 1, 1, 0, 0]], torch.tensor([0, 1, 0, 0, 0, 0, 1]))
    assert accuracy(nn.Identity(), data, task=Classification(), batch_size=batch_size) == pytest.approx(4 / 7)


def test_accuracy_of_nothing_is_not_a_number() -> None:
    data = TensorDataset(torch.zeros(0, 2), torch.zeros(0).long())
    assert np.isnan(accuracy(nn.Identity(), data, task=Classification()))


def test_evaluation_mode_restores_every_modules_own_mode() -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.5))).train()
    model[1][0].eval()
    before = [m.training for m in model.modules()]
    with pytest.raises(KeyError), evaluation_mode(model):
        raise KeyError(*[m.training for m in model.modules()], torch.is_grad_enabled())
    assert [m.training for m in model.modules()] == before
    assert torch.is_grad_enabled()
    with evaluation_mode(model):
        assert not any(m.training for m in model.modules())
        assert not torch.is_grad_enabled()
