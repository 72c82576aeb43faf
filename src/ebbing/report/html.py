"""The report as one page that needs nothing else: no network, no script, no font of its own."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from ebbing.report import sections
from ebbing.report.measured import measures_view
from ebbing.report.plots import draw_plots
from ebbing.report.rows import COLUMNS, comparison_rows, dig, footnotes, mapping, oracle_count, printable, read_estimate
from ebbing.report.sensitivity import minus
from ebbing.report.signer import signer_view
from ebbing.report.table import outcome_of
from ebbing.report.technical import technical_view

PAGE = "template.html.j2"
COUNTS = (
    ("forget", "to forget"),
    ("retain", "that stay"),
    ("holdout", "unseen"),
    ("matched", "unseen and matched"),
)


def render(report: Mapping[str, Any]) -> str:
    """Turn the dict of report.json into a page of HTML.

    Args:
        report: the dict of report.json; anything in it may be null.

    Returns:
        A whole document, the same for the same report. The first screen has the id `sign`, the comparison the id
        `comparison`, and every plot is a `<figure class="plot">`. It holds forgotten records only where the report has
        `examples`, and says so in either case.
    """
    environment = Environment(
        loader=FunctionLoader(_part), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["minus"] = minus
    rows = comparison_rows(report)
    methods = mapping(dig(report, "methods"))
    judged = [row for row in rows if row.kind in ("method", "control")]
    return environment.get_template(PAGE).render(
        title=printable(dig(report, "request", "description") or "Unlearning audit"),
        kind=dig(report, "request", "kind"),
        signer=signer_view(report),
        counts=_counts(report),
        verdicts=[sections.verdict(row, method) for row, method in zip(judged, methods.values(), strict=True)],
        columns=COLUMNS,
        rows=[(row, outcome_of({"verdict": {"outcome": row.outcome}}) if row.outcome else None) for row in rows],
        footnotes=footnotes(report),
        # The only text that is not escaped, here and in the appendix: matplotlib escapes the names it is given.
        plots=[(plot, Markup(plot.svg)) for plot in draw_plots(report)],
        measures=measures_view(report),
        bands=sections.bands(report),
        rule=dig(report, "rule", "text"),
        rule_settings=sections.pairs(dig(report, "rule"), without="text"),
        attacks=sections.attacks(report),
        inside=sections.inside(report),
        cost=sections.cost(report),
        command=dig(report, "provenance", "command"),
        fingerprints=sections.fingerprints(report),
        provenance=sections.pairs(dig(report, "provenance"), without="command"),
        details=[sections.details(row, method) for row, method in zip(judged, methods.values(), strict=True)],
        technical=technical_view(report),
        examples=sections.examples(report),
    )


def _part(name: str) -> str:
    """The text of a template, or of the style sheet, that lies beside this file."""
    return files("ebbing.report").joinpath(name).read_text(encoding="utf-8")


def _counts(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The sizes of the request, and of the evidence it is judged by."""
    sizes = [(_thousands(dig(report, "request", key)), words) for key, words in COUNTS]
    return [*sizes, (_thousands(oracle_count(report)), "retrained models")]


def _thousands(value: object) -> str:
    number = read_estimate(value)
    return "–" if number is None else f"{number.mean:,.0f}"
