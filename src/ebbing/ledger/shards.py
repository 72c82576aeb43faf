"""A ledger whose model is an ensemble trained in shards: what retrains it, and which checkpoints belong to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import nn
from torch.utils.data import Dataset, Subset

from ebbing import fingerprint
from ebbing.ensemble import Records, ShardedEnsemble
from ebbing.errors import InputError
from ebbing.ledger.manifest import Cell, Manifest
from ebbing.methods.sisa import records_that_stay
from ebbing.methods.unlearner import Run, Unlearner
from ebbing.request import ForgetRequest
from ebbing.sharding import Sharding
from ebbing.training import OwnTrainer, Trainer, stream


@dataclass(frozen=True)
class InShards:
    """Trains an ensemble from scratch, and keeps no checkpoint: ``(dataset, *, seed) -> model``, for references.

    Attributes:
        trainer: of the members.
        sharding: which record is where, by its position in the full training set.
    """

    trainer: Trainer
    sharding: Sharding

    def __call__(self, dataset: Dataset[Any], *, seed: int) -> nn.Module:
        """An ensemble of the records of a data set, or of the part of one that a `Subset` shows."""
        ensemble = ShardedEnsemble(self.trainer, self.sharding, folder=None, seed=seed)
        if isinstance(dataset, Subset):
            return ensemble.fit(dataset.dataset, ids=dataset.indices)
        return ensemble.fit(dataset)

    def untrained(self) -> nn.Module:
        """An ensemble to load weights into."""
        return ShardedEnsemble(self.trainer, self.sharding, folder=None)


@dataclass(frozen=True)
class AnewInShards(Unlearner):
    """The ensemble trained from scratch without the records, from initialisations that were not used before."""

    reads_forget: ClassVar[bool] = False

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Start over, in the folder of the ensemble."""
        if not isinstance(model, ShardedEnsemble):
            raise TypeError(f"an ensemble is trained anew, but the model is a {type(model).__name__}.")
        fresh = ShardedEnsemble(model.trainer, model.sharding, folder=model.folder, seed=run.seed)
        records = records_that_stay(run.request)
        return fresh.fit(records.dataset, ids=records.ids, journal=run.journal)

    @staticmethod
    def seed(seed: int) -> int:
        """The seed of the ensemble that a run with this seed makes, as `Unlearner.unlearn` derives it."""
        return stream(seed, "unlearning")


@dataclass(frozen=True)
class Shards:
    """What a ledger's ensembles have in common.

    Attributes:
        trainer: of the members.
        sharding: which record is where.
        folder: of the checkpoints, in the ledger's.
        seed: of the first ensemble, where the ledger trains it.
    """

    trainer: Trainer
    sharding: Sharding
    folder: Path
    seed: int = 0

    def ensemble(self, seed: int) -> ShardedEnsemble:
        """An untrained ensemble that owns the folder."""
        return ShardedEnsemble(self.trainer, self.sharding, folder=self.folder, seed=seed)

    @property
    def references(self) -> OwnTrainer:
        """What trains the references that an ensemble is judged by: ensembles of other seeds."""
        function = InShards(self.trainer, self.sharding)
        return OwnTrainer(function, function.untrained, self.trainer.device)

    @property
    def build(self) -> Callable[[], nn.Module]:
        """Makes an ensemble to load weights into."""
        return self.references.build

    def of_records(self, n: int | None) -> dict[str, int | None]:
        """Which record is where, for the manifest of a version."""
        return asdict(self.sharding) | {"records": n}

    def about(self) -> Any:
        """The training, for the manifest of a version."""
        return fingerprint.as_plain(self.trainer)

    def checkpoints(self, ensemble: ShardedEnsemble, records: Records) -> list[str]:
        """The files of every stage of every shard, as paths in the ledger's folder."""
        return [
            f"{self.folder.name}/shard-{shard:02d}/{key}.safetensors"
            for shard in range(self.sharding.shards)
            for key in ensemble.keys(shard, records)
        ]

    def check(self, manifest: Manifest, version: int) -> None:
        """Refuse another training than that of a version: every shard would be trained again, and by another recipe.

        Raises:
            InputError: if network, recipe or task are not those of the version.
        """
        own = {"build": self.trainer.build, "recipe": self.trainer.recipe, "task": self.trainer.task}
        names = {"build": "model", "recipe": "recipe", "task": "task"}
        for part, value in own.items():
            saved = (manifest.about or {}).get(part)
            if saved is not None and not fingerprint.is_plain_of(saved, value):
                then, now = _differing(saved, fingerprint.as_plain(value))
                raise InputError(
                    f"`{names[part]}` in ledger.json must say what version {version} was trained by, {then}, but says {now}. "
                    "Change it back; only a retraining (`ebbing ledger decide NUMBER retrain`) takes another."
                )

    def mend(self, ensemble: ShardedEnsemble, records: Records) -> None:
        """Have what is missing made again: from the first checkpoint of a shard that is not sound on, the others go."""
        for shard in range(self.sharding.shards):
            store, keys = ensemble.store(shard), ensemble.keys(shard, records)
            broken = next((i for i, key in enumerate(keys) if store is not None and not store.is_sound(key)), len(keys))
            for key in keys[broken:]:
                if store is not None:
                    store.remove(key)

    def cells(self, n: int, positions: Sequence[int]) -> list[Cell]:
        """Shard and slice of some positions out of n."""
        places = self.sharding.places(n)[list(positions)].tolist()
        return sorted({divmod(place, self.sharding.slices) for place in places})

    def is_exact(self, model: nn.Module, seed: int, request: ForgetRequest) -> bool:
        """Whether a model is, bit for bit, what its checkpoints say was trained on the records that stay alone."""
        ensemble = self.ensemble(seed)
        ensemble.load_state_dict(model.state_dict())
        records = records_that_stay(request)
        return all(ensemble.was_trained_on(shard, records) for shard in range(self.sharding.shards))


def _differing(then: Any, now: Any) -> tuple[str, str]:
    """Two settings in words; of those with names the ones that differ."""
    if not isinstance(then, dict) or not isinstance(now, dict):
        return str(then), str(now)
    names = [name for name in now if then.get(name, now[name]) != now[name]] or list(now)
    first, second = (" ".join(f"{name}={each.get(name)}" for name in names) for each in (then, now))
    return first, second
