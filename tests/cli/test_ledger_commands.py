"""`ebbing ledger`, as it is typed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ebbing.cli.erasing import project_of
from ebbing.ledger.settings import read_settings

PROJECT = "--weights model.safetensors --model project:build --data project:train_set --holdout project:test_set"
HOW = "--keys mine:keys --subjects subjects.csv --method fine-tune --set repair.epochs=1 --oracles 0 --accept inconclusive"
PARTS = [word for word in PROJECT.split() if word not in ("--weights", "model.safetensors")]
INIT = ["ledger", "init", *PROJECT.split(), *HOW.split()]


@pytest.fixture
def typed(call, folder, write):
    """A ledger in the folder, and commands on it."""
    write(
        "def keys():\n    return [f'r{i}' for i in range(120)]\n\n"
        "def fresh():\n    return Subset(train_set(), range(60, 120))\n\n"
        "def fresh_keys():\n    return [f'r{i}' for i in range(60, 120)]\n"
    )
    Path("subjects.csv").write_text("subject,record\nAda,r0\nAda,r1\nBob,r70\n")
    made = call(*INIT)
    assert made.code == 0, made
    return lambda *words: call("ledger", *words)


def test_from_a_request_to_its_evidence(typed, folder) -> None:
    assert typed("request", "add", "--basis", "GDPR", "--subject", "Ada", "--reference", "T1").out.startswith(
        "Request 1 received"
    )
    assert "is there already" in typed("request", "add", "--basis", "GDPR", "--subject", "Ada", "--reference", "T1").out
    Path("table.csv").write_text("basis,subject\nGDPR,Bob\n,Bob\nGDPR,Eve\n")
    said = typed("request", "import", "table.csv")
    assert said.code == 2
    assert "table.csv, line 3: `basis` must say" in said.err
    assert "2 requests received, numbers 2 to 3; 0 were there already." in said.out
    said = typed("process", "--dry-run").out
    assert re.findall(r"Request (\d), due \S+, would be processed", said) == ["1", "2"]
    assert re.search(r"Request 3, due \S+, would fail: its subject is not in the map of subjects\.", said)
    done = typed("process")
    assert done.code == 0, done
    assert "Request 3 failed: its subject is not in the map of subjects." in done.out
    assert "Request 1 is closed." in done.out
    assert "Nothing is to be done." in typed("process").out
    status = typed("status").out
    assert "closed                 2" in status
    assert "version 2" in status
    assert "failed" in typed("request", "list", "--state", "failed").out
    assert json.loads(typed("request", "show", "1").out)["outcome"] == "inconclusive"
    assert typed("verify").code == 0
    assert typed("export", "--exclude").out == "r0\nr1\nr70\n"
    typed("export", "--exclude", "--out", "exclude.txt")
    typed("export", "--out", "ledger-export.json")
    assert "Ada" not in Path("ledger-export.json").read_text()
    assert typed("where", "1").out.count("version ") >= 1
    assert "files were trained on the records of request 1." in typed("where", "1").out
    assert "The records of request 3 are not known" in typed("where", "3").out
    assert typed("purge", "--days", "0").out.endswith("1 files were purged.\n")
    said = typed("redact", "1", "--by", "DPO")
    assert "2 record ids are gone" in said.out
    said = typed("verify")
    assert (said.code, "redacted: request 1" in said.out) == (0, True)


def test_a_dry_run_names_what_would_be_taken_and_nothing_else(typed, monkeypatch) -> None:
    for record, due in (("r1", "2099-02-01"), ("r2", "2099-01-01"), ("r3", "2099-03-01")):
        typed("request", "add", "--basis", "GDPR", "--record", record, "--due", due)
    typed("request", "add", "--basis", "GDPR", "--record", "r4", "--due", "2099-01-02", "--gone")

    def named(*words: str) -> list[str]:
        return re.findall(r"Request (\d+), due", typed("process", "--dry-run", *words).out)

    assert named() == ["2", "1", "3"]  # what is gone at the source is never taken with others
    assert named("--limit", "2") == ["2", "1"]
    assert named("--request", "3") == ["3"]
    assert "but 9 is not" in typed("process", "--dry-run", "--request", "9").err
    monkeypatch.setattr("ebbing.ledger.processing.prepare", interrupted)
    assert typed("process", "--limit", "1").code == 130
    said = typed("process", "--dry-run").out
    assert "What is in work would be gone on with, and no other request taken: batch 1" in said
    assert "would be processed" not in said


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_what_was_forgotten_ends_a_check_with_code_3(typed) -> None:
    typed("request", "add", "--basis", "GDPR", "--subject", "Bob")
    assert typed("check", "project:train_set").code == 0
    typed("process")
    said = typed("check", "project:train_set")
    assert (said.code, "r70: to be forgotten by request 1, found by its key" in said.out) == (3, True)
    assert "1 records that were to be forgotten." in said.out  # by key and by content, but it is one
    assert typed("check", "mine:fresh", "--keys", "mine:fresh_keys").code == 3
    assert typed("check", "mine:fresh").code == 2
    Path("next.txt").write_text("r1\nr70\n")
    assert typed("check", "next.txt").code == 3
    Path("next.txt").write_text("r1\n")
    assert typed("check", "next.txt").code == 0


def test_a_check_says_what_it_could_not_compare(call, folder, write) -> None:
    write(
        "class Named(TensorDataset):\n    fingerprint = 'my data'\n\n"
        "def named():\n    return Named(*train_set().tensors)\n\n"
        "def double():\n    x, y = train_set().tensors\n    return TensorDataset(x.double(), y)\n\n"
        "def keys():\n    return [f'r{i}' for i in range(120)]\n"
    )
    how = [word for word in HOW.split() if word not in ("--keys", "mine:keys", "--subjects", "subjects.csv")]
    assert call("ledger", "init", *PROJECT.split(), *how).code == 0
    call("ledger", "request", "add", "--basis", "GDPR", "--record", "3")
    assert call("ledger", "process").code == 0
    said = call("ledger", "check", "mine:named")
    assert (said.code, "nothing could be compared" in said.err) == (2, True), said
    said = call("ledger", "check", "mine:named", "--keys", "mine:keys")
    assert (said.code, "Contents were not compared" in said.out) == (0, True), said
    said = call("ledger", "check", "mine:double")
    assert (said.code, "in another type, scale or shape they are not found" in said.out) == (0, True), said
    assert "Only contents were compared" in said.out


def test_a_change_ends_verify_with_code_3(typed, folder) -> None:
    with open("ledger/models/v0000.safetensors", "ab") as file:
        file.write(b"x")
    said = typed("verify")
    assert said.code == 3
    assert "tampered: the weights of version 1" in said.out


def test_what_is_wrong_is_said_in_a_line_and_nothing_is_lost(typed, folder) -> None:
    for words, told in (
        (("request", "add", "--basis", "GDPR"), "neither did"),
        (("request", "show", "9"), "there is no request 9"),
        (("decide", "9", "close", "--by", "Ada", "--reason", "x"), "there is no request 9"),
        (("request", "list", "--state", "lost"), "'lost' is no state"),
        (("status", "--ledger", "nowhere"), "there must be a ledger in nowhere"),
        (("abandon", "--by", "Ada", "--reason", "x"), "no open batch"),
        (("process", "--request", "4"), "but 4 is not"),
    ):
        said = typed(*words)
        assert said.code == 2, said
        assert told in said.err, said.err
        assert said.err.startswith("Error: ")
        assert said.err.count("\n") == 1
    os.rename("ledger/signing.key", "kept.key")
    typed_, told = typed("request", "add", "--basis", "GDPR", "--record", "r1"), "there is no key in"
    assert (typed_.code, told in typed_.err) == (2, True)
    os.rename("kept.key", "ledger/signing.key")
    assert typed("status").out.startswith("received               0")


def test_the_recipe_that_is_said_reaches_the_methods(call, folder, write) -> None:
    write("def keys():\n    return [f'r{i}' for i in range(120)]\n")
    words = "--keys mine:keys --recipe epochs=7 --set budget=0.1 --oracles 0"
    assert call("ledger", "init", *PROJECT.split(), *words.split()).code == 0
    project = project_of(read_settings(Path("ledger")), Path("ledger"))
    assert (project.method.budget, project.method.training.epochs) == (0.1, 7)
    assert (project.gone_method.budget, project.gone_method.training.epochs) == (0.2, 7)


@pytest.mark.parametrize("how", ["", "--train-fn mine:fit"])
def test_a_budget_that_would_change_nothing_is_refused(how, call, folder, write) -> None:
    write("def keys():\n    return [f'r{i}' for i in range(120)]\n\ndef fit(dataset, *, seed):\n    return None\n")
    words = f"--keys mine:keys --set budget=0.1 --oracles 0 {how}"
    assert call("ledger", "init", *PROJECT.split(), *words.split()).code == 0
    said = call("ledger", "process")
    assert (said.code, "--set budget: a budget is a share of what one retraining processes" in said.err) == (2, True)


def test_an_ensemble_in_shards_is_trained_asked_and_accounted_for(call, folder, write) -> None:
    write("def keys():\n    return [f'r{i}' for i in range(len(train_set()))]\n")
    words = "--sisa 2:2 --recipe epochs=2 --keys mine:keys --oracles 0 --accept inconclusive"
    made = call("ledger", "init", *PARTS, *words.split())
    assert made.code == 0, made
    assert "The next `ebbing ledger process` trains the model." in made.out
    assert "none yet" in call("ledger", "status").out
    assert "The first version was trained, in shards." in call("ledger", "process").out
    assert "version 1, ledger/models/v0000.safetensors" in call("ledger", "status").out
    call("ledger", "request", "add", "--basis", "GDPR", "--record", "r0")
    said = call("ledger", "process")
    assert "Request 1 is closed." in said.out, said
    assert "checkpoint ledger/shards/shard-0" in call("ledger", "where", "1").out
    assert call("ledger", "verify").code == 0
    assert call("ledger", "purge", "--days", "0").code == 0
    assert call("ledger", "verify").code == 0
    said = call("ledger", "init", "--ledger", "two", *PARTS, "--sisa", "2", "--keys", "mine:keys")
    assert (said.code, "`sisa` must be SHARDS:SLICES" in said.err) == (2, True)
    said = call("ledger", "init", "--ledger", "two", *PARTS)
    assert (said.code, "--weights must be given" in said.err) == (2, True)


@pytest.mark.skipif(os.geteuid() == 0 and sys.platform != "linux", reason="root may write everywhere")
def test_commands_that_only_read_and_write_the_ledger_load_no_torch(folder) -> None:
    code = f"""
import sys
from ebbing.cli.commands import app
def run(*words):
    try:
        app(list(words), standalone_mode=False)
    except SystemExit:
        pass
run(*{INIT!r})
run("ledger", "request", "add", "--basis", "GDPR", "--record", "r1")
open("table.csv", "w").write("basis,records\\nGDPR,r2\\n")
run("ledger", "init", "--ledger", "inshards", "--sisa", "2:2", *{PARTS!r})
run("ledger", "status", "--ledger", "inshards")
for words in (["request", "import", "table.csv"], ["request", "list"], ["request", "show", "1"], ["status"], ["verify"],
              ["export"], ["export", "--exclude"], ["where", "1"], ["purge"], ["check", "table.csv"], ["upgrade"]):
    run("ledger", *words)
sys.exit("torch was loaded" if "torch" in sys.modules else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Request 1 received" in done.stdout
    assert "none yet" in done.stdout
    assert "All is as it was written." in done.stdout
