"""Language models: probabilities of answers, and what is made of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from ebbing.batches import NamedTensors, iterate
from ebbing.errors import InputError
from ebbing.fingerprint import of_dataset
from ebbing.language import IGNORED, CausalLM
from ebbing.task import Classification, accuracy, confidence, correct, cross_entropy, margin

WORDS, LENGTH = 11, 8


class Bigrams(nn.Module):
    """Logits of the next token from the one before, and something of the mask so that it is known to arrive."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(WORDS, WORDS)

    def forward(self, input_ids, attention_mask):
        return self.table(input_ids) * attention_mask.unsqueeze(-1)


def texts(n: int = 5) -> NamedTensors:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, WORDS, (n, LENGTH), generator=generator)
    labels = tokens.clone()
    for i in range(n):
        labels[i, : 3 + i % 3] = IGNORED
        labels[i, LENGTH - i % 2 :] = IGNORED
    return NamedTensors(input_ids=tokens, labels=labels, attention_mask=torch.ones_like(tokens))


def model() -> Bigrams:
    torch.manual_seed(1)
    return Bigrams()


def by_hand(net: Bigrams, data: NamedTensors) -> list[list[float]]:
    """Log-probability of each token of each answer, one by one."""
    found = []
    for record in data:
        own = []
        for t in range(1, LENGTH):
            if record["labels"][t] != IGNORED:
                scores = net.table.weight[record["input_ids"][t - 1]].detach()
                own.append(float(scores.log_softmax(0)[record["labels"][t]]))
        found.append(own)
    return found


def test_an_answers_probability_is_the_geometric_mean_of_its_tokens() -> None:
    net, data = model(), texts()
    outputs = CausalLM().forward(net, data[:])
    wanted = torch.tensor([sum(own) / len(own) for own in by_hand(net, data)])
    p = wanted.exp()
    torch.testing.assert_close(cross_entropy(outputs), -wanted)
    torch.testing.assert_close(margin(outputs), p.log() - (1 - p).log())
    torch.testing.assert_close(confidence(outputs), torch.maximum(p, 1 - p))
    assert correct(outputs).tolist() == (p > 0.5).tolist()
    assert outputs.lengths.tolist() == [len(own) for own in by_hand(net, data)]


def test_the_loss_is_that_of_all_tokens_alike() -> None:
    net, data = model(), texts()
    every = [value for own in by_hand(net, data) for value in own]
    task = CausalLM()
    loss = task.loss(task.forward(net, data[:]))
    torch.testing.assert_close(loss.detach(), torch.tensor(-sum(every) / len(every)))
    loss.backward()
    assert float(net.table.weight.grad.abs().sum()) > 0


def test_texts_are_run_together_as_far_as_the_task_allows() -> None:
    net, data, seen = model(), texts(), []
    handle = net.register_forward_pre_hook(
        lambda module, inputs, named: seen.append(len(named["input_ids"])), with_kwargs=True
    )
    found = [accuracy(net, data, task=CausalLM(at_once=n)) for n in (2, 64)]
    handle.remove()
    assert seen == [2, 3, 5]  # a last text alone is joined to the batch before
    assert found[0] == found[1]
    with pytest.raises(InputError, match="at least 1"):
        CausalLM(at_once=0)


def test_sums_of_many_tokens_keep_their_digits_in_half_precision() -> None:
    net, data = model(), texts()
    whole = CausalLM().forward(net, data[:]).log_likelihood
    half = CausalLM().forward(net.bfloat16(), data[:]).log_likelihood
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, whole, rtol=0.02, atol=0.02)


def test_a_sure_answer_stays_finite() -> None:
    net = model()
    with torch.no_grad():
        net.table.weight.fill_(0.0)
        net.table.weight[:, 0] = 300.0
    sure = NamedTensors(
        input_ids=torch.zeros(2, 4, dtype=torch.int64),
        labels=torch.zeros(2, 4, dtype=torch.int64),
        attention_mask=torch.ones(2, 4),
    )
    outputs = CausalLM().forward(net, sure[:])
    assert bool(torch.isfinite(outputs.logits).all())
    assert float(outputs.logits[:, 1].detach().min()) > 10
    assert bool(torch.isfinite(torch.autograd.grad(outputs.logits.sum(), net.table.weight)[0]).all())


def test_what_does_not_fit_is_refused() -> None:
    net, data, task = model(), texts(), CausalLM()
    empty = {**data[:], "labels": torch.full_like(data[:]["labels"], IGNORED)}
    with pytest.raises(InputError, match="5 of 5 have none"):
        task.forward(net, empty)
    with pytest.raises(InputError, match="dict with `labels`"):
        task.forward(net, (data[:]["input_ids"], data[:]["labels"]))
    with pytest.raises(InputError, match="must return logits of shape"):
        task.forward(lambda_model(), data[:])
    others = replace(task.forward(net, data[:]), targets=torch.zeros(5, dtype=torch.int64))
    with pytest.raises(InputError, match="wrong labels"):
        task.loss(others)


def test_labels_on_padding_are_refused() -> None:
    net, task = model(), CausalLM()
    batch = dict(texts()[:])
    batch["attention_mask"][0, -2:] = 0
    with pytest.raises(InputError, match="2 of 2 have another"):
        task.forward(net, batch)
    batch["labels"][batch["attention_mask"] == 0] = IGNORED
    task.forward(net, batch)


def test_padding_at_the_beginning_is_warned_of_where_positions_are_not_given(recwarn) -> None:
    class Placed(Bigrams):
        def forward(self, input_ids, attention_mask, position_ids=None):
            return super().forward(input_ids, attention_mask)

    net, task = Placed(), CausalLM()
    batch = dict(texts()[:])
    batch["attention_mask"][0, 0] = 0
    task.forward(net, {**batch, "position_ids": batch["attention_mask"].cumsum(1) - 1})
    task.forward(net, dict(texts()[:]))
    assert not recwarn.list
    with pytest.warns(UserWarning, match="filled up at their beginning"):
        task.forward(net, batch)


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ([{"input_ids": [1, 2], "labels": 0}, {"input_ids": [3, 4], "labels": 1}], "a list"),
        ([{"input_ids": torch.arange(2), "labels": 0}, {"input_ids": torch.arange(3), "labels": 1}], "equal size"),
        ([(torch.zeros(2), 0), (torch.zeros(3), 1)], "equal size"),
        ([(object(), 0), (object(), 1)], "found <class 'object'>"),
    ],
    ids=["lists", "lengths", "shapes", "objects"],
)
def test_records_that_do_not_fit_together_are_refused_with_a_way_out(records, reason) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        list(iterate(records, batch_size=2))
    assert "tensors_of_columns" in str(caught.value)


def lambda_model() -> nn.Module:
    class Short(Bigrams):
        def forward(self, input_ids, attention_mask):
            return super().forward(input_ids, attention_mask)[:, :-1]

    return Short()


def test_named_tensors_are_read_as_dicts_in_any_order() -> None:
    data = texts()
    subset = torch.utils.data.Subset(data, [4, 0, 2])
    (batch,) = iterate(subset, batch_size=8, order=torch.tensor([2, 0]))
    assert list(batch) == ["input_ids", "attention_mask", "labels"]
    for name, tensor in batch.items():
        assert torch.equal(tensor, data.tensors[name][[2, 4]])
    assert of_dataset(data) == of_dataset(texts())
    assert of_dataset(data) != of_dataset(texts(4))


def test_labels_of_named_tensors_are_found_wherever_they_stand() -> None:
    data = NamedTensors(labels=torch.tensor([2, 0]), pixels=torch.zeros(2, 3))
    assert Classification().targets(data).tolist() == [2, 0]


def test_named_tensors_of_different_lengths_are_refused() -> None:
    with pytest.raises(InputError, match=r"\{'a': 2, 'b': 3\}"):
        NamedTensors(a=torch.zeros(2), b=torch.zeros(3))
    with pytest.raises(InputError, match="at least one"):
        NamedTensors()


def test_names_of_tensors_are_part_of_a_fingerprint() -> None:
    assert of_dataset(NamedTensors(a=torch.ones(2))) != of_dataset(NamedTensors(b=torch.ones(2)))
