"""The sabotage suite on a small problem: every saboteur changes what it should, and the judge sees through each."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from ebbing.bank import OracleBank
from ebbing.evidence import Judge
from ebbing.inside import probed_layers
from ebbing.journal import Journal
from ebbing.request import ForgetRequest
from ebbing.sabotage import SUITE, JustUnpredicted, OneStep, ReplacedHead
from ebbing.seen import see
from ebbing.task import Classification, accuracy
from ebbing.training import Recipe, Trainer
from ebbing.verdict import CONSISTENT, NO_MEMORY, NO_TRACE

TASK = Classification()
CLASSES, FEATURES = 4, 20
RECIPE = Recipe(epochs=60, learning_rate=5e-3, batch_size=64)


def records(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % CLASSES
    return 2.5 * torch.eye(FEATURES)[labels] + torch.randn(n, FEATURES, generator=generator), labels


def network() -> nn.Module:
    return nn.Sequential(
        *(nn.Linear(FEATURES, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU()),
        nn.Linear(32, CLASSES),
    )


@pytest.fixture(scope="module")
def request_() -> ForgetRequest:
    inputs, labels = records(600, 0)
    wrong = torch.cat([(labels[:30] + 1) % CLASSES, labels[30:]])
    like, truth = records(100, 2)
    return ForgetRequest.from_ids(
        TensorDataset(inputs, wrong),
        range(30),
        holdout=TensorDataset(*records(200, 1)),
        matched=TensorDataset(like, (truth + 1) % CLASSES),
    )


@pytest.fixture(scope="module")
def bank(request_) -> OracleBank:
    return OracleBank(Trainer(network, RECIPE), request_).train(16)


@pytest.fixture(scope="module")
def judge(request_, bank) -> Judge:
    """What stands behind every verdict here: 16 retrained models and an original that learned the wrong labels."""
    (original,) = bank.originals(1)
    assert accuracy(original, request_.forget, task=TASK) > 0.9
    layers = probed_layers(original, request_, task=TASK)
    return Judge(
        see([original], request_, task=TASK, layers=layers),
        see(list(bank), request_, task=TASK, layers=layers),
        concept=False,
        seed=0,
    )


@pytest.mark.parametrize("name", SUITE)
def test_it_is_seen_through(name: str, request_, bank, judge) -> None:
    (original,) = bank.originals(1)
    journal = Journal()
    result = SUITE[name].unlearn(original, request_, task=TASK, seed=0, journal=journal)
    assert journal.rolled_back is None
    layers = probed_layers(original, request_, task=TASK)
    verdict = judge.verdict(see([result], request_, task=TASK, layers=layers))
    assert verdict.outcome not in (CONSISTENT, NO_MEMORY, NO_TRACE), verdict


def test_a_retrained_model_is_not_accused(request_, judge) -> None:
    layers = probed_layers(network(), request_, task=TASK)
    held_out = [Trainer(network, RECIPE)(request_.retain, seed=5000 + i) for i in range(3)]
    outcomes = [judge.verdict(see([m], request_, task=TASK, layers=layers)).outcome for m in held_out]
    assert outcomes.count(CONSISTENT) >= 2, outcomes


def test_a_replaced_head_changes_nothing_below_it(request_, bank) -> None:
    (original,) = bank.originals(1)
    result = ReplacedHead().unlearn(original, request_, task=TASK, seed=0)
    for (name, before), after in zip(original.state_dict().items(), result.state_dict().values(), strict=True):
        assert torch.equal(before, after) == (not name.startswith("6.")), name
    assert all(p.requires_grad for p in result.parameters())


def test_a_label_that_is_just_not_predicted_is_pushed_no_further(request_, bank) -> None:
    (original,) = bank.originals(1)
    journal = Journal()
    result = JustUnpredicted().unlearn(original, request_, task=TASK, seed=0, journal=journal)
    assert accuracy(result, request_.forget, task=TASK) == 0
    inputs, labels = (part[request_.forget_ids] for part in request_.dataset.tensors)

    def lead(model: nn.Module) -> float:
        logits = model(inputs).detach()
        others = logits.scatter(1, labels[:, None], float("-inf")).amax(dim=1)
        return float((logits.gather(1, labels[:, None])[:, 0] - others).median())

    assert -2 < lead(result) < 0 < lead(original)  # the last record to change its label takes the others along a little
    assert max(lead(model) for model in bank) < 5 * lead(result)  # where retraining leaves them
    assert 0 < journal.examples <= JustUnpredicted().most_steps * (256 + len(request_.forget))


def test_one_step_is_one_step(request_, bank) -> None:
    (original,) = bank.originals(1)
    journal = Journal()
    result = OneStep().unlearn(original, request_, task=TASK, seed=0, journal=journal)
    moved = max(
        float((a - b).detach().abs().max()) for a, b in zip(original.parameters(), result.parameters(), strict=True)
    )
    assert 0 < moved <= 1.01e-3  # the first step of Adam moves no weight further than the learning rate
