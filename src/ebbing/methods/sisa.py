"""Exact unlearning of a sharded ensemble: only the shards that held the records are trained again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn
from torch.utils.data import Subset

from ebbing.ensemble import Records, ShardedEnsemble
from ebbing.errors import InputError
from ebbing.methods.unlearner import Run, Unlearner
from ebbing.request import ForgetRequest


@dataclass(frozen=True)
class SISA(Unlearner):
    """Train the shards that hold a record that goes again, from the last checkpoint made before the first of them.

    The result is, bit for bit, the ensemble that `ShardedEnsemble.fit` trains on the retain set from scratch, with every
    record in the shard and slice where it was: nothing of the forget set is left in it, whatever a measure says. It is
    for a `ShardedEnsemble` alone, trained by `ShardedEnsemble.fit` on the data set of the request; with random
    augmentation on what `ForgetRequest.for_training` gives. A checkpoint that is missing or damaged costs time, never
    exactness: the stages before it are made again, and the journal says so. Checkpoints of stages that had seen the records
    stay in the folder until `ShardedEnsemble.prune`. The records that go are not read.

    After Bourtoule et al., arXiv 1912.03817. `ebbing.sharding.Sharding.expected_share` says what a request costs.
    """

    reads_forget: ClassVar[bool] = False

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Train what was hit."""
        if not isinstance(model, ShardedEnsemble):
            raise InputError(
                "SISA must be given an ebbing.ShardedEnsemble, which was trained in shards and kept its checkpoints, but the "
                f"model is a {type(model).__name__}. Train one by ShardedEnsemble(trainer, folder=...).fit(train_set), or "
                "take a method that changes any model, such as Ebb."
            )
        after = records_that_stay(run.request)
        model.require_records(after)
        hit = {shard for shard, _ in model.sharding.stages(after.n, run.request.forget_ids.tolist())}
        again, lost = [], []
        for shard, member in enumerate(model.members):
            if shard in hit or not model.was_trained_on(shard, after):
                again.append(shard)
                lost += [] if model.was_kept(shard) else [shard]
                member.load_state_dict(model.trained_shard(shard, after, journal=run.journal))
        if model.folder is None:
            run.journal.note(
                f"The ensemble keeps no checkpoints, so that all of its {len(again)} shards were trained from scratch."
            )
            return model
        run.journal.note(
            f"{len(again)} of {model.sharding.shards} shards had seen other records than those that stay, and were trained "
            "again from the last slice before the first of them."
        )
        if lost:
            run.journal.note(
                f"Members {lost} are not what the checkpoints in {model.folder} say was trained: what was missing was trained "
                "again, so that the result is exact all the same."
            )
        return model


def records_that_stay(request: ForgetRequest) -> Records:
    """The records that stay, by their positions in the full training set as training reads it."""
    retain = request.for_training("retain")
    if not isinstance(retain, Subset):
        raise TypeError(f"the retain set must be a Subset, but is a {type(retain).__name__}.")
    return Records.of(retain.dataset, request.retain_ids.tolist())
