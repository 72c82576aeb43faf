"""``--measures``, ``--received``, ``--technical`` and ``--show-examples``: what is said before, and what the report holds."""

import json
import re
from pathlib import Path

import project
import pytest
from project import RECORDS, WRONG
from safetensors.torch import save_file
from torch.utils.data import Subset


@pytest.fixture
def retrained(folder) -> list[str]:
    """Four models that never saw the wrong records, as files."""
    names = [f"retrained{seed}.safetensors" for seed in range(4)]
    for seed, name in enumerate(names):
        model = project.train(Subset(project.train_set(), range(WRONG.stop, RECORDS)), seed=50 + seed)
        save_file(model.state_dict(), name)
    return names


def report() -> dict:
    return json.loads(Path("new.report.json").read_text())


def test_the_default_is_quick_and_says_what_it_takes_before_it_starts(unlearn, retrained) -> None:
    said = unlearn("--dry-run", retrained=retrained, matched="project:like_the_wrong")
    assert said.code == 0, said.err
    assert re.search(
        r"Measures: quick\. arithmetic: about [\d,]+ s beside what the verdict takes\.", " ".join(said.out.split())
    )
    assert unlearn(retrained=retrained, matched="project:like_the_wrong").code == 0
    data = report()
    assert data["measures"]["level"] == "quick"
    assert data["measures"]["seconds"] > 0
    block = data["methods"]["ebb"]
    assert {"tow", "agreement/forget", "margin-gap/holdout", "riskier"} <= set(block["measures"])
    assert "int8" not in block["measures"]
    assert set(block["measures"]) == set(data["original"]["measures"])
    assert block["technical"] is None
    assert data["examples"] is None
    assert data["request"]["received"] is None
    assert all(re.fullmatch(r"[0-9a-f]{32}", digest) for digest in data["models"]["original"])
    assert data["models"]["methods"]["ebb"] != data["models"]["original"]


def test_standard_counts_the_passes_and_measures_copies(unlearn, retrained) -> None:
    said = unlearn(retrained=retrained, matched="project:like_the_wrong", measures="standard", received="2026-01-31")
    assert said.code == 0, said.err
    assert re.search(r"Measures: standard\. [\d,]+ records through a model, and arithmetic", " ".join(said.out.split()))
    data = report()
    found = data["methods"]["ebb"]["measures"]
    assert isinstance(found["int4"]["value"], float)
    assert found["u-lira/efficacy"]["value"] is None
    assert found["u-lira/efficacy"]["reason"].startswith("it needs at least 3 models of the method")
    assert data["request"]["received"] == "2026-01-31"


def test_technical_and_examples_are_there_only_where_asked_for(unlearn, retrained) -> None:
    shared = {"retrained": retrained, "matched": "project:like_the_wrong"}
    assert unlearn("--technical", "--show-examples", **shared).code == 0
    data = report()
    assert set(data["methods"]["ebb"]["technical"]) == {"factors", "cka", "predictions"}
    assert data["methods"]["ebb"]["technical"]["factors"]
    assert data["examples"]["note"]


@pytest.mark.parametrize(
    ("day", "finding"),
    [("yesterday", "a day as YYYY-MM-DD, but is 'yesterday'"), ("2999-01-01", "a day that has come")],
)
def test_a_day_that_is_none_is_refused(refused, day, finding) -> None:
    assert finding in refused(received=day)


def test_without_references_nothing_is_measured_and_nothing_said_of_it(unlearn) -> None:
    said = unlearn(measures="full")
    assert said.code == 0, said.err
    assert "Measures:" not in said.out
    data = report()
    assert data["methods"]["ebb"]["measures"] is None


def test_several_originals_of_one_run(call, folder) -> None:
    said = call(
        *("run", "--dataset", "digits", "--model", "digits-mlp", "--recipe", "epochs=2", "--threads", 1),
        *("--train-size", 300, "--forget", "mislabelled:0.1", "--method", "fine-tune", "--set", "fine-tune.budget=0.5"),
        *("--oracles", 6, "--originals", 3, "--measures", "standard", "--out", "several"),
    )
    assert said.code == 0, said.err
    data = json.loads(Path("several/report.json").read_text())
    found = data["methods"]["fine-tune"]["measures"]["u-lira/efficacy"]
    assert 0 <= found["low"] <= found["value"] <= found["high"] <= 1
    assert (found["floor"]["n_unlearned"], found["floor"]["n_retrained"]) == (3, 3)
    assert data["provenance"]["seeds"]["original"] == [0, 1, 2]
