"""New weights: made, put in place, and written down as a version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from sqlalchemy.orm import Session
from torch import nn
from torch.utils.data import Dataset

from ebbing import __version__
from ebbing.batches import size
from ebbing.checkpoints import WeightsRecord, read_record, write_weights
from ebbing.ensemble import Records, ShardedEnsemble
from ebbing.errors import InputError
from ebbing.fingerprint import of_dataset, of_tensors
from ebbing.journal import Journal
from ebbing.ledger.bodies import version_body
from ebbing.ledger.chain import Chain
from ebbing.ledger.database import next_number
from ebbing.ledger.deciding import move
from ebbing.ledger.erasure import UNLEARNED
from ebbing.ledger.leases import hold
from ebbing.ledger.manifest import Manifest, digests_of, digests_of_version, read_manifest, weights_of
from ebbing.ledger.schema import Batch, Version
from ebbing.ledger.shards import Shards
from ebbing.ledger.work import Work, in_work
from ebbing.methods.sisa import records_that_stay
from ebbing.request import ForgetRequest


class RolledBackError(Exception):
    """The method's run was undone; there are no weights to keep."""


def unlearn(work: Work) -> None:
    """Make the new weights, put them in place, and write them down; see `RolledBackError`."""
    batch = work.batch()
    request = work.request
    version, model = work.current()
    _check_data(work, version, request)
    if work.project.shards is not None:
        _check_shards(work, work.project.shards, version, batch)
    study = work.study(batch, request, model)
    name, method = next(iter(study.methods.items()))
    made, run = study.unlearn(name, method, model, progress=work.progress)
    if run.rolled_back is not None:
        raise RolledBackError(run.rolled_back)
    _land(work, batch, version, request, made)


def begin(work: Work) -> None:
    """Train the first version, an ensemble in shards, where none was taken in; what was interrupted goes on."""
    shards, dataset = work.project.shards, work.project.dataset
    if shards is None:
        raise InputError(
            "the ledger must hold a version of the model, but holds none. Make it anew by `ebbing ledger init`."
        )
    ensemble = shards.ensemble(shards.seed)
    examples = shards.sharding.shards * ensemble.stage_recipe.examples(size(dataset))
    show = work.progress("the first version", examples)
    ensemble.fit(dataset, journal=Journal(on_advance=show))
    record = _record(dataset, of_dataset(dataset), (), {"method": "train", "seed": shards.seed})
    file = _written(work, "v0000", ensemble, record, Records.of(dataset, None))
    with work.ledger.writing() as (session, chain):
        batch = hold(work.ledger, session, work.lease)
        version = _version(session, chain, work, file, kind="original")
        batch.before_id = version.id
    work.notes.append("The first version was trained, in shards.")


def _check_data(work: Work, version: Version, request: ForgetRequest) -> None:
    record = read_record(weights_of(work.ledger.folder, version.file))
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


def _check_shards(work: Work, shards: Shards, version: Version, batch: Batch) -> None:
    """An ensemble goes on as it was trained; checkpoints that were harmed are made again."""
    manifest = read_manifest(work.ledger.folder / version.file)
    if batch.kind != "retrain":
        shards.check(manifest, version.id)
    if harmed := manifest.harmed(work.ledger.folder):
        work.notes.append(
            f"{len(harmed)} of {len(manifest.checkpoints)} checkpoints of version {version.id} are missing or not what was "
            f"written, {harmed[0]} first: those that are still needed are made again, to the same bits."
        )


def _land(work: Work, batch: Batch, before: Version, request: ForgetRequest, made: nn.Module) -> None:
    stays = set(request.retain_ids.tolist())
    forgotten = tuple(i for i in range(size(request.dataset)) if i not in stays)
    told = {
        "method": batch.method,
        "settings": json.loads(batch.settings or "null"),
        "seed": batch.seed,
        "from": before.file,
    }
    told |= {"request": request.fingerprint, "ledger-batch": batch.id}
    record = _record(request.dataset, request.data_fingerprint, forgotten, told)
    records = None
    if work.project.shards is not None:  # all of it is in the folder, but for what was lost there since
        records = records_that_stay(request)
        ensemble = work.project.shards.ensemble(work.ensemble_seed(batch))
        work.project.shards.mend(ensemble, records)
        ensemble.fit(request.dataset, ids=records.ids)
        if of_tensors(ensemble.state_dict()) != of_tensors(made.state_dict()):
            raise InputError(
                f"the ensemble of batch {batch.id} must be what its checkpoints in {ensemble.folder} are of, but is not: data, "
                "`recipe` or `threads` were changed while the batch was open. Change them back, or give it up by "
                "`ebbing ledger abandon`."
            )
        made = ensemble
    file = _written(work, f"v{batch.id:04d}", made, record, records)
    work.on_step("weights")
    with work.ledger.writing() as (session, chain):
        hold(work.ledger, session, work.lease)
        kind, parent = ("retrained", None) if batch.kind == "retrain" else ("unlearned", before.id)
        for row in in_work(session, batch.id):
            move(row, UNLEARNED)
        _version(session, chain, work, file, kind=kind, parent=parent, batch=batch.id)


def _record(dataset: Dataset[Any], data: str, forgotten: tuple[int, ...], told: Mapping[str, Any]) -> WeightsRecord:
    """What is known of new weights; their digest is filled in when they are written.

    Args:
        dataset: the full training set.
        data: its fingerprint.
        forgotten: positions that the weights were not trained on.
        told: how they were made.
    """
    made_by = {"ebbing": __version__, **told}
    return WeightsRecord("0" * 32, data=data, records=size(dataset), forgotten=forgotten, made_by=made_by)


def _version(
    session: Session,
    chain: Chain,
    work: Work,
    file: str,
    *,
    kind: str,
    parent: int | None = None,
    batch: int | None = None,
) -> Version:
    """Write a version down whose files are in place."""
    about = {"parent_id": parent, "batch_id": batch, "kind": kind, "file": file} | digests_of_version(
        work.ledger.folder, file
    )
    version = Version(id=next_number(session, Version.id), **about, made=chain.time)
    session.add(version)
    session.flush()
    chain.append("version", version_body(version))
    return version


def _written(work: Work, name: str, model: nn.Module, record: WeightsRecord, records: Records | None) -> str:
    """Put a version's files in place; the one that stands for it, in the ledger's folder.

    Args:
        work: whose.
        name: of the version.
        model: the version.
        record: what is known of it.
        records: that an ensemble was trained on; None for a single model.
    """
    folder, file = work.ledger.folder, f"models/{name}.safetensors"
    if work.project.folders is not None:
        return work.project.folders.write(name, model, record, like=_manifest_before(work))
    write_weights(folder / file, model, **{f.name: getattr(record, f.name) for f in fields(record)[1:]})
    shards = work.project.shards
    if shards is None or records is None or not isinstance(model, ShardedEnsemble):
        return file
    checkpoints = shards.checkpoints(model, records)
    manifest = Manifest(
        weights=file,
        files=digests_of(folder, [file, *checkpoints], _known(work)),
        sharding=shards.of_records(records.n),
        seed=model.seed,
        cells={mark: shards.cells(records.n, where) for mark, where in work.marks().items()},
        about=shards.about(),
    )
    manifest.save(folder / "models" / f"{name}.json")
    return f"models/{name}.json"


def _known(work: Work) -> dict[str, str]:
    """The digests of all checkpoints of the version that the batch begins with."""
    if work.batch().before_id is None:
        return {}
    manifest = _manifest_before(work)
    return {name: manifest.files[name] for name in manifest.checkpoints}


def _manifest_before(work: Work) -> Manifest:
    """What the version that the batch begins with consists of."""
    with work.ledger.database.reading() as session:
        file = session.get_one(Version, work.batch().before_id).file
    return read_manifest(work.ledger.folder / file)
