"""What is found out about a model, its data and a task on a few records."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from ebbing.errors import InputError
from ebbing.preflight import Preflight, preflight
from ebbing.request import ForgetRequest
from ebbing.task import Classification, Outputs, cross_entropy
from ebbing.testing.problems import problems

CLASSES = 3


class Says(nn.Module):
    """Answers what the first input is, through a weight that can be trained."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.calls: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append(len(x))
        return 4 * self.weight * nn.functional.one_hot(x[:, 0].long(), CLASSES).float()


def data(answers: list[int] | Tensor, labels: list[int] | Tensor, *, first: int) -> TensorDataset:
    """Records whose first input is what `Says` answers, and whose second is a number of their own."""
    answers = torch.as_tensor(answers).float()
    return TensorDataset(
        torch.stack([answers, torch.arange(first, first + len(answers)).float()], 1), torch.as_tensor(labels)
    )


def request(**changes: Any) -> ForgetRequest:
    train = changes.pop("dataset", data([0, 1, 2, 0, 1, 2, 0, 1], [1, 1, 2, 0, 0, 2, 0, 1], first=0))
    unseen = changes.pop("holdout", data([0, 1, 2, 2], [0, 0, 2, 2], first=1000))
    return ForgetRequest.from_ids(train, changes.pop("ids", [0, 1]), holdout=unseen, **changes)


def refused(model: nn.Module | None = None, asked: ForgetRequest | None = None, task: Any = None) -> str:
    with pytest.raises(InputError) as found:
        preflight(model or Says(), asked or request(), task=task or Classification())
    return str(found.value)


# ---------------------------------------------------------------- what is found


def test_it_counts_what_is_predicted_as_labelled() -> None:
    found = preflight(Says(), request(), task=Classification())
    assert (found.forget, found.retain, found.holdout) == (1 / 2, 5 / 6, 3 / 4)
    assert found.commonest == 3 / 6  # of the labels 2, 0, 0, 2, 0, 1
    assert not found.looks_untrained


def test_of_many_records_a_sample_is_read() -> None:
    n = 5000
    model = Says()
    answers = torch.randint(
        CLASSES, (n,), generator=torch.Generator().manual_seed(0)
    )  # a sample of a cycle may miss classes
    found = preflight(
        model,
        request(
            dataset=data(answers, answers, first=0),
            ids=range(2000),
            holdout=data(answers, 0 * answers, first=n),
        ),
        task=Classification(),
    )
    assert sum(model.calls) == 8 + 3 * 1000  # the copy whose loss is tried counts for itself
    assert found.forget == found.retain == 1.0
    assert found.holdout == pytest.approx(1 / 3, abs=0.05)
    assert found.commonest == pytest.approx(1 / 3, abs=0.05)


@pytest.mark.parametrize(
    ("retain", "commonest", "untrained"),
    [
        (1 / 3, 1 / 3, True),
        (0.34, 1 / 3, True),
        (0.40, 1 / 3, False),
        (0.10, 0.10, True),
        (0.20, 0.10, False),
        (0.0, 0.5, True),
        (0.99, 0.99, True),
        (0.995, 0.99, False),  # half of what a constant answer gets wrong
        (1.0, 1.0, False),
        (0.9, 1.0, True),
    ],
)
def test_a_model_that_knows_no_more_than_the_commonest_class_looks_untrained(retain, commonest, untrained) -> None:
    assert Preflight(0.5, retain, 0.5, commonest).looks_untrained == untrained


@given(commonest=st.floats(0, 1))
def test_a_constant_answer_looks_untrained_and_a_perfect_one_does_not(commonest: float) -> None:
    assert not Preflight(0.5, 1.0, 0.5, commonest).looks_untrained
    assert commonest == 1 or Preflight(0.5, commonest, 0.5, commonest).looks_untrained


@pytest.mark.parametrize("problem", list(problems()), ids=lambda problem: problem.name)
def test_the_model_is_left_as_it_was(problem) -> None:
    state = {name: tensor.clone() for name, tensor in problem.model.state_dict().items()}
    modes = [module.training for module in problem.model.modules()]
    assert len(set(modes)) == 2
    drawn = torch.get_rng_state()
    preflight(problem.model, problem.request, task=Classification())
    assert all(torch.equal(tensor, state[name]) for name, tensor in problem.model.state_dict().items())
    assert [module.training for module in problem.model.modules()] == modes
    assert all(bool((p.grad == 0.5).all()) for p in problem.model.parameters())
    assert not any(module._forward_hooks for module in problem.model.modules())
    assert torch.equal(torch.get_rng_state(), drawn)


# ---------------------------------------------------------------- models


class Odd(Says):
    """`Says`, with something done to its answer."""

    def __init__(self, change: Any, *, when: Any = lambda model, x: True) -> None:
        super().__init__()
        self.change, self.when = change, when

    def forward(self, x: Tensor) -> Any:
        return self.change(super().forward(x)) if self.when(self, x) else super().forward(x)


def raises(error: BaseException):
    def function(*_: Any) -> Any:
        raise error

    return function


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            raises(RuntimeError("two\nlines")),
            "the model cannot be run on a batch with inputs of shape (8, 2) and type float32: RuntimeError: two lines",
        ),
        (raises(SystemExit(0)), "type float32: SystemExit: 0"),
        (lambda y: y * float("nan"), "the model must give finite outputs"),
        (lambda y: y / 0, "the model must give finite outputs"),
        (lambda y: y[:, :2], "those of `dataset` contain [2]"),
        (lambda y: y[:3], "but returned (3, 3)"),
        (lambda y: y[:, 0], "regression cannot be judged"),
        (lambda y: {"y": y}, "but returned a dict"),
        (lambda y: y.detach(), "is all frozen?"),
        (lambda y: y.long(), "the model cannot be trained on its data: "),
    ],
)
def test_a_model_that_does_not_go_with_the_data_is_refused(change, message) -> None:
    assert message in refused(Odd(change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (raises(ValueError("no")), "the model cannot be trained on its data: ValueError: no"),
        (lambda y: y * float("nan"), "the loss must be finite, but is nan"),
        (raises(SystemExit(0)), "the model cannot be trained on its data: SystemExit: 0"),
    ],
)
def test_a_fault_in_training_mode_is_found(change, message) -> None:
    model = Odd(change, when=lambda model, x: model.training).eval()
    assert message in refused(model)
    assert not model.training


def test_a_model_that_cannot_be_copied_is_refused() -> None:
    model = Says()
    model.remembered = model.weight * 2  # as weight normalisation does
    assert "the model cannot be trained on its data: RuntimeError: Only Tensors created explicitly" in refused(model)


@pytest.mark.parametrize("split", ["forget", "retain", "holdout"])
def test_the_split_that_a_model_fails_on_is_named(split) -> None:
    n = {"forget": 23, "retain": 37, "holdout": 19}
    asked = request(
        dataset=data(torch.zeros(60), torch.arange(60) % CLASSES, first=0),
        ids=range(23),
        holdout=data(torch.zeros(19), torch.arange(19) % CLASSES, first=1000),
    )
    model = Odd(raises(ValueError("no")), when=lambda model, x: len(x) == n[split])
    assert refused(model, asked) == f"the model cannot be run on `{split}`: ValueError: no"


@pytest.mark.parametrize("split", ["forget", "retain", "holdout"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_one_record_without_a_finite_answer_is_found(split, value) -> None:
    place = {"forget": 3, "retain": 7, "holdout": 1008}[split]  # none of the few that are tried first
    asked = request(
        dataset=data(torch.zeros(60), torch.arange(60) % CLASSES, first=1),
        ids=range(5),
        holdout=data(torch.zeros(19), torch.arange(19) % CLASSES, first=1000),
    )
    model = Says()
    plain = model.forward
    model.forward = lambda x: plain(x) + torch.where(x[:, 1:] == place, value, 0.0)
    message = refused(model, asked)
    assert "must give finite outputs, but gives NaN or infinite ones for 1 of" in message
    assert f"records of `{split}`" in message


# ---------------------------------------------------------------- data


def test_labels_that_a_model_has_no_logit_for_are_refused_wherever_they_are() -> None:
    fine = [0, 1, 2, 0] * 2
    for name, kwargs in {
        "dataset": {"dataset": data(fine, [0, 1, 2, 5, 0, 1, 2, -1], first=0)},
        "holdout": {"holdout": data([0, 1, 2], [3, 1, 2], first=1000)},
        "validation": {"validation": data([0, 1], [9, 1], first=2000)},
        "matched": {"matched": data([0, 1], [1, 4], first=3000)},
    }.items():
        message = refused(asked=request(**kwargs))
        assert message.startswith("labels must lie in [0, 3), one logit of the model for each class")
        assert f"those of `{name}` contain" in message
    assert "contain [-1, 5]" in refused(asked=request(dataset=data(fine, [0, 1, 2, 5, 0, 1, 2, -1], first=0)))


class View(Dataset[Any]):
    """The records of the request, as something else."""

    def __init__(self, change: Any) -> None:
        self.change = change

    def __len__(self) -> int:
        return 8

    def __getitem__(self, position: int) -> Any:
        inputs, label = request().dataset[position]
        return self.change(inputs), label


def test_what_training_reads_is_what_the_loss_is_tried_on() -> None:
    assert preflight(Says(), request(training_view=View(lambda x: x + 0)), task=Classification())
    assert "the model cannot be trained on its data: IndexError" in refused(
        asked=request(training_view=View(lambda x: x[:0]))
    )
    model = Odd(
        lambda y: y,
        when=lambda model, x: model.training and raises(ValueError("too bright"))() if x.max() > 50 else True,
    )
    assert "too bright" in refused(model, request(training_view=View(lambda x: torch.cat([x[:1], x[1:] + 100]))))


# ---------------------------------------------------------------- tasks


def with_forward(function: Any) -> Classification:
    class Spoiled(Classification):
        def forward(self, model: nn.Module, batch: Any) -> Any:
            return function(model(batch[0]), batch[1])

    return Spoiled()


def with_loss(function: Any) -> Classification:
    class Spoiled(Classification):
        def loss(self, outputs: Outputs) -> Any:
            return function(outputs)

    return Spoiled()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda logits, labels: None, "must return ebbing.task.Outputs, but returned a NoneType"),
        (lambda logits, labels: (logits, labels), "but returned a tuple"),
        (lambda logits, labels: Outputs(None, None), "but are a NoneType and a NoneType"),  # type: ignore[arg-type]
        (lambda logits, labels: Outputs(logits, labels.tolist()), "but are (8, 3) and a list"),
        (lambda logits, labels: Outputs(logits[:, :1], labels * 0), "classes >= 2"),
        (lambda logits, labels: Outputs(logits[:, 0], labels), "but are (8,) and (8,)"),
        (lambda logits, labels: Outputs(logits, labels[:, None]), "but are (8, 3) and (8, 1)"),
        (
            lambda logits, labels: Outputs(logits[:4], labels[:4]),
            "for a batch of n = 8 records, but are (4, 3) and (4,)",
        ),
        (lambda logits, labels: Outputs(logits, (labels + 1) % 3), "must give the same labels, but for 8 of 8 records"),
        (
            lambda logits, labels: Outputs(logits, labels.float(), labels[:3] > 0),
            "the model cannot be trained on its data",
        ),
        (raises(KeyError("x")), "type float32: KeyError: 'x'"),
    ],
)
def test_a_task_whose_outputs_are_none_is_refused(function, message) -> None:
    assert message in refused(task=with_forward(function))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda outputs: None, "must be a tensor without dimensions, but is NoneType"),
        (lambda outputs: 1.5, "must be a tensor without dimensions, but is float"),
        (cross_entropy, "must be a tensor without dimensions, but is (8,)"),
        (lambda outputs: outputs.logits.sum() * float("inf"), "the loss must be finite, but is inf"),
        (lambda outputs: torch.tensor(1.0), "is all frozen?"),
        (lambda outputs: outputs.logits.sum() * 1j, "cannot be trained on its data: RuntimeError"),
        (raises(ValueError("no")), "the model cannot be trained on its data: ValueError: no"),
    ],
)
def test_a_task_whose_loss_cannot_be_trained_on_is_refused(function, message) -> None:
    assert message.replace("(8,)", "(6,)") in refused(task=with_loss(function))


def test_a_task_may_count_only_some_examples() -> None:
    task = with_forward(lambda logits, labels: Outputs(logits, labels, labels > 0))
    assert preflight(Says(), request(), task=task).retain == 5 / 6
