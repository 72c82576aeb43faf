"""New weights: made, put in place, and written down as a version."""

from __future__ import annotations

from dataclasses import fields

from torch import nn

from ebbing import __version__
from ebbing.batches import size
from ebbing.checkpoints import WeightsRecord, read_record, write_weights
from ebbing.errors import InputError
from ebbing.journal import RunRecord
from ebbing.ledger.deciding import move
from ebbing.ledger.digests import file_digest
from ebbing.ledger.erasure import UNLEARNED
from ebbing.ledger.leases import hold
from ebbing.ledger.schema import Batch, Version
from ebbing.ledger.verifying import version_body
from ebbing.ledger.work import Work, in_work
from ebbing.request import ForgetRequest


class RolledBackError(Exception):
    """The method's run was undone; there are no weights to keep."""


def unlearn(work: Work) -> None:
    """Make the new weights, put them in place, and write them down; see `RolledBackError`."""
    batch = work.batch()
    request = work.request()
    version, model = work.current()
    _check_data(work, version, request)
    study = work.study(batch, request, model)
    name, method = next(iter(study.methods.items()))
    made, run = study.unlearn(name, method, model, progress=work.progress)
    if run.rolled_back is not None:
        raise RolledBackError(run.rolled_back)
    _land(work, batch, version, request, made, run)


def _check_data(work: Work, version: Version, request: ForgetRequest) -> None:
    record = read_record(work.ledger.folder / version.file)
    if record is None or record.data in (None, request.data_fingerprint):
        return
    if work.project.keys is None:
        raise InputError(
            f"`data` must be what version {version.id} was trained on, but its fingerprint is {request.data_fingerprint}, "
            f"not {record.data}. Records go by their positions: pass the same data, or name them by `keys`."
        )
    work.notes.append(
        f"The data set is not what version {version.id} was made from ({record.records} records then, "
        f"{size(request.dataset)} now); records are found by their keys."
    )


def _land(work: Work, batch: Batch, before: Version, request: ForgetRequest, made: nn.Module, run: RunRecord) -> None:
    file = f"models/v{batch.id:04d}.safetensors"
    stays = set(request.retain_ids.tolist())
    record = WeightsRecord(
        "0" * 32,
        data=request.data_fingerprint,
        records=size(request.dataset),
        forgotten=tuple(i for i in range(size(request.dataset)) if i not in stays),
        made_by={
            "ebbing": __version__,
            "method": batch.method,
            "settings": run.settings,
            "seed": batch.seed,
            "from": before.file,
            "request": request.fingerprint,
            "ledger-batch": batch.id,
        },
    )
    path = work.ledger.folder / file
    write_weights(path, made, **{f.name: getattr(record, f.name) for f in fields(record)[1:]})
    work.on_step("weights")
    with work.ledger.writing() as (session, chain):
        hold(work.ledger, session, work.lease)
        version = Version(
            parent_id=None if batch.kind == "retrain" else before.id,
            batch_id=batch.id,
            kind="retrained" if batch.kind == "retrain" else "unlearned",
            file=file,
            weights=file_digest(path),
            made=chain.time,
        )
        session.add(version)
        session.flush()
        for row in in_work(session, batch.id):
            move(row, UNLEARNED)
        chain.append("version", version_body(version))
