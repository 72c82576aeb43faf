"""The tables of the reproduction are made from the files alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ebbing.errors import InputError
from ebbing.paper.tables import comparison, lowest_retain, read_cells, spread, tables, turns_to_stop


def entry(turn: int, retain: float, auc: float | None) -> dict[str, Any]:
    return {
        "turn": turn,
        "bout": "unlearning",
        "epoch": 1,
        "accuracy": {"forget": 0.5, "retain": retain},
        "validation_auc": auc,
    }


HISTORY = [entry(1, 0.99, 0.9), entry(1, 0.4, 0.55), entry(1, 0.7, 0.8), entry(2, 0.9, 0.58), entry(3, 0.95, 0.51)]


def figures(
    variant: str, seed: int, *, m: float | None = 1.0, history: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    accuracy = {"forget": 0.25, "retain": 0.96, "holdout": 0.95 + seed / 100}
    block = {
        "accuracy": accuracy,
        "memory": None if m is None else {"m": m, "w": 1.5},
        "drift": {"holdout": 2.0},
        "loss_auc": 0.625,
    }
    told = {name: {"mean": 0.9, "low": 0.8, "high": 1.0} for name in ("forget", "retain", "holdout")}
    return {
        "problem": {"dataset": "mnist", "train_size": 10_000, "split": "random:0.1", "network": "paper-cnn"},
        "variant": variant,
        "seed": seed,
        "request": {"forget": 1000, "retain": 9000, "holdout": 8000},
        "original": block,
        "unlearned": {
            **block,
            "verdict": {"outcome": "under-forgotten", "reason": ""},
            "cost": {"examples_ratio": 1.25, "seconds": 3.0},
            "history": history or [],
        },
        "retrained": {
            "count": 16,
            "accuracy": told,
            "memory": {"m": told["forget"]},
            "drift": None,
            "loss_auc": told["forget"],
        },
        "decay": {"mean_factor": 0.5, "turns": 3},
        "provenance": {
            "command": "ebbing reproduce",
            "versions": {"torch": "2"},
            "hardware": {"cpu": "CPU", "cores": 2, "platform": "Linux"},
            "threads": 1,
        },
    }


@pytest.fixture
def results(tmp_path: Path) -> Path:
    made = [
        figures("vfr", 0, history=HISTORY),
        figures("vfr", 1, m=3.0, history=HISTORY),
        figures("do-nothing", 0, m=None),
    ]
    folder = tmp_path / "mnist-10000-random-0.1"
    folder.mkdir()
    for one in made:
        (folder / f"{one['variant']}-seed{one['seed']}.json").write_text(json.dumps(one))
    (folder / ".vfr-seed2.json.partial").write_text("{")
    return tmp_path


def test_rows_come_in_the_order_of_the_grid_with_means_and_ends(results: Path) -> None:
    (problem,) = read_cells(results).values()
    header, *rows = comparison(problem)
    assert [row[0] for row in rows] == ["original", "do-nothing", "vfr", "retrained (16)"]
    vfr, nothing = (dict(zip(header, rows[i], strict=True)) for i in (2, 1))
    assert vfr["M"] == "2.00 (1.00 to 3.00)"
    assert vfr["holdout"] == "95.5 (95.0 to 96.0)"
    assert vfr["retain, lowest"] == "40.0 (40.0 to 40.0)"
    assert vfr["turns to stop"] == "2 (2 to 2)"
    assert vfr["cost, %"] == "125 (125 to 125)"
    assert vfr["verdict"] == "under-forgotten 2"
    assert nothing["M"] == "–"
    assert nothing["retain, lowest"] == "96.0"
    assert dict(zip(header, rows[3], strict=True))["M"] == "0.90 (0.80 to 1.00)"


def test_the_page_names_the_problem_the_seeds_and_what_made_it(results: Path) -> None:
    page = tables(read_cells(results))
    assert "### MNIST, 10,000 images, 10 % to forget, drawn at random (1,000 to forget, 9,000 stay)" in page
    assert "Seeds 0, 1. `ebbing reproduce`; torch 2; CPU, 2 cores, 1 thread a process." in page
    assert page.count("`ebbing reproduce`") == 1
    widths = {line.count("|") for line in page.splitlines() if line.startswith("|")}
    assert len(widths) == 1


def test_the_lowest_is_over_every_epoch_and_the_stop_is_at_the_end_of_a_turn() -> None:
    block = figures("vfr", 0, history=HISTORY)["unlearned"]
    assert lowest_retain(block) == 0.4
    assert turns_to_stop(block) == 2  # within turn 1 the attack was near chance once, but not at its end
    assert turns_to_stop({"history": [entry(1, 0.9, 0.7)]}) is None
    assert turns_to_stop({"history": []}) is None


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    assert spread([None, 0.5], 1) == "0.5"
    with pytest.raises(InputError, match="no finished cell"):
        read_cells(tmp_path)
