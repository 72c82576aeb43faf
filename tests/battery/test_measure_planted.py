"""What was planted before training: shown by a model that was trained on it, and not by one that was not."""

from functools import cache

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import ebbing as eb
from ebbing.battery import Battery, Planted, planted_in
from ebbing.data.selection import select
from ebbing.data.sources import load
from ebbing.measures import canary_test, interclass_confusion
from ebbing.models import digits_mlp
from ebbing.observations import Observations, Signals
from ebbing.planted import AddedNoise, SwappedLabels
from ebbing.task import Classification

KEYS = ("mislabelled-canaries", "interclass-confusion", "gaussian-canaries")
TASK = Classification()
N, SD = 40, 0.5


def signals(predicted, labels, *, classes=3):
    """Of models that predict these classes, (n_models, n), each surely."""
    rows = np.asarray(predicted)
    right = rows == labels
    flat = np.zeros(rows.shape)
    return Signals(np.where(right, 2.0, -2.0), flat, flat, flat, right, 4.0 * np.eye(classes)[rows])


def seen(*, forget, holdout=None, holdout_labels=None):
    """Observations of models by what they predict on records that are labelled 0, and on the holdout."""
    nothing = np.zeros((len(forget), 5), dtype=int)
    unseen = signals(nothing, np.zeros(5)) if holdout is None else signals(holdout, holdout_labels)
    return Observations(signals(forget, np.zeros(np.shape(forget)[1])), signals(nothing, np.zeros(5)), unseen, None)


def measured(judged, retrained, *, kind="ids", found=None, others=None, level="full"):
    battery = Battery(judged, retrained, level=level, kind=kind, planted=others)
    return battery.measure(judged, planted=found)


@pytest.fixture
def quick(monkeypatch):
    """Nothing but what was planted is measured."""
    monkeypatch.setattr("ebbing.battery.battery.QUICK", ())
    monkeypatch.setattr("ebbing.battery.battery.STANDARD", ())
    monkeypatch.setattr("ebbing.battery.battery.deployed_measures", lambda *_: [])
    for name in ("SalunFigures", "Together"):
        monkeypatch.setattr(f"ebbing.battery.battery.{name}", Silent)


class Silent:
    """Measures nothing."""

    def __init__(self, *_, **__):
        pass

    def measure(self, _):
        return []


# ---------------------------------------------------------------- by hand


def test_the_share_of_wrong_labels_by_hand(quick):
    judged = seen(forget=[[0, 0, 0, 1]])
    retrained = seen(forget=[[1, 1, 1, 1], [0, 1, 1, 1], [2, 2, 1, 1], [0, 0, 2, 1]])
    found = measured(judged, retrained, kind="mislabelled")["mislabelled-canaries"]
    assert found["value"] == 0.75
    assert 0 <= found["low"] < 0.75 < found["high"] <= 1
    assert (found["floor"]["mean"], found["floor"]["low"], found["floor"]["high"]) == (0.1875, 0.0, 0.5)
    several = measured(retrained, retrained, kind="mislabelled")["mislabelled-canaries"]
    assert several["value"] == {"mean": 0.1875, "low": 0.0, "high": 0.5}
    assert several["low"] is None


def swapped_request(holdout_labels):
    x = torch.arange(12.0)[:, None]
    unseen = TensorDataset(100 + torch.arange(float(len(holdout_labels)))[:, None], torch.tensor(holdout_labels))
    labels = torch.tensor([0, 1, 2] * 4)
    return eb.ForgetRequest.from_ids(
        TensorDataset(x, labels), [0, 1], holdout=unseen, planted=SwappedLabels(classes=(1, 0))
    )


def test_the_confusion_of_two_classes_by_hand(quick):
    labels = [0, 0, 1, 1, 2, 2, 0, 1]
    request = swapped_request(labels)
    told = np.array([[1, 0, 0, 1, 0, 1, 2, 2], [0, 0, 1, 1, 2, 2, 0, 1]])  # the first confuses two of six
    models = seen(forget=[[0, 0], [1, 1]], holdout=told, holdout_labels=np.array(labels))
    found = planted_in([nn.Identity()] * 2, models, request, task=TASK)
    retrained = models[[1, 1, 1, 1]]
    others = planted_in([nn.Identity()] * 4, retrained, request, task=TASK)
    one = measured(models[[0]], retrained, found=Planted(confused=found.confused[:1]), others=others)
    shown = one["interclass-confusion"]
    assert shown["value"] == pytest.approx(2 / 6)
    assert shown["value"] == pytest.approx(interclass_confusion(told[0], np.array(labels), classes=(0, 1)).confusion)
    assert shown["low"] <= shown["value"] <= shown["high"]
    assert shown["floor"] == {"mean": 0.0, "low": 0.0, "high": 0.0, "n_unlearned": 1, "n_retrained": 4}
    assert one["mislabelled-canaries"]["reason"].endswith("see interclass-confusion")


class Bowl(nn.Module):
    """Logits (|x|^2 / 2, 0): the slope of class 0's margin at x is x itself."""

    def forward(self, x):
        return torch.stack([x.square().sum(dim=1) / 2, x.new_zeros(len(x))], dim=1)


def noisy_request(order=None):
    """Records 5 to 44 of 60 have noise; ids and noise are given in any order."""
    generator = torch.Generator().manual_seed(0)
    clean, unseen = (torch.randn(n, 7, generator=generator) for n in (60, 20))
    noise = SD * torch.randn(N, 7, generator=generator)
    x = clean.clone()
    x[5 : 5 + N] += noise
    order = torch.arange(N) if order is None else order
    request = eb.ForgetRequest.from_ids(
        TensorDataset(x, torch.zeros(60, dtype=torch.int64)),
        (5 + order).tolist(),
        holdout=TensorDataset(unseen, torch.zeros(20, dtype=torch.int64)),
        planted=AddedNoise(noise[order], SD),
    )
    return request, clean[5 : 5 + N].double().numpy(), noise.double().numpy()


@pytest.mark.parametrize("order", [None, torch.randperm(N, generator=torch.Generator().manual_seed(3))])
def test_the_gaussian_score_is_taken_at_the_clean_inputs_and_row_by_row(order):
    request, clean, noise = noisy_request(order)
    models = [Bowl()]
    by_hand = -(clean * noise).sum(axis=1) / (SD * np.linalg.norm(clean, axis=1))
    found = planted_in(models, eb.observe(models, request, task=TASK, logits=True), request, task=TASK)
    assert found.scores[0] == pytest.approx(by_hand, abs=1e-5)


def test_the_z_test_stands_beside_the_mean_score(quick):
    scores = np.random.default_rng(0).standard_normal((5, N))
    scores[0, 3] = np.nan
    models, others = seen(forget=[[0, 1]]), seen(forget=[[0, 1]] * 4)
    retrained = Planted(scores=scores[1:])
    shown = measured(models, others, found=Planted(scores=scores[:1]), others=retrained)["gaussian-canaries"]
    test = canary_test(scores[0])
    assert shown["value"] == pytest.approx(np.nanmean(scores[0]))
    assert shown["low"] < shown["value"] < shown["high"]
    assert shown["reason"] == f"z = {test.z:.2f}, p = {test.p_value:.2g}, two-sided"
    assert f"39 records show a shift of {test.detectable:.2f} with a chance of 80 %" in shown["protocol"]
    assert shown["floor"]["high"] == pytest.approx(scores[1:].mean(axis=1).max())
    several = measured(others, others, found=retrained, others=retrained)["gaussian-canaries"]
    assert several["value"]["mean"] == pytest.approx(scores[1:].mean())
    assert "over 4 models" in several["reason"]


# ---------------------------------------------------------------- the promise, with its control


@cache
def trained(rule):
    """A request on digits, a model that was trained on what is planted in it, and five that were not."""
    request = select(rule, load("digits", train_size=300), seed=0)
    train = eb.Trainer(digits_mlp, eb.Recipe(epochs=30, learning_rate=1e-2))
    return request, train(request.dataset, seed=0), [train(request.retain, seed=50 + i) for i in range(5)]


@pytest.mark.parametrize(
    ("rule", "key", "sign"),
    [
        ("mislabelled:0.1", KEYS[0], 1),
        ("confusion:3,5:0.4", KEYS[1], 1),
        ("gaussian:0.2:1", KEYS[2], -1),
    ],
)
def test_who_was_trained_on_it_shows_it_and_who_was_retrained_does_not(rule, key, sign, quick):
    request, original, (last, *bank) = trained(rule)
    retrained = eb.observe(bank, request, task=TASK, logits=True)
    others = planted_in(bank, retrained, request, task=TASK)
    shown = {}
    for name, model in (("original", original), ("retrained", last)):
        judged = eb.observe([model], request, task=TASK, logits=True)
        found = planted_in([model], judged, request, task=TASK)
        shown[name] = measured(judged, retrained, kind=request.kind, found=found, others=others)
        assert [k for k in KEYS if shown[name][k]["value"] is not None] == [key]
    floor = shown["original"][key]["floor"]
    ends = sorted(sign * floor[end] for end in ("low", "high"))
    away = {name: sign * found[key]["value"] - ends[1] for name, found in shown.items()}
    assert away["original"] > 0.15
    assert away["retrained"] < 0.15
    low, high = (shown["retrained"][key][end] for end in ("low", "high"))
    assert low - 0.1 <= floor["mean"] <= high + 0.1


def test_audit_carries_it_at_level_full_alone(quick, monkeypatch):
    """Through the front door, with models that are left as they were."""
    monkeypatch.setattr("ebbing.auditing.copies_of", lambda *_, **__: {})
    request, original, (last, *bank) = trained("gaussian:0.2:1")
    weights = {name: value.clone() for name, value in original.state_dict().items()}
    models = {"original": original, "unlearned": last, "oracles": bank}
    reports = {
        level: eb.audit(**models, request=request, inside=False, measures=level).data for level in ("standard", "full")
    }
    assert reports["standard"]["original"]["measures"] == {}
    before = reports["full"]["original"]["measures"][KEYS[2]]
    after = reports["full"]["methods"]["unlearned"]["measures"][KEYS[2]]
    assert before["value"] < after["floor"]["low"] - 0.15 < after["value"]
    assert before["reason"].startswith("z = -")
    assert before["floor"] == after["floor"]
    assert all(torch.equal(value, weights[name]) for name, value in original.state_dict().items())


# ---------------------------------------------------------------- where there is nothing to show


@pytest.mark.parametrize("kind", ["ids", "random", "class"])
def test_where_nothing_was_planted_it_is_not_applicable(kind, quick):
    models = seen(forget=[[0, 1]] * 4)
    for found in (None, Planted()):
        reasons = [measured(models, models, kind=kind, found=found)[key] for key in KEYS]
        assert [one["value"] for one in reasons] == [None] * 3
        assert [one["reason"] for one in reasons] == [
            "not applicable: no wrong labels were planted before training",
            "not applicable: no labels of two classes were swapped before training",
            "not applicable: no noise was added to inputs before training",
        ]


@pytest.mark.parametrize(
    ("kind", "key", "reason"),
    [
        ("confusion", KEYS[1], "the labels of unseen records are not at hand"),
        ("gaussian", KEYS[2], "the weights are not at hand"),
    ],
)
def test_what_outputs_alone_do_not_tell(kind, key, reason, quick):
    models = seen(forget=[[0, 1]] * 4)
    assert measured(models, models, kind=kind)[key]["reason"] == reason


def test_below_full_nothing_of_it_is_measured(quick):
    models = seen(forget=[[0, 1]] * 4)
    assert measured(models, models, kind="mislabelled", level="standard") == {}


def test_without_unseen_records_of_a_class_there_is_no_confusion():
    request = swapped_request([0, 0, 2, 2])
    models = seen(forget=[[0, 0]], holdout=[[0, 1, 2, 2]], holdout_labels=np.array([0, 0, 2, 2]))
    assert planted_in([nn.Identity()], models, request, task=TASK).confused == "no unseen records of the classes [1]"


def test_a_model_without_slopes_has_a_reason(quick):
    class Constant(nn.Module):
        def forward(self, x):
            return torch.zeros(len(x), 2) + 0 * x.sum()

    class Detached(Bowl):
        def forward(self, x):
            return super().forward(x.detach())

    request, _, _ = noisy_request()
    models = seen(forget=[[0, 1]] * 4)
    for model, said in ((Constant(), "does not change with its inputs"), (Detached(), "let gradients through")):
        found = planted_in([model], models[[0]], request, task=TASK)
        shown = measured(models[[0]], models, kind="gaussian", found=found, others=found)["gaussian-canaries"]
        assert shown["value"] is None
        assert said in shown["reason"]
