"""Build docs/leaderboard.md, docs/leaderboard-tables.md and their pictures from the files under results/bench and ablations.

python benchmarks/leaderboard_page.py           # write
python benchmarks/leaderboard_page.py --check   # exit 1 where they are not what the files say
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ablations import RESULTS as ABLATIONS
from ablations import VARIANTS
from leaderboard_claims import can_be_told, claims
from pages import write_or_check

from ebbing.bench.plots import draw_board, draw_settings
from ebbing.bench.tables import Board, read_boards, remark, tables
from ebbing.paper.tables import markdown
from ebbing.report.svg import Plot

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results" / "bench"
SECONDS = ROOT / "results" / "seconds.json"
DOCS = ROOT / "docs"
TEXT = Path(__file__).with_name("leaderboard_text.md")
# of the tasks that settings are chosen on, the one whose records were memorised
TUNED_ON = "digits-mislabelled5-cnn/v1"
TABLES_TITLE = """# The leaderboard, every figure

Built by `python benchmarks/leaderboard_page.py`. How to read it stands on [the page before](leaderboard.md). In bold: memory
inside the band of retrained models. "-tuned" are settings that `ebbing bench tune` found.

"""
Figures = Mapping[str, Any]


def main() -> None:
    """Write the pages, or check them."""
    boards = [board for board in read_boards(RESULTS) if can_be_told(board)]
    made = pictures(boards) | {
        DOCS / "leaderboard.md": page(boards),
        DOCS / "leaderboard-tables.md": TABLES_TITLE + tables(boards),
    }
    write_or_check(made)


def pictures(boards: Sequence[Board]) -> dict[Path, str]:
    """The frontier of every task, and of every method over its settings."""
    frontiers = {
        DOCS / f"frontier-{board.task.folder}.svg": plot.svg + "\n"
        for board in boards
        for plot in draw_board(board)
        if plot.name.endswith("-frontier")
    }
    return frontiers | {DOCS / f"{plot.name}.svg": plot.svg + "\n" for plot in _over_settings()}


@cache
def _over_settings() -> list[Plot]:
    """What was tried of every method, a picture for each budget."""
    return [draw_settings(each, TUNED_ON) for each in _tunings().values()]


def _tunings() -> dict[float, list[Figures]]:
    """What was tried of every method, by budget."""
    found: dict[float, list[Figures]] = {}
    for path in sorted((RESULTS / "tuned").glob("*.json")):
        held = json.loads(path.read_text(encoding="utf-8"))
        found.setdefault(held["budget"], []).append(held)
    return dict(sorted(found.items()))


def page(boards: Sequence[Board]) -> str:
    """The text, with what the files say in its places."""
    parts = {
        "claims": "\n".join(f"### {c.title}\n\n{c.text}\n\n{markdown(c.rows)}\n" for c in claims(boards)),
        "frontiers": "\n".join(_frontier(board) for board in boards),
        "over_settings": "\n".join(f"![{p.title}]({p.name}.svg)\n\n{p.title}\n" for p in _over_settings()),
        "seconds": _seconds(),
        "ablations": _ablations(),
        "tuning": _tuning(),
        "made": _made(boards),
    }
    text = TEXT.read_text(encoding="utf-8")
    for name, part in parts.items():
        text = text.replace(f"{{{name}}}", part.rstrip())
    return text


def _frontier(board: Board) -> str:
    return (
        f"![{board.task.name}: memory against accuracy on unseen records](frontier-{board.task.folder}.svg)\n\n"
        f"`{board.task.name}`\n"
    )


def _seconds() -> str:
    """What a budget takes, fastest first."""
    found = json.loads(SECONDS.read_text(encoding="utf-8"))
    by_seconds = sorted(found["table"].items(), key=lambda item: item[1]["seconds"])
    rows = [("method", "examples, %", "seconds, %", "from, to")]
    for name, of in by_seconds:
        examples, seconds, low, high = (f"{100 * of[what]:.1f}" for what in ("examples", "seconds", "low", "high"))
        rows.append((f"`{name}`", examples, seconds, f"{low}, {high}"))
    rounds, facts = found["rounds"], found["provenance"]
    longest = ", ".join(f"{each['retraining']:.0f}" for each in rounds)
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    told = (
        f"`{facts['command']}`; `{found['task']}`, a budget of {100 * found['budget']:g} %, {len(rounds)} rounds, in which one "
        f"retraining took {longest} s; {versions}; {facts['hardware']['cpu']}, {facts['hardware']['cores']} cores, "
        f"{facts['threads']} thread."
    )
    return f"{markdown(rows)}\n\n{told}"


def _ablations() -> str:
    """A table for each task and budget, in the order of the variants."""
    parts = []
    for folder in sorted(p for p in ABLATIONS.glob("*") if p.is_dir()):
        reference = json.loads((folder / "reference.json").read_text(encoding="utf-8"))
        for budget in (0.03, 0.1):
            cells = [_cell(folder, label, budget) for label in VARIANTS]
            found = [cell for cell in cells if cell is not None and cell["figures"] is not None]
            if found:
                rows = [
                    ["variant", "M", "drift of D_f", "gap of D_f", "holdout, %", "verdicts"],
                    *map(_ablation, found),
                ]
                title = f"### {reference['task']['name']}, {100 * budget:g} %"
                parts.append(f"{title}\n\n{markdown(rows)}\n")
    return "\n".join(parts)


def _cell(folder: Path, label: str, budget: float) -> Figures | None:
    path = folder / f"{label}-{100 * budget:g}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _ablation(cell: Figures) -> list[str]:
    figures = cell["figures"]
    accuracy = {end: 100 * value for end, value in figures["accuracy"]["holdout"].items()}
    return [
        f"`{cell['label']}`{remark(cell)}",
        _interval(figures["memory"]),
        _interval(figures["drift"]["forget"]),
        f"{figures['margin_gap']['forget']:.2f}",
        _interval(accuracy, 1),
        ", ".join(f"{name} {n}" for name, n in figures["verdicts"].items()),
    ]


def _interval(value: Figures, digits: int = 2) -> str:
    return f"{value['mean']:.{digits}f} ({value['low']:.{digits}f} to {value['high']:.{digits}f})"


def _tuning() -> str:
    """Who was tuned, how long, and to what."""
    rows = [["method", "budget, %", "trials", "best settings", "value"]]
    for held in (held for tunings in _tunings().values() for held in tunings):
        best = min(held["trials"], key=lambda trial: trial["value"])
        settings = ", ".join(f"`{name}` {value:.3g}" for name, value in best["settings"].items())
        rows.append(
            [
                f"`{held['label']}`",
                f"{100 * held['budget']:g}",
                str(len(held["trials"])),
                settings,
                f"{best['value']:.2f}",
            ]
        )
    return markdown(rows) if len(rows) > 1 else "Nobody was tuned yet."


def _made(boards: Sequence[Board]) -> str:
    """Commands, versions and machine."""
    facts = boards[0].reference["provenance"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    hardware = facts["hardware"]
    return (
        f"`ebbing bench run`, `ebbing bench tune --method METHOD --budget B` and `ebbing bench run --tuned`, "
        f"`python benchmarks/ablations.py`; originals of seeds 0, 1, ..., retrained models of seeds 1000, 1001, ...; "
        f"{versions}; {hardware['cpu']}, {hardware['cores']} cores, {facts['threads']} thread a process. Seconds were taken "
        f"while other work ran on the machine, at other times than retraining's: read examples instead.{_elsewhere(boards)}"
    )


def _elsewhere(boards: Sequence[Board]) -> str:
    """Which rows another processor made than the figures of retrained models that they stand beside."""
    told: dict[str, list[str]] = {}
    for board in boards:
        usual = board.reference["provenance"]["hardware"]["cpu"]
        rows: dict[str, list[str]] = {}
        for cell in board.cells:
            at = "" if cell["budget"] is None else f"-{100 * cell['budget']:g}"
            rows.setdefault(cell["provenance"]["hardware"]["cpu"], []).append(f"`{cell['label']}{at}`")
        for cpu, labels in rows.items():
            if cpu != usual:
                told.setdefault(cpu, []).append(f"{', '.join(sorted(labels))} of `{board.task.name.partition('/')[0]}`")
    return "".join(
        f" On {cpu}, with originals and retrained models of its own, whose bits differ: {'; '.join(of)}."
        for cpu, of in sorted(told.items())
    )


if __name__ == "__main__":
    main()
