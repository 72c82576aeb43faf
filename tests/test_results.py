"""The published page says what the files of figures say."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

from ebbing.verdict import CONSISTENT, NO_MEMORY, NO_TRACE

ROOT = Path(__file__).parent.parent


PAGES = ["results", "leaderboard", "layers", "encoder", "authors", "reproduction", "stream", "scaling"]


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_built_from_the_files(page, monkeypatch) -> None:
    """As `python benchmarks/..._page.py --check` says it, which ends with an exit code where one is stale."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.setattr(sys, "argv", [f"{page}_page.py", "--check"])
    importlib.import_module(f"{page}_page").main()


def test_baselines_do_what_their_authors_code_does() -> None:
    found = json.loads((ROOT / "results" / "parity.json").read_text())["methods"]
    assert found.keys() == {"SSD", "NegGradPlus", "SCRUB", "SalUn", "MSG"}
    for name, figures in found.items():
        assert figures["weights_changed"] > 1000, name
        assert figures["largest_difference_over_change"] < 1e-12, name


EIGHT = {  # what every judge must see through
    "do-nothing",
    "temperature",
    "gate-only",
    "replaced-head",
    "randomised-labels",
    "weight-noise",
    "half-and-half",
    "one-step",
}
METHODS = {"fine-tune", "retrain-equal-compute", "ebb", "retrained"}


def counts(name: str, references: int) -> dict[str, dict[str, int]]:
    """Outcomes by who was judged, with the layers read."""
    cell = json.loads((ROOT / "results" / "sabotage" / f"{name}.json").read_text())
    blocks = cell["counts"][f"{references} references, answers and inside"]
    return {role: block["outcomes"] for role, block in blocks.items()}


@pytest.mark.parametrize("references", [16, 32, 64])
@pytest.mark.parametrize("name", ["mislabelled", "memorised"])
def test_no_published_saboteur_passes_and_retrained_models_do(name: str, references: int) -> None:
    found = counts(name, references)
    assert found.keys() > EIGHT
    for role, outcomes in found.items():
        assert sum(outcomes.values()) >= 100, role
        if role not in METHODS:
            assert not outcomes.keys() & {CONSISTENT, NO_MEMORY, NO_TRACE}, role
    assert found["retrained"][CONSISTENT] >= 95


@pytest.mark.parametrize("references", [16, 32, 64])
def test_where_nothing_was_memorised_doing_nothing_leaves_no_trace(references: int) -> None:
    """Of models without any trace 3 in 100 leave a band; the original's is faint, M .07, and not nothing."""
    assert counts("unmemorised", references)["do-nothing"][NO_TRACE] >= 90


def test_canaries_that_are_not_predicted_stand_eight_standard_deviations_away() -> None:
    found = json.loads((ROOT / "results" / "sabotage" / "canaries.json").read_text())["found"]
    unpredicted = found["just-unpredicted"]
    assert unpredicted["predicted as labelled"] == 0
    assert unpredicted["no longer predicted"]["farthest"] > 8
    assert unpredicted["no longer predicted"]["at least 8"] > 0.1
    assert set(unpredicted["outcomes"]) == {"under-forgotten"}
