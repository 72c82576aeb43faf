"""The command line from the outside: what it prints, what it writes, and the exit codes."""

import json
import math
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import ebbing.cli.run
from ebbing import methods
from ebbing.cli.names import members
from ebbing.data.sources import load
from ebbing.methods import Unlearner

SHORT = ("--recipe", "epochs=2", "--threads", "1")


# ---------------------------------------------------------------- what is answered at once


def test_help_and_version_do_not_wait_for_torch() -> None:
    code = """
import sys
from ebbing.cli import main
for words in (["--version"], ["--help"], ["run", "--help"], ["demo", "--help"], ["run", "--nope"], []):
    sys.argv = ["ebbing", *words]
    try:
        main()
    except SystemExit as done:
        print(f"code {done.code}")
sys.exit("torch is loaded" if "torch" in sys.modules else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("code")] == [
        *("code 0", "code 0", "code 0", "code 0", "code 2", "code 2")
    ]
    assert "ebbing 0." in done.stdout
    assert "mislabelled:0.05" in done.stdout
    assert done.stderr.startswith("Error: No such option: --nope")
    assert done.stderr.count("\n") == 1  # where no word is given, the help says enough


def test_methods_lists_what_there_is_and_marks_controls(call) -> None:
    said = call("methods")
    assert said.code == 0
    assert "\x1b" not in said.out
    rows = [line.split("│")[1:-1] for line in said.out.splitlines() if line.startswith("│")]
    cells = {row[0].strip(): [cell.strip() for cell in row] for row in rows}
    for name, method in members(methods, Unlearner).items():
        assert cells[name][2] == ("control" if method.control else "")
    for preset in ("paper", "ffr", "published-code"):
        assert preset in said.out
    assert {"power-law", "activation-ratio", "ranked-rate", "paper-cnn", "modified-entropy"} <= set(cells)


def test_a_terminal_without_the_signs_shows_others() -> None:
    code = "import sys; sys.argv = ['ebbing', 'methods']; from ebbing.cli import main; main()"
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()


# ---------------------------------------------------------------- a whole run

NUMBER, WHOLE, TEXT, FLAG = "a number", "a whole number", "a text", "true or false"


class Maybe(NamedTuple):
    """Null where there is no evidence."""

    schema: Any


class Each(NamedTuple):
    """An object with names of its own."""

    schema: Any


RANGE = {"mean": NUMBER, "low": NUMBER, "high": NUMBER}
SPLITS = ("forget", "retain", "holdout")
SUBJECT = {
    "accuracy": dict.fromkeys(SPLITS, NUMBER),
    "attacks": Each(
        {"auc": Maybe(NUMBER), "low": Maybe(NUMBER), "high": Maybe(NUMBER), "tpr_at_1pct_fpr": Maybe(NUMBER)}
    ),
    "memory": Maybe({"m": NUMBER, "w": NUMBER, "low": NUMBER, "high": NUMBER}),
    "drift": Maybe(dict.fromkeys(SPLITS, NUMBER)),
}
SCHEMA = {
    "schema": TEXT,
    "request": {"kind": TEXT, "forget": WHOLE, "retain": WHOLE, "holdout": WHOLE, "fingerprint": TEXT},
    "original": SUBJECT,
    "oracles": {
        "count": WHOLE,
        "accuracy": Maybe(dict.fromkeys(SPLITS, RANGE)),
        "attacks": Maybe(Each({"auc": Maybe(RANGE)})),
        "seconds": Maybe(NUMBER),
    },
    "methods": Each(
        SUBJECT
        | {
            "verdict": {"outcome": TEXT, "reason": TEXT},
            "control": FLAG,
            "tow": Maybe(NUMBER),
            "removed": Maybe(NUMBER),
            "cost": {"seconds": NUMBER, "ratio_to_retraining": Maybe(NUMBER), "examples_ratio": Maybe(NUMBER)},
            "settings": {"type": TEXT},
        }
    ),
    "provenance": {
        **dict.fromkeys(("ebbing", "torch", "python", "platform", "device", "command"), TEXT),
        "threads": WHOLE,
        "seeds": {},
    },
}


def missing(value: Any, schema: Any, path: str = "report") -> list[str]:
    """Where a value is not what the schema says, as paths; keys that the schema does not name are welcome."""
    if isinstance(schema, Maybe):
        return [] if value is None else missing(value, schema.schema, path)
    if isinstance(schema, Each):
        if not isinstance(value, dict) or not value:
            return [f"{path} is {value!r}, not an object with something in it"]
        return [found for key in value for found in missing(value[key], schema.schema, f"{path}.{key}")]
    if isinstance(schema, dict):
        if not isinstance(value, dict):
            return [f"{path} is {value!r}, not an object"]
        absent = [f"{path}.{key} is missing" for key in schema if key not in value]
        inside = (missing(value[key], part, f"{path}.{key}") for key, part in schema.items() if key in value)
        return absent + [found for part in inside for found in part]
    right = {
        NUMBER: type(value) in (int, float) and math.isfinite(value),
        WHOLE: type(value) is int,
        TEXT: type(value) is str and value != "",
        FLAG: type(value) is bool,
    }[schema]
    return [] if right else [f"{path} is {value!r}, not {schema}"]


def test_the_checker_of_the_report_finds_what_is_wrong() -> None:
    schema = {"a": NUMBER, "b": Maybe({"c": TEXT}), "d": Each({"e": FLAG})}
    assert missing({"a": 1.0, "b": None, "d": {"x": {"e": True}}, "more": 1}, schema) == []
    assert len(missing({"a": None, "b": {"c": 3}, "d": {"x": {"e": 1}, "y": {}}}, schema)) == 4
    assert len(missing({"a": True, "d": {}}, schema)) == 3


def test_a_run_from_end_to_end(call, tmp_path, monkeypatch) -> None:
    (tmp_path / "own_method.py").write_text(
        "from dataclasses import dataclass\n"
        "from ebbing.methods import Unlearner\n\n\n"
        "@dataclass(frozen=True)\n"
        "class Halve(Unlearner):\n"
        '    """Every parameter times a constant."""\n\n'
        "    share: float = 0.5\n\n"
        "    def forget(self, model, run):\n"
        "        for parameter in model.parameters():\n"
        "            parameter.data.mul_(self.share)\n"
        "        return model\n"
    )
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    labels = ["do-nothing", "temperature", "ebb", "forgetting-network:ffr", "v1.2", "own_method:Halve", "[b]own:x[/b]"]
    words = ["do-nothing", "temperature", "ebb", "forgetting-network:ffr", "fine-tune@v1.2", "own_method:Halve"]
    words += ["own_method:Halve@[b]own:x[/b]"]
    settings = ["forgetting-network:ffr.turns=1", "v1.2.repair.epochs=1", "own_method:Halve.share=1", "factor=.4"]
    said = call(
        *("run", "--forget", "mislabelled:0.1", *SHORT, "--oracles", 4, "--out", "run [1]", "--seed", 3),
        *(word for method in words for word in ("--method", method)),
        *(word for setting in settings for word in ("--set", setting)),
    )
    assert said.code == 0, said.err
    assert said.err == ""
    report = json.loads(Path("run [1]/report.json").read_text(encoding="utf-8"))
    assert missing(report, SCHEMA) == []
    assert report["schema"] == "ebbing.report/1"
    assert (report["request"]["kind"], report["request"]["forget"], report["oracles"]["count"]) == (
        "mislabelled",
        130,
        4,
    )
    assert list(report["methods"]) == labels
    blocks = report["methods"]
    assert {name for name, block in blocks.items() if block["control"]} == {"do-nothing", "temperature"}
    assert blocks["forgetting-network:ffr"]["settings"]["turns"] == 1
    assert blocks["v1.2"]["settings"]["repair"]["epochs"] == 1
    assert blocks["temperature"]["settings"]["factor"] == 0.4
    assert [blocks[label]["settings"]["share"] for label in labels[-2:]] == [1.0, 0.5]
    assert blocks["own_method:Halve"]["accuracy"] == report["original"]["accuracy"]
    assert report["original"]["memory"] is not None
    assert report["methods"]["ebb"]["cost"]["ratio_to_retraining"] > 0
    assert report["provenance"]["threads"] == 1
    assert report["provenance"]["command"].startswith("ebbing run --forget mislabelled:0.1 ")
    assert report["provenance"]["seeds"] == {"original": 3, "methods": 3, "oracles": [1003, 1004, 1005, 1006]}
    assert "<html" in Path("run [1]/report.html").read_text(encoding="utf-8")
    # what is printed
    assert "\x1b" not in said.out
    assert "…" not in said.out  # the table has its full width where there is no terminal
    assert "Written to run [1]/report.json and run [1]/report.html" in said.out
    for label in labels:
        assert f"\n{label}" in said.out


def test_without_oracles_nothing_is_made_up(call, tmp_path) -> None:
    said = call("run", *SHORT, "--oracles", 0, "--method", "do-nothing", "--out", tmp_path)
    assert said.code == 0, said.err
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert missing(report, SCHEMA) == []
    block = report["methods"]["do-nothing"]
    assert block["verdict"]["outcome"] == "inconclusive"
    assert "no retrained model to compare with" in block["verdict"]["reason"]
    assert [block[key] for key in ("memory", "drift", "tow", "removed")] == [None] * 4
    assert block["cost"]["ratio_to_retraining"] is None
    assert [report["oracles"][key] for key in ("count", "accuracy", "attacks", "seconds")] == [0, None, None, None]
    assert report["original"]["memory"] is None
    assert "no retrained model to compare with" in said.out


# ---------------------------------------------------------------- what would be done


@pytest.mark.parametrize(
    ("rule", "count"),
    [
        ("random:0.1", 130),
        ("balanced:0.05", 60),
        ("class:3", None),
        ("mislabelled:0.05", 65),
        ("ids.txt", 5),
    ],
)
def test_a_dry_run_says_the_plan_and_leaves_nothing(rule, count, call, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ids.txt").write_text("0\n5\n7\n11\n1296\n")
    if count is None:
        count = Counter(load("digits").train.tensors[1].tolist())[3]
    said = call("run", "--forget", rule, *SHORT, "--oracles", 3, "--out", "a/b", "--method", "ebb@mine", "--dry-run")
    assert said.code == 0, said.err
    assert f"{count} of 1297 records to forget; seed 0, cpu, 1 threads." in said.out
    assert "original                     2,594 examples, about " in said.out
    assert "  mine  " in said.out
    assert f"3 retrained models           {3 * 2 * (1297 - count):,} examples, about " in said.out
    assert "s in all, less what a/b already holds." in said.out
    assert os.listdir() == ["ids.txt"]


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dataset", "digit"], "--dataset 'digit' is unknown. Did you mean 'digits'?"),
        (["--method", "eb"], "--method 'eb' is unknown. Did you mean 'ebb'?"),
        (["--method", "ebb:paper"], "--method 'ebb' has no preset 'paper'. There are gentle, plain."),
        (["--method", "forgetting-network:papr"], "has no preset 'papr'. Did you mean 'paper'?"),
        (["--method", "json:loads"], "must be an Unlearner, but is"),
        (["--method", "ebbing.methods:Unlearner"], "can be made without arguments"),
        (["--attack", "project:Dull"], "argument: 'times'. Give them defaults, or name an instance in its module."),
        (["--attack", "json:loads"], "--attack 'json:loads' must be an Attack, but is <function loads"),
        (["--method", "ebb", "--method", "ebb"], "the label 'ebb' is given twice. Add @label"),
        (["--method", "ebb@x", "--method", "do-nothing@x"], "the label 'x' is given twice"),
        (["--method", "ebb@"], "a label must"),
        (["--method", "ebb@a=b"], "a label must"),
        (["--set", "durations=3"], "no method has a setting 'durations'. Did you mean 'duration'?"),
        (["--method", "ebb@x", "--set", "ebb.duration=3"], "Before the dot stands a method's label: x."),
        (["--set", "ebb.durations=3"], "ebb has no setting 'durations'. Did you mean 'duration'?"),
        (["--set", "duration"], "--set must be [method.]field[.sub]=value, but is 'duration'."),
        (["--set", "duration=long"], "ebb.duration must be a number, but is 'long'."),
        (["--set", "curve=taylor"], "ebb.curve 'taylor' is unknown."),
        (["--method", "do-nothing", "--set", "x=1"], "no method has a setting 'x'."),
        (["--recipe", "epoch=3"], "recipe has no setting 'epoch'. Did you mean 'epochs'?"),
        (["--recipe", "epochs"], "--recipe must be key=value, but is 'epochs'."),
        (["--recipe", "epochs=many"], "recipe.epochs must be a number, but is 'many'."),
        (["--recipe", "epochs=-1"], "recipe: epochs must be > 0, but is -1"),
        (["--model", "papercn"], "--model 'papercn' is unknown. Did you mean 'paper-cnn'?"),
        (
            ["--model", "paper-cnn"],
            "--model 'paper-cnn': the model cannot be run on a batch with inputs of shape (8, 1, 8, 8)",
        ),
        (["--model", "ebbing.models:__all__"], "must be callable"),
        (["--forget", "random:1.5"], "the fraction of 'random:1.5' must lie in (0, 1)."),
        (["--forget", "class:12"], "needs a label in [0, 10)"),
        (["--forget", "none.txt"], "'none.txt' is neither a rule nor a file."),
        (["--forget", "word.txt"], "word.txt, line 2: an id must be a whole number, but is 'two'."),
        (["--forget", "outside.txt"], "must lie in [0, 1297), but contains [1297]"),
        (["--forget", "twice.txt"], "1 of 2 are repeated"),
        (["--forget", "empty.txt"], "must name at least one record"),
        (["--train-size", "0"], "`train_size` must be an integer of at least 1"),
        (["--train-size", "5000"], "`train_size` must lie in [1, 1297]"),
        (["--out", "word.txt/below"], "--out word.txt/below cannot be written to: Not a directory."),
        (["--device", "abacus"], "--device 'abacus' cannot be used here:"),
        (["--device", "meta"], "--device 'meta' cannot be used here:"),
        (["--oracles", "-1"], "Invalid value for '--oracles'"),
        (["--oracles", "some"], "Invalid value for '--oracles'"),
        (["--seed", str(2**70)], "Invalid value for '--seed'"),
        (["--threads", "0"], "Invalid value for '--threads'"),
        (["--no-such-option"], "No such option: --no-such-option"),
        (["--recipe", "learning_rate=1e30", "--model", "digits-mlp"], "diverges: the loss is nan after epoch"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_fault_of_the_user_is_one_line_and_code_2(words, message, call, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = {"word.txt": "1\ntwo\n", "outside.txt": "1297\n", "twice.txt": "1\n1\n", "empty.txt": "# nothing\n"}
    for name, text in files.items():
        Path(name).write_text(text)
    said = call("run", "--oracles", 0, *SHORT, *words)
    assert said.code == 2
    assert said.err.startswith("Error: ")
    assert message in said.err
    assert said.err.count("\n") == 1, said.err
    assert not list(tmp_path.rglob("*.safetensors"))


def test_data_that_is_nowhere(call, tmp_path) -> None:
    said = call(
        *("run", "--dataset", "mnist", "--data-dir", tmp_path / "nowhere", "--no-download", "--out", tmp_path / "out")
    )
    assert said.code == 2
    assert said.err.startswith("Error: The files of mnist must lie together in one folder")
    assert "Traceback" not in said.err
    assert os.listdir(tmp_path) == []


def test_all_faults_are_said_at_once(call, tmp_path) -> None:
    said = call(
        *("run", "--method", "eb", "--recipe", "epoch=1", "--device", "abacus", "--model", "x", "--out", "/dev/null/x"),
        *("--attack", "loss"),
    )
    assert said.code == 2
    lines = said.err.splitlines()
    assert all(line.startswith("Error: ") for line in lines)
    assert len(lines) == 6
    assert "--attack must be named pkg.mod:name, but is 'loss'." in said.err


def test_a_network_must_know_every_class(call, tmp_path, monkeypatch) -> None:
    (tmp_path / "small_net.py").write_text(
        "from torch import nn\ndef two():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 2))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    said = call("run", "--model", "small_net:two", *SHORT, "--out", tmp_path / "out")
    assert said.code == 2
    assert (
        "labels must lie in [0, 2), one logit of the model for each class, but those of `dataset` contain [2, 3"
        in said.err
    )


def test_an_attack_is_tried_on_the_untrained_network(call, folder, write) -> None:
    write("class Own(Attack):\n    name = 'own'\n    def scores(self, signals):\n        return signals.margin[0]")
    for more in ([], ["--dry-run"]):
        said = call("run", "--attack", "mine:Own", *SHORT, "--out", "out", *more)
        assert said.code == 2
        assert said.err.startswith(
            "Error: `scores` of Own must give a score for each model and record, an array of shape"
        )
        assert said.err.count("\n") == 1, said.err
        assert not Path("out").exists()


def test_settings_come_in_any_order(call, tmp_path) -> None:
    orders = (["curve.exponent=2", "curve=power-law"], ["curve=power-law", "curve.exponent=2"])
    for order in (*orders, ["conv.fastest=300", "conv.slowest=400", "conv=ranked-rate"]):
        words = [word for setting in order for word in ("--set", setting)]
        said = call("run", *SHORT, "--dry-run", "--out", tmp_path / "out", *words)
        assert said.code == 0, said.err


def test_a_command_is_not_shared_out_among_processes(call, monkeypatch) -> None:
    for name, value in {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    result = call("methods")
    assert result.code == 2
    assert "one process, but 2 were started together" in result.err
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert call("methods").code == 0


def test_our_own_fault_is_code_1_and_says_so(call, monkeypatch) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("two\nlines.")

    monkeypatch.setattr(ebbing.cli.run, "run_study", broken)
    said = call("run")
    assert said.code == 1
    assert said.err == (
        "Internal error: RuntimeError: two lines. This is a defect of ebbing; `ebbing --debug run ...` shows where.\n"
    )
    told = call("--debug", "run")
    assert told.code == 1
    assert told.err.startswith("Internal error: RuntimeError: two lines.")
    assert "Traceback (most recent call last)" in told.err


def test_debug_shows_the_traceback_of_a_fault_of_the_user(call) -> None:
    said = call("--debug", "run", "--dataset", "digit")
    assert said.code == 2
    assert "Traceback (most recent call last)" in said.err
    assert "InputError" in said.err


def test_an_interruption_is_code_130(call, monkeypatch) -> None:
    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ebbing.cli.run, "run_study", interrupted)
    said = call("run")
    assert said.code == 130
    assert said.err == "Interrupted. What was finished is kept: the same command goes on from there.\n"


def test_the_demo_is_a_study_of_wrong_labels(call, monkeypatch, tmp_path) -> None:
    asked: list[ebbing.cli.run.Options] = []
    monkeypatch.setattr(ebbing.cli.run, "run_study", asked.append)
    assert call("demo", "--out", tmp_path, "--seed", 2).code == 0
    (options,) = asked
    assert (options.forget, options.oracles, options.seed, options.out) == ("mislabelled:0.05", 16, 2, tmp_path)
    assert call("demo", "--seed", -1).code == 2
