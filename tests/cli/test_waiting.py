"""The time that is left: of what was made, not of what was found, however long one thing takes."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from ebbing.cli import waiting
from ebbing.cli.waiting import awaited
from ebbing.store import time_left


@pytest.mark.parametrize(
    ("seconds", "left", "workers", "expected"),
    [
        ([], 3, 2, None),
        ([], 0, 2, 0.0),
        ([50.0], 3, None, 150.0),
        ([50.0], 3, 2, 100.0),
        ([50.0], 1, 8, 50.0),
        ([40.0, 50.0, 900.0], 4, 2, 100.0),  # one that was held up does not rule the estimate
    ],
)
def test_it_is_the_median_for_each_round_of_the_workers(seconds, left, workers, expected) -> None:
    assert time_left(seconds, left, workers=workers) == expected


def test_where_there_is_no_terminal_a_line_tells(monkeypatch) -> None:
    monkeypatch.setattr(waiting, "EVERY", 0.0)
    console = Console(file=io.StringIO(), width=120)
    with awaited(console) as begin:
        done = begin("6 models", 6, there=3, known=[], workers=2)
        for took in (None, None, None, 100.0, 120.0, 110.0):
            done(took)
    lines = [line for line in console.file.getvalue().splitlines() if " of " in line]
    assert lines == [
        *(f"{n} of 6 models" for n in (1, 2, 3)),  # what was found says nothing of what is to be made
        "4 of 6 models, about 100 s left",
        "5 of 6 models, about 110 s left",
        "6 of 6 models",
    ]


def test_on_a_terminal_it_stands_beside_the_bar(monkeypatch) -> None:
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    with awaited(console) as begin:
        begin("20 models", 20, there=4, known=[300.0], workers=1)
    assert "about 80 min left" in console.file.getvalue()
