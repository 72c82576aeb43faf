"""Tables in the papers' columns, against figures computed by hand."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest
from sample_report import bare_report, sample_report

from ebbing.errors import InputError
from ebbing.report.papers import PaperTable, paper_tables
from ebbing.report.saved import Saved
from ebbing.report.typeset import latex_words, typeset
from paper_reports import MIA, NAMES, measure, run

STYLES = ("ua-ra-ta", "tow", "klom")


def tables(*reports: dict[str, Any], style: Any = "ua-ra-ta") -> list[PaperTable]:
    return paper_tables([Saved(Path(f"run{i}/report.json"), report) for i, report in enumerate(reports)], style)


def shown(table: PaperTable) -> dict[str, dict[str, str]]:
    """The Markdown cells by row and header."""
    lines = [line for line in typeset([table], "md").splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    head = rows[0]
    return {row[0].replace("\\", ""): dict(zip(head, row, strict=True)) for row in rows[2:]}


def test_one_run_has_gaps_in_parentheses_and_their_mean() -> None:
    (table,) = tables(run())
    ebb = shown(table)["ebb"]
    assert (ebb["UA (%)"], ebb["RA (%)"], ebb["TA (%)"]) == ("80.00 (10.00)", "98.00 (1.00)", "94.00 (1.00)")
    assert (ebb["MIA (%)"], ebb["Avg. gap"], ebb["RTE (s)"]) == ("26.00 (6.00)", "4.50", "5.00")  # (10 + 1 + 1 + 6) / 4
    retrained = shown(table)["retrained"]
    assert retrained["UA (%)"] == "90.00 (0.00)"
    assert (retrained["MIA (%)"], retrained["Avg. gap"], retrained["RTE (s)"]) == ("20.00 (0.00)", "0.00", "50.00")
    assert shown(table)["original"]["UA (%)"] == "10.00 (80.00)"
    assert list(shown(table)) == ["retrained", "original", "do-nothing (control)", *NAMES[1:]]


def test_the_attack_is_named_whichever_it_is() -> None:
    for form in ("md", "latex", "csv"):
        assert MIA in typeset(tables(run()), form)
        assert "logistic regression on the loss" in typeset(tables(run(mia=False)), form)
    (table,) = tables(run(mia=False))
    cells = shown(table)
    assert cells["ebb"]["MIA (%)"] == "55.00"  # without a gap: the retrained models' is not in the report
    assert cells["ebb"]["Avg. gap"] == cells["retrained"]["MIA (%)"] == "–"
    assert any(note.startswith("No gap of MIA of") for note in table.notes)
    assert any(note.startswith("No Avg. gap of any row") for note in table.notes)


def test_seeds_are_averaged_with_their_standard_deviation() -> None:
    (table,) = tables(run(seed=0), run(seed=1, shift=0.01), run(seed=2, shift=0.02))
    assert table.n == 3
    ebb = shown(table)["ebb"]
    assert ebb["UA (%)"] == "81.00 ± 1.00 (9.00)"  # 80, 81, 82 beside 90
    assert ebb["MIA (%)"] == "27.00 ± 1.00 (7.00)"
    assert ebb["Avg. gap"] == "4.00"  # (9 + 0 + 0 + 7) / 4
    assert ebb["RTE (s)"] == "6.00 ± 1.00"
    assert shown(table)["retrained"]["UA (%)"] == "90.00 ± 0.00 (0.00)"
    assert any(note.startswith("n = 3 runs: mean ± standard deviation") for note in table.notes)
    assert "each run drew its own records" in " ".join(table.notes)


def test_a_figure_that_several_models_gave_counts_by_its_mean() -> None:
    report = run()
    report["methods"]["ebb"]["accuracy"]["forget"] = {"mean": 0.3, "low": 0.1, "high": 0.5}
    assert shown(tables(report)[0])["ebb"]["UA (%)"] == "70.00 (20.00)"


def test_other_requests_are_other_tables() -> None:
    other = run(seed=1)
    other["request"] = other["request"] | {"description": "130 records with 10 % wrong labels", "forget": 130}
    by_list = run(seed=2, drawn=False)
    same_list, other_list = run(seed=2, drawn=False, shift=0.01), run(seed=3, drawn=False)
    found = tables(run(), other, by_list, same_list, other_list)
    assert [table.n for table in found] == [1, 1, 2, 1]
    elsewhere = run()
    elsewhere["provenance"] = elsewhere["provenance"] | {"dataset": "mnist"}
    assert len(tables(run(), elsewhere)) == 2
    unnamed = [run(seed=seed) for seed in (0, 1)]
    for report in unnamed:
        report["provenance"] = {}
    assert len(tables(*unnamed)) == 2  # the data may be anything, and the records are others


def test_what_another_seed_draws_may_vary_in_number() -> None:
    """Of a class in a part of the data, and of matched unseen records."""
    other = run(seed=1)
    other["request"] |= {"forget": 64, "retain": 1233, "matched": 61}
    assert [table.n for table in tables(run(), other)] == [2]
    less = run(seed=2)
    less["request"] |= {"retain": 900}
    assert [table.n for table in tables(run(), less)] == [1, 1]


def test_a_method_that_one_run_lacks_says_from_how_many_it_is() -> None:
    fewer = run(seed=1, shift=0.01)
    del fewer["methods"]["fnn_50%"]
    (table,) = tables(run(), fewer)
    assert shown(table)["fnn_50%"]["UA (%)"] == "90.00 (0.00)"
    assert any(note.startswith("fnn_50%: ") and note.endswith("1 of the 2 runs.") for note in table.notes)


def test_one_name_for_two_settings_is_refused() -> None:
    other = run(seed=1)
    other["methods"]["ebb"]["settings"] = {"type": "Ebb", "duration": 9.0}
    with pytest.raises(
        InputError, match=r"same settings in each, but 'ebb' has others in 'run1.*than in 'run0.*@label"
    ):
        tables(run(), other)


def test_times_of_ten_minutes_are_in_minutes() -> None:
    report = run()
    report["oracles"]["seconds"] = 1200.0
    (table,) = tables(report)
    assert shown(table)["retrained"]["RTE (min)"] == "20.00"
    assert any("minutes of wall time" in note for note in table.notes)


def test_tug_of_war_with_and_without_the_attack() -> None:
    (table,) = tables(run(), style="tow")
    cells = shown(table)
    assert (cells["ebb"]["ToW"], cells["ebb"]["ToW-MIA"]) == ("0.800", "0.700")
    assert (cells["retrained"]["ToW"], cells["retrained"]["ToW-MIA"]) == ("0.980", "0.970")
    assert (cells["ebb"]["forget acc. (%)"], cells["ebb"]["test acc. (%)"]) == ("20.00", "94.00")
    assert "protocol of tow-mia" in " ".join(table.notes)
    without = shown(tables(run(mia=False), style="tow")[0])
    assert (without["ebb"]["ToW"], without["ebb"]["ToW-MIA"], without["retrained"]["ToW"]) == ("0.800", "–", "–")


def test_klom_names_its_form_and_has_its_floor_and_the_original_beside() -> None:
    (table,) = tables(run(), style="klom")
    cells = shown(table)
    assert "histogram form" in table.protocol
    floor = cells["retrained (floor, 8 against 24)"]
    assert (floor["forget mean"], floor["forget p95"]) == ("0.500", "–")
    assert any("a floor is given of the mean alone" in note for note in table.notes)
    for name in ("original", "ebb"):
        assert (cells[name]["forget mean"], cells[name]["forget p95"], cells[name]["test mean"]) == (
            *("4.000", "12.000"),
            "2.000",
        )
    gaussian = run()
    for block in (gaussian["original"], *gaussian["methods"].values()):
        for split in ("forget", "retain", "holdout"):
            block["measures"][f"klom/{split}"] |= {
                "value": None,
                "p95": None,
                "floor": None,
                "reason": "too few models",
            }
            block["measures"][f"klom-gaussian/{split}"] = measure("klom-gaussian", 0.25, 0.06, split=split, p95=1.0)
    (table,) = tables(gaussian, style="klom")
    assert "Gaussian form" in table.protocol
    assert shown(table)["ebb"]["retain mean"] == "0.250"


def test_where_neither_form_has_a_figure_the_reason_is_that_of_the_one_that_needs_less() -> None:
    report = run()
    for block in (report["original"], *report["methods"].values()):
        for split in ("forget", "retain", "holdout"):
            for form, reason in (("klom", "see klom-gaussian"), ("klom-gaussian", "one model has no spread")):
                block["measures"][f"{form}/{split}"] = measure(form, None, split=split, reason=reason)
    (table,) = tables(report, style="klom")
    assert (table.protocol, any("one model has no spread" in note for note in table.notes)) == ("KLoM", True)


def test_floors_of_other_counts_are_rows_of_their_own() -> None:
    report = run()
    for split in ("forget", "retain", "holdout"):
        report["original"]["measures"][f"klom/{split}"]["floor"] |= {"n_unlearned": 4, "n_retrained": 28, "mean": 0.75}
    cells = shown(tables(report, style="klom")[0])
    assert cells["retrained (floor, 4 against 28)"]["forget mean"] == "0.750"
    assert cells["retrained (floor, 8 against 24)"]["forget mean"] == "0.500"


def test_a_reason_in_the_report_is_the_note() -> None:
    report = run()
    report["methods"]["ebb"]["measures"]["salun-mia"] |= {"value": None, "reason": "only margins are known."}
    (table,) = tables(report)
    assert "No MIA of ebb: only margins are known." in table.notes


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("report", [bare_report(), sample_report()], ids=["bare", "old"])
def test_reports_that_lack_everything_have_dashes_and_reasons(report: dict[str, Any], style: str) -> None:
    (table,) = tables(report, style=style)
    for subject, cells in table.rows:
        for column in table.columns:
            if cells[column.key] is None:
                assert any(note.startswith("No ") for note in table.notes), (subject, column)
    assert "None" not in typeset([table], "md")


# ---------------------------------------------------------------- typesetting


def columns_of(line: str) -> int:
    """Cells of a row of a tabular, as LaTeX counts them: by ampersands that are not escaped."""
    assert line.endswith(r" \\"), line
    return len(re.findall(r"(?<!\\)&", line)) + 1


def balanced(text: str) -> bool:
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", text):
        depth += 1 if brace == "{" else -1
        if depth < 0:
            return False
    return depth == 0


@pytest.mark.parametrize("style", STYLES)
def test_latex_is_a_booktabs_table_with_balanced_columns(style: str) -> None:
    report = run()
    report["methods"][r"a\b&c_{d}~^<>|#$"] = report["methods"].pop("ebb")
    report["request"]["description"] = "50% of {a_b} & more"
    other = run(seed=1)
    other["request"]["description"] = "another"
    text = typeset(tables(report, other, style=style), "latex")
    assert balanced(text)
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == text.count(r"\caption{") == 2
    assert len(set(re.findall(r"\\label\{([^}]*)\}", text))) == 2
    for body in text.split(r"\begin{tabular}")[1:]:
        spec = re.match(r"\{(l(r+))\}", body)
        assert spec is not None
        inside = body.partition(r"\end{tabular}")[0].splitlines()[1:]
        assert [line.strip() for line in inside if line.strip() in (r"\toprule", r"\midrule", r"\bottomrule")] == [
            *(r"\toprule", r"\midrule", r"\bottomrule")
        ]
        rows = [line for line in inside if line.strip() and "rule" not in line]
        assert len(rows) >= 5
        assert {columns_of(line) for line in rows} == {len(spec[1])}
    code = re.sub(r"^% .usepackage.*$", "", text, flags=re.MULTILINE)
    assert not re.findall(r"(?<!\\)[%#]", code)
    assert not re.findall(r"(?<!\\)_", code)
    assert text.replace("\n", "").isascii()


def test_every_special_of_latex_is_escaped() -> None:
    assert latex_words("a&b%c$d#e_f{g}") == r"a\&b\%c\$d\#e\_f\{g\}"
    assert latex_words(r"\~^") == r"\textbackslash{}\textasciitilde{}\textasciicircum{}"
    assert latex_words("1 ± 2 –") == r"1 $\pm$ 2 --"


def test_csv_has_figure_deviation_and_gap_in_columns_of_their_own() -> None:
    text = typeset(tables(run(), run(seed=1, shift=0.02)), "csv")
    rows = {row["method"]: row for row in csv.DictReader(io.StringIO(text))}
    ebb = rows["ebb"]
    assert (float(ebb["UA (%)"]), float(ebb["UA (%) gap"]), ebb["n"], ebb["kind"]) == (81.0, 9.0, "2", "method")
    assert float(ebb["UA (%) sd"]) == pytest.approx(2**0.5, abs=1e-4)  # of 80 and 82
    assert rows["original"]["RTE (s)"] == ""
    assert "No RTE of original: nothing was unlearned." in ebb["notes"]
    assert ebb["protocol"] == MIA


def test_markdown_escapes_what_would_break_a_cell() -> None:
    report = run()
    report["methods"]["a|b"] = report["methods"].pop("ebb")
    assert "| a\\|b | 80.00 (10.00)" in typeset(tables(report), "md")
