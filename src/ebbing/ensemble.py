"""An ensemble of members trained on shards, which owns the checkpoints that make taking records out cheap and exact."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset, Subset

from ebbing import __version__, fingerprint
from ebbing.batches import size
from ebbing.checkpoints import tensors_of
from ebbing.errors import InputError
from ebbing.journal import Journal
from ebbing.sharding import Sharding
from ebbing.store import ModelStore
from ebbing.task import logits_of
from ebbing.training import Recipe, Trainer, fit, seeded, stream


def mean_logits(members: Sequence[Tensor]) -> Tensor:
    """Logits of the mean of several predicted distributions: log of the mean probability.

    Args:
        members: each (..., classes) logits, or (n,) or (n, 1) where one logit z means p(1) = sigmoid(z).

    Returns:
        The same shape: log mean softmax, or the log-odds of the mean of the sigmoids. Margin, confidence and entropy taken
        from these are those of the averaged probabilities.
    """
    stacked = torch.stack(list(members))  # (members, ...)
    if stacked.ndim < 3 or stacked.shape[-1] == 1:
        return functional.logsigmoid(stacked).logsumexp(0) - functional.logsigmoid(-stacked).logsumexp(0)
    mean: Tensor = stacked.log_softmax(-1).logsumexp(0) - torch.tensor(float(len(members))).log()
    return mean


class ShardedEnsemble(nn.Module):
    """One network for each shard of the training data; what it says is the mean of their probabilities.

    The ensemble owns a folder of checkpoints: ``shard-SS/slice-RR-KEY.safetensors``, the weights after each stage of each
    shard's training. The key has everything in it that may change a bit of the weights (network, recipe, task, seed, the
    records of the stage and the stages before, threads, versions of ebbing and torch), and each file a digest of its weights:
    a checkpoint is never taken for another, and one that is damaged, or from another version, is made again. What was
    interrupted goes on where it stopped. Only records that a stage is trained on are read to name it.

    After Bourtoule et al., arXiv 1912.03817; the aggregation is the mean of probabilities.

    Attributes:
        trainer: makes the members; its recipe's epochs are shared out among the stages, each with an optimizer of its own.
        sharding: which record is where.
        folder: of the checkpoints; None keeps none, and every training is then from scratch.
        seed: of initialisations and orders, for every shard and stage its own.
        members: (S) networks, in the order of the shards.
    """

    def __init__(
        self, trainer: Trainer, sharding: Sharding | None = None, *, folder: str | Path | None, seed: int = 0
    ) -> None:
        """An ensemble that has not been trained.

        Raises:
            InputError: if the recipe ends by a number of examples, which would cut some stages short and not others.
        """
        super().__init__()
        if not isinstance(trainer, Trainer):
            raise InputError(
                "a sharded ensemble needs an ebbing.Trainer, whose training can be stopped after each slice, but the "
                f"trainer is {trainer!r}."
            )
        if trainer.recipe.max_examples is not None:
            raise InputError(
                "the recipe of a sharded ensemble must not set max_examples, but sets "
                f"{trainer.recipe.max_examples}. Say how long by `epochs`."
            )
        self.trainer, self.sharding = trainer, sharding or Sharding()
        self.folder, self.seed = None if folder is None else Path(folder), seed
        self.members = nn.ModuleList(self._initial(shard) for shard in range(self.sharding.shards))
        self.eval()

    def forward(self, inputs: Any = None, **named: Any) -> Tensor:
        """Logits of the mean probabilities of all members, see `mean_logits`."""
        return mean_logits([logits_of(member, named or inputs) for member in self.members])

    @cached_property
    def stage_recipe(self) -> Recipe:
        """The recipe of one stage."""
        return replace(self.trainer.recipe, epochs=self.sharding.epochs(self.trainer.recipe.epochs))

    def fit(
        self, dataset: Dataset[Any], *, ids: Iterable[int] | None = None, journal: Journal | None = None
    ) -> ShardedEnsemble:
        """Train every member from scratch, or from the last of its checkpoints that are for these records.

        Args:
            dataset: the full training set: positions in it say which shard and slice a record belongs to.
            ids: positions that are trained on; all if None.
            journal: counts the examples that are processed, none for what is found in the folder.

        Returns:
            The ensemble itself.

        Raises:
            InputError: if there are fewer records than slices, or a shard keeps none.
            DivergedError: if a loss is not finite.
        """
        records = Records.of(dataset, ids)
        self.require_records(records)
        for shard, member in enumerate(self.members):
            member.load_state_dict(self.trained_shard(shard, records, journal=journal))
        self.eval()
        return self

    def trained_shard(self, shard: int, records: Records, *, journal: Journal | None = None) -> dict[str, Tensor]:
        """The weights of a shard's member for these records, stage by stage; what is in the folder is not made again."""
        stages = list(self._stages(shard, records))
        model = self._initial(shard)
        done = 0
        store = self.store(shard)
        for number in range(len(stages), 0, -1):
            found = None if store is None else store.get(stages[number - 1][0], lambda: self._initial(shard))
            if found is not None:
                model, done = found[0], number
                break
        for number, (key, part) in enumerate(stages[done:], start=done + 1):
            self._train_stage(model, shard, number, part, journal)
            if store is not None:
                store.put(key, model, {"shard": str(shard), "slice": str(number), "records": str(size(part))})
        return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    def _train_stage(
        self, model: nn.Module, shard: int, number: int, part: Dataset[Any], journal: Journal | None
    ) -> None:
        """Train a member in place on slices 1 to ``number``: by these, its weights before and the seed alone."""
        if self.stage_recipe.examples(size(part)) == 0:
            return
        with seeded(stream(self.seed, f"shard {shard}, slice {number}")) as generator:
            fit(model, part, self.stage_recipe, task=self.trainer.task, generator=generator, journal=journal)

    def store(self, shard: int) -> ModelStore | None:
        """The checkpoints of a shard; None where none are kept."""
        return None if self.folder is None else ModelStore(self.folder / f"shard-{shard:02d}")

    def keys(self, shard: int, records: Records) -> list[str]:
        """Names of a shard's checkpoints for these records, one for each stage."""
        return [key for key, _ in self._stages(shard, records)]

    def was_trained_on(self, shard: int, records: Records) -> bool:
        """Whether a member is, bit for bit, what the folder says was trained on these records."""
        store = self.store(shard)
        facts = None if store is None else store.facts(self.keys(shard, records)[-1])
        return facts is not None and facts.get("content") == self._content(shard)

    def was_kept(self, shard: int) -> bool:
        """Whether a member is, bit for bit, one of the folder's checkpoints, of whichever records. No record is read."""
        store = self.store(shard)
        own = self._content(shard)
        return store is not None and any(e.facts is not None and e.facts.get("content") == own for e in store.entries())

    def _content(self, shard: int) -> str:
        return fingerprint.of_tensors(tensors_of(self.members[shard]))  # as the store writes them: what is tied, once

    def prune(self, dataset: Dataset[Any], *, ids: Iterable[int] | None = None) -> list[Path]:
        """Remove every checkpoint that is not one of this ensemble trained on these records.

        What was trained on records that have gone since remembers them. Older ensembles that share the folder can then no
        longer take records out cheaply.

        Returns:
            The files that were removed.
        """
        records = Records.of(dataset, ids)
        removed = []
        for shard in range(self.sharding.shards):
            store, keep = self.store(shard), set(self.keys(shard, records))
            if store is None:
                break
            for entry in store.entries():
                if entry.key not in keep:
                    store.remove(entry.key)
                    removed.append(store.path(entry.key))
        return removed

    def _stages(self, shard: int, records: Records) -> Iterator[tuple[str, Dataset[Any]]]:
        """Key and data of each stage of a shard."""
        key, before = self._beginning(shard), set[int]()
        for number in range(1, self.sharding.slices + 1):
            ids = self.sharding.stage(records.n, records.ids, shard=shard, slices=number)
            key = fingerprint.of_settings([key, number, records.n, records.content(sorted({*ids} - before)), ids])
            before = {*ids}
            yield f"slice-{number:02d}-{key}", Subset(records.dataset, ids)

    def _beginning(self, shard: int) -> str:
        """What all checkpoints of a shard are made from beside records: whatever may change a bit of them."""
        initial = self._initial(shard)
        own = sorted({line for module in initial.modules() for line in fingerprint.source_of(type(module))})
        task = [fingerprint.as_plain(self.trainer.task), fingerprint.source_of(type(self.trainer.task))]
        about = [fingerprint.as_plain(self.stage_recipe), self.seed, self.trainer.device]
        versions = [torch.get_num_threads(), torch.__version__, __version__]
        return fingerprint.of_settings([fingerprint.of_model(initial), own, task, about, versions])

    def _initial(self, shard: int) -> nn.Module:
        """The untrained member of a shard."""
        return self.trainer.initial(seed=stream(self.seed, f"shard {shard}"))

    def require_records(self, records: Records) -> None:
        """Refuse records of which a shard has none: an untrained member would vote."""
        for shard in range(self.sharding.shards):
            if not self.sharding.stage(records.n, records.ids, shard=shard, slices=self.sharding.slices):
                raise InputError(
                    f"every shard must keep at least one record, but shard {shard} of {self.sharding.shards} keeps none of "
                    f"the {len(records.ids)}. Train a new ensemble with fewer shards."
                )


@dataclass(frozen=True)
class Records:
    """Records by their positions in the full training set.

    Attributes:
        dataset: the full training set.
        n: how many it holds.
        ids: positions that are there, ascending.
    """

    dataset: Dataset[Any]
    n: int
    ids: tuple[int, ...]
    _contents: dict[tuple[int, ...], str] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, dataset: Dataset[Any], ids: Iterable[int] | None) -> Records:
        """Some records of a data set; all where ``ids`` is None.

        Raises:
            InputError: if a position is out of range or given twice.
        """
        n = size(dataset)
        held = tuple(range(n)) if ids is None else tuple(sorted(int(i) for i in ids))
        if held and not (held[0] >= 0 and held[-1] < n):
            raise InputError(f"`ids` must lie in [0, {n}), but reach from {held[0]} to {held[-1]}.")
        if len(set(held)) < len(held):
            raise InputError(f"`ids` must name each record once, but {len(held) - len(set(held))} are repeated.")
        return cls(dataset, n, held)

    def only(self, ids: Iterable[int]) -> Records:
        """Others of the same data set; what was read is not read again."""
        return replace(self, ids=tuple(sorted(ids)))

    def content(self, ids: Sequence[int]) -> str:
        """Fingerprint of the records at some positions; no other is read."""
        key = tuple(ids)
        if key not in self._contents:
            self._contents[key] = fingerprint.of_part(self.dataset, key)
        return self._contents[key]
