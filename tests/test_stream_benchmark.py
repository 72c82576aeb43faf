"""The stream of the benchmark is what it is said to be, and a walk through it asks nothing twice."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import ebbing as eb

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import stream
from stream_tasks import DISJOINT, DUPLICATE, NEAR_DUPLICATE, NESTED, SAME_CLASS, TASKS, field_of

OWN = field_of(TASKS["digits"])
FRESH = OWN.new(range(20))


def earlier(number: int) -> set[int]:
    return {i for asked in OWN.stream[:number] for i in asked.ids}


def test_twenty_requests_of_five_kinds() -> None:
    kinds = [asked.kind for asked in OWN.stream]
    assert len(kinds) == 20
    assert {k: kinds.count(k) for k in (DISJOINT, DUPLICATE, NESTED, SAME_CLASS, NEAR_DUPLICATE)} == {
        DISJOINT: 7,
        DUPLICATE: 3,
        NESTED: 3,
        SAME_CLASS: 4,
        NEAR_DUPLICATE: 3,
    }
    assert sum(not ids for ids in FRESH) == 5
    assert all(asked.kind in (DUPLICATE, NESTED) for asked, ids in zip(OWN.stream, FRESH, strict=True) if not ids)


@pytest.mark.parametrize("number", range(20))
def test_each_is_what_its_kind_says(number: int) -> None:
    asked = OWN.stream[number]
    before, own = [OWN.stream[k - 1] for k in asked.of], set(asked.ids)
    labels = OWN.train.tensors[1]
    if asked.kind == DUPLICATE:
        assert own == set(before[0].ids)
    elif asked.kind == NESTED:
        named = {i for other in before for i in other.ids}
        assert own < named or named < own
    elif asked.kind == SAME_CLASS:
        assert len(set(labels[list(own)].tolist())) == 1
        assert own.isdisjoint(earlier(number))
        assert not OWN.wrong[list(own)].any()
    elif asked.kind == NEAR_DUPLICATE:
        images, there = OWN.train.tensors[0], list(before[0].ids)
        apart = (images[list(asked.ids)] - images[there]).abs().mean().item()
        others = (images[list(asked.ids)] - images[there[::-1]]).abs().mean().item()
        assert 0 < apart < 0.2 * others
        assert labels[list(asked.ids)].tolist() == labels[there].tolist()
        assert own.isdisjoint(earlier(number))
    else:
        assert own.isdisjoint(earlier(number))


def test_what_remains_is_what_nobody_asked_for() -> None:
    gone = earlier(9)
    request = OWN.request(FRESH[9], gone)
    assert set(request.retain_ids.tolist()) == set(range(OWN.n)) - gone - set(OWN.stream[9].ids)
    assert set(request.forget_ids.tolist()) == set(FRESH[9])


def test_unseen_records_are_matched_by_label_and_by_how_many_are_wrong() -> None:
    shares = {1: (0, 1), 3: (1, 0), 5: None}
    for number, share in shares.items():
        found = OWN.matched(FRESH[number - 1])
        clean, wrong = len(found["clean"]), len(found["wrong"])
        assert clean + wrong >= 8
        if share is not None:
            assert (clean > 0, wrong > 0) == tuple(map(bool, share))
        else:
            expected = OWN.wrong[list(FRESH[number - 1])].mean()
            assert wrong / (clean + wrong) == pytest.approx(expected, abs=0.1)
    labels = torch.stack([OWN.unseen["clean"][i][1] for i in OWN.matched(FRESH[2])["clean"]])
    assert set(labels.tolist()) == {3}


def test_a_walk_asks_nothing_twice_and_repeats_leave_every_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = replace(TASKS["digits"].trainer, recipe=eb.Recipe(epochs=1))
    places = stream.Places(replace(TASKS["digits"], trainer=trainer), tmp_path, tmp_path)
    monkeypatch.setattr(stream, "field_of", lambda task: OWN)
    walk = stream.Walk.begin(places, "fine-tune", 0)
    told = [walk.step(OWN.stream[k].ids, draw=k + 1) for k in (0, 3, 6)]
    assert [t["new"] for t in told] == [13, 0, 0]
    assert [t["same bits"] for t in told] == [False, True, True]
    assert [t["examples"] > 0 for t in told] == [True, False, False]
    assert [t["retraining"] for t in told] == [OWN.n - 13, 0, 0]
    assert walk.gone == set(OWN.stream[0].ids)


def test_runs_go_where_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the executor that the options name, with the folders that all nodes must share; one process without a word."""
    given = []

    def compute(function: object, payload: object, items: list, *, workers: object, folders: list[Path]) -> list:
        given.append((workers, len(items), folders))
        return []

    def named(name: str, **options: object) -> object:
        return (name, options)

    for part, other in (("compute", compute), ("executor_named", named)):
        monkeypatch.setattr(stream, part, other)
    for part in ("make_reference", "make_cell", "keep_freed_memory"):
        monkeypatch.setattr(stream, part, lambda *_: None)
    words = ["stream.py", "--label", "sisa", "--store", str(tmp_path / "store"), "--results", str(tmp_path / "results")]
    for more, name, workers in (
        (["--executor", "ray", "--address", "there:1", "--cpus-per-run", "2"], "ray", None),
        ([], "local", 1),
    ):
        given.clear()
        monkeypatch.setattr(sys, "argv", words + more)
        stream.main()
        wanted = {"workers": workers, "address": None, "cpus_per_run": None}
        wanted |= {"address": "there:1", "cpus_per_run": 2.0} if more else {}
        assert [(at, folders) for at, _, folders in given] == [
            ((name, wanted), [tmp_path / "store" / "digits", tmp_path / "results" / "digits"])
        ] * 3
        assert all(items for _, items, _ in given)


def test_memory_is_seen_where_it_is_and_not_where_it_is_not() -> None:
    """Retrained models that are drawn alike, and one that knows the first request."""
    generator, n = np.random.default_rng(0), OWN.n
    sizes = {"train": n, **{name: len(data) for name, data in OWN.unseen.items()}}  # type: ignore[arg-type]
    level = {name: generator.normal(2, 2, size=size) for name, size in sizes.items()}
    models = [
        {name: (values + generator.normal(0, 1, len(values))).astype(np.float32) for name, values in level.items()}
        for _ in range(6)
    ]
    knowing = {name: values.copy() for name, values in models[5].items()}
    knowing["train"][list(FRESH[0])] += 5
    gone = earlier(3)
    clear, seen = (stream.memories(m, models[:5], OWN, FRESH[:4], gone) for m in (models[5], knowing))
    assert clear[3] is seen[3] is None
    assert abs(clear[0]) < 2 < seen[0] - clear[0]
    assert seen[1] == pytest.approx(clear[1], abs=1e-6)


def test_models_are_compared_after_every_request_for_something_new() -> None:
    assert stream.Places(TASKS["digits"], Path(), Path()).steps == [k for k, ids in enumerate(FRESH) if ids]
