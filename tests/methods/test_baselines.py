"""Baselines, one step at a time: each against the same step written by hand in plain torch."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from inspect import isabstract, isclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

import ebbing.methods
from alike import require_same
from ebbing.bench.methods import within
from ebbing.errors import InputError
from ebbing.fresh import reinitialise
from ebbing.journal import Journal
from ebbing.law import DecayLaw
from ebbing.methods import (
    CT,
    LFSSD,
    MSG,
    SCRUB,
    SSD,
    UNSIR,
    BadTeacher,
    CFk,
    EUk,
    FineTune,
    ForgettingNetwork,
    L1Sparse,
    NegGrad,
    NegGradPlus,
    PruneReinit,
    RandomLabels,
    Repairing,
    SalUn,
    SelectivePruning,
    TaskVector,
)
from ebbing.methods.unlearner import Run
from ebbing.methods.wrong_labels import loss_on_drawn_labels
from ebbing.rankings import WeightImportance
from ebbing.rates import DampeningRate
from ebbing.request import ForgetRequest
from ebbing.task import Classification, Outputs
from ebbing.training import Recipe, seeded, stream
from ebbing.units import find_units, fresh_anchor, single_weights

TASK = Classification()
CLASSES, FORGET, RETAIN = 2, 10, 30  # with two classes a wrong label is not drawn but known
RATE, MOMENTUM = 0.1, 0.9
ONE_STEP = Recipe(epochs=1, batch_size=64, optimizer="sgd", learning_rate=RATE, momentum=MOMENTUM)


def records(n: int, *shape: int, seed: int) -> TensorDataset:
    generator = torch.Generator().manual_seed(seed)
    return TensorDataset(torch.randn(n, *shape, generator=generator), torch.randint(CLASSES, (n,), generator=generator))


def request(*shape: int) -> ForgetRequest:
    return ForgetRequest.from_ids(
        records(FORGET + RETAIN, *shape, seed=0),
        range(FORGET),
        holdout=records(20, *shape, seed=1),
        validation=records(20, *shape, seed=2),
    )


FLAT = request(5)
IMAGES = request(1, 6, 6)
X, Y = FLAT.dataset.tensors
XF, YF, XR, YR = X[:FORGET], Y[:FORGET], X[FORGET:], Y[FORGET:]


def network() -> nn.Module:
    with seeded(3):
        return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, CLASSES))


def convolutions() -> nn.Module:
    with seeded(3):
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.Flatten(), nn.Linear(12, CLASSES))


def drawing() -> torch.Generator:
    """The generator of a run with seed 0."""
    with seeded(stream(0, "unlearning")) as generator:
        return generator


def ce(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return functional.cross_entropy(model(x), y)


def stepped(model: nn.Module, losses: list[Callable[[nn.Module], Tensor]], **settings: float) -> nn.Module:
    """A model after one SGD step on each loss, with one momentum through all of them."""
    optimizer = torch.optim.SGD(model.parameters(), **({"lr": RATE, "momentum": MOMENTUM} | settings))
    for loss in losses:
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()
    return model


def kl(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher || student), mean over records, from its definition."""
    p, q = (teacher / temperature).softmax(1), (student / temperature).softmax(1)
    return temperature**2 * (p * (p.log() - q.log())).sum(1).mean()


# ---------------------------------------------------------------- steps


def test_neg_grad_climbs() -> None:
    found = NegGrad(ONE_STEP).unlearn(network(), FLAT)
    require_same(found, stepped(network(), [lambda m: -ce(m, XF, YF)]))


@pytest.mark.parametrize("alpha", [0.6, 1.0])
def test_neg_grad_plus_descends_and_climbs_at_once(alpha: float) -> None:
    """In steps of 30 retained and 10 forgotten records."""
    repair = replace(ONE_STEP, batch_size=RETAIN, epochs=99, max_examples=2 * (FORGET + RETAIN))
    found = NegGradPlus(retain_weight=alpha, repair=repair).unlearn(network(), FLAT)
    require_same(found, stepped(network(), [lambda m: alpha * ce(m, XR, YR) - (1 - alpha) * ce(m, XF, YF)] * 2))


def test_random_labels_teach_the_other_label_and_then_the_true_ones() -> None:
    repair = replace(ONE_STEP, max_examples=2 * (FORGET + RETAIN), epochs=9)
    found = RandomLabels(rounds=2, repair=repair).unlearn(network(), FLAT)
    require_same(found, stepped(network(), [lambda m: ce(m, XF, 1 - YF), lambda m: ce(m, XR, YR)] * 2))


class Drawn(Classification):
    """Keeps the labels that a loss is taken with."""

    def loss(self, outputs: Outputs) -> Tensor:
        self.targets_of_loss = outputs.targets
        return super().loss(outputs)


@pytest.mark.parametrize(("method", "own"), [(RandomLabels(), 0.0), (SalUn(), 1 / 3)], ids=["random-labels", "salun"])
def test_labels_are_drawn_evenly_among_the_wrong_ones_or_among_all(method, own: float) -> None:
    task, targets = Drawn(), torch.arange(30_000) % 3
    with seeded(0) as generator:
        run = Run(FLAT, task, 0, generator, Journal())
        loss_on_drawn_labels(run, wrong=method.wrong_only)(Outputs(torch.zeros(30_000, 3), targets), None)
    shares = torch.bincount((task.targets_of_loss - targets) % 3, minlength=3) / 30_000
    torch.testing.assert_close(shares, torch.tensor([own, (1 - own) / 2, (1 - own) / 2]), atol=0.01, rtol=0)


@pytest.mark.parametrize("share", [0.3, 0.5, 1.0])
def test_salun_does_the_same_to_the_weights_that_matter_to_the_forget_set(share: float) -> None:
    start = network()
    for part in (slice(0, 4), slice(4, 8), slice(8, FORGET)):  # the sum of means over batches is not the mean over all
        ce(start, XF[part], YF[part]).backward()
    saliency = torch.cat([p.grad.abs().flatten() for p in start.parameters()])
    edge = saliency.sort(descending=True).values[int(share * len(saliency)) - 1]
    masks = [p.grad.abs() >= edge for p in start.parameters()]

    wanted = network()
    optimizer = torch.optim.SGD(wanted.parameters(), lr=RATE, momentum=MOMENTUM)
    for x, y in [(XF, 1 - YF), (XR, YR)] * 2:
        optimizer.zero_grad()
        ce(wanted, x, y).backward()
        for p, mask in zip(wanted.parameters(), masks, strict=True):
            p.grad *= mask
        optimizer.step()
    repair = replace(ONE_STEP, max_examples=2 * (FORGET + RETAIN), epochs=9)
    found = SalUn(rounds=2, share=share, wrong_only=True, batch_size=4, repair=repair).unlearn(network(), FLAT)
    require_same(found, wanted)
    for p, q, mask in zip(found.parameters(), network().parameters(), masks, strict=True):
        assert torch.equal(p[~mask], q[~mask])


def test_cf_k_trains_the_last_layers_alone() -> None:
    wanted = network()
    wanted[0].requires_grad_(False)
    require_same(CFk(layers=1, repair=ONE_STEP).unlearn(network(), FLAT), stepped(wanted, [lambda m: ce(m, XR, YR)]))
    require_same(CFk(layers=2, repair=ONE_STEP).unlearn(network(), FLAT), stepped(network(), [lambda m: ce(m, XR, YR)]))


def test_eu_k_draws_them_anew_first() -> None:
    wanted = network()
    units = find_units(wanted, task=TASK, batch=FLAT.dataset[:8])[-1:]
    anchor = fresh_anchor(wanted, units, seed=stream(0, "unlearning"))
    with torch.no_grad():
        wanted[2].weight.copy_(anchor["2.weight"])
        wanted[2].bias.copy_(anchor["2.bias"])
    assert not torch.equal(wanted[2].weight, network()[2].weight)
    wanted[0].requires_grad_(False)
    require_same(EUk(layers=1, repair=ONE_STEP).unlearn(network(), FLAT), stepped(wanted, [lambda m: ce(m, XR, YR)]))


@pytest.mark.parametrize("method", [CFk, EUk])
def test_there_must_be_as_many_layers(method) -> None:
    with pytest.raises(InputError, match="the last 3 layers are asked for, but the model has 2"):
        method(layers=3).unlearn(network(), FLAT)


@pytest.mark.parametrize("method", [CFk, EUk])
def test_what_is_frozen_keeps_its_running_statistics(method) -> None:
    with seeded(0):
        model = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, CLASSES))
    found = method(layers=1, repair=ONE_STEP).unlearn(model, FLAT)
    assert torch.equal(found[1].running_mean, model[1].running_mean)
    assert not torch.equal(
        method(layers=2, repair=ONE_STEP).unlearn(model, FLAT)[1].running_mean, model[1].running_mean
    )


def test_dropout_acts_in_what_is_trained() -> None:
    with seeded(0):
        model = nn.Sequential(nn.Linear(5, 6), nn.Dropout(0.5), nn.ReLU(), nn.Linear(6, CLASSES))
    both = CFk(layers=2, repair=ONE_STEP).unlearn(model, FLAT)
    require_same(both, FineTune(repair=ONE_STEP).unlearn(model, FLAT))
    assert not torch.equal(both[0].weight, stepped(deepcopy(model).eval(), [lambda m: ce(m, XR, YR)])[0].weight)


def test_a_last_layer_that_cannot_be_told_apart_is_refused() -> None:
    """Its weights are computed from others: the layer before it must not be taken for the last."""
    with seeded(0):
        model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.utils.parametrizations.weight_norm(nn.Linear(6, CLASSES)))
    for method in (CFk(), EUk()):
        with pytest.raises(InputError, match=r"the last 1 layers \['2'\] must have weights of their own"):
            method.unlearn(model, FLAT)
    pruned = SelectivePruning(share=0.5).unlearn(model, FLAT)
    assert int((pruned[0].weight == 0).all(dim=1).sum()) == 3


@pytest.mark.parametrize(
    "method", [NegGrad, NegGradPlus, RandomLabels, SalUn, SCRUB, BadTeacher], ids=lambda m: m.__name__
)
def test_a_single_record_goes_through_batch_normalisation(method) -> None:
    with seeded(0):
        model = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, CLASSES))
    alone = ForgetRequest.from_ids(FLAT.dataset, [3], holdout=FLAT.holdout)
    journal = Journal()
    found = method().unlearn(model, alone, journal=journal)
    assert not torch.equal(found[3].weight, model[3].weight) or journal.rolled_back
    assert {m.training for m in found.modules()} == {model.training}


def test_the_penalty_of_l1_sparse_falls_to_nothing() -> None:
    def penalised(strength: float) -> Callable[[nn.Module], Tensor]:
        return lambda m: ce(m, XR, YR) + strength * sum(p.abs().sum() for p in m.parameters())

    found = L1Sparse(strength=0.03, repair=replace(ONE_STEP, epochs=3)).unlearn(network(), FLAT)
    require_same(found, stepped(network(), [penalised(s) for s in (0.03, 0.02, 0.01)]))


def test_scrub_goes_away_from_the_teacher_and_back() -> None:
    teacher = network()
    with torch.no_grad():
        going, staying = teacher(XF), teacher(XR)

    def away(m: nn.Module) -> Tensor:
        return -kl(going, m(XF), 2.0)

    def along(m: nn.Module) -> Tensor:
        return 0.7 * kl(staying, m(XR), 2.0) + 0.9 * ce(m, XR, YR)

    method = SCRUB(
        rounds=3,
        max_rounds=2,
        divergence_weight=0.7,
        label_weight=0.9,
        repair=replace(ONE_STEP, epochs=99, max_examples=2 * (2 * FORGET + 3 * RETAIN)),
    )
    require_same(method.unlearn(network(), FLAT), stepped(network(), [away, along, away, along, along]))


def test_scrub_rewinds_to_the_round_with_the_error_of_unseen_records() -> None:
    method = SCRUB(rounds=6, max_rounds=6, forget_batch_size=3, repair=replace(ONE_STEP, epochs=40))
    x, y = FLAT.validation_matched.dataset.tensors
    unseen_ids = FLAT.validation_matched.indices

    def error(model: nn.Module, x: Tensor, y: Tensor) -> float:
        return float((model(x).argmax(1) != y).float().mean())

    journal = Journal()
    # the same rounds, cut short after each: without a schedule the weights on the way are the same
    ends = [
        replace(
            method, rounds=n, max_rounds=n, repair=replace(method.repair, max_examples=n * 2 * (FORGET + RETAIN))
        ).unlearn(network(), FLAT)
        for n in range(1, 7)
    ]
    method_at = replace(method, rewind=True, repair=replace(method.repair, max_examples=6 * 2 * (FORGET + RETAIN)))
    rewound = method_at.unlearn(network(), FLAT, journal=journal)
    wanted = error(ends[-1], x[unseen_ids], y[unseen_ids])
    nearest = min(ends, key=lambda m: abs(error(m, XF, YF) - wanted))
    assert error(nearest, XF, YF) not in (wanted, error(ends[-1], XF, YF))  # only the unseen records lead there
    require_same(rewound, nearest)
    assert any("Rewound to round" in note for note in journal.notes)
    with pytest.raises(InputError, match="rewinding needs `validation`"):
        method_at.unlearn(network(), replace(FLAT, validation=None, validation_matched=None))


def test_the_bad_teacher_is_followed_on_the_forget_set_and_the_good_one_on_the_rest() -> None:
    good, bad = network(), network()
    with seeded(stream(0, "unlearning")):
        reinitialise(bad)
    with torch.no_grad():
        going, staying = bad(XF), good(XR)

    def loss(m: nn.Module) -> Tensor:
        lost, kept = kl(going, m(XF), 1.5), kl(staying, m(XR), 1.5)
        return (FORGET * lost + RETAIN * kept) / (FORGET + RETAIN)

    repair = replace(ONE_STEP, batch_size=FORGET + RETAIN, epochs=9, max_examples=2 * 2 * (FORGET + RETAIN))
    found = BadTeacher(temperature=1.5, retain_share=1.0, repair=repair).unlearn(network(), FLAT)
    require_same(found, stepped(network(), [loss] * 2))


@pytest.mark.parametrize(("method", "statistic"), [(SSD, "squared-loss-gradient"), (LFSSD, "output-norm-gradient")])
def test_dampening_is_the_law(method, statistic) -> None:
    wanted = network()
    ranking = WeightImportance(statistic, 4, 20)
    law = DecayLaw(DampeningRate(ranking, 1.0, 0.5))
    factors = law.apply(wanted, single_weights(wanted), FLAT, task=TASK, seed=0)
    journal = Journal()
    found = method(selection=1.0, dampening=0.5, batch_size=4, records=20).unlearn(network(), FLAT, journal=journal)
    require_same(found, wanted)
    touched = sum(int((phi < 1).sum()) for phi in factors.values())
    assert touched
    assert f"{touched} of {sum(p.numel() for p in found.parameters())} weights are dampened." in journal.notes


def test_msg_draws_the_weights_with_the_smallest_pull_anew_and_holds_the_others_back() -> None:
    """With as many retained records as forgotten ones the sample is all of them."""
    even = ForgetRequest.from_ids(
        TensorDataset(*(t[: 2 * FORGET] for t in IMAGES.dataset.tensors)), range(FORGET), holdout=IMAGES.holdout
    )
    x, y = even.dataset.tensors
    start = convolutions()
    sample = torch.randperm(FORGET, generator=drawing()).add(FORGET)
    for part in (slice(0, 4), slice(4, 8), slice(8, FORGET)):
        kept = sample[part]
        (ce(start, x[kept], y[kept]) - ce(start, x[:FORGET][part], y[:FORGET][part])).backward()
    still = MSG(batch_size=4, repair=replace(ONE_STEP, learning_rate=1e-30)).unlearn(convolutions(), even)
    for layer in (0, 2):
        pull = start[layer].weight.grad.abs()
        count = round(0.3 * pull.numel())
        new = pull <= pull.flatten().sort().values[count - 1]
        assert torch.equal(still[layer].weight != start[layer].weight, new)
        assert torch.equal(still[layer].bias, start[layer].bias)
        spread = still[layer].weight.detach()[new].std()  # Kaiming: sqrt(2 / (channels out * 9))
        assert float(spread) == pytest.approx((2 / (pull.shape[0] * 9)) ** 0.5, rel=0.6)
    assert torch.equal(still[4].weight, start[4].weight)

    # one step from there, a tenth of it where the weights are old
    wanted = stepped(deepcopy(still), [lambda m: ce(m, x[FORGET:], y[FORGET:])])
    found = MSG(batch_size=4, repair=ONE_STEP).unlearn(convolutions(), even)
    torch.testing.assert_close(found[4].weight, wanted[4].weight)
    torch.testing.assert_close(found[0].bias, wanted[0].bias)
    for layer in (0, 2):
        new = still[layer].weight != start[layer].weight
        step, whole = found[layer].weight - still[layer].weight, wanted[layer].weight - still[layer].weight
        torch.testing.assert_close(step[new], whole[new], rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(step[~new], 0.1 * whole[~new], rtol=1e-3, atol=1e-7)


def test_msg_chooses_by_the_model_as_it_answers_without_dropout() -> None:
    plain = convolutions()
    dropping = nn.Sequential(*plain[:4], nn.Dropout(0.5), plain[4]).train()
    method = MSG(repair=replace(ONE_STEP, learning_rate=1e-30))
    found, wanted = method.unlearn(dropping, IMAGES), method.unlearn(plain, IMAGES)
    for layer in (0, 2):
        assert torch.equal(found[layer].weight, wanted[layer].weight)


def test_ct_turns_kernels_and_trains() -> None:
    x, y = (t[FORGET:] for t in IMAGES.dataset.tensors)
    wanted = convolutions()
    for layer in (0, 2):
        wanted[layer].weight = nn.Parameter(wanted[layer].weight.detach().transpose(2, 3).clone())
    require_same(CT(repair=ONE_STEP).unlearn(convolutions(), IMAGES), stepped(wanted, [lambda m: ce(m, x, y)]))
    with pytest.raises(InputError, match="but the model has none"):
        CT().unlearn(network(), FLAT)
    oblong = nn.Sequential(nn.Conv2d(1, 2, (3, 1)), nn.Flatten(), nn.Linear(48, CLASSES))
    with pytest.raises(InputError, match=r"but \['0'\] are not square"):
        CT().unlearn(oblong, IMAGES)


def test_ct_turns_tied_kernels_once_and_refuses_computed_ones() -> None:
    still = CT(repair=replace(ONE_STEP, learning_rate=1e-30))
    with seeded(0):
        tied = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3), nn.Flatten(), nn.Linear(4, CLASSES))
    tied[1].weight = tied[0].weight
    assert torch.equal(still.unlearn(tied, IMAGES)[1].weight, tied[1].weight.transpose(2, 3))
    computed = convolutions()
    nn.utils.parametrizations.weight_norm(computed[2])
    with pytest.raises(InputError, match=r"those of \['2'\] are computed from others"):
        still.unlearn(computed, IMAGES)


def test_selective_pruning_deletes_hidden_units_alone() -> None:
    found = SelectivePruning(share=0.5).unlearn(network(), FLAT)
    with torch.no_grad():
        activity = network()[0](X)
    ratio = activity[:FORGET].abs().mean(0) / (activity[FORGET:].abs().mean(0) + 1e-5)
    gone = ratio >= ratio.sort(descending=True).values[2]
    assert torch.equal((found[0].weight == 0).all(dim=1), gone)
    assert torch.equal(found[2].weight, network()[2].weight)
    with pytest.raises(InputError, match="needs a hidden layer"):
        SelectivePruning().unlearn(nn.Sequential(nn.Linear(5, CLASSES)), FLAT)


def test_selective_pruning_takes_its_share_of_all_hidden_units_together() -> None:
    with seeded(3):
        model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, CLASSES))
    with torch.no_grad():
        first = model[0](X)
        activity = torch.cat([first, model[2](first.tanh())], dim=1).abs()
    ratio = activity[:FORGET].mean(0) / (activity[FORGET:].mean(0) + 1e-5)
    gone = ratio >= ratio.sort(descending=True).values[2]  # .3 of ten units; of each layer's own that would be two
    found = SelectivePruning(share=0.3).unlearn(model, FLAT)
    assert torch.equal(torch.cat([(found[layer].weight == 0).all(dim=1) for layer in (0, 2)]), gone)


def test_prune_reinit_keeps_the_large_weights_and_the_old_certainty() -> None:
    start = network()
    old = deepcopy(start)
    anchor = fresh_anchor(start, single_weights(start), seed=stream(0, "unlearning"))
    sizes = torch.cat([p.detach().abs().flatten() for p in start.parameters()])
    edge = sizes.sort().values[int(0.8 * len(sizes)) - 1]
    with torch.no_grad():
        for name, p in start.named_parameters():
            p.copy_(torch.where(p.abs() <= edge, anchor[name] if p.ndim > 1 else torch.zeros_like(p), p))

    def entropy(logits: Tensor) -> Tensor:
        p = logits.softmax(1)
        return -(p * p.log()).sum(1)

    def loss(m: nn.Module) -> Tensor:
        with torch.no_grad():
            wanted = entropy(old(XR))
        return ce(m, XR, YR) + ((entropy(m(XR)) - wanted) ** 2).mean()

    found = PruneReinit(share=0.8, repair=replace(ONE_STEP, epochs=2)).unlearn(network(), FLAT)
    require_same(found, stepped(start, [loss]))


def adam(noise: Tensor, gradient: Callable[[Tensor], Tensor], *, steps: int, rate: float) -> Tensor:
    """After so many steps of Adam, from its formula."""
    first = second = torch.zeros_like(noise)
    for step in range(1, steps + 1):
        found = gradient(noise)
        first, second = 0.9 * first + 0.1 * found, 0.999 * second + 0.001 * found**2
        noise = noise - rate * (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
    return noise


def whole_class(*shape: int, staying: int, going: int) -> ForgetRequest:
    """All records with label 1 are to go."""
    inputs, _ = records(staying + going, *shape, seed=4).tensors
    labels = torch.cat([torch.zeros(staying, dtype=torch.int64), torch.ones(going, dtype=torch.int64)])
    data = TensorDataset(inputs, labels)
    return ForgetRequest.from_ids(data, range(staying, staying + going), holdout=records(20, *shape, seed=1))


def test_unsir_impairs_with_noise_that_says_the_opposite_and_repairs() -> None:
    """One input of noise, three steps on it; one of impairing, with 12 retained records and 8 times that noise; one after."""
    asked = whole_class(5, staying=12, going=7)
    one = torch.ones(1, dtype=torch.int64)
    start = network()

    def gradient(noise: Tensor) -> Tensor:
        at = noise.detach().requires_grad_()
        (0.3 * at.square().sum() - ce(start, at, one)).backward()
        assert at.grad is not None
        return at.grad

    noise = adam(torch.randn(1, 5, generator=drawing()), gradient, steps=3, rate=0.1)
    kept = asked.retain[:]
    impaired = stepped(network(), [lambda m: (12 * ce(m, *kept) + 8 * ce(m, noise, one)) / 20], lr=3 * RATE)
    expected = stepped(impaired, [lambda m: ce(m, *kept)])
    repair = replace(ONE_STEP, batch_size=20, epochs=9, max_examples=35)
    settings = {"noises": 1, "noise_steps": 3, "size_weight": 0.3, "noise_share": 0.4, "impair_times": 3.0}
    found = UNSIR(**settings, repair=repair).unlearn(network(), asked)
    require_same(found, expected)


def test_unsir_refuses_what_it_is_not_made_for() -> None:
    with pytest.raises(InputError, match=r"UNSIR forgets whole classes, so every record .* but some stay"):
        UNSIR().unlearn(network(), FLAT)
    asked = whole_class(5, staying=12, going=7)
    words = replace(asked, dataset=TensorDataset(*(part.long() for part in asked.dataset.tensors)))
    embedded = nn.Sequential(nn.Embedding(9, 3), nn.Flatten(), nn.Linear(15, CLASSES))
    words.dataset.tensors[0].abs_()
    with pytest.raises(InputError, match=r"floating-point inputs, .* but they are of type torch.int64"):
        UNSIR().unlearn(embedded, words)


# ---------------------------------------------------------------- what they cost


EXPORTED = [getattr(ebbing.methods, name) for name in ebbing.methods.__all__]
REPAIRING = [c for c in EXPORTED if isclass(c) and issubclass(c, Repairing) and not isabstract(c)]


@pytest.mark.parametrize("method", [*REPAIRING, SCRUB.presets["rewind"]], ids=str)
@pytest.mark.parametrize("budget", [0.05, 0.3])
def test_a_budget_is_kept(method, budget: float) -> None:
    """Statistics, teachers and forgotten records included; what the guards read before and after is not the method's."""
    training = Recipe(epochs=50)
    made = replace(method() if isclass(method) else method, budget=budget, training=training)
    allowed, journal = budget * training.examples(RETAIN), Journal()
    asked = whole_class(1, 6, 6, staying=RETAIN, going=FORGET) if made.whole_classes else IMAGES
    if made.statistics(asked) + made.least(asked) > allowed:
        with pytest.raises(InputError, match=r"must leave (some|as many) for the repair"):
            made.unlearn(convolutions(), asked)
        return
    made.unlearn(convolutions(), asked, journal=journal)
    spent = journal.examples - 2 * RETAIN
    least = made.statistics(asked) + 2
    assert spent <= allowed
    if allowed > 2 * least:
        assert spent >= 0.7 * min(allowed, made.repair.examples(RETAIN))


@pytest.mark.parametrize("method", [*REPAIRING, SCRUB.presets["rewind"]], ids=str)
def test_the_smallest_budget_is_what_the_shortest_repair_costs(method) -> None:
    """One example less is refused, and not overspent."""
    made = method() if isclass(method) else method
    asked = whole_class(1, 6, 6, staying=RETAIN, going=FORGET) if made.whole_classes else IMAGES
    training, journal = Recipe(epochs=50), Journal()

    def at(examples: int) -> Repairing:
        return replace(made, budget=examples / training.examples(RETAIN), training=training)

    def fits(examples: int) -> bool:
        return at(examples).statistics(asked) + at(examples).least(asked) <= examples

    smallest = next(n for n in range(1, 2000) if fits(n))
    at(smallest).unlearn(convolutions(), asked, journal=journal)
    assert journal.examples - 2 * RETAIN <= smallest
    if smallest > 1:
        with pytest.raises(InputError, match=r"must leave (some|as many) for the repair"):
            at(smallest - 1).unlearn(convolutions(), asked)


@pytest.mark.parametrize("classes", [1, 3])
def test_noise_is_counted_for_every_class_that_goes(classes: int) -> None:
    """Each has an input of its own, also where a quarter of what is allowed is not enough for that."""
    inputs, labels = torch.randn(70, 5, generator=torch.Generator().manual_seed(4)), torch.arange(70) % 5
    going = [i for i in range(50) if int(labels[i]) < classes]
    data, unseen = (TensorDataset(inputs[part], labels[part]) for part in (slice(50), slice(50, 70)))
    asked = ForgetRequest.from_ids(data, going, holdout=unseen)
    model, stays = nn.Linear(5, 5), 50 - len(going)

    def spent(method: Repairing) -> int:
        journal = Journal()
        method.unlearn(model, asked, journal=journal)
        return journal.examples - 2 * stays

    made = UNSIR(repair=replace(ONE_STEP, epochs=9, learning_rate=1e-9, max_examples=1))
    assert spent(made) == made.expected_examples(asked) == made.least(asked) == classes + 3
    training = Recipe(epochs=10)
    enough = replace(made, repair=training, training=training, budget=(classes + 3) / training.examples(stays))
    assert spent(enough) == classes + 3
    at_four = within(made, 4 / training.examples(stays), training, asked)
    assert (at_four is None) == (classes > 1)


COUNTED = [*REPAIRING, SCRUB.presets["rewind"], NegGrad, SSD, LFSSD, SelectivePruning, TaskVector, ForgettingNetwork]


@pytest.mark.parametrize("method", COUNTED, ids=str)
def test_what_goes_through_any_model_is_counted(method, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the few records on which it is tried out which units there are."""
    tried: list[object] = []
    seen = 0

    class Counting(Classification):
        def forward(self, model: nn.Module, batch: object) -> Outputs:
            nonlocal seen
            outputs = super().forward(model, batch)
            seen += 0 if any(batch is one for one in tried) else len(outputs.targets)
            return outputs

    def a_batch(run: Run, n: int = 32) -> object:
        tried.append((IMAGES.dataset.tensors[0][:8], IMAGES.dataset.tensors[1][:8]))
        return tried[-1]

    monkeypatch.setattr(Run, "a_batch", a_batch)
    made = method() if isclass(method) else method
    if isinstance(made, Repairing):
        made = replace(made, budget=0.3, training=Recipe(epochs=50))
    asked = whole_class(1, 6, 6, staying=RETAIN, going=FORGET) if made.whole_classes else IMAGES
    journal = Journal()
    made.unlearn(convolutions(), asked, task=Counting(), journal=journal)
    assert journal.examples == seen > 0


@pytest.mark.parametrize("method", [NegGradPlus, BadTeacher], ids=lambda m: m.__name__)
@pytest.mark.parametrize(("retain", "forget"), [(70, 64), (100, 70), (300, 2)])
def test_what_is_read_in_short_steps_counts_too(method, retain: int, forget: int) -> None:
    data = records(retain + forget, 5, seed=3)
    asked = ForgetRequest.from_ids(data, range(forget), holdout=FLAT.holdout)
    made = method(budget=0.5, training=Recipe(epochs=20), repair=replace(ONE_STEP, epochs=50))
    journal = Journal()
    made.unlearn(network(), asked, journal=journal)
    allowed, spent = 10 * retain, journal.examples - 2 * retain
    assert 0.7 * allowed <= spent <= allowed


def test_a_budget_that_statistics_use_up_is_refused() -> None:
    with pytest.raises(InputError, match=r"a budget of 6 examples .* but MSG reads 20 before it"):
        MSG(budget=0.2, training=Recipe(epochs=1)).unlearn(convolutions(), IMAGES)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: NegGradPlus(retain_weight=0.0), "`retain_weight` must lie"),
        (lambda: NegGradPlus(forget_batch_size=0), "`forget_batch_size` must be at least 1"),
        (lambda: RandomLabels(rounds=0), "`rounds` must be at least 1"),
        (lambda: SalUn(share=0.0), "`share` must lie"),
        (lambda: SalUn(batch_size=0), "`batch_size` must be at least 1"),
        (lambda: CFk(layers=0), "`layers` must be at least 1"),
        (lambda: EUk(layers=0), "`layers` must be at least 1"),
        (lambda: L1Sparse(strength=-1.0), "`strength` must be finite and >= 0"),
        (lambda: SCRUB(max_rounds=11), r"`max_rounds` must lie in \[0, rounds\]"),
        (lambda: SCRUB(rounds=0, temperature=0.0), r"`rounds` must be(.|\n)*`temperature` must be"),
        (lambda: BadTeacher(temperature=0.0), "`temperature` must be > 0"),
        (lambda: BadTeacher(retain_share=0.0), "`retain_share` must lie"),
        (lambda: SSD(selection=-1.0), "`selection` must be >= 0"),
        (lambda: LFSSD(batch_size=0), "`batch_size` must be at least 1"),
        (lambda: MSG(share=2.0), "`share` must lie"),
        (lambda: MSG(batch_size=0), "`batch_size` must be at least 1"),
        (lambda: PruneReinit(share=-0.1), "`share` must lie"),
        (lambda: SelectivePruning(1.1), "`share` must lie"),
        (lambda: UNSIR(noises=0), "`noises` and `noise_steps` must be at least 1"),
        (lambda: UNSIR(size_weight=-1.0), "`size_weight` must be >= 0"),
        (lambda: UNSIR(noise_share=1.0), r"`noise_share` must lie in \(0, 1\)"),
        (lambda: UNSIR(impair_times=0.0), "`impair_times` must be > 0"),
    ],
)
def test_settings_out_of_range_are_refused(make, said: str) -> None:
    with pytest.raises(InputError, match=said):
        make()
