"""report.json keeps to the schema in the package, and what does not keep to it is found."""

import copy
import importlib.resources
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from sample_report import bare_report, lone_report, sample_report, shown_examples

from ebbing.auditing import SCHEMA, judge_observations
from ebbing.cli import main
from ebbing.observations import Observations
from ebbing.report import report_schema
from schema_check import complaints

DOCUMENT = Path(__file__).parents[2] / "docs" / "report.md"
FREE = ("methods", "attacks", "probes", "kinship", "measures", "factors", "cka")  # their keys are names, not ours
CALLERS = ("settings", "seeds", "recipe")  # what lies in these is the caller's


def full_report():
    report = lone_report()
    report["examples"] = shown_examples()
    return report


def places(value, path=()):
    """The path of every key that is ours, as far down as there are any; of what is named by others, one is enough."""
    if isinstance(value, list):
        for index, item in enumerate(value[:1]):
            yield from places(item, (*path, index))
    elif isinstance(value, dict):
        named = bool(path) and path[-1] in FREE and set(value) != {"level", "seconds"}
        for key, item in value.items():
            if not named:
                yield (*path, key)
            if key not in CALLERS and (not named or key == "ebb" or (key == next(iter(value)) and "ebb" not in value)):
                yield from places(item, (*path, key))


def parent_of(report, path):
    for step in path[:-1]:
        report = report[step]
    return report


def test_the_schema_is_one_and_lies_in_the_package():
    Draft202012Validator.check_schema(report_schema())
    assert report_schema()["properties"]["schema"] == {"const": SCHEMA}
    assert importlib.resources.files("ebbing.report").joinpath("report.schema.json").is_file()
    changed = report_schema()
    changed.clear()
    assert report_schema()


@pytest.mark.parametrize("make", [sample_report, lone_report, bare_report, full_report])
def test_the_sample_reports_keep_to_it(make):
    assert complaints(make()) == []


PLACES = list(places(full_report()))


def test_the_places_are_many():
    assert len(PLACES) > 120
    assert ("methods", "ebb", "technical", "cka", "conv1", "floor") in PLACES
    assert ("original", "measures", "average-gap", "floor", "n_retrained") in PLACES


@pytest.mark.parametrize("path", PLACES, ids=lambda path: ".".join(map(str, path)))
def test_a_misspelt_key_is_found(path):
    if path[0] == "provenance" and path[-1] in ("date", "recipe"):
        pytest.skip("callers may add keys to provenance: a misspelt one that may be absent is one of these")
    report = full_report()
    parent = parent_of(report, path)
    parent[f"{path[-1]}s_"] = parent.pop(path[-1])
    assert complaints(report)


@pytest.mark.parametrize("path", PLACES, ids=lambda path: ".".join(map(str, path)))
def test_a_mistyped_value_is_found(path):
    if path[-1] in CALLERS:
        pytest.skip("of any type")
    report = full_report()
    parent_of(report, path)[path[-1]] = [True]
    assert complaints(report)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), "ebbing.report/2"),
        (("request", "received"), "yesterday"),
        (("request", "forget"), 6.5),
        (("request", "fingerprint"), "9f2c"),
        (("provenance", "date"), "2026-01-31"),
        (("measures", "level"), "thorough"),
        (("methods", "ebb", "verdict", "outcome"), "forgotten"),
        (("original", "profile", "z_forget"), [0.0, 1.0]),
        (("original", "attacks", "loss", "roc", "tpr"), [1.5]),
        (("original", "measures", "klom/forget", "split"), "matched"),
        (("original", "accuracy", "forget"), "0.9"),
        (("examples", "images", 0, "uri"), "https://example.org/3.png"),
    ],
)
def test_a_wrong_value_is_found(path, value):
    report = full_report()
    parent_of(report, path)[path[-1]] = value
    assert complaints(report)


@pytest.mark.parametrize(
    "key", ["measures", "models", "examples", "provenance.date", "request.received", "methods.ebb.technical"]
)
def test_newer_keys_may_be_absent_or_null(key):
    path = key.split(".")
    report = full_report()
    parent_of(report, path)[path[-1]] = None
    assert complaints(report) == []
    del parent_of(report, path)[path[-1]]
    assert complaints(report) == []


def test_callers_may_add_to_provenance_and_name_their_methods():
    report = full_report()
    report["provenance"]["ticket"] = {"number": 17}
    report["methods"]["v1.2 (own)"] = copy.deepcopy(report["methods"]["ebb"])
    report["methods"]["ebb"]["settings"] = [1, {"two": None}]
    assert complaints(report) == []
    del report["provenance"]["torch"]
    assert complaints(report)


def test_every_key_of_the_schema_is_documented():
    text = re.sub(r"^```.*?^```", "", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    words = set(re.findall(r"[a-z][a-z0-9_]*", " ".join(re.findall(r"`([^`]+)`", text))))

    def keys(node):
        if isinstance(node, dict):
            yield from node.get("properties", {})
            for item in node.values():
                yield from keys(item)
        elif isinstance(node, list):
            for item in node:
                yield from keys(item)

    assert sorted(set(keys(report_schema())) - words) == []


# ---------------------------------------------------------------- reports as they are made


def observed(n_models, seed, *, remembers=0.0, matched=40):
    rng = np.random.default_rng(seed)
    sizes = {"forget": 30, "retain": 60, "holdout": 80, "matched": matched}
    rows = {name: rng.normal(2, 2, (n_models, n)) + remembers * (name == "forget") for name, n in sizes.items() if n}
    return Observations.from_margins(**rows)


@pytest.mark.parametrize("originals", [1, 3])
@pytest.mark.parametrize("retrained", [0, 2, 5, 16])
@pytest.mark.parametrize("matched", [0, 10, 40])
def test_reports_from_margins_keep_to_it(originals, retrained, matched):
    found = judge_observations(
        original=observed(originals, 1, remembers=6.0, matched=matched),
        unlearned={"a": observed(originals, 2, matched=matched), "b": observed(1, 3, matched=matched)},
        oracles=observed(retrained, 0, matched=matched) if retrained else None,
    )
    assert complaints(found.data) == []


@pytest.mark.parametrize("oracles", [0, 4])
def test_a_report_of_the_command_line_keeps_to_it(oracles, tmp_path, monkeypatch, capsys):
    words = ["run", "--forget", "mislabelled:0.1", "--recipe", "epochs=1", "--threads", "1", "--oracles", str(oracles)]
    words += ["--method", "do-nothing", "--method", "ebb", "--method", "forgetting-network", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["ebbing", *words, "--set", "forgetting-network.turns=1"])
    with pytest.raises(SystemExit) as done:
        main()
    assert not done.value.code, capsys.readouterr().err
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["methods"]["forgetting-network"]["history"]
    assert complaints(report) == []
