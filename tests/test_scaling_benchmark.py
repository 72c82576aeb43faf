"""One axis of how cost grows is timed without the others, and the page says of a claim what its interval says."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import scaling
import scaling_page


@pytest.fixture
def two_axes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A series along each."""

    def counting(size: int):
        return lambda: sum(range(1000 * size))

    made = [scaling.Series(f"counting, by {axis}", (1, 2, 4, 8), counting) for axis in ("records", "references")]
    monkeypatch.setattr(scaling, "series", lambda: made)
    monkeypatch.setattr(scaling, "workers", lambda rounds: {"seconds": {"1": [2.0] * rounds, "2": [1.0] * rounds}})
    monkeypatch.setattr(scaling, "keep_freed_memory", lambda: None)


def test_an_axis_is_timed_alone_and_says_what_made_it(two_axes, tmp_path: Path) -> None:
    out = tmp_path / "scaling.json"
    scaling.main(["--rounds", "2", "--out", str(out)])
    before = json.loads(out.read_text())
    assert list(before["series"]) == ["counting, by records", "counting, by references", "workers"]
    assert before["series"]["counting, by records"].keys() >= {"exponent", "low", "high"}
    scaling.main(["--axis", "references", "--points", "3", "--rounds", "3", "--out", str(out)])
    after = json.loads(out.read_text())
    found = after["series"].pop("counting, by references")
    assert {size: len(seconds) for size, seconds in found["seconds"].items()} == {"1": 3, "2": 3, "4": 3}
    command = "python benchmarks/scaling.py --axis references --points 3 --rounds 3 --out results/scaling.json"
    assert found["made"]["command"] == command
    del before["series"]["counting, by references"]
    assert after == before
    said = scaling_page._made(
        after | {"series": after["series"] | {"counting, by references": found}}, {"counting, by references": found}
    )
    assert f"- counting, by references: `{command}`;" in said
    assert "- workers: `python benchmarks/scaling.py --rounds 2 --out results/scaling.json`;" in said


@pytest.mark.parametrize("options", [["--rounds", "1"], ["--points", "1"], ["--axis", "nothing"]])
def test_what_gives_no_interval_is_refused(two_axes, options: list[str]) -> None:
    with pytest.raises(SystemExit):
        scaling.main(options)


@pytest.mark.parametrize(
    ("low", "point", "high", "said"),
    [
        (0.96, 1.0, 1.04, "holds"),
        (0.92, 0.97, 1.01, "the point does, the interval does not"),
        (0.80, 0.85, 0.90, "does not hold"),
        (0.90, 1.06, 1.2, "does not hold"),
    ],
)
def test_a_claim_goes_by_its_interval(low: float, point: float, high: float, said: str) -> None:
    found = {"exponent": point, "low": low, "high": high}
    assert scaling_page._claim("linear", found, (0.95, 1.05)).endswith(f": **{said}**.")


def test_the_last_step_shows_what_a_part_that_does_not_grow_hides() -> None:
    sizes = (8, 16, 32, 64, 128, 256, 512)
    one = {"seconds": {str(n): [(10 + (n / 64) ** 2) * (1 + noise) for noise in (-1e-3, 0, 1e-3)] for n in sizes}}
    assert scaling.exponent(one["seconds"])["exponent"] < 1
    assert scaling_page._at_the_end(one)["exponent"] == pytest.approx(math.log2(74 / 26))


def test_of_two_numbers_of_workers_there_is_a_ratio_and_of_more_an_exponent() -> None:
    two = {"seconds": {"1": [8.0, 8.0], "2": [4.0, 4.0]}}
    assert "2.00 times as fast" in scaling_page._workers(two)
    assert scaling_page._workers(two).endswith("Of two points there is this ratio, and no exponent.")
    more = {"seconds": two["seconds"] | {"4": [2.0, 2.1]}}
    assert "An exponent of -0.9" in scaling_page._workers(more | scaling.exponent(more["seconds"]))
