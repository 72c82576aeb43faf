"""A ledger whose model is a folder of the transformers library: every version is one, and every file of it is accounted for."""

from __future__ import annotations

import json
import shutil
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from clinic import TODAY, erasure
from safetensors.torch import load_file, save_file
from texts import in_folder

import ebbing.ledger.folders
from ebbing.checkpoints import read_record
from ebbing.cli import main, names
from ebbing.errors import InputError
from ebbing.ledger import Ledger, Settings
from ebbing.ledger.deciding import decide
from ebbing.ledger.exporting import excluded, exported
from ebbing.ledger.manifest import read_manifest
from ebbing.ledger.processing import process
from ebbing.ledger.reading import shown, status
from ebbing.ledger.schema import Version
from ebbing.ledger.verifying import verify
from ebbing.ledger.where import purge, where
from ebbing.training import Recipe, Trainer

ALL = ("inconclusive",)
PARTS = ["config.json", "model.safetensors", "tokenizer_config.json"]
WRITTEN = sorted([*PARTS, "model.safetensors.json"])


@pytest.fixture
def kind() -> str:
    """SQLite alone: what differs by the database is tested with kills."""
    return "sqlite"


@pytest.fixture
def ledger(make) -> Ledger:
    """A ledger of the classifier of texts; no reference is retrained, which would take time."""
    return make(in_folder=True, accept=ALL, oracles=0)


def asked(ledger: Ledger, *keys: str, **said: object):
    """A request for some records, processed at once."""
    ledger.add([erasure(*keys, **said)])
    done = process(ledger, in_folder(ledger.folder))
    assert done is not None
    return done


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def weights(ledger: Ledger, version: int) -> dict[str, torch.Tensor]:
    return load_file(ledger.folder / "models" / f"v{version:04d}" / "model.safetensors")


def changed(ledger: Ledger, before: int, after: int) -> bool:
    old, new = weights(ledger, before), weights(ledger, after)
    return any(not torch.equal(old[name], new[name]) for name in old)


def test_the_life_of_a_request(ledger, folders) -> None:
    models = ledger.folder / "models"
    assert files(models / "v0000") == PARTS  # neither pickles nor the folders of other checkpoints
    assert all((models / "v0000" / n).read_bytes() == (folders["tuned"] / n).read_bytes() for n in PARTS)
    assert status(ledger, today=TODAY).file == "models/v0000"
    assert asked(ledger, "r0", "r1").kind == "unlearn"
    assert changed(ledger, 0, 1)
    assert files(models / "v0001") == WRITTEN
    assert (models / "v0001" / "tokenizer_config.json").read_text() == '{"a": 1}'
    found = transformers.AutoModelForSequenceClassification.from_pretrained(models / "v0001")
    assert type(found).__name__ == "BertForSequenceClassification"
    assert made_by(ledger, "v0001")["ledger-batch"] == 1
    assert asked(ledger, "r1").kind == "nothing"
    assert asked(ledger, "r7", gone=True).kind == "gone"
    assert status(ledger, today=TODAY).file == "models/v0003"  # of the third batch; the second changed nothing
    assert changed(ledger, 1, 3)
    assert (verify(ledger).problems, verify(ledger).weights) == ([], 3)
    assert [version["file"] for version in exported(ledger)["versions"]] == [f"models/v000{i}.json" for i in (0, 1, 3)]
    assert excluded(ledger).keys == ["r0", "r1", "r7"]
    assert {place.path.name for place in where(ledger, 1) if place.what == "version"} == {"v0000"}
    assert {place.path.name for place in where(ledger, 3) if place.what == "version"} == {"v0000", "v0001"}
    today = date.fromisoformat(str(shown(ledger, 1)["finished"])[:10])
    purge(ledger, today=today, days=0)
    assert sorted(path.name for path in models.iterdir() if path.is_dir()) == ["v0003"]
    assert [place for place in where(ledger, 1) if place.what == "version"] == []
    assert (verify(ledger).problems, verify(ledger).weights) == ([], 1)
    asked(ledger, "r9")  # what the purged folders had is not needed
    assert (verify(ledger).problems, verify(ledger).weights) == ([], 2)


def test_a_purge_that_was_stopped_half_way_is_gone_on_with(ledger, monkeypatch) -> None:
    asked(ledger, "r0")
    today = date.fromisoformat(str(shown(ledger, 1)["finished"])[:10])

    def stopped(path: Path, **_: object) -> None:
        (path / "config.json").unlink()
        raise OSError("stopped")

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", stopped)
        with pytest.raises(OSError, match="stopped"):
            purge(ledger, today=today, days=0)
    assert files(ledger.folder / "models" / "v0000") == PARTS[1:]
    assert verify(ledger).problems == []
    purge(ledger, today=today, days=0)
    assert not (ledger.folder / "models" / "v0000").exists()


def test_a_decision_to_retrain_starts_from_the_checkpoint(make) -> None:
    ledger = make(in_folder=True, oracles=0)
    asked(ledger, "r0")
    decide(ledger, 1, "retrain", by="Ada", reason="to be sure")
    done = process(ledger, in_folder(ledger.folder))
    assert done is not None
    assert done.kind == "retrain"
    project = in_folder(ledger.folder)
    assert isinstance(project.trainer, Trainer)
    start = project.trainer.initial(seed=0).state_dict()
    encoder = load_file(Path(str(ledger.settings.pretrained)) / "model.safetensors")
    assert all(torch.equal(value, start[f"bert.{name}"]) for name, value in encoder.items())
    built = made_by(ledger, "v0002")["settings"]["trainer"]["build"]  # by content, so that the checkpoint may move
    assert built == {"type": "Pretrained", "fingerprint": project.trainer.build.fingerprint}  # type: ignore[attr-defined]
    with ledger.database.reading() as session:
        newest = session.query(Version).order_by(Version.id.desc()).first()
    assert newest is not None
    assert (newest.kind, newest.parent_id) == ("retrained", None)


def made_by(ledger: Ledger, version: str) -> dict[str, Any]:
    record = read_record(ledger.folder / "models" / version / "model.safetensors")
    assert record is not None
    return dict(record.made_by)


# ---------------------------------------------------------------- every file is accounted for


@pytest.mark.parametrize("harm", ["weights", "configuration", "tokenizer", "missing", "more", "list"])
def test_whatever_is_changed_in_a_folder_shows_and_is_not_processed(ledger, harm) -> None:
    place = ledger.folder / "models" / "v0000"
    ledger.add([erasure("r0")])
    path = {
        "weights": place / "model.safetensors",
        "configuration": ledger.folder / "architecture" / "config.json",
        "list": place.with_suffix(".json"),
        "more": place / "model.safetensors.index.json",
    }.get(harm, place / "tokenizer_config.json")
    before = path.read_bytes() if path.exists() else None
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes((before or b"{}")[:-1] + b" ")
    found = verify(ledger)
    assert ([str(path) in problem for problem in found.problems], found.weights) == ([True], 0)
    with pytest.raises(InputError, match=r"Restore it|Remove it|must be"):
        process(ledger, in_folder(ledger.folder))
    path.unlink(missing_ok=True) if before is None else path.write_bytes(before)
    assert verify(ledger).problems == []


def test_a_file_that_is_put_back_lets_the_request_go_on(ledger) -> None:
    path = ledger.folder / "models" / "v0000" / "tokenizer_config.json"
    path.rename(ledger.folder / "aside")
    ledger.add([erasure("r0")])
    with pytest.raises(InputError, match=r"is not what was written\. Restore it"):
        process(ledger, in_folder(ledger.folder))
    (ledger.folder / "aside").rename(path)
    done = process(ledger, in_folder(ledger.folder))
    assert done is not None
    assert done.requests == {1: "closed"}
    assert verify(ledger).problems == []


def test_a_folder_of_a_worker_that_was_stopped_is_written_anew(ledger) -> None:
    ledger.add([erasure("r0")])
    stray = ledger.folder / "models" / "v0001"
    stray.mkdir()
    (stray / "model-00001-of-00002.safetensors").write_bytes(b"half")
    process(ledger, in_folder(ledger.folder))
    assert files(stray) == WRITTEN
    assert verify(ledger).problems == []


# ---------------------------------------------------------------- what is taken in


def test_weights_in_parts_stay_in_parts(folders, tmp_path) -> None:
    source = shutil.copytree(folders["tuned"], tmp_path / "parts")
    held = load_file(source / "model.safetensors")
    names = sorted(held)
    mapped = {}
    for number, some in enumerate((names[:4], names[4:]), start=1):
        file = f"model-{number:05d}-of-00002.safetensors"
        save_file({name: held[name] for name in some}, source / file, metadata={"format": "pt"})
        mapped |= dict.fromkeys(some, file)
    (source / "model.safetensors").unlink()
    index = {"metadata": {"total_size": 0}, "weight_map": mapped}
    (source / "model.safetensors.index.json").write_text(json.dumps(index))
    settings = Settings(database="sqlite:///ledger.db", key="k", hf=True)
    ledger = Ledger.create(tmp_path / "ledger", settings, weights=source)
    manifest = read_manifest(ledger.folder / "models" / "v0000.json")
    assert manifest.weights == "models/v0000/model.safetensors.index.json"
    assert {f"models/v0000/{file}" for file in mapped.values()} <= manifest.files.keys()
    assert status(ledger, today=TODAY).file == "models/v0000"
    assert verify(ledger).problems == []
    (ledger.folder / "models" / "v0000" / "model-00002-of-00002.safetensors").unlink()
    assert len(verify(ledger).problems) == 1


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        ("architecture", "must name an architecture that the installed transformers library has"),
        ("weights", "must be model.safetensors, but there is no such file"),
        ("configuration", "is a folder with config.json, but"),
        ("checkpoint", "--pretrained: "),
        ("head", r"--hf: the weights in .* are missing \(classifier.bias; classifier.weight\)"),
    ],
)
def test_a_folder_that_is_no_model_is_refused_and_nothing_is_made(folders, tmp_path, harm, told) -> None:
    source = shutil.copytree(folders["tuned"], tmp_path / "source")
    config = json.loads((source / "config.json").read_text())
    if harm == "architecture":
        (source / "config.json").write_text(json.dumps(config | {"architectures": ["OursForAnything"]}))
    if harm in ("weights", "configuration"):
        (source / ("model.safetensors" if harm == "weights" else "config.json")).unlink()
    if harm == "head":
        held = load_file(source / "model.safetensors")
        kept = {name: value for name, value in held.items() if not name.startswith("classifier")}
        save_file(kept, source / "model.safetensors", metadata={"format": "pt"})
    start = str(tmp_path / "nowhere" if harm == "checkpoint" else folders["pretrained"])
    settings = Settings(database="sqlite:///ledger.db", key="k", hf=True, pretrained=start)
    with pytest.raises(InputError, match=told):
        Ledger.create(tmp_path / "ledger", settings, weights=source)
    assert not (tmp_path / "ledger").exists()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"model": "mine:build"}, "either `hf` or `model`"),
        ({"recipe": ("epochs=1",)}, "`recipe` must be how the model was fine-tuned from `pretrained`"),
        ({"pretrained": "there", "train_fn": "mine:train"}, "either `pretrained` or `train_fn`"),
        ({"hf": False, "pretrained": "there"}, "`pretrained` must go with `hf`"),
        ({"hf": "tuned"}, "`hf` must be true or false"),
        ({"sisa": "2:2", "method": "sisa", "gone_method": "sisa"}, "either `hf` or `sisa`"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(said, told) -> None:
    with pytest.raises(InputError, match=told):
        Settings(**{"database": "sqlite:///x", "key": "k", "hf": True, **said})


def test_a_network_of_the_configuration_is_drawn_by_the_seed_and_takes_the_weights(ledger) -> None:
    build = ebbing.ledger.folders.Folders(ledger.folder).build
    with torch.random.fork_rng():
        torch.manual_seed(1)
        one, other = build(), build()
    assert one.state_dict().keys() == weights(ledger, 0).keys()
    assert not torch.equal(one.state_dict()["classifier.weight"], other.state_dict()["classifier.weight"])
    assert not one.training


def test_init_process_and_verify_as_they_are_typed(folders, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(names, "OWN_MODULES", set())
    monkeypatch.delenv("EBBING_LEDGER_KEY", raising=False)

    def typed(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["ebbing", "ledger", *words])
        with pytest.raises(SystemExit) as done:
            main()
        said = capsys.readouterr()
        return int(done.value.code or 0), said.out + said.err

    data = ["--data", "texts:train_set", "--holdout", "texts:test_set", "--keys", "texts:keys", "--oracles", "0"]
    init = ["init", *data, "--hf", str(folders["tuned"]), "--accept", "inconclusive"]
    code, said = typed(*init, "--model", "clinic:build")
    assert (code, "--hf stands for both --model and --weights" in said) == (2, True)
    assert "--model must be given, or --hf" in typed("init", *data)[1]
    code, said = typed(
        *init, "--pretrained", str(folders["pretrained"]), "--recipe", "epochs=1", "--set", "repair.epochs=1"
    )
    assert code == 0, said
    typed("request", "add", "--record", "r3", "--basis", "GDPR")
    code, said = typed("process")  # decay, toward the checkpoint
    assert (code, "Request 1 is closed." in said) == (0, True), said
    assert f"version 2, {Path('ledger/models/v0001')}\n" in typed("status")[1]
    assert typed("verify")[0] == 0
    settings = made_by(Ledger.open(Path("ledger")), "v0001")["settings"]
    assert settings["type"] == "Ebb"
    assert settings["anchor"]["type"] == "Pretrained"
    assert settings["repair"]["optimizer"] == Recipe(optimizer="adamw").optimizer
    assert typed("check", "texts:train_set")[0] == 3
