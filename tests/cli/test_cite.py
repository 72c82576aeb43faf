"""``ebbing cite``: BibTeX of what a run used."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from project import Said

from paper_reports import run


def test_a_run_is_cited(call: Callable[..., Said], tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps(run()), encoding="utf-8")
    said = call("cite", tmp_path)
    assert (said.code, said.err) == (0, "")
    found = re.findall(r"^@\w+\{([^,]+),$", said.out, re.MULTILINE)
    assert found[0] == "ebbing"
    assert {"hatua2024machine", "fan2024salun", "yeom2018privacy", "alpaydin1998optical"} <= set(found)
    assert said.out.isascii()


def test_what_is_no_report_is_refused(call: Callable[..., Said], tmp_path: Path) -> None:
    said = call("cite", tmp_path)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("Error: RUN must be a folder with report.json, or such a file, but ")
