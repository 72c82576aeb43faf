"""Cells are made once, kept whole, and judged by retrained models of their own problem."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ebbing.paper import Cell, Job, Places, Problem, make_cells, prepare, read_cells, tables

PROBLEM = Problem("mnist", 400, "mislabelled:0.1", epochs=2, oracles=4, unseen=300)
CELLS = [Cell(PROBLEM, variant, 0) for variant in ("do-nothing", "paper-ffr")]

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reproduction")


@pytest.fixture
def places(ebbing_data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    def here(function: Any, payload: Any, items: Any, **_: Any) -> Iterator[tuple[Any, Any]]:
        for item in items:  # the pool has its own tests, and takes seconds to start
            yield item, function(payload, item)

    monkeypatch.setattr("ebbing.paper.making.compute", here)
    return Places(folder / "results", folder / "work", ebbing_data, "ebbing reproduce --quick")


def test_the_grid_is_made_and_told(places: Places) -> None:
    assert prepare(CELLS, places) == [*(Job(PROBLEM, "retrained", i) for i in range(4)), Job(PROBLEM, "original", 0)]
    made = list(make_cells(CELLS, places, workers=1))
    assert made == [*prepare_jobs(), *CELLS]
    (cells,) = read_cells(places.results).values()
    assert set(cells) == {"do-nothing", "paper-ffr"}
    nothing, ffr = (cells[name][0] for name in ("do-nothing", "paper-ffr"))
    assert nothing["unlearned"]["accuracy"] == nothing["original"]["accuracy"] == ffr["original"]["accuracy"]
    assert nothing["decay"] is None
    assert ffr["decay"]["mean_factor"] == pytest.approx(0.1353, abs=1e-4)  # exp(-4 / 2) for every unit
    assert len({entry["turn"] for entry in ffr["unlearned"]["history"]}) == ffr["decay"]["turns"] > 0
    assert ffr["retrained"]["count"] == 4
    assert nothing["bands"] == ffr["bands"]
    assert ffr["provenance"]["command"] == "ebbing reproduce --quick"
    assert "| paper-ffr |" in tables(read_cells(places.results))


def prepare_jobs() -> list[Job]:
    return [*(Job(PROBLEM, "retrained", i) for i in range(4)), Job(PROBLEM, "original", 0)]


def test_what_is_finished_is_not_made_again_and_comes_out_the_same(places: Places) -> None:
    """After the first test: nothing is missing; a cell that is lost is made again from the stored models."""
    assert list(make_cells(CELLS, places, workers=1)) == []
    path = places.cell(CELLS[1])
    before = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    assert list(make_cells(CELLS, places, workers=1)) == [Job(PROBLEM, "original", 0), CELLS[1]]
    assert json.loads(path.read_text(encoding="utf-8")) == before
