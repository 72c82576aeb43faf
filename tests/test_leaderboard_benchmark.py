"""What pages of figures say was reached: counted strictly, and of others as well as of ours."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import baselines_page
import leaderboard_claims
import leaderboard_page

from ebbing.bench.tables import Board
from ebbing.bench.tasks import TASKS

NAME = "digits-mislabelled5-cnn/v1"
SPLITS = ("forget", "retain", "holdout")


def cell(label: str, memory: float, holdout: float, budget: float | None = 0.03, **verdicts: int) -> dict[str, Any]:
    """A method's figures, as far as they count here."""
    counted = {name.replace("_", "-"): n for name, n in verdicts.items()} or {"under-forgotten": 4}
    one = {"mean": memory, "low": memory, "high": memory}
    figures = {
        "memory": one,
        "memory_abs": one,
        "w": one,
        "drift": dict.fromkeys(SPLITS, one),
        "margin_gap": dict.fromkeys(SPLITS, 1.0),
        "klom_gaussian": None,
        "accuracy": {split: {"mean": holdout, "low": holdout, "high": holdout} for split in SPLITS},
        "verdicts": counted,
    }
    return {"label": label, "budget": budget, "figures": figures, "cost": {"examples_ratio": budget}, "rolled_back": 0}


def board(*cells: dict[str, Any]) -> Board:
    """A task whose retrained models have an M of -.5 to .5."""
    retrained = {"bands": {"memory": {"low": -0.5, "high": 0.5}}, "accuracy": {"holdout": {"mean": 0.98}}}
    return Board(TASKS[NAME], {"retrained": retrained}, [cell("do-nothing", 8.0, 0.95, None), *cells])


def told(title: str, *boards: Board) -> leaderboard_claims.Claim:
    return next(claim for claim in leaderboard_claims.claims(boards) if claim.title == title)


def test_less_memory_inside_the_band_is_not_strictly_beaten() -> None:
    fresh, rival = cell("retrain-equal-compute", 0.1, 0.9), cell("fine-tune", 2.0, 0.96)
    more, less = board(cell("ebb", 0.3, 0.95), fresh, rival), board(cell("ebb", 0.05, 0.95), fresh, rival)
    for boards, strictly in (([more], "0 of 1"), ([less], "1 of 1"), ([more, less], "1 of 2")):
        claim = told("Memory at no cost of accuracy", *boards)
        assert f"it holds in {strictly} lines" in claim.text
        assert [row[-1] for row in claim.rows[1:]] == ["**holds**"] * len(boards)


def test_verdicts_of_others_stand_beside_ours() -> None:
    claim = told(
        "Verdicts",
        board(
            cell("ebb", 0.3, 0.95, no_memory_found=1, under_forgotten=3),
            cell("retrain-equal-compute", 0.1, 0.9, no_memory_found=3, damaged=1),
            cell("ebb-plain", 0.1, 0.95, no_memory_found=4),
            {"label": "msg", "budget": 0.03, "figures": None, "reason": ""},
        ),
    )
    assert claim.rows[1][1:] == ["3", "no-memory-found 1, under-forgotten 3", "does not hold", "1, 3", "`ebb-plain` 4"]
    assert "is said of none of the 16 models" in claim.text
    one = board(
        cell("ebb", 0.1, 0.95, consistent_with_retraining=4),
        cell("retrain-equal-compute", 0.1, 0.9),
    )
    claim = told("Verdicts", one)
    assert claim.rows[1][3:] == ["**holds**", "4, 0", "0"]
    assert "is said of 4 of the 12 models" in claim.text


@pytest.mark.parametrize(
    ("memory", "cpu", "left_alone", "answer"),
    [
        (0.2, "here", 0, ["1.000 (abs M)", "**holds**"]),
        (0.3, "here", 64, ["1.500 (abs M)", "does not hold"]),
        (0.3, "there", 64, ["its models are the untouched ones, of another processor", "**holds**"]),
        (0.3, "there", 63, ["1.500 (abs M)", "does not hold"]),
    ],
)
def test_models_of_another_processor_are_held_to_being_the_untouched_ones(memory, cpu, left_alone, answer) -> None:
    """Their distances are not those of do-nothing's models, even where nothing was done to them."""

    def on(name: str, found: dict[str, Any]) -> dict[str, Any]:
        return found | {"provenance": {"hardware": {"cpu": name}}, "left_alone": left_alone}

    nothing, fresh = cell("do-nothing", 0.2, 0.98, None), cell("retrain-equal-compute", 0.1, 0.9)
    cells = [on("here", nothing), on(cpu, cell("ebb", memory, 0.98)), on("here", fresh)]
    claim = told("Where nothing is memorised", Board(TASKS[NAME], board().reference, cells))
    assert claim.rows[1][-2:] == answer


def test_a_row_of_the_ablations_tells_what_was_undone() -> None:
    ours = cell("by-taylor", 1.0, 0.9)
    assert leaderboard_page._ablation(ours)[0] == "`by-taylor`"
    assert leaderboard_page._ablation(ours | {"rolled_back": 25})[0] == "`by-taylor` (25 undone)"


def test_who_else_forgets_the_class_in_time_is_named() -> None:
    def row(seconds: float, forget: float = 0.0, retain: float = 99.0) -> dict[str, float]:
        return {"seconds": seconds, "forget": forget, "retain": retain, "test": 98.5}

    rows = {"retraining": row(1.0), "ebb:0.2": row(2.0), "SSD-authors": row(10.0, forget=99.0), "slow": row(8.0)}
    more = {"eu-2:0.2": row(1.0), "kept": row(1.0, forget=0.1), "wrecked": row(1.0, retain=98.4)}
    assert "none of the others reaches this" in " ".join(baselines_page._class_claim({"table": {"class:3": rows}}))
    told = baselines_page._class_claim({"table": {"class:3": rows | more}})
    assert told[0].endswith("(0.20): **holds**.")
    assert told[1] == "- `class:3`: of the others this is reached by `eu-2:0.2` (0.10)."
