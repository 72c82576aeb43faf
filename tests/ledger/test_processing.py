"""Requests are processed: what is forgotten, what costs nothing, what fails, and what is offered."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import clinic
import numpy as np
import pytest
import torch
from clinic import BOTH, QUICK, TODAY, erasure, number_of, project
from torch.utils.data import Dataset, Subset, TensorDataset

from ebbing import fingerprint, inspection
from ebbing.checkpoints import read_record
from ebbing.errors import InputError
from ebbing.inspection import inspect
from ebbing.ledger import Budget, Ledger, processing
from ebbing.ledger.chain import marked
from ebbing.ledger.deciding import Decision, abandon, decide, redact
from ebbing.ledger.digests import file_digest
from ebbing.ledger.drift import measured, spent
from ebbing.ledger.exporting import excluded, exported, present
from ebbing.ledger.preparing import foreseen
from ebbing.ledger.processing import STEPS, next_requests, process
from ebbing.ledger.reading import shown, status
from ebbing.ledger.schema import REDACTED, Audit, Batch, Fact, Offer
from ebbing.ledger.verifying import verify
from ebbing.ledger.verifying_exports import verify_export
from ebbing.ledger.where import purge, where
from ebbing.methods import FineTune, NegGrad, Unlearner
from ebbing.pool import LocalExecutor
from ebbing.ray_pool import RayExecutor
from ebbing.store import ModelStore

ALL = ("inconclusive",)  # what a policy accepts that has no references to judge by


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    """SQLite alone, but for the tests that say otherwise."""
    return str(getattr(request, "param", "sqlite"))


def current(ledger: Ledger) -> Path:
    return ledger.folder / status(ledger, today=TODAY).file


def states(ledger: Ledger, *numbers: int) -> list[str]:
    return [shown(ledger, number)["state"] for number in numbers]


@pytest.mark.parametrize("kind", BOTH, indirect=True)
def test_a_batch_goes_through_every_state(make) -> None:
    ledger = make(accept=ALL)
    ledger.add(
        [erasure("r0", "r1"), erasure(subject="patient 1"), erasure(subject="patient 999"), erasure("r1", "nobody")]
    )
    steps: list[str] = []
    done = process(ledger, project(), on_step=steps.append)
    assert steps == list(STEPS)
    assert done is not None
    assert done.requests == {1: "closed", 2: "closed", 3: "failed", 4: "failed"}
    assert shown(ledger, 3)["why"] == "its subject is not in the map of subjects"
    assert "1 of its 2 record ids are not in the data set" in shown(ledger, 4)["why"]
    assert status(ledger, today=TODAY).current == 2
    record = read_record(current(ledger))
    assert record is not None
    assert record.forgotten == (0, 1, 4, 5, 6, 7)
    assert verify(ledger).problems == []
    assert process(ledger, project()) is None


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (None, "not in the map"),
        ([], "not in the map"),
        (iter(()), "not in the map"),
        (np.array([]), "not in the map"),
        ("0", "must give a list of ids, but gave text"),
        (7, "raised TypeError"),
    ],
)
def test_a_map_that_names_no_records_fails_and_never_counts_as_done(make, found, told) -> None:
    ledger = make(accept=ALL)
    ledger.add([erasure(subject="Ada")])
    process(ledger, project(keys=None, subjects=lambda subject: found))
    assert states(ledger, 1) == ["failed"]
    assert told in shown(ledger, 1)["why"]


def test_a_map_may_give_an_array(make) -> None:
    ledger = make(accept=ALL)
    ledger.add([erasure(subject="Ada")])
    process(ledger, project(keys=None, subjects=lambda subject: np.array([3, 5])))
    assert read_record(current(ledger)).forgotten == (3, 5)  # type: ignore[union-attr]


def test_subjects_are_looked_up_and_data_are_checked_once(make, monkeypatch) -> None:
    """The map may be a database, and the data larger than memory."""
    ledger = make(accept=ALL)
    ledger.add([erasure(subject="patient 1", reference="T1"), erasure(subject="patient 1", reference="T2")])
    asked, checked, hashed = [], [], []
    blocks, content = inspection._blocks, fingerprint.of_dataset

    def subjects(patient: str) -> list[str]:
        asked.append(patient)
        return clinic.subjects(patient)

    def read(dataset: Dataset[Any], *, name: str) -> Iterator[Any]:
        checked.append(id(dataset))
        return blocks(dataset, name=name)

    def of_dataset(dataset: Dataset[Any]) -> str:
        hashed.append(id(dataset))
        return content(dataset)

    monkeypatch.setattr(inspection, "_blocks", read)
    monkeypatch.setattr(fingerprint, "of_dataset", of_dataset)
    asked_for = project(subjects=subjects)
    assert not foreseen(ledger, asked_for, next_requests(ledger))
    assert asked == ["patient 1"]
    process(ledger, asked_for)
    assert asked == ["patient 1"] * 2  # once in the dry run, and once in earnest
    assert states(ledger, 1, 2) == ["closed", "closed"]
    # the training set; of unseen and of matched records what methods may look at, and the rest
    assert len(checked) == len(set(checked)) == 5
    assert hashed.count(id(asked_for.dataset)) == 1


@pytest.fixture
def by_ray(ray_there: None) -> Iterator[RayExecutor]:
    """A cluster of this machine alone."""
    import ray

    yield RayExecutor(2)
    ray.shutdown()


def references_and_figures(ledger: Ledger) -> tuple[list[str], dict[str, Any]]:
    store = ModelStore(ledger.folder / "work" / "batch-0001" / "models")
    with ledger.database.reading() as session:
        figures = json.loads(session.get_one(Audit, 1).figures)
    del figures["cost"], figures["page"]  # in seconds
    return sorted(entry.facts["content"] for entry in store.entries() if entry.facts), figures


@pytest.mark.parametrize("where", ["settings", "processes", pytest.param("ray", marks=pytest.mark.ray)])
def test_references_are_the_same_wherever_they_are_retrained(make, where, request, monkeypatch) -> None:
    here = make(oracles=3)
    here.add([erasure("r0", "r1")])
    process(here, project())
    expected = references_and_figures(here)
    assert len(set(expected[0])) >= 3
    shutil.move(here.folder, here.folder.with_name("here"))
    there = make(oracles=3, workers=2 if where == "settings" else 0)
    there.add([erasure("r0", "r1")])
    kind = RayExecutor if where == "ray" else LocalExecutor
    compute, given = kind.compute, []

    def noted(self: Any, function: Any, payload: Any, items: Sequence[Any], **said: Any) -> Iterator[Any]:
        given.append((self.workers, len(items)))
        return compute(self, function, payload, items, **said)

    monkeypatch.setattr(kind, "compute", noted)
    told = {"settings": None, "processes": 2, "ray": where == "ray" and request.getfixturevalue("by_ray")}
    process(there, project(), workers=told[where])
    assert [one for one in given if one[1]] == [(2, 3)]
    assert references_and_figures(there) == expected
    assert verify(there).problems == []


def test_what_the_policy_does_not_accept_needs_a_named_decision(ledger) -> None:
    number = number_of(ledger.add([erasure("r0")]))
    process(ledger, project())
    assert states(ledger, number) == ["needs-decision"]
    with pytest.raises(InputError, match="a name"):
        decide(ledger, number, "close", by=" ", reason="fine")
    decide(ledger, number, "close", by="Ada", reason="small")
    found = shown(ledger, number)
    assert (found["state"], found["by"], found["why"]) == ("closed", "Ada", "small")
    with pytest.raises(InputError, match="must need a decision"):
        decide(ledger, number, "close", by="Ada", reason="again")
    assert verify(ledger).problems == []


def test_duplicates_and_parts_of_earlier_requests_change_no_bit_and_say_so(make) -> None:
    ledger = make(accept=ALL)
    ledger.add([erasure("r0", "r1", "r2")])
    process(ledger, project())
    before = file_digest(current(ledger))
    ledger.add([erasure("r2", "r1", "r0"), erasure("r1")])
    steps: list[str] = []
    done = process(ledger, project(), on_step=steps.append)
    assert done is not None
    assert done.kind == "nothing"
    assert "weights" not in steps
    assert file_digest(current(ledger)) == before
    assert status(ledger, today=TODAY).current == 2
    assert states(ledger, 2, 3) == ["closed", "closed"]
    assert "forgotten before, for requests 1: nothing was done, at no cost" in shown(ledger, 3)["why"]
    assert verify(ledger).problems == []


def test_nested_requests_of_one_batch_are_forgotten_together_and_overlaps_only_once(make) -> None:
    ledger = make(accept=ALL)
    ledger.add([erasure("r0", "r1"), erasure("r1")])
    assert process(ledger, project()).requests == {1: "closed", 2: "closed"}  # type: ignore[union-attr]
    ledger.add([erasure("r1", "r2")])
    done = process(ledger, project())
    assert done is not None
    assert done.why == "1 record ids are to be forgotten"
    assert read_record(current(ledger)).forgotten == (0, 1, 2)  # type: ignore[union-attr]


def test_what_others_of_its_batch_came_to_is_not_told_of_a_request_for_which_nothing_was_done(make) -> None:
    ledger = make(accept=ALL)
    ledger.add([erasure("r0")])
    process(ledger, project())
    ledger.add([erasure("r0"), erasure(subject="patient 999"), erasure("r5")])
    process(ledger, project(), on_step=audits_find(ledger, "over-forgotten"))
    told = {number: shown(ledger, number) for number in (2, 3, 4)}
    assert [told[n]["after"] for n in told] == [None, None, 3]
    assert [told[n]["outcome"] for n in told] == ["inconclusive", None, "over-forgotten"]
    assert [told[n]["finding"] is None for n in told] == [True, True, False]
    assert [told[n]["report"] is None for n in told] == [True, True, False]
    decide(ledger, 3, "retry", by="Ada", reason="the map was mended")
    assert (shown(ledger, 3)["batch"], shown(ledger, 3)["outcome"]) == (None, None)


def audits_find(ledger: Ledger, outcome: str) -> Callable[[str], None]:
    """Have the audits of a ledger find something, whatever they found."""

    def on_step(step: str) -> None:
        if step == "audited":
            with ledger.database.writing() as session:
                session.query(Audit).order_by(Audit.batch_id.desc()).limit(1).one().outcome = outcome

    return on_step


def test_what_was_badly_forgotten_before_keeps_a_request_that_names_it_too_from_being_closed(make) -> None:
    ledger = make(accept=("no-memory-found",))
    bad, good = audits_find(ledger, "under-forgotten"), audits_find(ledger, "no-memory-found")
    ledger.add([erasure("r0", "r1")])
    process(ledger, project(), on_step=bad)
    ledger.add([erasure("r1", "r2"), erasure("r3")])  # this audit looks at r2 and r3
    process(ledger, project(), on_step=good)
    assert states(ledger, 1, 2, 3) == ["needs-decision", "needs-decision", "closed"]
    told = "1 of its 2 record ids were forgotten before, for requests 1, and the audits found under-forgotten then"
    assert told in shown(ledger, 2)["why"]
    decide(ledger, 1, "retrain", by="Ada", reason="too little")
    process(ledger, project(), on_step=good)
    ledger.add([erasure("r1", "r4")])
    process(ledger, project(), on_step=good)
    assert states(ledger, 1, 4) == ["closed", "needs-decision"]
    assert "for requests 1, 2, and requests 2 still need a decision" in shown(ledger, 4)["why"]


def test_a_duplicate_of_what_still_needs_a_decision_needs_one(make) -> None:
    ledger = make(accept=("no-memory-found",))
    ledger.add([erasure("r0")])
    process(ledger, project(), on_step=audits_find(ledger, "under-forgotten"))
    ledger.add([erasure("r0"), erasure("r1")])  # the audit of their batch looks at r1 alone
    process(ledger, project(), on_step=audits_find(ledger, "no-memory-found"))
    decide(ledger, 1, "retry", by="Ada", reason="once more")
    process(ledger, project())
    assert states(ledger, 1, 2, 3) == ["needs-decision", "needs-decision", "closed"]
    assert "still to be decided: requests 2" in shown(ledger, 1)["why"]


def test_more_requests_than_a_statement_takes_are_processed_in_parts(make, monkeypatch) -> None:
    monkeypatch.setattr(processing, "TOGETHER", 2)
    ledger = make(accept=ALL)
    ledger.add([erasure("r0"), erasure("r1"), erasure("r2")])
    assert list(process(ledger, project(), limit=5).requests) == [1, 2]  # type: ignore[union-attr]
    assert list(process(ledger, project()).requests) == [3]  # type: ignore[union-attr]


class Watched(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Notes who is read, and in a method's hands must not read what is gone."""

    def __init__(self) -> None:
        self.plain, self.read = clinic.train_set(), set()

    def __len__(self) -> int:
        return len(self.plain)

    def __getitem__(self, position: int) -> tuple[torch.Tensor, torch.Tensor]:
        self.read.add(position)
        return self.plain[position]


def test_the_retain_set_is_what_remains_after_all_requests(make) -> None:
    ledger, seen = make(accept=ALL), []

    class Noting(FineTune):
        def forget(self, model, run):
            seen.append((run.request.forget_ids.tolist(), len(run.request.retain_ids)))
            return super().forget(model, run)

    mine = Noting(repair=QUICK.repair)
    for keys in (("r0", "r1"), ("r5",), ("r1", "r9")):
        ledger.add([erasure(*keys)])
        process(ledger, project(method=mine))
    assert seen == [([0, 1], 118), ([5], 117), ([9], 116)]


def test_records_that_are_gone_are_never_read_and_nothing_is_claimed(ledger) -> None:
    data = clinic.train_set()
    left = Subset(data, range(4, len(data)))
    without = project(dataset=left, keys=clinic.keys()[4:])
    ledger.add([erasure("r0", "r1", gone=True), erasure("r50")])
    done = process(ledger, without)
    assert done is not None
    assert (done.kind, done.outcome, list(done.requests)) == ("gone", "inconclusive", [1])
    assert "gone at the source" in str(done.reason)
    assert states(ledger, 1, 2) == ["needs-decision", "received"]
    with pytest.raises(InputError, match="must never read the records to forget, but NegGrad does"):
        project(gone_method=NegGrad())


def test_a_run_that_is_rolled_back_fails_and_keeps_the_version(ledger) -> None:
    class Diverging(Unlearner):
        def forget(self, model, run):
            with torch.no_grad():
                next(model.parameters()).fill_(torch.nan)
            return model

    ledger.add([erasure("r0")])
    done = process(ledger, project(method=Diverging()))
    assert done is not None
    assert done.requests == {1: "failed"}
    assert "rolled back: its weights are no longer finite" in shown(ledger, 1)["why"]
    assert status(ledger, today=TODAY).current == 1
    decide(ledger, 1, "retry", by="Ada", reason="another method")
    process(ledger, project())
    assert status(ledger, today=TODAY).current == 2
    assert verify(ledger).problems == []


def test_what_cannot_be_finished_can_be_given_up(ledger) -> None:
    ledger.add([erasure("r0")])
    with pytest.raises(InputError, match="must name an unlearning method"):
        process(ledger, project(method=None))
    assert abandon(ledger, by="Ada", reason="no method is known") == [1]
    assert states(ledger, 1) == ["failed"]
    assert process(ledger, project()) is None
    assert verify(ledger).problems == []


def test_a_request_for_all_that_stays_fails_and_keeps_no_other_from_being_done(ledger) -> None:
    first, second = clinic.keys()[:60], clinic.keys()[60:]
    ledger.add([erasure(*clinic.keys()), erasure(*first), erasure(*second)])
    done = process(ledger, project())
    assert done is not None
    assert done.requests == {1: "failed", 2: "needs-decision", 3: "failed"}
    assert "no record of the data set would stay" in shown(ledger, 1)["why"]
    assert present(ledger, second) == []
    ledger.add([erasure(*first), erasure(*second[1:])])
    done = process(ledger, project())
    assert done is not None
    assert done.requests == {4: "needs-decision", 5: "needs-decision"}
    assert verify(ledger).problems == []


def test_what_was_given_up_before_it_was_planned_is_no_tampering(ledger) -> None:
    def stop(step: str) -> None:
        raise KeyboardInterrupt

    ledger.add([erasure("r0")])
    with pytest.raises(KeyboardInterrupt):
        process(ledger, project(), on_step=stop)
    assert abandon(ledger, by="Ada", reason="not now") == [1]
    assert verify(ledger).problems == []
    decide(ledger, 1, "retry", by="Ada", reason="now")
    process(ledger, project())
    assert states(ledger, 1) == ["needs-decision"]
    assert verify(ledger).problems == []


def test_what_waits_can_be_given_up_and_what_was_begun_cannot(ledger) -> None:
    def stop(step: str) -> None:
        raise KeyboardInterrupt

    ledger.add([erasure("r0"), erasure(subject="patient 1")])
    decide(ledger, 1, "fail", by="Ada", reason="taken back")
    assert verify(ledger).problems == []
    assert verify_export(exported(ledger)).problems == []
    assert (states(ledger, 1), present(ledger, ["r0"])) == (["failed"], [])
    with pytest.raises(KeyboardInterrupt):
        process(ledger, project(), on_step=stop)
    with pytest.raises(InputError, match="batch 1 has begun with it"):
        decide(ledger, 2, "fail", by="Ada", reason="taken back")
    with pytest.raises(InputError, match="must need a decision, or have failed, but is received"):
        decide(ledger, 2, "close", by="Ada", reason="done elsewhere")
    decide(ledger, 1, "retry", by="Ada", reason="after all")
    process(ledger, project())
    process(ledger, project())
    assert states(ledger, 1, 2) == ["needs-decision"] * 2
    assert verify(ledger).problems == []


def test_what_failed_and_was_redacted_cannot_be_taken_up(ledger) -> None:
    ledger.add([erasure("nobody"), erasure("r1")])
    process(ledger, project())
    redact(ledger, 1, by="Ada")
    decisions: tuple[Decision, ...] = ("retry", "retrain")
    for decision in decisions:
        with pytest.raises(InputError, match="but that was redacted"):
            decide(ledger, 1, decision, by="Ada", reason="once more")
    assert states(ledger, 1) == ["failed"]
    assert process(ledger, project()) is None


def test_a_worker_that_is_stopped_lets_go_of_its_batch(ledger) -> None:
    ledger.add([erasure("r0")])

    def stop(step: str) -> None:
        if step == "weights":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        process(ledger, project(), on_step=stop)
    assert "by nobody" in str(status(ledger, today=TODAY).working)
    assert process(ledger, project()) is not None


# ---------------------------------------------------------------- near-duplicates


def test_equal_and_near_records_that_stay_are_offered_and_never_taken(make) -> None:
    ledger = make(accept=ALL, neighbours=0.5)
    data = clinic.train_set()
    inputs, labels = data.tensors
    inputs[101] = inputs[3] + 1e-4
    near = project(dataset=TensorDataset(inputs, labels))
    ledger.add([erasure("r2", "r3")])
    done = process(ledger, near)
    assert done is not None
    offered = {o["key"]: o["kind"] for o in shown(ledger, 1)["alike"]}
    assert offered["r100"] == "exact"
    assert offered["r101"] == "near"
    assert len(offered) < 12
    assert read_record(current(ledger)).forgotten == (2, 3)  # type: ignore[union-attr]
    assert verify(ledger).problems == []


def test_a_redaction_takes_the_keys_out_of_offers_wherever_they_stand(make) -> None:
    ledger = make(accept=ALL)
    for key in ("r2", "r100"):  # r100 is the same record as r2, and offered for it before it is asked for itself
        ledger.add([erasure(key)])
        process(ledger, project())
    redact(ledger, 2, by="Ada")
    assert shown(ledger, 1)["alike"] == []
    found = verify(ledger)
    assert (found.problems, found.redacted) == ([], [2])
    assert '"r100"' not in json.dumps(exported(ledger, personal=True))
    with ledger.database.reading() as session:
        assert [o.key.startswith("redacted ") for o in session.query(Offer)] == [True]


def test_a_record_of_a_redacted_request_is_not_offered_as_one_that_stays(make) -> None:
    ledger = make(accept=ALL)
    ledger.add([erasure("r2")])
    process(ledger, project())
    redact(ledger, 1, by="Ada")
    ledger.add([erasure("r100")])  # the same record
    process(ledger, project())
    assert shown(ledger, 2)["alike"] == []
    assert '"r2"' not in json.dumps(exported(ledger, personal=True))
    assert verify(ledger).problems == []


def test_an_offer_whose_key_nobody_redacted_is_told(make) -> None:
    ledger = make(accept=ALL)
    ledger.add([erasure("r2")])
    process(ledger, project())
    with ledger.database.writing() as session:
        offer, salt = session.query(Offer).one(), session.get_one(Fact, "salt").value
        offer.key = REDACTED + marked(salt, "record", offer.key)
    assert verify(ledger).problems == ["batch 1: the key of an offered record is gone, and nobody redacted it"]


# ---------------------------------------------------------------- what leaves, what stays


def test_what_was_forgotten_is_found_in_a_data_set_by_key_and_by_content(make) -> None:
    ledger = make(accept=ALL)
    ledger.add([erasure("r2", "r10")])
    process(ledger, project())
    assert excluded(ledger).keys == ["r10", "r2"]
    assert [p.name for p in present(ledger, ["r1", "r10", "x"])] == ["r10"]
    digests = inspect(clinic.train_set()).digests
    assert digests is not None
    found = present(ledger, [], {f"new {i}": d.hex() for i, d in enumerate(digests)})
    assert {(p.name, p.by) for p in found} == {("new 2", "content"), ("new 10", "content"), ("new 100", "content")}
    redact(ledger, 1, by="Ada")
    assert (excluded(ledger).keys, excluded(ledger).redacted) == ([], 2)
    assert [p.name for p in present(ledger, ["r10"])] == ["r10"]
    kept = json.dumps(exported(ledger, personal=True))
    assert '"r10"' not in kept
    assert json.loads(kept)["requests"][0]["state"] == "closed"


def test_what_was_asked_for_is_found_from_the_day_it_came_in(make) -> None:
    ledger = make(accept=ALL)
    ledger.add([erasure("r2"), erasure("r4", "r2"), erasure(subject="patient 7")])
    found = excluded(ledger)
    assert (found.keys, found.redacted, found.waiting) == (["r2", "r4"], 0, 1)
    assert {p.name: p.requests for p in present(ledger, ["r1", "r2", "r4"])} == {"r2": (1, 2), "r4": (2,)}
    process(ledger, project())
    after = excluded(ledger)
    assert (after.redacted, after.waiting) == (0, 0)
    assert {"r2", "r4"} < set(after.keys)


def test_a_request_that_is_tried_again_is_not_said_to_be_unknown(make) -> None:
    ledger = make(accept=ALL)
    ledger.add([erasure(subject="patient 7")])

    def stop(step: str) -> None:
        if step == "planned":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        process(ledger, project(), on_step=stop)
    abandon(ledger, by="Ada", reason="too slow")
    decide(ledger, 1, "retry", by="Ada", reason="there is time again")
    found = excluded(ledger)
    assert (len(found.keys), found.waiting) == (4, 0)


def test_a_redacted_request_still_makes_its_duplicates_cost_nothing(make) -> None:
    ledger = make(accept=ALL)
    ledger.add([erasure("r2")])
    process(ledger, project())
    redact(ledger, 1, by="Ada")
    ledger.add([erasure("r2")])
    assert process(ledger, project()).kind == "nothing"  # type: ignore[union-attr]
    assert verify(ledger).redacted == [1]


@pytest.fixture
def twice(make) -> Ledger:
    """Two batches, with references."""
    ledger = make(oracles=2, accept=(*ALL, "under-forgotten", "over-forgotten", "damaged"), budget=Budget(1.0, 9, 9))
    for keys in (("r0", "r1", "r2", "r3", "r4"), ("r5", "r6", "r7", "r8", "r9")):
        ledger.add([erasure(*keys)])
        process(ledger, project())
    return ledger


def test_references_of_earlier_requests_are_named_and_purged_when_it_is_time(twice) -> None:
    first, second = where(twice, 1), where(twice, 2)
    assert [(p.what, p.version) for p in first] == [("version", 1)]
    kinds = [p.what for p in second]
    assert (kinds.count("version"), kinds.count("reference"), kinds.count("cache")) == (2, 2, 1)
    assert all(p.path.exists() for p in second)
    assert purge(twice, today=TODAY).gone == []  # too soon
    assert purge(twice, today=TODAY, days=10**10).gone == []  # never
    today = date.fromisoformat(str(shown(twice, 2)["finished"])[:10])
    late = date.fromordinal(today.toordinal() + twice.settings.retention_days)
    assert len(purge(twice, today=late, dry_run=True).gone) == 5
    assert all(p.path.exists() for p in second)
    purge(twice, today=late)
    assert not any(p.path.exists() for p in second)
    assert where(twice, 2) == []
    assert current(twice).exists()
    found = verify(twice)
    assert (found.problems, found.weights) == ([], 1)


def test_a_page_that_was_changed_shows(twice) -> None:
    page = twice.folder / "reports" / "batch-0002.html"
    page.write_text(page.read_text().replace("under-forgotten", "no-memory-found") + " ")
    assert verify(twice).problems == [f"the report on batch 2: {page} is not what was written"]


def test_an_earlier_request_that_came_back_is_seen_beside_retrained_models() -> None:
    mine = project()
    gone, now = list(range(24)), list(range(30, 36))
    request = mine.request(now, gone, description="")
    train = partial(clinic.train, request.retain)
    retrained = [train(seed=seed) for seed in range(1, 7)]
    remembers = clinic.train(clinic.train_set(), seed=0)
    found = measured(mine, remembers, retrained, request, {1: gone, 2: [40, 41]})
    assert (found["measured"], found["remembered"]) == ([1, 2], [1])
    assert measured(mine, train(seed=9), retrained, request, {1: gone})["remembered"] == []
    few = measured(mine, remembers, retrained[:3], request, {1: gone})
    assert (few["measured"], few["remembered"], few["retain-retrained"]) == ([], [], None)


# ---------------------------------------------------------------- drift


GOOD = {"retain": 0.9, "retain-retrained": 0.9, "retain-low": 0.88, "remembered": [], "measured": [1]}


@pytest.mark.parametrize(
    ("figures", "outcomes", "told"),
    [
        ({}, ["under-forgotten"] * 2, None),
        ({}, ["under-forgotten"] * 3, "3 audits since the last training from scratch found under-forgotten"),
        ({"retain": 0.85}, ["inconclusive"], "5.00% of accuracy on the retain set lost"),
        ({"retain": 0.89}, ["inconclusive"], None),  # one more retrained model might have it
        ({"retain-retrained": None, "retain": 0.1}, ["inconclusive"], None),
        ({"remembered": [1]}, ["inconclusive"], "1 earlier batches have come back"),
    ],
)
def test_the_budget_is_spent_for_a_reason(ledger, figures, outcomes, told) -> None:
    with ledger.database.writing() as session:
        for outcome in outcomes:
            batch = Batch(kind="unlearn", started="", why="", method="", settings="", before_id=1, finished="")
            session.add(batch)
            session.flush()
            rows = json.dumps(GOOD | figures)
            session.add(
                Audit(batch_id=batch.id, outcome=outcome, reason="", figures=rows, report=None, digest=None, made="")
            )
    with ledger.database.reading() as session:
        why = spent(session, ledger.settings.budget, ledger.settings.accept)
    assert why is None if told is None else told in str(why)


def test_a_spent_budget_or_a_decision_has_the_model_retrained(make) -> None:
    ledger = make(budget=Budget(verdicts=0), oracles=0)
    ledger.add([erasure("r0")])
    process(ledger, project())
    with ledger.database.writing() as session:
        session.query(Audit).one().outcome = "damaged"
    ledger.add([erasure("r1")])
    with pytest.raises(InputError, match=r"must be retrained \(1 audits .* names no training function"):
        process(ledger, project(trainer=None))
    done = process(ledger, project())
    assert done is not None
    assert done.kind == "retrain"
    assert "the budget of drift is spent: 1 audits" in done.why
    with ledger.database.reading() as session:
        assert spent(session, ledger.settings.budget, ()) is None
    decide(ledger, 2, "retrain", by="Ada", reason="to be sure")
    again = process(ledger, project())
    assert again is not None
    assert again.why == "it was decided that the model is retrained"
    assert read_record(current(ledger)).forgotten == (0, 1)  # type: ignore[union-attr]
