"""A report as a tidy frame."""

from __future__ import annotations

import builtins
import math
from typing import Any

import pandas as pd
import pytest
from sample_report import bare_report, sample_report

from ebbing import AuditReport, InputError
from paper_reports import NAMES, run

COLUMNS = [
    *("method", "kind", "figure", "split", "value", "low", "high", "floor_mean", "floor_low", "floor_high", "protocol"),
]


def frame_of(data: dict[str, Any]) -> pd.DataFrame:
    return AuditReport(data, {}).to_dataframe()


def row(frame: pd.DataFrame, method: str, figure: str, split: str | None = None) -> dict[str, Any]:
    at = (frame.method == method) & (frame.figure == figure)
    at &= frame.split.isna() if split is None else frame.split == split
    assert at.sum() == 1, (method, figure, split)
    return frame[at].iloc[0].to_dict()


@pytest.mark.parametrize(
    "data", [run(), run(mia=False), sample_report(), bare_report()], ids=["new", "no", "old", "bare"]
)
def test_one_row_for_each_subject_and_figure(data: dict[str, Any]) -> None:
    frame = frame_of(data)
    assert list(frame.columns) == COLUMNS
    assert not frame.duplicated(["method", "figure", "split"]).any()
    assert set(frame.kind) <= {"original", "method", "control", "retrained"}
    assert {str(kind) for kind in frame.dtypes[COLUMNS[4:10]]} == {"float64"}


def test_accuracies_stand_beside_those_of_retrained_models() -> None:
    frame = frame_of(run())
    found = row(frame, "ebb", "accuracy", "forget")
    assert (found["value"], found["kind"]) == (0.2, "method")
    assert (found["floor_mean"], found["floor_low"], found["floor_high"]) == (0.1, 0.05, 0.15)
    assert row(frame, "retrained", "accuracy", "forget")["value"] == 0.1
    assert row(frame, "do-nothing", "accuracy", "forget")["kind"] == "control"
    assert list(dict.fromkeys(frame.method)) == ["original", *NAMES, "retrained"]


def test_attacks_memory_and_costs_have_rows_with_their_intervals() -> None:
    frame = frame_of(run())
    auc = row(frame, "ebb", "loss/auc", "forget")
    assert (auc["value"], auc["low"], auc["high"], auc["floor_mean"]) == (0.6, 0.5, 0.7, 0.5)
    assert "non-members" in auc["protocol"]
    assert row(frame, "ebb", "loss-logistic/accuracy", "forget")["value"] == 0.55
    memory = row(frame, "ebb", "memory", "forget")
    assert (memory["value"], memory["low"], memory["high"], memory["floor_high"]) == (1.5, 1.0, 2.0, 0.2)
    assert row(frame, "ebb", "probe/fc1", "forget")["value"] == 0.5
    assert row(frame, "ebb", "kinship/fc1")["value"] == 0.2
    assert (row(frame, "ebb", "seconds")["value"], row(frame, "ebb", "seconds")["floor_mean"]) == (5.0, 50.0)
    assert math.isnan(row(frame, "ebb", "cost")["value"])


def test_measures_have_their_own_floor_protocol_and_percentile() -> None:
    frame = frame_of(run())
    klom = row(frame, "ebb", "klom", "forget")
    assert (klom["value"], klom["low"], klom["high"], klom["floor_mean"]) == (4.0, 3.9, 4.1, 0.5)
    assert klom["protocol"] == "protocol of klom"
    assert row(frame, "ebb", "klom/p95", "forget")["value"] == 12.0
    assert row(frame, "retrained", "klom", "forget")["value"] == 0.5
    assert row(frame, "ebb", "tow")["value"] == 0.8  # once, though the report has it twice
    assert row(frame_of(run(mia=False)), "ebb", "tow")["value"] == 0.8


def test_a_measure_of_several_models_has_their_range() -> None:
    data = run()
    data["methods"]["ebb"]["measures"]["klom/forget"]["value"] = {"mean": 4.0, "low": 2.0, "high": 6.0}
    found = row(frame_of(data), "ebb", "klom", "forget")
    assert (found["value"], found["low"], found["high"]) == (4.0, 2.0, 6.0)


def test_a_key_with_a_stroke_that_is_no_split_stays_whole() -> None:
    data = run()
    measures = data["original"]["measures"]
    measures["u-lira/efficacy"] = {**measures["salun-mia"], "name": "u-lira/efficacy"}
    assert row(frame_of(data), "original", "u-lira/efficacy")["value"] == 0.02


def test_without_pandas_the_way_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name == "pandas":
            raise ImportError("No module named 'pandas'")
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"needs pandas.*pip install 'ebbing\[tables\]'"):
        AuditReport(run(), {}).to_dataframe()
