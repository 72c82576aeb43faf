"""Exact unlearning of a sharded ensemble: only the shards that held the records are trained again."""

from __future__ import annotations

from dataclasses import dataclass

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
    stay in the folder until `ShardedEnsemble.prune`.

    After Bourtoule et al., arXiv 1912.03817. `ebbing.sharding.Sharding.expected_share` says what a request costs.
    """

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Train what was hit."""
        if not isinstance(model, ShardedEnsemble):
            raise InputError(
                "SISA must be given an ebbing.ShardedEnsemble, which was trained in shards and kept its checkpoints, but the "
                f"model is a {type(model).__name__}. Train one by ShardedEnsemble(trainer, folder=...).fit(train_set), or "
                "take a method that changes any model, such as Ebb."
            )
        before, after = records_of(run.request)
        model.require_records(after)
        hit = {shard for shard, _ in model.sharding.stages(after.n, run.request.forget_ids.tolist())}
        lost = []
        for shard, member in enumerate(model.members):
            if shard in hit or not model.was_trained_on(shard, after):
                lost += [] if model.was_trained_on(shard, before) else [shard]
                member.load_state_dict(model.trained_shard(shard, after, journal=run.journal))
        run.journal.note(
            f"{len(hit)} of {model.sharding.shards} shards held records that go and were trained again from the last slice "
            "before the first of them."
        )
        if lost:
            run.journal.note(
                f"Members {lost} are not what the checkpoints in {model.folder} say was trained on these records: what was "
                "missing was trained again, so that the result is exact all the same."
            )
        return model


def records_of(request: ForgetRequest) -> tuple[Records, Records]:
    """The records that an ensemble was trained on, and those that stay, by their positions in the full training set."""
    retain = request.for_training("retain")
    if not isinstance(retain, Subset):
        raise TypeError(f"the retain set must be a Subset, but is a {type(retain).__name__}.")
    before = Records.of(retain.dataset, request.everything_ids.tolist())
    return before, before.only(request.retain_ids.tolist())
