"""A shard is lost, changed or cannot be written, or the recipe is lost: one line says so, nothing is lost, and it goes on."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from clinic import IN_SHARDS, SHARDING, TODAY, erasure
from safetensors.torch import load_file
from test_faults import NAMED, at, filled, is_one_line
from test_kills import end_of

from ebbing.cli import erasing
from ebbing.fingerprint import of_tensors
from ebbing.ledger import Ledger
from ebbing.ledger.deciding import decide
from ebbing.ledger.processing import process
from ebbing.ledger.reading import status
from ebbing.ledger.verifying import verify

SETTINGS: dict[str, Any] = {
    **{name: value for name, value in NAMED.items() if name not in ("train_fn", "settings", "method", "oracles")},
    **{"recipe": ("epochs=6", "batch_size=16", "learning_rate=1e-2"), "accept": ("inconclusive",), "oracles": 0},
    **IN_SHARDS,
}


@pytest.fixture
def kind() -> str:
    """SQLite."""
    return "sqlite"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, templates: Any) -> tuple[Path, dict[str, Any]]:
    """A ledger of an ensemble with a request that waits, and what that comes to where nothing goes wrong."""
    home = tmp_path_factory.mktemp("shards")
    folder = shutil.copytree(templates("sqlite", "_shards"), home / "ledger")
    ledger = Ledger.open(folder)
    replace(ledger.settings, **SETTINGS).save(folder)
    process(ledger := Ledger.open(folder), erasing.project_of(ledger.settings, folder))
    ledger.add([erasure("r0", "r5")])
    undisturbed = shutil.copytree(folder, home / "undisturbed")
    process(other := Ledger.open(undisturbed), erasing.project_of(other.settings, undisturbed))
    return folder, end_of(other)


@pytest.fixture
def waiting(trained, tmp_path, monkeypatch) -> Ledger:
    """A copy of it."""
    monkeypatch.delenv("EBBING_LEDGER_KEY", raising=False)
    return Ledger.open(shutil.copytree(trained[0], tmp_path / "ledger"))


def checkpoints(ledger: Ledger) -> list[Path]:
    return sorted((ledger.folder / "shards").rglob("*.safetensors"))


def hit() -> set[int]:
    """The shards that the request hits."""
    return {int(SHARDING.places(120)[i]) // SHARDING.slices for i in (0, 5)}


def changed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "harm", [Path.unlink, changed, lambda path: path.write_bytes(b"")], ids=["missing", "changed", "empty"]
)
@pytest.mark.parametrize("which", ["first of a shard", "last of a shard"])
def test_a_checkpoint_that_was_harmed_is_named_and_made_again(waiting, trained, typed, harm, which) -> None:
    (spared,) = {*range(SHARDING.shards)} - hit()  # whose checkpoints the next version has as well
    path = [p for p in checkpoints(waiting) if p.parent.name == f"shard-0{spared}"][-1 if "last" in which else 0]
    before = path.read_bytes()
    harm(path)
    assert [str(path) in problem for problem in verify(waiting).problems] == [True]
    assert typed(waiting, "process")[0] == 0
    assert of_tensors(load_file(path)) == of_tensors_in(before, path)
    assert end_of(waiting) == trained[1]
    assert verify(waiting).problems == []


def of_tensors_in(content: bytes, beside: Path) -> str:
    aside = beside.with_name("aside")
    aside.write_bytes(content)
    found = of_tensors(load_file(aside))
    aside.unlink()
    return found


def test_harm_is_told_and_every_checkpoint_may_be_gone(waiting, trained) -> None:
    shutil.rmtree(waiting.folder / "shards")
    assert len(verify(waiting).problems) == SHARDING.shards * SHARDING.slices
    done = process(waiting, erasing.project_of(waiting.settings, waiting.folder))
    assert done is not None
    (told,) = [note for note in done.notes if "checkpoints of version 1" in note]
    assert told.startswith(
        "6 of 6 checkpoints of version 1 are missing or not what was written, shards/shard-00/slice-01-"
    )
    assert end_of(waiting) == trained[1]
    assert {problem.partition(":")[0] for problem in verify(waiting).problems} <= {"the weights of version 1"}


@pytest.mark.parametrize("name", ["models/v0000.json", "models/v0000.safetensors"])
def test_a_version_without_its_weights_or_its_list_is_refused_in_a_line(waiting, trained, typed, name) -> None:
    path = waiting.folder / name
    path.rename(waiting.folder / "aside")
    assert is_one_line(typed(waiting, "process"), str(path), "must ", "Restore it")
    assert typed(waiting, "where", "1")[0] == 0
    assert typed(waiting, "status")[0] == 0  # of the requests all can be told
    found = status(waiting, today=TODAY)
    assert (found.current, found.counts["received"]) == (1, 1)
    if path.suffix == ".json":
        assert (found.file, str(path) in str(found.trouble)) == (None, True)
    else:
        assert (found.file, found.trouble) == (name, None)
    (waiting.folder / "aside").rename(path)
    comes_to(waiting, trained[1], typed)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            {"recipe": ()},
            (
                "`recipe` in ledger.json must say what version 1 was trained by, ",
                "epochs=6.0 batch_size=16 learning_rate=0.01",
                "Change it back",
            ),
        ),
        ({"model": "clinic:train_set"}, ("--model",)),
        ({"sisa": "2:2"}, ("`sisa` and `seed` in ledger.json must be those of version 1",)),
    ],
    ids=["recipe", "model", "sisa"],
)
def test_a_recipe_that_was_lost_is_a_line_and_nothing_is_trained(waiting, trained, typed, said, told) -> None:
    before = checkpoints(waiting)
    replace(waiting.settings, **said).save(waiting.folder)
    assert is_one_line(typed(waiting, "process"), *told)
    assert checkpoints(waiting) == before
    waiting.settings.save(waiting.folder)
    comes_to(waiting, trained[1], typed)


def test_a_retraining_may_have_another_recipe(waiting) -> None:
    replace(waiting.settings, accept=()).save(waiting.folder)
    ledger = Ledger.open(waiting.folder)
    process(ledger, erasing.project_of(ledger.settings, ledger.folder))
    decide(ledger, 1, "retrain", by="Ada", reason="to be sure")
    replace(ledger.settings, recipe=("epochs=2",)).save(ledger.folder)
    ledger = Ledger.open(ledger.folder)
    done = process(ledger, erasing.project_of(ledger.settings, ledger.folder))
    assert done is not None
    assert done.kind == "retrain"
    listed = json.loads((ledger.folder / "models" / "v0003.json").read_text())
    assert listed["about"]["recipe"]["epochs"] == 2
    assert verify(ledger).problems == []


def comes_to(ledger: Ledger, wanted: dict[str, Any], typed: Any) -> None:
    """The same command goes on, and the end is the same."""
    assert verify(ledger).problems == []
    assert typed(ledger, "process")[0] == 0
    assert end_of(ledger) == wanted
    assert verify(ledger).problems == []


# ---------------------------------------------------------------- disks


@pytest.mark.parametrize("step", ["planned", "weights"])
def test_a_shard_that_cannot_be_written_is_a_line_and_nothing_is_lost(
    waiting,
    trained,
    disk,
    typed,
    step,
    monkeypatch,
) -> None:
    ledger = Ledger.open(shutil.copytree(waiting.folder, disk / "ledger"))
    left: list[Path] = []
    at(monkeypatch, step, lambda: left.append(filled(disk, 0)))
    assert is_one_line(typed(ledger, "process"), "could not be", "the same command goes on from there")
    left.pop().unlink()
    monkeypatch.setattr(erasing, "process", process)
    comes_to(ledger, trained[1], typed)


def test_a_first_training_on_a_disk_without_room_goes_on_where_it_stopped(make, disk, typed, monkeypatch) -> None:
    made = make(in_shards=True, **SETTINGS)
    ledger = Ledger.open(shutil.copytree(made.folder, disk / "ledger"))
    finished = set[Path]()
    for pages in (2, 2):  # for so many more checkpoints
        left: list[Path] = []
        at(monkeypatch, "taken", lambda pages=pages, left=left: left.append(filled(disk, pages * 4096)))
        kept = {path: path.stat().st_mtime_ns for path in finished}
        assert is_one_line(typed(ledger, "process"), "the same command goes on from there")
        left.pop().unlink()
        finished = set(checkpoints(ledger))
        assert len(finished) > len(kept)
        assert kept.items() <= {path: path.stat().st_mtime_ns for path in finished}.items()
    monkeypatch.setattr(erasing, "process", process)
    assert 0 < len(finished) < SHARDING.shards * SHARDING.slices
    assert typed(ledger, "process")[0] == 0
    assert status(ledger, today=TODAY).current == 1
    assert (verify(ledger).problems, verify(ledger).weights) == ([], 1)
    assert typed(ledger, "process")[0] == 0
