"""SISA is exact: bit for bit what training from scratch without the records gives, for what its cost model says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

import ebbing as eb
from ebbing.ensemble import Records, ShardedEnsemble
from ebbing.errors import InputError
from ebbing.fingerprint import of_tensors
from ebbing.journal import Journal

N, CLASSES = 96, 3
SHARDING = eb.Sharding(4, 3, seed=2)


def data(n: int, seed: int) -> TensorDataset:
    return TensorDataset(torch.randn(n, 5, generator=torch.Generator().manual_seed(seed)), torch.arange(n) % CLASSES)


TRAIN, UNSEEN = data(N, 0), data(60, 1)


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, CLASSES))


TRAINER = eb.Trainer(build, eb.Recipe(epochs=4, batch_size=8))


def made(folder: Path) -> ShardedEnsemble:
    return ShardedEnsemble(TRAINER, SHARDING, folder=folder, seed=3)


def request(ids, exclude=()) -> eb.ForgetRequest:
    return eb.ForgetRequest.from_ids(TRAIN, ids, holdout=UNSEEN, exclude=exclude)


def digest(model: nn.Module) -> str:
    return of_tensors(model.state_dict())


def at(shard: int, slice_: int) -> list[int]:
    """Records of a slice of a shard."""
    return np.flatnonzero(SHARDING.places(N) == shard * SHARDING.slices + slice_).tolist()


REQUESTS = {
    "one record of a last slice": at(1, 2)[:1],
    "one record of a first slice": at(2, 0)[:1],
    "two shards": at(0, 1)[:2] + at(3, 2)[:1],
    "every shard": list(range(0, N, 7)),
    "a whole slice": at(1, 1),
    "the first two slices of a shard": at(1, 0) + at(1, 1),
}


@pytest.mark.parametrize("ids", REQUESTS.values(), ids=REQUESTS)
def test_it_is_training_from_scratch_without_the_records(tmp_path: Path, ids: list[int]) -> None:
    model = made(tmp_path / "used").fit(TRAIN)
    before = digest(model)
    result = eb.SISA().unlearn(model, request(ids), seed=9)
    scratch = made(tmp_path / "fresh").fit(TRAIN, ids=request(ids).retain_ids.tolist())
    assert digest(result) == digest(scratch)
    assert digest(model) == before
    assert digest(result) != before


def test_the_control_other_records_or_another_assignment_give_other_weights(tmp_path: Path) -> None:
    ids = REQUESTS["two shards"]
    result = eb.SISA().unlearn(made(tmp_path / "used").fit(TRAIN), request(ids))
    one_less = made(tmp_path / "less").fit(TRAIN, ids=request([*ids, at(2, 2)[0]]).retain_ids.tolist())
    assert digest(one_less) != digest(result)
    elsewhere = ShardedEnsemble(TRAINER, eb.Sharding(4, 3, seed=5), folder=tmp_path / "else", seed=3)
    assert digest(elsewhere.fit(TRAIN, ids=request(ids).retain_ids.tolist())) != digest(result)


def test_request_after_request_is_still_training_from_scratch(tmp_path: Path) -> None:
    model: nn.Module = made(tmp_path / "used").fit(TRAIN)
    gone: list[int] = []
    for ids in ([3, 40], [5], [70, 71, 9]):
        model = eb.SISA().unlearn(model, request(ids, exclude=gone))
        gone += ids
    scratch = made(tmp_path / "fresh").fit(TRAIN, ids=[i for i in range(N) if i not in gone])
    assert digest(model) == digest(scratch)


@pytest.mark.parametrize("ids", REQUESTS.values(), ids=REQUESTS)
def test_it_costs_what_the_cost_model_says(tmp_path: Path, ids: list[int]) -> None:
    model = made(tmp_path).fit(TRAIN)
    whole, part, none = Journal(), Journal(), Journal()
    made(tmp_path / "fresh").fit(TRAIN, journal=whole)
    eb.SISA().unlearn(model, request(ids), journal=part)
    eb.DoNothing().unlearn(model, request(ids), journal=none)  # what the guards around every method read
    assert SHARDING.share(N, ids) > 0
    # the records that are no longer there are not deducted from the share
    allowed = len(ids) * model.stage_recipe.epochs * SHARDING.slices / whole.examples
    measured = (part.examples - none.examples) / whole.examples
    assert measured <= SHARDING.share(N, ids) <= measured + allowed + 0.01


def test_lost_checkpoints_cost_time_and_not_exactness(tmp_path: Path) -> None:
    model = made(tmp_path / "used").fit(TRAIN)
    ids = REQUESTS["one record of a last slice"]
    for path in (tmp_path / "used").rglob("*.safetensors"):
        path.unlink()
    journal = Journal()
    result = eb.SISA().unlearn(model, request(ids), journal=journal)
    assert digest(result) == digest(made(tmp_path / "fresh").fit(TRAIN, ids=request(ids).retain_ids.tolist()))
    assert any("Members [0, 1, 2, 3] are not what the checkpoints" in note for note in journal.notes)


class Tied(nn.Module):
    """Two layers with one weight between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, CLASSES)
        self.second.weight = self.first.weight

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.head(self.second(self.first(inputs).relu()).relu())
        return result


def test_members_with_tied_weights_are_known_by_their_checkpoints(tmp_path: Path) -> None:
    trainer = eb.Trainer(Tied, TRAINER.recipe)
    model = ShardedEnsemble(trainer, SHARDING, folder=tmp_path / "used").fit(TRAIN)
    everything, journal = Records.of(TRAIN, None), Journal()
    assert all(model.was_trained_on(shard, everything) and model.was_kept(shard) for shard in range(4))
    ids = REQUESTS["two shards"]
    result = eb.SISA().unlearn(model, request(ids), journal=journal)
    (note,) = journal.notes
    assert note.startswith("2 of 4 shards")
    scratch = ShardedEnsemble(trainer, SHARDING, folder=tmp_path / "fresh")
    assert digest(result) == digest(scratch.fit(TRAIN, ids=request(ids).retain_ids.tolist()))


def test_without_a_folder_all_is_trained_from_scratch_and_said_so(tmp_path: Path) -> None:
    ids, journal = REQUESTS["one record of a last slice"], Journal()
    model = ShardedEnsemble(TRAINER, SHARDING, folder=None, seed=3).fit(TRAIN)
    result = eb.SISA().unlearn(model, request(ids), journal=journal)
    assert digest(result) == digest(made(tmp_path).fit(TRAIN, ids=request(ids).retain_ids.tolist()))
    (note,) = journal.notes
    assert note == "The ensemble keeps no checkpoints, so that all of its 4 shards were trained from scratch."


def test_a_member_that_somebody_changed_is_not_passed_on(tmp_path: Path) -> None:
    model = made(tmp_path / "used").fit(TRAIN)
    with torch.no_grad():
        model.members[0][0].weight.add_(1.0)
    result = eb.SISA().unlearn(model, request(REQUESTS["one record of a last slice"]))
    rest = request(REQUESTS["one record of a last slice"]).retain_ids.tolist()
    assert digest(result) == digest(made(tmp_path / "fresh").fit(TRAIN, ids=rest))


def test_other_models_are_refused_in_words() -> None:
    with pytest.raises(InputError, match=r"must be given an ebbing.ShardedEnsemble.*but the model is a Sequential"):
        eb.SISA().unlearn(build(), request([1]))


def test_a_request_that_empties_a_shard_is_refused(tmp_path: Path) -> None:
    model = made(tmp_path).fit(TRAIN)
    with pytest.raises(InputError, match="shard 2 of 4 keeps none"):
        eb.SISA().unlearn(model, request(at(2, 0) + at(2, 1) + at(2, 2)))


class View(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Records as training reads them, with noise of its own each time; the records that are gone cannot be read."""

    def __init__(self, gone: tuple[int, ...] = (), *, noise: float = 0.0) -> None:
        self.gone, self.noise = gone, noise

    def __len__(self) -> int:
        return N

    def __getitem__(self, position: int) -> tuple[torch.Tensor, torch.Tensor]:
        assert position not in self.gone, f"record {position} is gone"
        x, y = TRAIN[position]
        return x + self.noise * torch.randn(5), y


def test_with_augmentation_too_the_records_that_go_are_not_read(tmp_path: Path) -> None:
    ids = REQUESTS["two shards"]

    def seen(gone: tuple[int, ...]) -> eb.ForgetRequest:
        rest = torch.tensor([i for i in range(N) if i not in ids])
        view = View(gone, noise=0.1)
        return eb.ForgetRequest(View(gone), torch.tensor(sorted(ids)), rest, UNSEEN, training_view=view)

    model = made(tmp_path / "used").fit(seen(()).for_training("everything"))
    result = eb.SISA().unlearn(model, seen(tuple(ids)))
    stays = seen(()).for_training("retain")
    assert digest(result) == digest(made(tmp_path / "fresh").fit(stays.dataset, ids=stays.indices))


def test_a_change_elsewhere_in_the_data_costs_the_other_shards_nothing(tmp_path: Path) -> None:
    model = made(tmp_path).fit(TRAIN)
    changed = TensorDataset(TRAIN.tensors[0].clone(), TRAIN.tensors[1])
    changed.tensors[0][REQUESTS["one record of a first slice"][0]] += 1
    journal = Journal()
    found = made(tmp_path).fit(changed, journal=journal)
    pairs = zip(found.members, model.members, strict=True)
    same = [digest(a) == digest(b) for a, b in pairs]
    assert same == [True, True, False, True]
    assert journal.examples == pytest.approx(N / 4 * 4, abs=6)  # four epochs of one shard
