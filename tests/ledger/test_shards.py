"""A ledger of an ensemble in shards: exact, at the cost of the shards that were hit, and every file of it is accounted for."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import clinic
import pytest
from clinic import IN_SHARDS, MEMBERS, SHARDING, TODAY, erasure, in_shards
from safetensors.torch import load_file, save_file
from torch.utils.data import Subset

from ebbing.ensemble import Records, ShardedEnsemble
from ebbing.errors import InputError
from ebbing.fingerprint import of_tensors
from ebbing.ledger import Budget, Ledger, Settings
from ebbing.ledger.deciding import decide
from ebbing.ledger.digests import file_digest, weights_digest
from ebbing.ledger.manifest import Manifest, has_seen, read_manifest
from ebbing.ledger.processing import process
from ebbing.ledger.reading import shown, status
from ebbing.ledger.schema import Audit, Request, Version
from ebbing.ledger.verifying import verify
from ebbing.ledger.where import purge, where
from ebbing.methods import FineTune
from ebbing.sharding import Sharding

ALL = ("inconclusive",)


@pytest.fixture
def kind() -> str:
    """SQLite alone: what differs by the database is tested with kills."""
    return "sqlite"


@pytest.fixture
def ledger(make) -> Ledger:
    """A ledger whose first version is trained."""
    made = make(in_shards=True, accept=ALL, oracles=0)
    process(made, in_shards(made.folder))
    return made


def asked(ledger: Ledger, *keys: str, **said: object):
    """A request for some records, processed at once."""
    ledger.add([erasure(*keys, **said)])
    done = process(ledger, in_shards(ledger.folder))
    assert done is not None
    return done


def weights(ledger: Ledger) -> str:
    return of_tensors(load_file(ledger.folder / str(status(ledger, today=TODAY).file)))


def from_scratch(*gone: int, folder: Path, seed: int = 0) -> str:
    """Fingerprint of an ensemble that was trained in an empty folder on what stays."""
    ensemble = ShardedEnsemble(MEMBERS, SHARDING, folder=folder, seed=seed)
    return of_tensors(ensemble.fit(clinic.train_set(), ids=set(range(clinic.RECORDS)) - set(gone)).state_dict())


def manifest(ledger: Ledger, number: int) -> Manifest:
    with ledger.database.reading() as session:
        return read_manifest(ledger.folder / session.get_one(Version, number).file)


def files(ledger: Ledger) -> set[str]:
    """All checkpoints there are."""
    return {p.relative_to(ledger.folder).as_posix() for p in (ledger.folder / "shards").rglob("*.safetensors")}


def cell(position: int) -> tuple[int, int]:
    return divmod(int(SHARDING.places(clinic.RECORDS)[position]), SHARDING.slices)


def test_the_first_version_is_trained_once_and_requests_are_exact(make, tmp_path) -> None:
    ledger = make(in_shards=True, accept=ALL, oracles=0)
    assert (status(ledger, today=TODAY).current, status(ledger, today=TODAY).file) == (None, None)
    assert verify(ledger).problems == []
    first = process(ledger, in_shards(ledger.folder))
    assert first is not None
    assert (first.kind, first.requests) == ("nothing", {})
    assert process(ledger, in_shards(ledger.folder)) is None
    assert weights(ledger) == from_scratch(folder=tmp_path / "all")
    asked(ledger, "r0", "r1")
    asked(ledger, "r5")
    assert weights(ledger) == from_scratch(0, 1, 5, folder=tmp_path / "rest")
    with ledger.database.reading() as session:
        lineage = [(v.id, v.parent_id, v.kind) for v in session.query(Version).order_by(Version.id)]
    assert lineage == [(1, None, "original"), (2, 1, "unlearned"), (3, 2, "unlearned")]
    found = verify(ledger)
    assert (found.problems, found.weights) == ([], 3)


def test_only_the_shards_that_were_hit_are_trained_again(ledger) -> None:
    before = files(ledger)
    asked(ledger, "r0")
    shard, slice_ = cell(0)
    made = {(name.split("/")[1], name.split("/")[2][:8]) for name in files(ledger) - before}
    assert made == {(f"shard-0{shard}", f"slice-0{r + 1}") for r in range(slice_, SHARDING.slices)}
    kept = set(manifest(ledger, 1).checkpoints) & set(manifest(ledger, 2).checkpoints)
    assert len(kept) == SHARDING.shards * SHARDING.slices - len(made)


def test_the_audit_says_that_it_is_exact_and_finds_what_it_finds(make) -> None:
    ledger = make(in_shards=True, accept=ALL, oracles=1)
    done = asked(ledger, "r0")
    assert done.outcome == "inconclusive"  # one reference is too few, however exact the method
    assert "1 retrained model" in str(done.reason)
    assert "bit for bit" in str(done.reason)
    with ledger.database.reading() as session:
        assert '"exact": true' in session.query(Audit).one().figures


def test_duplicates_change_no_file_of_the_model(ledger) -> None:
    asked(ledger, "r0", "r1")
    before = files(ledger), weights(ledger)
    assert asked(ledger, "r1").kind == "nothing"
    assert (files(ledger), weights(ledger)) == before
    assert status(ledger, today=TODAY).current == 2


def test_records_that_are_gone_at_the_source_are_taken_out_as_well(ledger, tmp_path) -> None:
    done = asked(ledger, "r7", gone=True)
    assert (done.kind, done.outcome) == ("gone", "inconclusive")
    assert weights(ledger) == from_scratch(7, folder=tmp_path / "rest")


def test_a_data_set_without_the_records_costs_a_whole_training_and_is_exact(ledger, tmp_path) -> None:
    ledger.add([erasure("r0", gone=True)])
    left = Subset(clinic.train_set(), range(1, clinic.RECORDS))
    done = process(ledger, in_shards(ledger.folder, dataset=left, keys=clinic.keys()[1:]))
    assert done is not None
    assert done.kind == "gone"
    ensemble = ShardedEnsemble(MEMBERS, SHARDING, folder=tmp_path / "rest")
    assert weights(ledger) == of_tensors(ensemble.fit(left).state_dict())
    assert verify(ledger).problems == []


def test_a_retraining_trains_the_whole_ensemble_from_other_initialisations(make, tmp_path) -> None:
    ledger = make(in_shards=True, accept=ALL, oracles=0, budget=Budget(verdicts=0))
    asked(ledger, "r0")
    with ledger.database.writing() as session:
        session.query(Audit).one().outcome = "damaged"
    done = asked(ledger, "r1")
    assert done.kind == "retrain"
    seed = manifest(ledger, 3).seed
    assert seed != manifest(ledger, 1).seed
    assert weights(ledger) == from_scratch(0, 1, folder=tmp_path / "anew", seed=seed)
    assert not set(manifest(ledger, 3).checkpoints) & set(manifest(ledger, 2).checkpoints)
    asked(ledger, "r2")
    assert weights(ledger) == from_scratch(0, 1, 2, folder=tmp_path / "on", seed=seed)


def test_a_decision_to_retrain_is_carried_out(ledger) -> None:
    asked(ledger, "r0")
    with ledger.database.writing() as session:
        session.get_one(Request, 1).state = "needs-decision"
    decide(ledger, 1, "retrain", by="Ada", reason="to be sure")
    before = weights(ledger)
    done = process(ledger, in_shards(ledger.folder))
    assert done is not None
    assert done.kind == "retrain"
    assert weights(ledger) != before


# ---------------------------------------------------------------- every file is accounted for


def test_every_checkpoint_that_had_seen_the_records_is_named_and_no_other(ledger) -> None:
    before = set(manifest(ledger, 1).checkpoints)
    ledger.add([erasure("r0"), erasure("r5")])
    assert {p.path for p in where(ledger, 1) if p.what == "checkpoint"} == {ledger.folder / f for f in before}
    process(ledger, in_shards(ledger.folder))
    ledger.add([erasure("r0")])
    process(ledger, in_shards(ledger.folder))
    for number, position in ((1, 0), (2, 5), (3, 0)):
        found = {p.path.relative_to(ledger.folder).as_posix() for p in where(ledger, number) if p.what == "checkpoint"}
        shard, slice_ = cell(position)
        stages = tuple(f"shard-0{shard}/slice-0{r + 1}" for r in range(slice_, SHARDING.slices))
        assert found == {name for name in before if name.startswith(tuple(f"shards/{s}" for s in stages))}


def test_checkpoints_are_purged_with_their_versions_and_what_is_shared_stays(ledger) -> None:
    asked(ledger, "r0")
    ours = set(manifest(ledger, 2).checkpoints)
    today = date.fromisoformat(str(shown(ledger, 1)["finished"])[:10])
    left = files(ledger) - ours
    assert left
    told = purge(ledger, today=today, days=0, dry_run=True)
    assert {p.path.relative_to(ledger.folder).as_posix() for p in told.gone} == left | {"models/v0000.safetensors"}
    purge(ledger, today=today, days=0)
    assert files(ledger) == ours
    assert where(ledger, 1) == []
    found = verify(ledger)
    assert (found.problems, found.weights) == ([], 1)
    before = weights(ledger)
    assert asked(ledger, "r0").kind == "nothing"
    asked(ledger, "r5")
    assert weights(ledger) != before


def test_a_checkpoint_of_no_version_is_named_and_purged(ledger) -> None:
    asked(ledger, "r0")
    stray = ledger.folder / "shards" / "shard-00" / "slice-02-0123.safetensors"
    stray.write_bytes(next((ledger.folder / "shards" / "shard-00").glob("slice-02*")).read_bytes())
    shard, _ = cell(0)
    assert (stray in [p.path for p in where(ledger, 1)]) == (shard == 0)
    purge(ledger, today=date(2100, 1, 1))
    assert not stray.exists()


@pytest.mark.parametrize("harm", ["changed", "missing", "manifest"])
def test_verify_holds_every_file_of_a_version_against_what_was_written(ledger, harm) -> None:
    asked(ledger, "r0")
    shared = sorted(set(manifest(ledger, 1).checkpoints) & set(manifest(ledger, 2).checkpoints))[0]
    path = ledger.folder / ("models/v0002.json" if harm == "manifest" else shared)
    if harm == "missing":
        path.unlink()
    else:
        content = bytearray(path.read_bytes())
        content[-2] ^= 1
        path.write_bytes(content)
    found = verify(ledger)
    assert [str(path) in problem for problem in found.problems] == [True]
    assert found.weights == (1 if harm == "manifest" else 0)


def test_a_file_of_safetensors_has_one_digest_however_its_header_is_ordered(tmp_path) -> None:
    first = saved(tmp_path / "one", {"a": "1", "b": "2", "c": "3"})
    written = [saved(tmp_path / f"{i}", {"b": "2", "c": "3", "a": "1"}) for i in range(8)]
    assert {weights_digest(path) for path in [first, *written]} == {weights_digest(first)}
    other = saved(tmp_path / "other", {"a": "1", "b": "2", "c": "4"})
    assert weights_digest(other) != weights_digest(first)
    (tmp_path / "text").write_text("no file of safetensors")
    assert weights_digest(tmp_path / "text") == file_digest(tmp_path / "text")


def saved(path: Path, facts: dict[str, str]) -> Path:
    save_file({"x": clinic.train_set().tensors[0]}, path, metadata=facts)
    return path


def test_a_stage_has_seen_the_slices_up_to_its_own() -> None:
    name = "shards/shard-01/slice-02-ab.safetensors"
    assert [has_seen(name, [c]) for c in ((1, 0), (1, 1), (1, 2), (0, 0))] == [True, True, False, False]


# ---------------------------------------------------------------- what is there already


def test_an_ensemble_that_is_there_is_taken_in_with_its_checkpoints(tmp_path) -> None:
    mine = ShardedEnsemble(MEMBERS, SHARDING, folder=tmp_path / "mine").fit(clinic.train_set())
    save_file(mine.state_dict(), tmp_path / "w.safetensors")
    settings = Settings(database="sqlite:///ledger.db", key="k", oracles=0, neighbours=0.0, accept=ALL, **IN_SHARDS)
    where_ = tmp_path / "ledger"
    ledger = Ledger.create(where_, settings, weights=tmp_path / "w.safetensors", checkpoints=tmp_path / "mine")
    assert status(ledger, today=TODAY).current == 1
    assert (verify(ledger).problems, verify(ledger).weights) == ([], 1)
    before = files(ledger)
    asked(ledger, "r0")
    shard, slice_ = cell(0)
    assert len(files(ledger) - before) == SHARDING.slices - slice_  # nothing else was trained
    assert weights(ledger) == from_scratch(0, folder=tmp_path / "rest")
    assert (verify(ledger).problems, verify(ledger).weights) == ([], 2)
    records = Records.of(clinic.train_set(), None)
    hit = {f"shards/shard-0{shard}/{key}.safetensors" for key in mine.keys(shard, records)[slice_:]}
    found = {p.path.relative_to(where_).as_posix() for p in where(ledger, 1) if p.what == "checkpoint"}
    assert found == hit


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"sisa": "3"}, "`sisa` must be SHARDS:SLICES, such as 5:4, but is '3'"),
        ({"sisa": "0:2"}, "shards must be a whole number >= 1"),
        ({"method": "ebb"}, "must be sisa where `sisa` is said, but are ebb and sisa"),
        ({"train_fn": "mine:train"}, "must be trained by a `recipe`"),
        ({"sisa": None}, "must say SHARDS:SLICES where a method is sisa"),
        ({"train_fn": "mine:train", "recipe": ("epochs=1",)}, "either `train_fn` or `recipe`"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(said, told) -> None:
    with pytest.raises(InputError, match=told):
        Settings(**{"database": "sqlite:///x", "key": "k", **IN_SHARDS, **said})


def test_weights_and_checkpoints_come_together(tmp_path) -> None:
    settings = Settings(database="sqlite:///ledger.db", key="k", **IN_SHARDS)
    for parts in ({"weights": tmp_path / "w", "checkpoints": None}, {"weights": None, "checkpoints": tmp_path}):
        with pytest.raises(InputError, match="must both be given"):
            Ledger.create(tmp_path / "ledger", settings, **parts)
    with pytest.raises(InputError, match="holds none"):
        Ledger.create(tmp_path / "ledger", settings, weights=tmp_path / "w", checkpoints=tmp_path)
    plain = Settings(database="sqlite:///ledger.db", key="k")
    with pytest.raises(InputError, match="--weights must be given"):
        Ledger.create(tmp_path / "ledger", plain, weights=None)
    assert not (tmp_path / "ledger").exists()


def test_another_method_or_another_kind_of_model_is_refused(ledger) -> None:
    with pytest.raises(InputError, match="must be made to forget by SISA"):
        in_shards(ledger.folder, method=FineTune())
    ledger.add([erasure("r0")])
    with pytest.raises(InputError, match=r"`sisa` and `hf` in ledger\.json must be as they were"):
        process(ledger, clinic.project())
    other = in_shards(ledger.folder)
    assert other.shards is not None
    with pytest.raises(InputError, match="must be those of version 1"):
        process(ledger, in_shards(ledger.folder, shards=replace(other.shards, sharding=Sharding(2, 2))))
    assert asked(ledger, "r5").requests == {1: "closed"}
