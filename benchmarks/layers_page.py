"""Build docs/convolutions.md and docs/vit.md, and their pictures, from results/ablations and results/layers.

python benchmarks/layers_page.py           # write
python benchmarks/layers_page.py --check   # exit 1 where they are not what the files say
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ablations import DEPTHS, ON_IMAGES
from ablations import RESULTS as ABLATIONS
from layers import RESULTS, STUDIES
from pages import write_or_check

from ebbing.bench.plots import draw_board
from ebbing.bench.tables import Board, read_boards, remark
from ebbing.paper.tables import markdown

DOCS = Path(__file__).parent.parent / "docs"
HERE = Path(__file__).parent
VIT = "fashion10k-mislabelled5-vit/v1"
LARGE = "fashion10k-mislabelled5-resnet18/v1"
Figures = Mapping[str, Any]
HEAD = (
    "variant",
    "M",
    "drift of D_f",
    "KLoM of D_f",
    "forget, %",
    "retain, %",
    "holdout, %",
    "time, %",
    "readouts' M by layer",
    "verdicts",
)


def main() -> None:
    """Write the pages, or check them."""
    write_or_check(built())


def built() -> dict[Path, str]:
    """Every page and picture."""
    images = [board for board in read_boards(ABLATIONS) if board.task.name in ON_IMAGES]
    studies = {board.task.name: board for board in read_boards(RESULTS)} if RESULTS.is_dir() else {}
    residual = [studies[name] for name in STUDIES if name in studies and name not in (VIT, LARGE)]
    large = [studies[LARGE]] if LARGE in studies else []
    boards = [*images, *residual, *large]
    convolutions = {
        "cnn": "\n".join(_tables(board, DEPTHS) for board in images),
        "residual": "\n".join(_tables(board, STUDIES[board.task.name]) for board in residual),
        "large": "\n".join(_tables(board, STUDIES[board.task.name]) for board in large),
        "made": _made(boards),
    }
    pages = {DOCS / "convolutions.md": _filled("convolutions_text.md", convolutions)}
    if VIT in studies:
        board = studies[VIT]
        parts = {"table": _tables(board, STUDIES[VIT]), "made": _made([board])}
        pages[DOCS / "vit.md"] = _filled("vit_text.md", parts)
        boards.append(board)
    return pages | {_picture(board): plot.svg + "\n" for board in boards for plot in draw_board(board)[1:]}


def _picture(board: Board) -> Path:
    return DOCS / f"layers-{board.task.folder}.svg"


def _filled(text: str, parts: Mapping[str, str]) -> str:
    """A text with what the files say in its places."""
    found = (HERE / text).read_text(encoding="utf-8")
    for name, part in parts.items():
        found = found.replace(f"{{{name}}}", part.rstrip())
    return found


def _tables(board: Board, order: Sequence[str] | Mapping[str, Any]) -> str:
    """The picture and a table for each budget, in the order of the variants; the retrained models come first."""
    parts = [
        f"### `{board.task.name}`\n",
        f"![{board.task.name}: memory against accuracy on unseen records]({_picture(board).name})\n",
    ]
    labels = list(order)
    for budget in board.budgets:
        cells = sorted(
            (c for c in board.cells if c["budget"] in (None, budget) and c["figures"] is not None),
            key=lambda cell: labels.index(cell["label"]) if cell["label"] in labels else len(labels),
        )
        rows = [list(HEAD), _retrained(board), *(_row(board, cell) for cell in cells)]
        parts.append(f"At {100 * budget:g} % of what one retraining processes:\n\n{markdown(rows)}\n")
    return "\n".join(parts)


def _retrained(board: Board) -> list[str]:
    figures = board.reference["retrained"]
    band = (figures["bands"] or {}).get("memory")
    reach = "" if band is None else f" (band {band['low']:.2f} to {band['high']:.2f})"
    return [
        "retrained models",
        f"{figures['memory']['mean']:.2f}{reach}",
        f"{figures['drift']['forget']['mean']:.2f}",
        "",
        *(f"{100 * figures['accuracy'][split]['mean']:.1f}" for split in ("forget", "retain", "holdout")),
        "100",
        "",
        "",
    ]


def _row(board: Board, cell: Figures) -> list[str]:
    figures = cell["figures"]
    memory = f"{figures['memory']['mean']:.2f} ({figures['memory']['low']:.2f} to {figures['memory']['high']:.2f})"
    probes = figures.get("probes") or {}
    klom, time = figures.get("klom_gaussian"), cell["cost"]["seconds_ratio"]
    return [
        f"`{cell['label']}`{remark(cell)}",
        f"**{memory}**" if board.inside(cell) else memory,
        f"{figures['drift']['forget']['mean']:.2f}",
        f"{klom['forget']['mean']:.1f}" if klom else "",
        *(f"{100 * figures['accuracy'][split]['mean']:.1f}" for split in ("forget", "retain", "holdout")),
        f"{100 * time:.1f}" if time is not None else "",
        ", ".join(f"`{layer}` {m['mean']:.1f}" for layer, m in probes.items()),
        ", ".join(f"{name} {n}" for name, n in figures["verdicts"].items()),
    ]


def _device(hardware: Mapping[str, Any]) -> str:
    """What models were trained on."""
    found: str = hardware.get("accelerator") or hardware["cpu"]
    return found


def _made(boards: Sequence[Board]) -> str:
    """Commands, versions and machine."""
    facts = boards[0].reference["provenance"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    hardware = facts["hardware"]
    elsewhere: dict[str, list[str]] = {}
    for board in boards:
        own = board.reference["provenance"]
        if _device(own["hardware"]) != _device(hardware):
            torch = own["versions"]["torch"]
            under = "" if torch == facts["versions"]["torch"] else f" under torch {torch}"
            elsewhere.setdefault(_device(own["hardware"]) + under, []).append(f"`{board.task.name}`")
    others = "".join(f" All of {', '.join(names)} on {place}." for place, names in elsewhere.items())
    return (
        "`python benchmarks/ablations.py` and `python benchmarks/layers.py`; originals of seeds 0 to 7, retrained "
        f"models of seeds 1000 to 1007; {versions}; {hardware['cpu']}, {hardware['cores']} cores, {facts['threads']} thread a "
        f"process.{others} Times were taken with other runs beside."
    )


if __name__ == "__main__":
    main()
