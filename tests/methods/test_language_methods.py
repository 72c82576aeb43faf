"""Methods made for language models: each against its formula, on a classifier and on a model of words."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from alike import require_same
from ebbing.batches import NamedTensors
from ebbing.errors import InputError
from ebbing.journal import Journal
from ebbing.language import IGNORED, CausalLM
from ebbing.methods import NPO, RMU, PruneReinit, RandomLabels, SimNPO, TaskVector, Unlearner
from ebbing.request import ForgetRequest
from ebbing.training import Recipe, seeded

FORGET, RETAIN, WORDS, LENGTH = 6, 14, 9, 7
STEPS = Recipe(epochs=99, batch_size=RETAIN, optimizer="sgd", learning_rate=0.1, momentum=0.0)


def records(n: int, seed: int) -> TensorDataset:
    generator = torch.Generator().manual_seed(seed)
    return TensorDataset(torch.randn(n, 5, generator=generator), torch.randint(3, (n,), generator=generator))


def texts(n: int, seed: int) -> NamedTensors:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(WORDS, (n, LENGTH), generator=generator)
    labels = tokens.clone()
    labels[:, :3] = IGNORED
    labels[::2, 5:] = IGNORED
    return NamedTensors(input_ids=tokens, labels=labels)


FLAT = ForgetRequest.from_ids(records(FORGET + RETAIN, 0), range(FORGET), holdout=records(8, 1))
SAID = ForgetRequest.from_ids(texts(FORGET + RETAIN, 0), range(FORGET), holdout=texts(8, 1), task=CausalLM())
X, Y = FLAT.dataset.tensors


class Words(nn.Module):
    """A model of the next word from the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.middle, self.head = nn.Embedding(WORDS, 6), nn.Linear(6, 6), nn.Linear(6, WORDS)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.head(self.middle(self.embedding(input_ids)).tanh())
        return logits


def network() -> nn.Module:
    with seeded(3):
        return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))


def words() -> nn.Module:
    with seeded(3):
        return Words()


def sgd(model: nn.Module, loss: Callable[[nn.Module], Tensor], steps: int) -> nn.Module:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()
    return model


def label_likelihood(model: nn.Module, part: slice) -> Tensor:
    return model(X[part]).softmax(1).gather(1, Y[part, None])[:, 0].log()


def answer_likelihood(model: nn.Module, part: slice) -> tuple[Tensor, Tensor]:
    """Sums of log-probabilities of answers, and their lengths, text by text."""
    sums, lengths = [], []
    tensors = SAID.dataset.tensors
    for tokens, labels in zip(tensors["input_ids"][part], tensors["labels"][part], strict=True):
        scores = model(tokens[None])[0].log_softmax(1)
        places = [t for t in range(1, LENGTH) if labels[t] != IGNORED]
        sums.append(torch.stack([scores[t - 1, labels[t]] for t in places]).sum())
        lengths.append(len(places))
    return torch.stack(sums), torch.tensor(lengths)


GOES, STAYS = slice(0, FORGET), slice(FORGET, FORGET + RETAIN)


def token_loss(model: nn.Module) -> Tensor:
    sums, lengths = answer_likelihood(model, STAYS)
    return -sums.sum() / lengths.sum()


def within(steps: int, *, price: int) -> Recipe:
    """A repair of so many steps in which each record to forget costs so much."""
    return replace(STEPS, max_examples=steps * (RETAIN + price * FORGET))


def test_npo_descends_on_the_ratio_to_the_original() -> None:
    found = NPO(beta=0.5, forget_weight=2.0, repair=within(3, price=2)).unlearn(network(), FLAT)
    start = label_likelihood(network(), GOES).detach()

    def loss(model: nn.Module) -> Tensor:
        ratio = (label_likelihood(model, GOES) - start).exp()
        lost = (2 / 0.5) * (1 + ratio**0.5).log()  # the form of the paper
        return functional.cross_entropy(model(X[STAYS]), Y[STAYS]) + 2.0 * lost.mean()

    require_same(found, sgd(network(), loss, 3))


def test_npo_of_answers_takes_all_their_tokens_together() -> None:
    found = NPO(beta=0.5, repair=within(2, price=2)).unlearn(words(), SAID, task=CausalLM())
    start = answer_likelihood(words(), GOES)[0].detach()

    def loss(model: nn.Module) -> Tensor:
        ratio = answer_likelihood(model, GOES)[0] - start
        return token_loss(model) + ((2 / 0.5) * (1 + (0.5 * ratio).exp()).log()).mean()

    require_same(found, sgd(words(), loss, 2))


def test_npo_with_a_small_beta_is_gradient_ascent() -> None:
    """In one step: 2 / beta * log(1 + ratio^beta) has the gradient of the log-likelihood as beta goes to 0."""
    found = NPO(beta=1e-5, repair=within(1, price=2)).unlearn(network(), FLAT)

    def loss(model: nn.Module) -> Tensor:
        return functional.cross_entropy(model(X[STAYS]), Y[STAYS]) + label_likelihood(model, GOES).mean()

    require_same(found, sgd(network(), loss, 1))


@pytest.mark.parametrize("gamma", [0.0, 0.7])
def test_sim_npo_goes_by_the_mean_of_the_tokens_and_has_no_reference(gamma: float) -> None:
    found = SimNPO(beta=1.5, gamma=gamma, repair=within(3, price=1)).unlearn(words(), SAID, task=CausalLM())

    def loss(model: nn.Module) -> Tensor:
        sums, lengths = answer_likelihood(model, GOES)
        lost = (2 / 1.5) * (1 + (1.5 * sums / lengths + gamma).exp()).log()
        return token_loss(model) + lost.mean()

    require_same(found, sgd(words(), loss, 3))


def test_a_task_vector_is_taken_off_as_often_as_is_said() -> None:
    learning = replace(STEPS, epochs=2, batch_size=FORGET)
    found = TaskVector(strength=0.5, learning=learning).unlearn(network(), FLAT)
    taught = sgd(network(), lambda m: functional.cross_entropy(m(X[GOES]), Y[GOES]), 2)
    for one, start, other in zip(found.parameters(), network().parameters(), taught.parameters(), strict=True):
        torch.testing.assert_close(one, start - 0.5 * (other - start))


def test_rmu_turns_what_the_layer_says_of_the_forget_set_and_holds_the_rest() -> None:
    method = RMU(
        layer="0", steering=2.0, retain_weight=1.0, repair=replace(STEPS, learning_rate=0.2, max_examples=2000)
    )
    model, journal = network(), Journal()
    found = method.unlearn(model, FLAT, journal=journal)
    assert journal.rolled_back is None
    before, after = model[0](X).detach(), found[0](X).detach()
    length = 2.0 * before[GOES].norm(dim=1).mean()
    moved = (after - before)[GOES].mean(0)
    direction = moved / moved.norm()
    assert float((before[GOES] @ direction).mean()) < 0 < 0.6 * float(length) < float((after[GOES] @ direction).mean())
    moved = (after - before).norm(dim=1)
    assert float(moved[STAYS].mean()) < 0.5 * float(moved[GOES].mean())
    assert all(torch.equal(a, b) for a, b in zip(found[2].parameters(), model[2].parameters(), strict=True))


def test_a_step_of_rmu_is_that_of_its_formula() -> None:
    method = RMU(
        layer="0",
        steering=3.0,
        retain_weight=2.0,
        repair=replace(STEPS, epochs=1, max_examples=2 * (RETAIN + FORGET) + FORGET),
    )
    found = method.unlearn(network(), FLAT)
    start = network()
    grad_of = {}
    # the direction is drawn; it is what the step and the gradient at the start say it must have been
    h, h0 = start[0](X[GOES]), start[0](X[GOES]).detach()
    step = (start[0].bias - found[0].bias).detach() / 0.1  # the gradient for the bias: 2 mean (h - c u) / features
    target = (h.mean(0) - step * h.shape[1] / 2).detach()
    assert float(target.norm()) == pytest.approx(3.0 * float(h0.norm(dim=1).mean()), rel=1e-3)
    assert bool((target > 0).all())  # u is drawn from [0, 1)
    (grad_of["weight"],) = torch.autograd.grad(((h - target) ** 2).mean(), [start[0].weight])
    torch.testing.assert_close(found[0].weight, start[0].weight - 0.1 * grad_of["weight"], rtol=1e-3, atol=1e-4)


def filled(extra: int) -> ForgetRequest:
    tensors = SAID.dataset.tensors
    more = {"input_ids": WORDS - 1, "labels": IGNORED}
    made = {n: functional.pad(t, (0, extra), value=more[n]) for n, t in tensors.items()}
    mask = functional.pad(torch.ones_like(tensors["input_ids"]), (0, extra))
    data = NamedTensors(**made, attention_mask=mask)
    return ForgetRequest.from_ids(data, range(FORGET), holdout=_unseen(extra), task=CausalLM())


def _unseen(extra: int) -> NamedTensors:
    data = texts(8, 1)
    made = {n: functional.pad(t, (0, extra), value=IGNORED if n == "labels" else 0) for n, t in data.tensors.items()}
    return NamedTensors(**made, attention_mask=torch.ones(8, LENGTH + extra, dtype=torch.int64))


class Masked(Words):
    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits; the mask is for the task."""
        return super().forward(input_ids)


def test_padding_does_not_change_what_rmu_does() -> None:
    """The same texts, filled up further with a token whose embedding is large."""

    method = RMU(layer="middle", repair=replace(STEPS, learning_rate=0.01, max_examples=200))
    found = []
    for extra in (1, 9):
        with seeded(3):
            model = Masked()
        with torch.no_grad():
            model.embedding.weight[WORDS - 1] *= 20
        found.append(method.unlearn(model, filled(extra), task=CausalLM()))
    require_same(found[0], found[1])


def test_rmu_reads_channels_of_convolutions_as_features() -> None:
    images = TensorDataset(torch.randn(20, 1, 5, 7, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 3)
    unseen = TensorDataset(torch.randn(8, 1, 5, 7, generator=torch.Generator().manual_seed(1)), torch.arange(8) % 3)
    request = ForgetRequest.from_ids(images, range(6), holdout=unseen)
    with seeded(3):
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(60, 3))
    found = RMU(layer="0", repair=replace(STEPS, epochs=1, max_examples=2 * (RETAIN + FORGET) + FORGET)).unlearn(
        model, request
    )
    moved = (found[0].bias - model[0].bias).detach()
    assert bool((moved != 0).all())
    # in the first step the gap on what stays is 0: the bias goes to c u less the mean of h, channel by channel
    h = model[0](images.tensors[0][:6]).detach()
    target = moved / 0.1 * 4 / 2 + h.mean((0, 2, 3))
    assert float(target.norm()) == pytest.approx(5.0 * float(h.movedim(1, -1).norm(dim=-1).mean()), rel=1e-3)


class Shared(Masked):
    """A layer that runs twice, as the blocks of ALBERT do."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.head(self.middle(self.middle(self.embedding(input_ids)).tanh()).tanh())
        return logits


def test_a_layer_that_runs_twice_is_read_in_both_runs() -> None:
    """The bias of the layer goes to c u less the mean of all that it says, over both runs and without padding."""
    with seeded(3):
        model = Shared()
    request = filled(2)
    found = RMU(
        layer="middle", retain_weight=0.0, repair=replace(STEPS, epochs=1, max_examples=2 * (RETAIN + FORGET) + FORGET)
    ).unlearn(model, request, task=CausalLM())
    batch = request.for_training("forget")[:]
    counted = batch["attention_mask"].bool()
    with seeded(3):
        start = Shared()
    first = start.middle(start.embedding(batch["input_ids"]))
    h = torch.cat([first[counted], start.middle(first.tanh())[counted]])  # (2 positions, features)
    length = 5.0 * float(h.detach().norm(dim=1).mean())
    gradient = (start.middle.bias - found.middle.bias).detach() / 0.1

    def of(target: Tensor) -> Tensor:
        return torch.autograd.grad((h - target).square().mean(), start.middle.bias, retain_graph=True)[0]

    # the gradient is affine in the drawn target: solve for it, then it must be as long as the formula says
    zero = of(torch.zeros(6))
    slopes = torch.stack([of(row) - zero for row in torch.eye(6)], dim=1)
    target = torch.linalg.solve(slopes, gradient - zero)
    assert float(target.norm()) == pytest.approx(length, rel=1e-3)
    assert bool((target > 0).all())


class Idle(Shared):
    """A layer that does not run, and one that says something of another shape each time."""

    def __init__(self) -> None:
        super().__init__()
        self.never, self.odd = nn.Linear(6, 6), nn.Identity()

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits."""
        self.odd(input_ids)
        return self.odd(super().forward(input_ids, attention_mask))


@pytest.mark.parametrize(
    ("layer", "says"), [("never", "'never' does not run"), ("odd", "'odd' says .* one after the other")]
)
def test_a_layer_that_does_not_run_alike_is_refused_by_name(layer: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        RMU(layer=layer).unlearn(Idle(), filled(2), task=CausalLM())


def test_rmu_takes_the_block_in_the_middle_of_a_transformer() -> None:
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, dropout=0.0)
            self.embedding = nn.Embedding(WORDS, 8)
            self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
            self.head = nn.Linear(8, WORDS)

        def forward(self, input_ids: Tensor) -> Tensor:
            """Logits."""
            logits: Tensor = self.head(self.encoder(self.embedding(input_ids)))
            return logits

    with seeded(1):
        model = Encoder()
    found = RMU(repair=replace(STEPS, max_examples=60)).unlearn(model, SAID, task=CausalLM())
    same = {n for n, p in found.named_parameters() if torch.equal(p, model.get_parameter(n))}
    assert any(n.startswith("encoder.layers.2") for n in same)
    assert not any(n.startswith("encoder.layers.1") for n in same)
    assert "head.weight" in same


def test_prune_reinit_takes_the_linear_layers_of_gpt_2() -> None:
    """Those are of a class of their own, and the output layer shares its weight with the embedding."""
    config = transformers.GPT2Config(
        vocab_size=WORDS, n_positions=16, n_embd=8, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    with seeded(1):
        model = transformers.GPT2LMHeadModel(config)
    found = PruneReinit(share=0.5, repair=replace(STEPS, learning_rate=1e-12)).unlearn(model, SAID, task=CausalLM())
    new, old = (dict(m.named_parameters()) for m in (found, model))
    drawn = {name: float(((new[name] - old[name]).abs() > 1e-6).double().mean()) for name in old}
    layers = [name for name in old if name.endswith("weight") and ".c_" in name]
    assert sum(drawn[name] * old[name].numel() for name in layers) > 0.3 * sum(old[name].numel() for name in layers)
    assert drawn["transformer.wte.weight"] == 0


@pytest.mark.parametrize(
    "method",
    [
        NPO(repair=replace(STEPS, batch_size=4, max_examples=90), forget_batch_size=3),
        SimNPO(repair=replace(STEPS, batch_size=4, max_examples=90), forget_batch_size=3),
        RMU(repair=replace(STEPS, batch_size=4, max_examples=90), forget_batch_size=3),
    ],
    ids=lambda method: type(method).__name__,
)
def test_what_is_processed_keeps_to_what_was_said(method: Unlearner) -> None:
    journal = Journal()
    method.unlearn(words(), SAID, task=CausalLM(), journal=journal)
    checks = 2 * RETAIN  # the guards' accuracy before and after
    assert 60 <= journal.examples - checks <= method.expected_examples(SAID) == 90


def test_a_method_of_wrong_labels_is_refused_for_answers() -> None:
    with pytest.raises(InputError, match="Take one that does not work by wrong labels"):
        RandomLabels(repair=replace(STEPS, max_examples=60)).unlearn(words(), SAID, task=CausalLM())


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: NPO(beta=0.0), "`beta` must be > 0"),
        (lambda: SimNPO(gamma=-1.0), "`gamma` >= 0"),
        (lambda: NPO(forget_weight=0.0), "`forget_weight` must be > 0"),
        (lambda: SimNPO(forget_batch_size=0), "at least 1"),
        (lambda: RMU(steering=0.0), "`steering` must be > 0"),
        (lambda: TaskVector(strength=float("inf")), "finite"),
        (lambda: RMU(layer="nowhere").unlearn(network(), FLAT), "'nowhere' is none"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make: Callable[[], object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        make()


def test_the_models_of_this_file_are_not_changed() -> None:
    model = network()
    before = deepcopy(model.state_dict())
    RMU(layer="0", repair=replace(STEPS, max_examples=60)).unlearn(model, FLAT)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(m._forward_hooks for m in model.modules())
