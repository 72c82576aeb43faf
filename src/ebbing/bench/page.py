"""The leaderboard as one page that needs nothing else: no network, no script."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from ebbing import __version__
from ebbing.bench.plots import draw_board
from ebbing.bench.tables import HEADER, Board, described, rows_of


def leaderboard_page(boards: Sequence[Board]) -> str:
    """A whole document with the tables and plots of every task; the same for the same figures."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(
        files("ebbing.bench").joinpath("leaderboard.html.j2").read_text(encoding="utf-8")
    )
    return template.render(
        style=Markup(files("ebbing.report").joinpath("style.css").read_text(encoding="utf-8")),
        version=__version__,
        header=HEADER,
        boards=[_view(board) for board in boards],
    )


def _view(board: Board) -> dict[str, Any]:
    """What the template shows of a task."""
    return {
        "id": board.task.folder,
        "name": board.task.name,
        "described": described(board).replace("`", ""),
        "plots": [(plot, Markup(plot.svg)) for plot in draw_board(board)],
        "tables": [
            (told, [[_bold(row[0]), *row[1:]] for row in rows_of(board, budget)]) for told, budget in board.shown
        ],
    }


def _bold(label: str) -> Markup:
    """A label that Markdown has in bold, in HTML."""
    name, stars, rest = label.removeprefix("**").partition("**")
    return Markup("<b>{}</b>{}").format(name, rest) if stars else Markup(escape(label))
