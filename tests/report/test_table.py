import io
import json

import pytest
from rich.console import Console
from sample_report import OUTCOMES

from ebbing.report import comparison_table, verdict_lines
from ebbing.report.rows import (
    COLUMNS,
    DASH,
    Estimate,
    comparison_rows,
    footnotes,
    format_number,
    read_auc,
    read_estimate,
    read_memory,
)
from ebbing.report.table import outcome_of

FORBIDDEN = ("erased", "deleted", "proven", "certified", "compliant", "anonymous")


def printed(report, *, width):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(comparison_table(report))
    return console.file.getvalue()


def cells(report, name):
    row = next(row for row in comparison_rows(report) if row.name == name)
    return {key: cell.text for key, cell in row.cells.items()}


def test_rows_go_from_the_original_over_the_methods_to_retraining(report):
    rows = comparison_rows(report)
    labels = [row.label for row in rows]
    assert labels[0] == "original (untouched)"
    assert labels[1:3] == ["do-nothing (control)", "fresh-network (control)"]
    assert labels[3:-1] == list(report["methods"])[2:]
    assert labels[-1] == "retrained (16)"
    assert [row.kind for row in rows[-2:]] == ["method", "retrained"]
    assert comparison_table(report).row_count == len(rows)


def test_figures_are_in_percent_where_the_header_says_so(report):
    scrub = cells(report, "scrub")
    assert scrub["holdout"] == "98.4"
    assert scrub["memory"] == "6.79 (6.79)"
    assert scrub["drift"] == "2.20/1.92"
    assert scrub["removed"] == "7.5"
    assert scrub["cost"] == "10.0"
    assert cells(report, "retrained (16)")["cost"] == "100.0"


def test_it_is_said_that_cost_is_time(report):
    """Budgets are shares of examples: who is held to 20 % of those may well read 40 here."""
    assert "Cost is time, not examples" in printed(report, width=100)
    for method in report["methods"].values():
        method["cost"]["ratio_to_retraining"] = None
    assert "Cost is time" not in printed(report, width=100)


def test_several_models_give_a_mean_and_its_interval(report):
    row = next(row for row in comparison_rows(report) if row.name == "ebb")
    assert row.cells["forget"].text == "2.1"
    assert row.cells["forget"].half == "±1.0"
    assert row.cells["forget"].ends == "1.1 to 3.1"
    assert row.cells["drift"].half == "±0.10/±0.10"
    assert row.cells["auc"].ends == "0.49 to 0.53"


@pytest.mark.parametrize("width", [100, 120])
def test_no_figure_is_wrapped_or_cut(report, width):
    text = printed(report, width=width)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    assert "…" not in text
    for row in comparison_rows(report):
        for cell in row.cells.values():
            assert cell.text in text
            assert cell.half in text


def test_absent_evidence_is_a_dash_with_its_reason_below(bare):
    for row in comparison_rows(bare):
        assert {cell.text for cell in row.cells.values()} == {DASH}
    text = printed(bare, width=120)
    assert "retrained" in text
    assert "(none)" in text
    assert "No loss AUC for all: no matched unseen examples" in text
    assert "No retrained model was given" in text


def test_a_reason_for_one_method_names_it(report):
    report["methods"]["scrub"]["attacks"]["loss"] = {"auc": None, "reason": "too few records"}
    assert "No loss AUC for scrub: too few records" in footnotes(report)
    report["methods"]["scrub"]["attacks"]["loss"]["reason"] = None
    assert footnotes(report) == []


def test_missing_bands_are_said(report):
    assert footnotes({**report, "bands": None})[0].startswith("The report has no bands")


@pytest.mark.parametrize("empty", [{}, {"methods": None, "oracles": None, "request": None}])
def test_a_report_with_nothing_in_it_is_still_a_table(empty):
    assert comparison_table(empty).row_count == 2
    assert verdict_lines(empty) == []


def test_markup_and_escape_codes_in_names_are_plain_text(report):
    report["methods"] = {"[red]x[/red]\x1b[31m\n": report["methods"]["ebb"]}
    text = printed(report, width=120)
    assert "[red]x[/red]" in text
    assert "\x1b" not in text
    assert "\x1b" not in verdict_lines(report)[0]


def test_verdicts_say_name_outcome_reason_and_notes(report):
    blocks = verdict_lines(report)
    assert len(blocks) == len(report["methods"])
    assert blocks[0].startswith("do-nothing (control): under-forgotten. ")
    first, reason, note = blocks[-1].splitlines()
    assert first.startswith("ebb: no memory found. The named tests find no memory")
    assert reason == f"  Reason: {report['methods']['ebb']['verdict']['reason']}"
    assert note == "  Note: One unit group follows a normalisation and was left alone."


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_outcome_is_worded_without_promising(outcome):
    worded = outcome_of({"verdict": {"outcome": outcome}})
    assert worded.sentence
    assert worded.tone in ("good", "bad", "open")
    assert not any(word in f"{worded.words} {worded.sentence}".lower() for word in FORBIDDEN)


def test_unknown_and_missing_outcomes_are_shown_as_they_are():
    assert outcome_of({"verdict": {"outcome": "brand-new"}}).words == "brand-new"
    assert outcome_of({"verdict": None}).words == "no verdict"


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), "0.5", True, [], {}, {"mean": None}])
def test_what_is_no_finite_number_is_absent(value):
    assert read_estimate(value) is None


def test_estimates_are_read_from_numbers_and_from_mappings():
    assert read_estimate(1) == Estimate(1.0)
    assert read_estimate({"mean": 0.5, "low": 0.4, "high": float("inf")}) == Estimate(0.5, 0.4, None)


def test_intervals_beside_a_figure_are_its_own():
    assert read_memory({"m": 1.0, "w": 2.0, "low": 0.5, "high": 1.5}) == Estimate(1.0, 0.5, 1.5)
    inner = {"mean": 1.0, "low": 0.8, "high": 1.2}
    assert read_memory({"m": inner, "low": None, "high": None}) == Estimate(1.0, 0.8, 1.2)
    assert read_auc({"auc": 0.6, "low": 0.5, "high": 0.7}) == Estimate(0.6, 0.5, 0.7)
    assert read_auc({"auc": {"mean": 0.6, "low": 0.55, "high": 0.65}, "low": 0, "high": 1}).low == 0.55


@pytest.mark.parametrize(("value", "text"), [(-0.004, "0.00"), (-0.26, "-0.26"), (7.0, "7.00"), (2e6, "2e+06")])
def test_numbers_are_written_plainly(value, text):
    assert format_number(value, 2) == text


def test_the_table_works_from_the_file(report):
    assert printed(json.loads(json.dumps(report)), width=120) == printed(report, width=120)


def test_headers_fit_their_columns():
    assert len({column.key for column in COLUMNS}) == len(COLUMNS)
    assert all(len(part) <= 7 for column in COLUMNS for part in column.header.split())
