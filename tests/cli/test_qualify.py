"""``ebbing qualify``, and `ebbing unlearn` with what it wrote."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import project
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import ebbing
from ebbing import RayExecutor
from ebbing.checkpoints import WeightsRecord, digest_of, write_record
from ebbing.errors import InputError
from ebbing.fingerprint import as_plain, of_model
from ebbing.methods import DoNothing, Temperature
from ebbing.qualification import Qualification, Trial
from ebbing.request import ForgetRequest
from ebbing.task import Classification

WORDS = [
    *(
        "--model",
        "wide:build",
        "--weights",
        "wide.safetensors",
        "--data",
        "wide:train_set",
        "--holdout",
        "wide:test_set",
    ),
    *("--threads", "1"),
]
WIDE = """
from project import *
from project import records as _records

def train_set():
    return TensorDataset(*_records(400, seed=11))

def test_set():
    return TensorDataset(*_records(300, seed=12))
"""


@pytest.fixture
def wide(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A larger project, whose tenth can be set aside, and its weights."""
    from safetensors.torch import save_file

    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(__import__("sys").modules, "wide", raising=False)
    Path("wide.py").write_text(WIDE)
    module = __import__("wide")
    save_file(project.train(module.train_set(), seed=0).state_dict(), "wide.safetensors")
    project.given.clear()
    return folder


def qualify(call: Any, *flags: str, **changes: Any) -> Any:
    options = {"train-fn": "project:train", "sizes": "5,10", "out": "q.json"} | changes
    words = [w for name, value in options.items() if value is not None for w in (f"--{name}", value)]
    return call("qualify", *WORDS, *words, *flags)


def test_a_procedure_is_qualified_and_used(call, wide) -> None:
    said = qualify(call)
    assert said.code == 0, said
    found = Qualification.load(Path("q.json"))
    assert [(t.records, t.stratum) for t in found.trials] == [
        (n, s) for n in (5, 10) for s in ("most memorised", "random", "least memorised")
    ]
    assert f"Qualification {found.name} covers" in said.out
    assert len(project.given) == 16
    assert {len(data) for data in project.given} == {400 - 30}  # three times the largest size is set aside
    assert date.fromisoformat(found.expires) - date.fromisoformat(found.made) == timedelta(days=180)
    project.given.clear()
    again = qualify(call)
    assert again.code == 0
    assert "This takes 0 retrainings (16 more are kept), and 6 simulated requests" in again.out
    assert "cheaper" not in again.out  # what is kept costs nothing any more
    assert project.given == []  # no reference is trained twice
    same = Qualification.load(Path("q.json"))
    assert (same.trials, same.largest) == (found.trials, found.largest)

    covered = replace(found, trials=tuple(replace(t, outcome="no-memory-found") for t in found.trials))
    assert covered.largest == 10
    covered.save(Path("covers.json"))
    for ids, standing in ((range(6), "Inside"), (range(11), "Outside")):
        project.listed("ids.txt", *ids)
        words = ["--forget", "ids.txt", "--out", "new.safetensors", "--qualification", "covers.json"]
        said = call("unlearn", *WORDS, *words)
        assert said.code == 0, said
        assert f"{standing} qualification {covered.name}" in said.out
        block = json.loads(Path("new.report.json").read_text())["provenance"]["qualification"]
        assert block["inside"] == (standing == "Inside")
        record = json.loads(Path("new.safetensors.json").read_text())
        assert record["made_by"]["qualification"] == (covered.name if block["inside"] else None)
    assert "11 records, where at most 10 are covered" in said.out


def test_what_cannot_be_qualified_is_refused(call, wide) -> None:
    for changes, why in (
        ({"sizes": "5,14"}, "sizes must lie in [5, 13] for 400 records"),
        ({"sizes": "4"}, "sizes must lie in [5, 13]"),
        ({"sizes": "five"}, "--sizes must be whole numbers by commas"),
        ({"oracles": "15"}, "greater than or equal to 16"),
        ({"method": "do-nothing"}, "is a control"),
        ({"train-fn": "project:build"}, "--train-fn 'project:build' must be callable as function(dataset, seed=0)"),
    ):
        said = qualify(call, **changes)
        assert said.code == 2, (changes, said)
        assert why in said.err
        assert not Path("q.json").exists()
        assert project.given == []


def test_retraining_is_suggested_first_and_costs_are_told_before_anything_is_trained(call, wide) -> None:
    said = qualify(call, "--dry-run")
    assert said.code == 0, said
    first, second, _ = said.out.splitlines()
    assert first.startswith(
        "One retraining answers one request, and needs no verdict (what it takes is not known before"
    )
    assert first.endswith("For up to 16 requests in 180 days that is cheaper than this: retrain.")
    assert second.startswith("This takes 16 retrainings, and 6 simulated requests")
    assert project.given == []

    weights = Path("wide.safetensors")
    write_record(weights, WeightsRecord(digest_of(weights), training_seconds=100.0))
    said = qualify(call, "--dry-run", "--workers", "4")
    assert "(it takes about 100 s, as the record beside the weights says)" in said.out
    assert "This takes 16 retrainings, about 400 s, and 6 simulated requests" in said.out


def test_references_are_retrained_where_is_said(call, wide, by_ray) -> None:
    said = qualify(call, "--executor", "ray", "--address", "there:1", sizes="5")
    assert said.code == 0, said
    ((executor, items, folders),) = by_ray
    assert (executor, len(items)) == (RayExecutor(address="there:1"), 16)
    assert folders


def test_too_few_records_to_set_any_aside_are_said(call, folder) -> None:
    """The project has 120."""
    words = [word if not word.startswith("wide") else word.replace("wide", "project") for word in WORDS]
    words[words.index("project.safetensors")] = "model.safetensors"
    said = call("qualify", *words, "--train-fn", "project:train", "--sizes", "5", "--out", "q.json")
    assert said.code == 2
    assert "qualifying needs at least 150 records to set three requests of 5 aside" in said.err
    assert "but there are 120. Retraining takes little then: retrain." in said.err


def test_a_dry_run_checks_the_sizes_too(call, wide) -> None:
    said = qualify(call, "--dry-run", sizes="5,14")
    assert said.code == 2
    assert "sizes must lie in [5, 13] for 400 records" in said.err


def a_trial(records: int, outcome: str, **changes: Any) -> Trial:
    return Trial(records, "random", outcome, "", 0.1, 3.0, -1.0, 0.9, **changes)


def made(*trials: Trial) -> Qualification:
    return Qualification(
        method={"type": "Ebb"},
        original="o",
        data="d",
        trainer="t",
        oracles=16,
        trials=trials,
        made="2026-01-01",
        expires="2026-06-30",
        lowest_holdout_accuracy=0.8,
        seconds_of_retraining=1.0,
        versions={},
    )


@pytest.mark.parametrize(
    ("trials", "largest"),
    [
        ([(5, "no-memory-found"), (10, "consistent-with-retraining")], 10),
        ([(5, "no-memory-found"), (10, "under-forgotten")], 5),
        ([(5, "under-forgotten"), (10, "no-memory-found")], 0),
        ([(5, "no-measurable-trace"), (10, "no-memory-found")], 10),
        ([(5, "no-memory-found"), (10, "no-measurable-trace")], 10),
        ([(5, "no-measurable-trace"), (10, "no-measurable-trace")], 0),
        ([(5, "no-memory-found"), (5, "damaged")], 0),
        ([(5, "inconclusive")], 0),
    ],
)
def test_sizes_are_covered_as_far_as_every_trial_passed(trials: list[tuple[int, str]], largest: int) -> None:
    assert made(*(a_trial(n, outcome) for n, outcome in trials)).largest == largest


def test_a_run_that_was_undone_did_not_pass() -> None:
    assert made(a_trial(5, "no-memory-found", rolled_back="it diverged")).largest == 0


def test_a_qualification_that_was_changed_by_hand_is_refused(tmp_path) -> None:
    path = tmp_path / "q.json"
    found = made(a_trial(5, "no-memory-found"))
    found.save(path)
    assert Qualification.load(path) == found
    data = json.loads(path.read_text())
    for change in ({"expires": "2030-01-01"}, {"schema": "other/1"}, {"trials": [{"a": 1}]}, {"oracles": None}):
        path.write_text(json.dumps(data | change))
        with pytest.raises(InputError, match="must be"):
            Qualification.load(path)
    path.write_text("no json")
    with pytest.raises(InputError, match="must be a qualification"):
        Qualification.load(path)


# ---------------------------------------------------------------- scope and expiry


INPUTS = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
DATA = TensorDataset(INPUTS, torch.arange(60) % 3)
HOLDOUT = TensorDataset(INPUTS + 100, torch.arange(60) % 3)


class Fixed(nn.Module):
    """Logits that are the margins of right labels: the first half of the inputs gets one, the others another."""

    def __init__(self, forget: float, unseen: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([forget, unseen]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        known = torch.cdist(x, torch.cat([INPUTS, INPUTS + 100])).argmin(dim=1)
        own = torch.where(known < 60, self.weight[0], self.weight[1])
        return own[:, None] * nn.functional.one_hot(known % 60 % 3, 3)


def covering(request: ForgetRequest, original: nn.Module, **changes: Any) -> Qualification:
    trials = tuple(replace(a_trial(10, "no-memory-found"), gap=gap) for gap in (-1.0, 0.5))
    own = {"ebbing": ebbing.__version__, "torch": torch.__version__}
    known = {"original": of_model(original), "data": request.data_fingerprint, "versions": own}
    return replace(made(*trials), method=as_plain(DoNothing()), **known | changes)


def test_a_request_lies_outside_for_every_thing_that_is_another() -> None:
    request = ForgetRequest.from_ids(DATA, range(6), holdout=HOLDOUT)
    model = Fixed(3.0, 3.0)
    found = covering(request, model)
    day = date.fromisoformat(found.expires)
    asked = {"method": DoNothing(), "original": model, "request": request, "today": day}
    assert found.objections(**asked) == []
    whole_class = ForgetRequest.from_ids(DATA, range(0, 60, 3), holdout=HOLDOUT)
    for changes, why in (
        ({"today": day + timedelta(days=1)}, "expired"),
        ({"method": Temperature(0.3)}, "the method or a setting is another"),
        ({"original": Fixed(3.0, 2.0)}, "the original is another"),
        ({"forgotten_before": 5}, "11 records, where at most 10 are covered"),
        ({"request": replace_data(request)}, "the training set is another"),
    ):
        (objection,) = found.objections(**asked | changes)
        assert why in objection
    assert any("whole classes go" in o for o in found.objections(**asked | {"request": whole_class}))
    (objection,) = covering(request, model, versions={"ebbing": "0", "torch": "0"}).objections(**asked)
    assert "of another version" in objection
    # what an earlier request under it made is no longer the original, and counts with it
    assert found.objections(**asked | {"original": Fixed(1.0, 1.0), "forgotten_before": 4}) == []


def replace_data(request: ForgetRequest) -> ForgetRequest:
    other = TensorDataset(INPUTS + 1e-3, DATA.tensors[1])
    return ForgetRequest.from_ids(other, request.forget_ids, holdout=HOLDOUT)


def test_a_result_lies_outside_where_the_cheap_checks_say_so() -> None:
    request = ForgetRequest.from_ids(DATA, range(6), holdout=HOLDOUT)
    found = covering(request, Fixed(3.0, 3.0))
    assert found.objections_after(Fixed(3.0, 3.0), request, task=Classification()) == []
    (gap,) = found.objections_after(Fixed(9.0, 3.0), request, task=Classification())  # still remembered
    assert gap == "gap of margins 6.00, where trials had -1.00 to 0.50"
    (accuracy,) = found.objections_after(Fixed(-1.0, -1.0), request, task=Classification())
    assert accuracy == "holdout accuracy 0.00%, where at least 80.00% is expected"
