"""Observations: saved, loaded, and made from margins that were published elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from ebbing.attacks import STANDARD
from ebbing.auditing import judge_observations
from ebbing.errors import InputError
from ebbing.observations import Observations, Signals, observe
from ebbing.request import ForgetRequest
from ebbing.task import Classification


def margins(n_models: int, seed: int, *, remembers: float = 0.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    sizes = {"forget": 30, "retain": 60, "holdout": 80, "matched": 40}
    centres = {name: np.random.default_rng([1, i]).normal(2, 2, n) for i, (name, n) in enumerate(sizes.items())}
    return {n: c + rng.normal(size=(n_models, len(c))) + remembers * (n == "forget") for n, c in centres.items()}


def made(*args: int, **settings: float) -> Observations:
    return Observations.from_margins(**margins(*args, **settings))


def test_margins_alone_are_judged() -> None:
    retrained, original = made(16, 0), made(1, 1, remembers=6.0)
    found = judge_observations(
        original=original, unlearned={"nothing": original, "retrained": made(1, 2)}, oracles=retrained
    )
    assert found.verdicts["nothing"].outcome == "under-forgotten"
    assert found.verdicts["retrained"].outcome == "consistent-with-retraining"
    assert found.data["request"]["forget"] == 30
    assert found.data["methods"]["nothing"]["cost"]["ratio_to_retraining"] is None
    assert found.data["original"]["inside"] is None


def test_the_public_layout_is_cut_into_splits(tmp_path) -> None:
    """EasyDUB and data-unlearning-bench: files of (n_models, n_examples) for all of train and all of val, and positions."""
    ids = np.arange(0, 90, 3)
    centres = np.random.default_rng(5).normal(2, 2, 210)
    for name, n, remembers in (("pretrain", 3, 6.0), ("oracle", 20, 0.0)):
        rng = np.random.default_rng(n)
        found = centres + rng.normal(size=(n, 210))
        found[:, ids] += remembers
        np.save(tmp_path / f"{name}_train.npy", found[:, :90].astype(np.float32))
        np.save(tmp_path / f"{name}_val.npy", found[:, 90:].astype(np.float32))

    def of(name: str) -> Observations:
        train, val = (np.load(tmp_path / f"{name}_{part}.npy", mmap_mode="r") for part in ("train", "val"))
        retain = np.delete(train, ids, axis=1)
        return Observations.from_margins(forget=train[:, ids], retain=retain, holdout=val[:, 40:], matched=val[:, :40])

    original, retrained = of("pretrain"), of("oracle")
    assert (original.n_models, original.forget.n_examples, original.retain.n_examples) == (3, 30, 60)
    found = judge_observations(
        original=original[[0]],
        unlearned={"nothing": original[[1]], "held out": retrained[[0]]},
        oracles=retrained[list(range(1, 20))],
    )
    assert found.verdicts["nothing"].outcome == "under-forgotten"
    assert found.verdicts["held out"].outcome == "consistent-with-retraining"


def test_what_margins_do_not_tell_is_missing_and_said() -> None:
    found = made(2, 0)
    for attack in STANDARD:
        result = attack.run(found)[0]
        known = attack.name in ("loss", "loss-logistic")
        assert (result.auc is not None or result.accuracy is not None) == known
        assert known or "NaN" in result.reason
    assert np.array_equal(found.forget.correct, found.forget.margin > 0)


def test_saved_observations_come_back(tmp_path) -> None:
    before = made(3, 0)
    before.save(tmp_path / "o.npz")
    after = Observations.load(tmp_path / "o.npz")
    for name, array in before.arrays().items():
        np.testing.assert_array_equal(after.arrays()[name], array)
    without = Observations(before.forget, before.retain, before.holdout, None)
    without.save(tmp_path / "w.npz")
    assert Observations.load(tmp_path / "w.npz").matched is None
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["o.npz", "w.npz"]


def test_logits_are_kept_where_they_are_asked_for(tmp_path) -> None:
    inputs, labels = torch.randn(30, 4, generator=torch.Generator().manual_seed(0)), torch.arange(30) % 3
    data = TensorDataset(inputs, labels)
    request = ForgetRequest.from_ids(data, range(5), holdout=TensorDataset(inputs + 1, labels))
    models = [nn.Linear(4, 3), nn.Linear(4, 3)]
    seen = observe(models, request, task=Classification(), logits=True, batch_size=7)
    wanted = torch.stack([model(inputs[:5]) for model in models]).detach().numpy()
    np.testing.assert_allclose(seen.forget.logits, wanted, rtol=1e-6)
    own = np.take_along_axis(wanted, labels[:5].numpy()[None, :, None], axis=2)[..., 0]
    p = np.exp(own - np.log(np.exp(wanted).sum(axis=2)))
    np.testing.assert_allclose(seen.forget.margin, np.log(p / (1 - p)), rtol=1e-4, atol=1e-5)
    seen.save(tmp_path / "o.npz")
    back = Observations.load(tmp_path / "o.npz")
    np.testing.assert_array_equal(back[[1]].holdout.logits, seen.holdout.logits[1:])
    without = observe(models, request, task=Classification())
    assert without.forget.logits is None
    assert Observations.concatenate([seen, without]).forget.logits is None
    assert Observations.concatenate([seen, back]).forget.logits.shape == (4, 5, 3)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"no archive", None])
def test_a_damaged_file_is_refused(content, tmp_path) -> None:
    path = tmp_path / "o.npz"
    if content is None:
        made(2, 0).save(path)
        content = path.read_bytes()[:-200]
    path.write_bytes(content)
    with pytest.raises(InputError, match="must hold saved observations, but cannot be read"):
        Observations.load(path)
    with pytest.raises(InputError, match="cannot be read"):
        Observations.load(tmp_path / "absent.npz")


def test_pickled_arrays_are_not_read(tmp_path) -> None:
    np.savez(tmp_path / "o.npz", **{"forget/margin": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(InputError, match="cannot be read"):
        Observations.load(tmp_path / "o.npz")


def test_margins_that_cannot_be_used_are_refused() -> None:
    good = margins(2, 0)
    with pytest.raises(InputError, match="every split must show the same models"):
        Observations.from_margins(**good | {"holdout": good["holdout"][:1]})
    with pytest.raises(InputError, match="must be finite"):
        Observations.from_margins(**good | {"forget": np.full((2, 3), np.inf)})
    with pytest.raises(InputError, match=r"one shape \(n_models, n_examples\)"):
        Signals.from_margins(np.zeros(3))
    with pytest.raises(InputError, match=r"one shape"):
        Signals.from_margins(np.zeros((2, 3)), correct=np.zeros((2, 2), dtype=bool))


def test_models_are_put_one_after_the_other() -> None:
    one, other = made(2, 0), made(3, 1)
    both = Observations.concatenate([one, other])
    assert both.n_models == 5
    np.testing.assert_array_equal(both.matched.margin[2:], other.matched.margin)
    bare = Observations(other.forget, other.retain, other.holdout, None)
    assert Observations.concatenate([one, bare]).matched is None


def test_matched_records_of_the_same_source_are_named() -> None:
    """What the original knows of a source it knows of unseen records of it too: M cancels, and the report says so."""

    def of_one_source(n_models: int, seed: int, *, knows: float = 0.0) -> Observations:
        found = margins(n_models, seed)
        return Observations.from_margins(**found | {s: found[s] + knows for s in ("forget", "matched")})

    original, retrained = of_one_source(1, 1, knows=6.0), of_one_source(16, 0)
    found = judge_observations(original=original, unlearned={"nothing": original}, oracles=retrained)
    assert abs(found.data["original"]["memory"]["m"]) < 1
    assert any(
        "they may share a source with the forgotten records" in n for n in found.data["methods"]["nothing"]["notes"]
    )
    fair = judge_observations(original=made(1, 1, remembers=6.0), unlearned={"x": made(1, 2)}, oracles=made(16, 0))
    assert fair.data["methods"]["x"]["notes"] == []


def test_logits_are_kept_only_where_there_is_room(monkeypatch) -> None:
    generator = torch.Generator().manual_seed(0)
    train, unseen = (TensorDataset(torch.randn(n, 4, generator=generator), torch.arange(n) % 3) for n in (60, 50))
    request = ForgetRequest.from_ids(train, range(5), holdout=unseen)
    model = nn.Linear(4, 3)
    plain = observe([model], request, task=Classification())
    kept = observe([model], request, task=Classification(), logits=True)
    assert plain.forget.logits is None
    assert kept.retain.logits.shape == (1, 55, 3)
    monkeypatch.setattr("ebbing.observations.MOST_LOGITS", 100)
    some = observe([model, model], request, task=Classification(), logits=True)
    assert some.forget.logits.shape == (2, 5, 3)
    assert some.retain.logits is None
    assert np.array_equal(some.retain.margin[0], plain.retain.margin[0])
