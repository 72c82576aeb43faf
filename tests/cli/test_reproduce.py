"""``ebbing reproduce``: what is said before anything is trained, and tables from files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ebbing.cli.commands import app

ROOT = Path(__file__).parents[2]


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["reproduce", *words])
    return result.exit_code, result.output if result.exception is None or result.exit_code != 1 else repr(
        result.exception
    )


def test_a_dry_run_counts_what_there_is_to_do(tmp_path: Path) -> None:
    code, said = run("--dry-run", "--results", str(tmp_path / "r"), "--out", str(tmp_path / "o"), "--workers", "2")
    assert code == 0
    assert "0 of 471 cells are finished; 471 to make" in said
    assert "in 2 processes" in said
    assert list(tmp_path.iterdir()) == []
    quick = run("--quick", "--dry-run", "--results", str(tmp_path / "r"))[1]
    assert "0 of 18 cells are finished" in quick
    some = run("--dry-run", "--only", "mnist-60000", "--seeds", "1", "--results", str(tmp_path / "r"))[1]
    assert "0 of 14 cells are finished" in some


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--dataset", "mnist,cifar"], "--dataset must be one of mnist, fashion-mnist, but is cifar"),
        (["--only", "nosuch"], "--only 'nosuch' must name a part"),
        (["--tables"], "no finished cell is in"),
    ],
)
def test_what_cannot_be_done_is_said(words: list[str], why: str, tmp_path: Path) -> None:
    code, said = run(*words, "--dry-run", "--results", str(tmp_path / "r"), "--out", str(tmp_path / "o"))
    assert code in (1, 2)
    assert why in said.replace("\n", " ")
    assert list(tmp_path.iterdir()) == []


def test_tables_need_the_files_alone(tmp_path: Path) -> None:
    """Those that are committed, in another folder."""
    shutil.copytree(ROOT / "results" / "paper", tmp_path / "paper")
    code, said = run("--tables", "--results", str(tmp_path / "paper"), "--out", str(tmp_path / "nowhere"))
    assert code == 0
    assert "| do-nothing |" in said
    assert not (tmp_path / "nowhere").exists()
