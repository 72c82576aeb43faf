"""A study in a folder: what a rerun trains again, and what is left when it is stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from ebbing.attacks import LossThreshold
from ebbing.curves import ForgettingCurve
from ebbing.data.selection import select
from ebbing.data.sources import load
from ebbing.errors import InputError
from ebbing.methods import UNSIR, DoNothing, Ebb, FineTune, Run, Temperature, Unlearner
from ebbing.models import digits_mlp
from ebbing.study import Study
from ebbing.training import Recipe, Trainer

TIMED = {"seconds", "seconds_each", "ratio_to_retraining", "provenance"}
QUICK = Recipe(epochs=1, learning_rate=1e-3)


@dataclass(frozen=True)
class Shrink(Unlearner):
    """Every parameter times a constant."""

    factor: float = 0.5

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        for parameter in model.parameters():
            parameter.data.mul_(self.factor)
        return model


@dataclass(frozen=True)
class Explode(Unlearner):
    """Weights that are not finite."""

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        next(model.parameters()).data.fill_(float("nan"))
        return model


@dataclass(frozen=True)
class Dawdle(Unlearner):
    """Nothing, slowly."""

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        time.sleep(0.5)
        return model


@pytest.fixture(scope="module")
def request_():
    return select("mislabelled:0.1", load("digits", train_size=400), seed=0)


@pytest.fixture
def study(request_, tmp_path):
    """A study of two methods and four retrained models that takes well under a second."""
    trainer = Trainer(digits_mlp, Recipe(epochs=2))
    return Study(trainer, request_, {"shrink": Shrink(), "tune": FineTune(repair=QUICK)}, 4, tmp_path / "a")


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is computed from here on: the seed of each training, the method of each unlearning."""
    done: list[Any] = []
    train, unlearn = Trainer.__call__, Unlearner.unlearn

    def counted_train(self, dataset, *, seed, journal=None):
        done.append(seed)
        return train(self, dataset, seed=seed, journal=journal)

    def counted_unlearn(self, *args, **kwargs):
        done.append(self)
        return unlearn(self, *args, **kwargs)

    monkeypatch.setattr(Trainer, "__call__", counted_train)
    monkeypatch.setattr(Unlearner, "unlearn", counted_unlearn)
    return done


def untimed(value: Any) -> Any:
    """The figures of a report without those that a clock gave."""
    if isinstance(value, dict):
        return {k: untimed(v) for k, v in value.items() if k not in TIMED}
    if isinstance(value, list):
        return [untimed(v) for v in value if not (isinstance(v, str) and v.startswith("Retraining would"))]
    return value


def report_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


# ---------------------------------------------------------------- reruns


def test_a_rerun_computes_nothing_again(study, work) -> None:
    first = study.run()
    assert work == [0, Shrink(), FineTune(repair=QUICK), 1000, 1001, 1002, 1003]
    files = {p: p.stat().st_mtime_ns for p in study.store.directory.iterdir()}
    work.clear()
    second = study.run()
    assert work == []
    assert {p: p.stat().st_mtime_ns for p in study.store.directory.iterdir()} == files
    for report in (first, second):  # the audit is done again, and takes its own time
        report.data["measures"].pop("seconds")
    assert first.data | {"provenance": None} == second.data | {"provenance": None}  # the seconds of methods too
    assert second.data["methods"] == report_of(study.directory)["methods"]


def test_only_what_changed_is_computed_again(study, work) -> None:
    study.run()
    work.clear()
    study = replace(study, methods={"shrink": Shrink(0.9), "tune": study.methods["tune"], "hot": Temperature()})
    report = study.run()
    assert work == [Shrink(0.9), Temperature()]
    assert list(report.data["methods"]) == ["shrink", "tune", "hot"]
    work.clear()
    replace(study, oracles=5).run()
    assert work == [1004]
    work.clear()
    replace(study, methods={"another name": Shrink(0.9)}).run()
    assert work == []  # a name is no part of what was computed


def test_pairs_share_a_seed_and_are_made_once(study, work) -> None:
    pairs = study.pairs("shrink", Shrink(0.9), 3)
    assert work == [0, 1, 2, Shrink(0.9), Shrink(0.9), Shrink(0.9)]
    for original, unlearned, _ in pairs:
        assert torch.equal(next(unlearned.parameters()), 0.9 * next(original.parameters()))
    assert not torch.equal(next(pairs[0][0].parameters()), next(pairs[1][0].parameters()))
    work.clear()
    again = study.pairs("shrink", Shrink(0.9), 3)
    assert work == []
    assert torch.equal(next(again[2][1].parameters()), next(pairs[2][1].parameters()))
    study.run()
    assert work.count(0) == 0  # the first original is the study's own


def test_several_originals_are_each_unlearned_and_judged_together(study, work) -> None:
    several = replace(study, originals=3)
    report = several.run()
    assert sorted(seed for seed in work if isinstance(seed, int)) == [0, 1, 2, 1000, 1001, 1002, 1003]
    assert work.count(Shrink()) == 3
    assert report.data["provenance"]["seeds"]["original"] == [0, 1, 2]
    assert {name: len(found) for name, found in report.data["models"]["methods"].items()} == {"shrink": 3, "tune": 3}
    assert len(set(report.data["models"]["original"])) == 3
    assert set(report.data["methods"]["tune"]["accuracy"]["forget"]) == {"mean", "low", "high"}
    work.clear()
    several.run()
    assert work == []


@pytest.mark.slow
def test_workers_unlearn_the_same_bits(study, tmp_path) -> None:
    assert torch.get_num_threads() == 1, "the pool has one thread a process"
    study = replace(study, methods={"tune": study.methods["tune"]}, originals=2, oracles=0, measures=None)
    alone = study.run().data
    here_alone = type("HereAlone", (LossThreshold,), {"name": "here-alone"})()  # no process could import its class
    pooled = replace(study, workers=2, directory=tmp_path / "pooled", attacks=[here_alone]).run().data
    assert pooled["models"] == alone["models"]


class ByHand(Unlearner):
    """A method that is no dataclass, with a class among its settings."""

    def __init__(self, kind: type) -> None:
        self.kind = kind

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        return model


def in_module(name: str) -> Unlearner:
    """A method, and a class that it holds, as if a module of some name had defined both."""
    return type("Own", (ByHand,), {"__module__": name, "__doc__": ""})(type("Held", (), {"__module__": name}))


def test_a_method_of_the_script_is_the_same_in_a_worker(study) -> None:
    """Where multiprocessing calls the module of the script by another name."""
    original = digits_mlp()
    for name in ("__main__", "__mp_main__"):
        study.unlearn("own", in_module(name), original)
    assert len(study.store.entries()) == 1
    study.unlearn("own", in_module("elsewhere"), original)
    assert len(study.store.entries()) == 2


def test_a_method_that_is_not_made_for_the_request_is_refused_before_anything_is_trained(study, work) -> None:
    with pytest.raises(InputError, match="UNSIR forgets whole classes"):
        replace(study, methods={**study.methods, "unsir": UNSIR()})
    assert work == []


def test_several_originals_need_a_trainer(study) -> None:
    with pytest.raises(InputError, match="1 where the original is given"):
        replace(study, given=digits_mlp(), originals=2)
    with pytest.raises(InputError, match="at least 1"):
        replace(study, originals=0)


@pytest.mark.parametrize("change", ["seed", "recipe", "request"])
def test_what_everything_depends_on_changes_everything(change, study, work) -> None:
    study = replace(study, oracles=1)
    study.run()
    before = len(work)
    changes = {
        "seed": lambda: {"seed": 7},
        "recipe": lambda: {"trainer": replace(study.trainer, recipe=Recipe(epochs=1))},
        "request": lambda: {"request": select("mislabelled:0.2", load("digits", train_size=400), seed=0)},
    }
    replace(study, **changes[change]()).run()
    assert len(work) == 2 * before


def test_a_method_that_was_rewritten_is_run_again(study, work, tmp_path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    head = "from dataclasses import dataclass\nfrom ebbing.methods import Unlearner\n"
    body = "@dataclass(frozen=True)\nclass Own(Unlearner):\n    def forget(self, model, run):\n"
    outcomes = []
    for line in ("        return model\n", "        return model.apply(lambda m: None)\n"):
        name = "own_of_study"
        (tmp_path / f"{name}.py").write_text(head + body + line)
        sys.modules.pop(name, None)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        own = __import__(name).Own()
        outcomes.append(own)
        replace(study, methods={"own": own}, oracles=0).run()
    monkeypatch.delitem(sys.modules, "own_of_study")
    assert [type(w).__name__ for w in work] == ["int", "Own", "Own"]


BESIDE = """
from dataclasses import dataclass
from ebbing.methods import Unlearner
STRENGTH = 0.5
UNUSED = 1
def scaled(weight):
    return weight.mul_(STRENGTH)
class Base(Unlearner):
    def forget(self, model, run):
        return model.apply(lambda m: [scaled(w.data) for w in m.parameters(recurse=False)] and None)
@dataclass(frozen=True)
class Own(Base):
    pass
"""


@pytest.mark.parametrize(
    ("before", "after", "again"),
    [("= 0.5", "= 0.6", True), ("mul_", "add_", True), ("weight.mul_", "1 * weight.mul_", True), ("= 1", "= 2", False)],
)
def test_a_method_whose_helpers_were_rewritten_is_run_again(
    before, after, again, study, work, tmp_path, monkeypatch
) -> None:
    """A constant, a function and a base of its module count; what it does not use does not."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    name = "own_helpers_of_study"
    for text in (BESIDE, BESIDE.replace(before, after)):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
        replace(study, methods={"own": __import__(name).Own()}, oracles=0).run()
    monkeypatch.delitem(sys.modules, name)
    assert [type(w).__name__ for w in work] == ["int", "Own", *(["Own"] if again else [])]


class Exponential(ForgettingCurve):
    """A curve of the user's with a name that ebbing uses too."""

    def left(self, age: Tensor) -> Tensor:
        return (-2 * age).exp()


def test_a_curve_from_elsewhere_is_not_taken_for_ours(study, work) -> None:
    study = replace(study, oracles=0)
    replace(study, methods={"ours": Ebb(repair=QUICK)}).run()
    theirs = Ebb(repair=QUICK, curve=Exponential())
    work.clear()
    replace(study, methods={"theirs": theirs}).run()
    assert work == [theirs]


def test_the_same_study_in_two_folders_gives_the_same_figures(study, tmp_path) -> None:
    a = study.run()
    b = replace(study, directory=tmp_path / "b").run()
    assert untimed(a.data) == untimed(b.data)
    names = [{p.name for p in (tmp_path / f / "models").iterdir()} for f in "ab"]
    assert names[0] == names[1]


def test_progress_comes_to_its_end_also_where_all_is_reused(study) -> None:
    def told() -> list[tuple[str, int, int]]:
        seen: list[list[Any]] = []

        def begin(what: str, examples: int):
            seen.append([what, examples, 0])
            entry = seen[-1]

            def advance(n: int) -> None:
                entry[2] += n

            return advance

        study.run(progress=begin)
        return [tuple(entry) for entry in seen]

    first, second = told(), told()
    assert [what for what, _, _ in first] == ["original", "shrink", "tune", "4 retrained models", "audit"]
    oracles = next(entry for entry in first if entry[0].startswith("4"))
    assert oracles[1] == oracles[2] == 4 * 2 * 360
    assert oracles == next(entry for entry in second if entry[0].startswith("4"))
    # what a method processed is counted in full, its measurements included
    assert first[2][2] > first[2][1] > 0
    assert first[1:3] == second[1:3]


# ---------------------------------------------------------------- what the report says of a run


def test_a_method_that_diverges_is_rolled_back_and_the_report_says_so(study) -> None:
    wild = FineTune(repair=Recipe(epochs=1, learning_rate=1e20, optimizer="sgd"))
    report = replace(study, methods={"explode": Explode(), "wild": wild}).run()
    for name in ("explode", "wild"):
        block = report.data["methods"][name]
        assert any(note.startswith("Rolled back: ") for note in block["notes"]), block["notes"]
        assert block["accuracy"] == report.data["original"]["accuracy"]
        assert block["memory"] == report.data["original"]["memory"]


def test_a_no_op_is_named(study) -> None:
    report = replace(study, methods={"nothing": DoNothing(), "almost": Shrink(0.999), "shrink": Shrink()}).run()
    notes = {
        name: [n for n in block["notes"] if n.startswith("No-op")] for name, block in report.data["methods"].items()
    }
    assert notes["nothing"] == ["No-op: every output is the original's."]
    assert notes["almost"][0].startswith("No-op, almost: margins differ from the original's by ")
    assert notes["shrink"] == []


def test_where_retraining_would_have_cost_less_the_report_says_so(study) -> None:
    report = replace(study, methods={"slow": Dawdle(), "shrink": Shrink()}, oracles=1).run()
    for block in report.data["methods"].values():
        ratio = block["cost"]["ratio_to_retraining"]
        said = any(n.startswith("Retraining would have cost less") for n in block["notes"])
        assert said == (ratio >= 1)
    assert report.data["methods"]["slow"]["cost"]["ratio_to_retraining"] >= 1


def test_without_oracles_the_verdict_is_inconclusive(study) -> None:
    report = replace(study, methods={"nothing": DoNothing()}, oracles=0).run()
    assert report.verdict.outcome == "inconclusive"
    assert report.data["methods"]["nothing"]["memory"] is None


# ---------------------------------------------------------------- Ctrl-C and kill -9

# Python leaves Ctrl-C alone where a shell started the tests in the background.
STARTER = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from ebbing.cli import main; main()"
COMMAND = (
    *("run", "--recipe", "epochs=3", "--threads", "1", "--oracles", "4", "--forget", "mislabelled:0.1"),
    *("--method", "do-nothing", "--method", "fine-tune", "--method", "ebb"),
)


def start(out: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-c", STARTER, *COMMAND, "--out", str(out)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finished_models(out: Path) -> dict[str, int]:
    """Names and times of the models that are there."""
    return {p.name: p.stat().st_mtime_ns for p in (out / "models").glob("[!.]*.safetensors")}


def wait_for_models(process: subprocess.Popen[str], out: Path, n: int) -> None:
    end = time.monotonic() + 120
    while len(finished_models(out)) < n:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "no model was finished in two minutes"
        time.sleep(0.01)


def whole(path: Path) -> bool:
    """Whether every tensor of a file can be read."""
    with safe_open(path, framework="pt") as file:
        return all(torch.isfinite(file.get_tensor(name)).all() for name in file.keys())  # noqa: SIM118 - no mapping


def call_again(out: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """The same command in this process: its exit code."""
    from ebbing.cli import main

    monkeypatch.setattr(sys, "argv", ["ebbing", *COMMAND, "--out", str(out)])
    with pytest.raises(SystemExit) as done:
        main()
    return done.value.code or 0


@pytest.mark.slow
def test_after_an_interruption_the_same_command_goes_on(tmp_path, work, monkeypatch) -> None:
    process = start(tmp_path)
    wait_for_models(process, tmp_path, 2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err == "Interrupted. What was finished is kept: the same command goes on from there.\n"
    kept = finished_models(tmp_path)
    assert len(kept) >= 2
    assert not (tmp_path / "report.json").exists()
    assert not list((tmp_path / "models").glob("*.partial"))
    assert call_again(tmp_path, monkeypatch) == 0
    after = finished_models(tmp_path)
    assert {name: after[name] for name in kept} == kept
    assert len(work) == len(after) - len(kept) == 8 - len(kept)
    assert (tmp_path / "report.json").exists()


@pytest.mark.slow
def test_after_kills_the_same_command_goes_on(tmp_path, work, monkeypatch) -> None:
    killed, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    delays = np.random.default_rng(0).uniform(0, 0.3, size=3)
    kept: dict[str, int] = {}
    for models, delay in enumerate(delays, start=1):
        process = start(killed)
        wait_for_models(process, killed, models)
        time.sleep(delay)
        process.kill()
        process.communicate(timeout=120)
        now = finished_models(killed)
        assert kept.items() <= now.items()  # nothing that was finished is made again
        assert all(whole(killed / "models" / name) for name in now)
        kept = now
        if (killed / "report.json").exists():
            break
    (killed / "models" / ".torn.partial").write_bytes(b"torn")  # what a kill in the middle of writing may leave
    assert call_again(killed, monkeypatch) == 0
    assert len(work) == 8 - len(kept)
    assert kept.items() <= finished_models(killed).items()
    work.clear()
    assert call_again(undisturbed, monkeypatch) == 0
    assert len(work) == 8
    assert untimed(report_of(killed)) == untimed(report_of(undisturbed))


def test_a_torn_model_is_made_again(study, work) -> None:
    study.run()
    work.clear()
    torn = sorted(study.store.directory.iterdir())[0]
    torn.write_bytes(torn.read_bytes()[:-10])
    study.run()
    assert len(work) == 1
    assert whole(torn)
