"""``ebbing table``: reports in the columns of the papers, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from project import Said

from paper_reports import run


def saved(path: Path, report: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report), encoding="utf-8")
    return path


def test_folders_and_files_are_averaged(call: Callable[..., Said], tmp_path: Path) -> None:
    saved(tmp_path / "a" / "report.json", run())
    saved(tmp_path / "new.json", run(seed=1, shift=0.02))
    said = call("table", tmp_path / "a", tmp_path / "new.json")
    assert (said.code, said.err) == (0, "")
    assert "| ebb | 81.00 ± 1.41 (9.00) |" in said.out
    assert "n = 2 runs" in said.out


@pytest.mark.parametrize(
    ("words", "starts"),
    [
        (["--format", "latex"], "% \\usepackage{booktabs}\n\\begin{table}"),
        (["--format", "csv", "--style", "klom"], "request,n,kind,method,forget mean,"),
        (["--style", "tow"], "**65 records with 5 % wrong labels, digits, digits-mlp** (n = 1)"),
    ],
)
def test_styles_and_formats(call: Callable[..., Said], tmp_path: Path, words: list[str], starts: str) -> None:
    saved(tmp_path / "report.json", run())
    said = call("table", tmp_path, *words)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(starts)


def test_everything_that_is_wrong_is_said_at_once(call: Callable[..., Said], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    good = saved(tmp_path / "report.json", run())
    broken = tmp_path / "broken.json"
    broken.write_text("{", encoding="utf-8")
    other, listed = saved(tmp_path / "other.json", {"schema": "else/9"}), saved(tmp_path / "list.json", [1])
    bare = saved(tmp_path / "bare.json", {"schema": "ebbing.report/1", "methods": {}})
    said = call("table", good, tmp_path, tmp_path / "empty", tmp_path / "nowhere", broken, other, listed, bare)
    assert (said.code, said.out) == (2, "")
    lines = said.err.splitlines()
    assert all(line.startswith("Error: ") and line.endswith(".") for line in lines)
    for line, words in zip(
        lines,
        (
            *("holds the same report as", "is a folder without report.json", "is not there", "is no JSON"),
            *("has the schema 'else/9'", "has the schema None", "holds no methods"),
        ),
        strict=True,
    ):
        assert words in line


def test_other_settings_under_one_name_are_refused(call: Callable[..., Said], tmp_path: Path) -> None:
    other = run(seed=1)
    other["methods"]["ebb"]["settings"] = {"type": "Ebb", "duration": 9.0}
    said = call("table", saved(tmp_path / "a.json", run()), saved(tmp_path / "b.json", other))
    assert said.code == 2
    assert "Tell them apart by name[:preset]@label" in said.err


def test_an_unknown_style_is_refused_before_anything_is_read(call: Callable[..., Said], tmp_path: Path) -> None:
    said = call("table", tmp_path / "nowhere", "--style", "mine")
    assert said.code == 2
    assert "'ua-ra-ta', 'tow', 'klom'" in said.err


@pytest.mark.parametrize("command", ["table", "cite"])
def test_no_torch_is_loaded(tmp_path: Path, command: str) -> None:
    saved(tmp_path / "report.json", run())
    code = f"""
import sys
from ebbing.cli import main
sys.argv = ["ebbing", {command!r}, {str(tmp_path)!r}]
try:
    main()
except SystemExit as done:
    sys.exit("torch is loaded" if "torch" in sys.modules else done.code)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ebb" in done.stdout
