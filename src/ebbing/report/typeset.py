"""Tables of papers as text: comma-separated values, Markdown, and LaTeX for booktabs."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Literal

from ebbing.report.papers import Cell, Column, PaperTable
from ebbing.report.rows import DASH, format_number, printable

Format = Literal["csv", "md", "latex"]


def typeset(tables: Sequence[PaperTable], form: Format) -> str:
    """The tables, one below the other; as csv under one header."""
    if form == "csv":
        return _csv(tables)
    return "\n".join(_markdown(table) if form == "md" else _latex(table, i + 1) for i, table in enumerate(tables))


def _csv(tables: Sequence[PaperTable]) -> str:
    """For programs: a figure, its sd and its gap are columns of their own; what is absent is empty."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    columns = list({column.header: None for table in tables for column in table.columns})
    shown = {header: _parts(tables, header) for header in columns}
    head = [f"{header}{part}" for header in columns for part in shown[header]]
    writer.writerow(["request", "n", "kind", "method", *head, "protocol", "notes"])
    for table in tables:
        headers = {column.header: column for column in table.columns}
        for subject, cells in table.rows:
            figures: list[str] = []
            for header in columns:
                column = headers.get(header)
                cell = None if column is None else cells[column.key]
                figures += [_part(cell, column, part) for part in shown[header]]
            writer.writerow(
                [
                    *(table.title, table.n, subject.kind, printable(subject.name)),
                    *(*figures, table.protocol, " ".join(table.notes)),
                ]
            )
    return written.getvalue()


PARTS = {"": "mean", " sd": "sd", " gap": "gap"}


def _parts(tables: Sequence[PaperTable], header: str) -> list[str]:
    """Which parts any cell of a column has."""
    cells = [
        cells[column.key]
        for table in tables
        for _, cells in table.rows
        for column in table.columns
        if column.header == header
    ]
    return [
        part for part, name in PARTS.items() if not part or any(getattr(cell, name, None) is not None for cell in cells)
    ]


def _part(cell: Cell | None, column: Column | None, part: str) -> str:
    value = getattr(cell, PARTS[part], None)
    return "" if value is None or column is None else f"{value:.{column.digits + 2}f}"


def _words(cell: Cell | None, column: Column) -> str:
    if cell is None:
        return DASH
    text = format_number(cell.mean, column.digits)
    if cell.sd is not None:
        text += f" ± {format_number(cell.sd, column.digits)}"
    return text if cell.gap is None else f"{text} ({format_number(cell.gap, column.digits)})"


def _markdown(table: PaperTable) -> str:
    head = ["Method", *(column.header for column in table.columns)]
    lines = [f"**{_markdown_words(table.title)}** (n = {table.n})", "", _piped(_markdown_words(word) for word in head)]
    lines.append("| --- |" + " ---: |" * len(table.columns))
    for subject, cells in table.rows:
        lines.append(
            _piped([_markdown_words(subject.label), *(_words(cells[column.key], column) for column in table.columns)])
        )
    return "\n".join([*lines, "", *(f"- {_markdown_words(note)}" for note in table.notes), ""])


def _piped(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _markdown_words(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", printable(text))


SPECIALS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "±": r"$\pm$",
    DASH: "--",
} | {character: f"\\{character}" for character in "&%$#_{}"}


def latex_words(text: str) -> str:
    r"""Text with everything escaped that LaTeX would read as a command.

    >>> print(latex_words("50_% of {a} & b"))
    50\_\% of \{a\} \& b
    """
    return "".join(SPECIALS.get(character, character) for character in printable(text))


def _latex(table: PaperTable, number: int) -> str:
    head = ["Method", *(latex_words(column.header) for column in table.columns)]
    lines = [
        "% \\usepackage{booktabs}",
        "\\begin{table}",
        "  \\centering",
        f"  \\caption{{{latex_words(_sentence(table.title))} {latex_words(' '.join(table.notes))}}}",
        f"  \\label{{tab:ebbing-{number}}}",
        f"  \\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        "    \\toprule",
        f"    {' & '.join(head)} \\\\",
        "    \\midrule",
    ]
    for subject, cells in table.rows:
        row = [latex_words(subject.label)]
        row += [latex_words(_words(cells[column.key], column)) for column in table.columns]
        lines.append(f"    {' & '.join(row)} \\\\")
    return "\n".join([*lines, "    \\bottomrule", "  \\end{tabular}", "\\end{table}", ""])


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."
