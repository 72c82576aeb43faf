"""Models stored by content: what is in the key, what is found again, and what a crash leaves behind."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import ebbing.store
from ebbing.auditing import audit
from ebbing.bank import OracleBank
from ebbing.errors import InputError
from ebbing.fingerprint import of_model
from ebbing.journal import Journal
from ebbing.request import ForgetRequest
from ebbing.store import ModelStore, train_or_load, training_key
from ebbing.task import Classification
from ebbing.training import Recipe, Trainer

X = torch.randn(30, 1, 5, 5, generator=torch.Generator().manual_seed(0))
DATA = TensorDataset(X, torch.arange(30) % 3)
UNSEEN = TensorDataset(X + 10, DATA.tensors[1].clone())
REQUEST = ForgetRequest.from_ids(DATA, range(5), holdout=UNSEEN)
RECIPE = Recipe(epochs=1, batch_size=10)


def network(width: int = 4) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten(), nn.Linear(9 * width, 3)
    )


TRAINER = Trainer(network, RECIPE)


class Counting:
    """A trainer that is no `Trainer`, and counts its calls."""

    def __init__(self) -> None:
        self.seeds: list[int] = []

    def __call__(self, dataset, *, seed: int) -> nn.Module:
        self.seeds.append(seed)
        return TRAINER(dataset, seed=seed)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds of all trainings by a `Trainer` from here on."""
    seeds: list[int] = []
    call = Trainer.__call__

    def counted(self, dataset, *, seed, journal=None):
        seeds.append(seed)
        return call(self, dataset, seed=seed, journal=journal)

    monkeypatch.setattr(Trainer, "__call__", counted)
    return seeds


# ---------------------------------------------------------------- the store


def test_a_model_comes_back_bit_for_bit_with_its_facts(store) -> None:
    model = TRAINER(DATA, seed=0)
    store.put("key", model, {"seconds": "1.5", "seed": "0"})
    found, facts = store.get("key", network)
    assert of_model(found) == of_model(model)  # running statistics too
    assert facts == {"seconds": "1.5", "seed": "0"}
    assert not found.training
    assert [p.name for p in store.directory.iterdir()] == ["key.safetensors"]


def test_tied_weights_come_back_tied(store) -> None:
    def tied() -> nn.Module:
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        model[1].weight = model[0].weight
        return model

    model = tied()
    store.put("tied", model, {})
    found, _ = store.get("tied", tied)
    assert found[0].weight is found[1].weight
    assert torch.equal(found[0].weight, model[0].weight)


def test_what_was_never_put_is_none(store) -> None:
    assert store.get("key", network) is None
    assert not store.directory.exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"not a model", b"\xff" * 64, None],
    ids=["empty", "text", "noise", "cut short"],
)
def test_an_unreadable_entry_is_as_if_it_were_not_there(store, content) -> None:
    store.put("key", TRAINER(DATA, seed=0), {"seconds": "1"})
    path = store.path("key")
    path.write_bytes(path.read_bytes()[:-7] if content is None else content)
    assert store.get("key", network) is None


def test_an_entry_of_another_structure_is_as_if_it_were_not_there(store) -> None:
    store.put("key", network(4), {})
    assert store.get("key", lambda: network(5)) is None
    assert store.get("key", lambda: nn.Sequential(nn.Linear(1, 1))) is None


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_write_that_is_cut_off_leaves_the_old_entry(store, monkeypatch, error) -> None:
    old = TRAINER(DATA, seed=0)
    store.put("key", old, {"seed": "0"})

    def torn(tensors: dict[str, torch.Tensor], name: str, metadata: dict[str, str]) -> None:
        Path(name).write_bytes(b"half of a mod")
        raise error

    monkeypatch.setattr(ebbing.store, "save_file", torn)
    for key in ("key", "new"):
        with pytest.raises(error):
            store.put(key, TRAINER(DATA, seed=1), {"seed": "1"})
    found, facts = store.get("key", network)
    assert of_model(found) == of_model(old)
    assert facts == {"seed": "0"}
    assert store.get("new", network) is None
    assert [p.name for p in store.directory.iterdir()] == ["key.safetensors"]  # nothing half-written lies about


# ---------------------------------------------------------------- the key


def key(trainer=TRAINER, data=DATA, *, seed: int = 0) -> str:
    return training_key(trainer, data, seed=seed)


def test_whatever_changes_a_bit_of_the_result_changes_the_key(monkeypatch) -> None:
    class Other(Classification):
        """A task with another name."""

    one_pixel = X.clone()
    one_pixel[17, 0, 2, 2] += 1e-6
    keys = {
        "as it is": key(),
        "seed": key(seed=1),
        "epochs": key(Trainer(network, Recipe(epochs=2, batch_size=10))),
        "learning rate": key(Trainer(network, Recipe(epochs=1, batch_size=10, learning_rate=2e-3))),
        "schedule": key(Trainer(network, Recipe(epochs=1, batch_size=10, schedule="cosine"))),
        "width": key(Trainer(lambda: network(5), RECIPE)),
        "task": key(Trainer(network, RECIPE, task=Other())),
        "a pixel": key(data=TensorDataset(one_pixel, DATA.tensors[1])),
        "a label": key(data=TensorDataset(X, (DATA.tensors[1] + (torch.arange(30) == 9)) % 3)),
        "fewer records": key(data=REQUEST.retain),
        "the order of records": key(data=TensorDataset(X.flip(0), DATA.tensors[1].flip(0))),
        "activation": key(
            Trainer(lambda: nn.Sequential(*list(network())[:2], nn.GELU(), *list(network())[3:]), RECIPE)
        ),
    }
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    keys["threads"] = key()
    monkeypatch.setattr(torch, "__version__", "99.0")
    keys["version of torch"] = key()
    assert len(set(keys.values())) == len(keys)


def test_what_changes_nothing_does_not_change_the_key() -> None:
    same = Trainer(lambda: network(), Recipe(epochs=1, batch_size=10, momentum=0.9))
    assert key(same, TensorDataset(X.clone(), DATA.tensors[1].clone())) == key()
    state = torch.get_rng_state()
    torch.rand(3)
    assert key() == key()
    torch.set_rng_state(state)


def test_a_trainer_of_ones_own_is_known_by_its_name() -> None:
    def mine(dataset, *, seed):
        return network()

    def other(dataset, *, seed):
        return network()

    assert key(mine) == key(mine)
    assert len({key(mine), key(other), key(Counting()), key()}) == 4


# ---------------------------------------------------------------- training or loading


def test_a_training_is_done_once(store, trainings) -> None:
    first = train_or_load(TRAINER, DATA, seed=3, store=store)
    again = train_or_load(TRAINER, DATA, seed=3, store=store)
    assert trainings == [3]
    assert (first.reused, again.reused) == (False, True)
    assert of_model(first.model) == of_model(again.model)
    assert again.seconds == first.seconds > 0  # what it took when it was trained


def test_a_corrupted_entry_is_trained_anew_and_replaced(store, trainings) -> None:
    first = train_or_load(TRAINER, DATA, seed=3, store=store)
    path = store.path(key(seed=3))
    path.write_bytes(path.read_bytes()[:100])
    again = train_or_load(TRAINER, DATA, seed=3, store=store)
    assert trainings == [3, 3]
    assert not again.reused
    assert of_model(first.model) == of_model(again.model)
    assert train_or_load(TRAINER, DATA, seed=3, store=store).reused


def test_without_a_store_nothing_is_written(trainings, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not train_or_load(TRAINER, DATA, seed=3, store=None).reused
    assert not train_or_load(TRAINER, DATA, seed=3, store=None).reused
    assert trainings == [3, 3]
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- the bank


def test_a_bank_is_a_sequence_of_models_trained_without_the_forget_set(trainings) -> None:
    bank = OracleBank(TRAINER, REQUEST)
    assert len(bank) == 0
    assert bank.median_seconds is None
    assert bank.train(3) is bank
    assert trainings == [1000, 1001, 1002]
    assert len(bank) == len(list(bank)) == len(bank.seconds) == 3
    for i, model in enumerate(bank):
        assert of_model(model) == of_model(TRAINER(REQUEST.retain, seed=1000 + i))
        assert model is bank[i]
    assert [m is bank[i] for i, m in zip((1, 2), bank[1:], strict=True)] == [True, True]
    assert bank[-1] is bank[2]
    with pytest.raises(IndexError):
        bank[3]
    assert len({of_model(m) for m in bank}) == 3
    assert min(bank.seconds) <= bank.median_seconds <= max(bank.seconds)


def test_a_bank_grows_and_never_shrinks(trainings) -> None:
    bank = OracleBank(TRAINER, REQUEST, first_seed=5).train(2)
    first = bank[0]
    bank.train(3).train(1)
    assert trainings == [5, 6, 7]
    assert len(bank) == 3
    assert bank[0] is first


def test_a_bank_on_disk_goes_on_where_it_was(tmp_path, trainings) -> None:
    first = OracleBank(TRAINER, REQUEST, directory=tmp_path / "bank").train(2)
    announced = []
    again = OracleBank(TRAINER, REQUEST, directory=str(tmp_path / "bank")).train(
        3, on_model=lambda n, trained: announced.append((n, trained.reused))
    )
    assert trainings == [1000, 1001, 1002]
    assert announced == [(1, True), (2, True), (3, False)]
    assert [of_model(m) for m in again[:2]] == [of_model(m) for m in first]
    assert again.seconds[:2] == first.seconds
    assert len(list((tmp_path / "bank").iterdir())) == 3


class Counted(nn.Linear):
    """A network that knows how many of its kind are in memory."""

    alive: ClassVar[weakref.WeakSet[Counted]] = weakref.WeakSet()

    def __init__(self) -> None:
        super().__init__(25, 3)
        Counted.alive.add(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.flatten(1))


def test_a_bank_on_disk_holds_no_model_in_memory(tmp_path) -> None:
    """Neither while it grows nor while it is judged by; one without a directory holds them all."""

    gc.collect()
    gc.freeze()  # what other tests left is not gone through each time

    def most(directory: Path | None) -> int:
        before, most = len(Counted.alive), 0

        def count(*_) -> None:
            nonlocal most
            gc.collect()
            most = max(most, len(Counted.alive) - before)

        bank = OracleBank(Trainer(Counted, RECIPE), REQUEST, directory=directory).train(8, on_model=count)
        original = Trainer(Counted, RECIPE)(DATA, seed=0)
        audit(original=original, unlearned=original, oracles=bank, request=REQUEST, on_model=count)
        return most

    try:
        assert most(None) >= 8
        gc.collect()
        # the one that was trained or is looked at, what it is compared with, and copies that relearn
        assert most(tmp_path) <= 5
    finally:
        gc.unfreeze()


def test_a_model_that_is_gone_from_the_bank_is_said(tmp_path) -> None:
    bank = OracleBank(TRAINER, REQUEST, directory=tmp_path).train(1)
    (path,) = tmp_path.iterdir()
    path.unlink()
    with pytest.raises(InputError, match="is gone or damaged"):
        bank[0]
    assert of_model(OracleBank(TRAINER, REQUEST, directory=tmp_path).train(1)[0])


def test_what_is_kept_is_told_without_loading_it(tmp_path, trainings, monkeypatch) -> None:
    bank = OracleBank(TRAINER, REQUEST, directory=tmp_path)
    assert bank.stored_seconds(3) == []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    bank.train(2)
    assert bank.stored_seconds(3) == bank.seconds
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    assert bank.stored_seconds(3) == []  # with seven threads they would be others,
    assert bank.stored_seconds(3, workers=2) == bank.seconds  # and workers have one each
    assert OracleBank(TRAINER, REQUEST).stored_seconds(3) == []
    assert trainings == [1000, 1001]


def test_another_request_shares_nothing_in_the_same_directory(tmp_path, trainings) -> None:
    OracleBank(TRAINER, REQUEST, directory=tmp_path).train(1)
    other = ForgetRequest.from_ids(DATA, range(6), holdout=UNSEEN)
    OracleBank(TRAINER, other, directory=tmp_path).train(1)
    assert trainings == [1000, 1000]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_bank_that_is_cut_off_keeps_what_is_finished(tmp_path, trainings) -> None:
    def stop(n: int, trained) -> None:
        if n == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        OracleBank(TRAINER, REQUEST, directory=tmp_path).train(4, on_model=stop)
    OracleBank(TRAINER, REQUEST, directory=tmp_path).train(4)
    assert trainings == [1000, 1001, 1002, 1003]


def test_any_callable_trains_a_bank_in_memory() -> None:
    mine = Counting()
    bank = OracleBank(mine, REQUEST, first_seed=20).train(2)
    assert mine.seeds == [20, 21]
    assert of_model(bank[0]) == of_model(TRAINER(REQUEST.retain, seed=20))
    assert len(bank.seconds) == 2


def test_a_callable_with_a_directory_is_refused_before_anything_is_trained(tmp_path) -> None:
    mine = Counting()
    with pytest.raises(InputError, match=r"needs an ebbing\.Trainer.*Leave the directory out"):
        OracleBank(mine, REQUEST, directory=tmp_path)
    assert mine.seeds == []


@pytest.mark.parametrize("n", [0, -1])
def test_at_least_one_model_must_be_wanted(n: int) -> None:
    with pytest.raises(InputError, match="at least 1 retrained model"):
        OracleBank(TRAINER, REQUEST).train(n)


def test_the_journal_counts_what_is_trained_and_not_what_is_reused(tmp_path) -> None:
    for expected in (2 * 25, 0):
        journal = Journal()
        OracleBank(TRAINER, REQUEST, directory=tmp_path).train(2, journal=journal)
        assert journal.examples == expected
