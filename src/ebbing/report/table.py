"""The comparison as a table for the terminal, and the verdicts in plain words."""

from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from ebbing.report.rows import (
    COLUMNS,
    DASH,
    Cell,
    Row,
    comparison_rows,
    dig,
    footnotes,
    listing,
    mapping,
    printable,
)

WORDS_WIDTH = 13  # of names and verdicts: the figures keep their room in 100 columns


@dataclass(frozen=True)
class Outcome:
    """How an outcome is said: in a few words, and as a sentence. `tone` is good, bad or open."""

    words: str
    sentence: str
    tone: str


OUTCOMES: Mapping[str, Outcome] = {
    "under-forgotten": Outcome(
        "under-forgotten", "It still remembers the forget set more than retrained models do.", "bad"
    ),
    "over-forgotten": Outcome("over-forgotten", "It treats the forget set worse than models that never saw it.", "bad"),
    "damaged": Outcome("damaged", "It gets unseen data wrong that retrained models get right.", "bad"),
    "no-memory-found": Outcome(
        "no memory found",
        "The named tests find no memory of the forget set; in other ways it differs from retrained models.",
        "good",
    ),
    "consistent-with-retraining": Outcome(
        "consistent with retraining",
        "The named tests cannot tell it from a model retrained without the forget set.",
        "good",
    ),
    "no-measurable-trace": Outcome(
        "no measurable trace",
        "The forget set left no trace in the original that these tests can see, so they cannot judge.",
        "open",
    ),
    "inconclusive": Outcome("inconclusive", "The evidence does not allow a verdict.", "open"),
}


def outcome_of(method: object) -> Outcome:
    """The wording of a method's verdict; an outcome unknown here is shown as it stands."""
    name = dig(method, "verdict", "outcome")
    if name is None:
        return Outcome("no verdict", "The report holds no verdict for this method.", "open")
    return OUTCOMES.get(str(name)) or Outcome(printable(name), "", "open")


def _figure(cell: Cell) -> Text:
    text = Text(cell.text, no_wrap=True)
    if cell.half:
        text.append(f"\n{cell.half}", style="dim")
    return text


def _table_row(row: Row) -> list[Text]:
    words = outcome_of({"verdict": {"outcome": row.outcome}}).words if row.outcome else ""
    figures = (_figure(row.cells[column.key]) for column in COLUMNS)
    return [_name(row.label), *figures, _name(words)]


def _name(words: str) -> Text:
    return Text("\n".join(wrap(words, WORDS_WIDTH)), no_wrap=True)


def comparison_table(report: Mapping[str, Any]) -> Table:
    """Every method between the original and the retrained models, for a terminal 100 columns wide.

    Args:
        report: the dict of report.json.

    Returns:
        A rich table. Accuracies, removed and cost in percent; intervals on a second line; a dash where
        there is no evidence, with the reason below.
    """
    description = dig(report, "request", "description")
    rows = comparison_rows(report)
    notes = "\n".join(footnotes(report))
    if any(cell.half for row in rows for cell in row.cells.values()):
        notes = f"± is half the width of an interval.\n{notes}".rstrip()
    if any(row.kind not in ("original", "retrained") and row.cells["cost"].text != DASH for row in rows):
        notes = f"Cost is time, not examples, as a share of one retraining.\n{notes}".rstrip()
    table = Table(
        title=Text(printable(description)) if description else None,
        caption=Text(notes) if notes else None,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=0,
        show_edge=False,
    )
    table.add_column("method", no_wrap=True)
    for column in COLUMNS:
        head, _, unit = column.header.partition(" ")  # on two lines: the header must not set the width
        table.add_column(f"{head}\n{unit}" if unit else head, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row, after in zip(rows, [*rows[1:], None], strict=True):
        border = row.kind == "original" or (after is not None and after.kind == "retrained")
        table.add_row(*_table_row(row), end_section=border)
    return table


def verdict_lines(report: Mapping[str, Any]) -> list[str]:
    """One block of plain sentences per method: its name, the outcome, the reason, the notes.

    Args:
        report: the dict of report.json.

    Returns:
        Blocks in the order of the report; lines after the first of a block are indented by two spaces.
    """
    blocks = []
    for name, method in mapping(dig(report, "methods")).items():
        outcome = outcome_of(method)
        control = " (control)" if dig(method, "control") is True else ""
        lines = [f"{printable(name)}{control}: {outcome.words}. {outcome.sentence}".rstrip()]
        if reason := dig(method, "verdict", "reason"):
            lines.append(f"  Reason: {printable(reason)}")
        lines += [f"  Note: {printable(note)}" for note in listing(dig(method, "notes"))]
        blocks.append("\n".join(lines))
    return blocks
