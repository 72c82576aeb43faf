"""The report as one page that needs nothing else: no network, no script, no font of its own."""

import json
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from ebbing.report.plots import draw_plots
from ebbing.report.rows import (
    COLUMNS,
    DASH,
    SPLITS,
    Cell,
    Row,
    comparison_rows,
    dig,
    footnotes,
    format_estimate,
    listing,
    mapping,
    oracle_count,
    printable,
    read_auc,
    read_estimate,
)
from ebbing.report.table import outcome_of

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
        A whole document, the same for the same report. The comparison has the id `comparison`, and every
        plot is a `<figure class="plot">`.
    """
    source = files("ebbing.report").joinpath("template.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["minus"] = _minus
    rows = comparison_rows(report)
    methods = mapping(dig(report, "methods"))
    judged = [row for row in rows if row.kind in ("method", "control")]
    return environment.from_string(source).render(
        title=printable(dig(report, "request", "description") or "Unlearning audit"),
        kind=dig(report, "request", "kind"),
        counts=_counts(report),
        fingerprint=dig(report, "request", "fingerprint"),
        verdicts=[_verdict(row, method) for row, method in zip(judged, methods.values(), strict=True)],
        columns=COLUMNS,
        rows=[(row, outcome_of({"verdict": {"outcome": row.outcome}}) if row.outcome else None) for row in rows],
        footnotes=footnotes(report),
        # The only text that is not escaped here: matplotlib escapes the names it is given.
        plots=[(plot, Markup(plot.svg)) for plot in draw_plots(report)],
        bands=_bands(report),
        detectable=_text(dig(report, "bands", "smallest_detectable_m"), 2),
        rule=dig(report, "rule", "text"),
        rule_settings=_pairs(dig(report, "rule"), without="text"),
        attacks=_attacks(report),
        inside=_inside(report),
        command=dig(report, "provenance", "command"),
        provenance=_pairs(dig(report, "provenance"), without="command"),
        details=[_details(row, method) for row, method in zip(judged, methods.values(), strict=True)],
    )


def _minus(text: str) -> str:
    """Real minus signs in figures."""
    return text.replace("-", "\N{MINUS SIGN}")


def _text(value: object, digits: int, *, scale: float = 1.0) -> str:
    return format_estimate(read_estimate(value), digits, scale=scale).text


def _plain(value: object) -> str:
    """Any value of a report as text: nested ones as JSON."""
    if value is None:
        return DASH
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _pairs(value: object, *, without: str | None = None) -> list[tuple[str, str]]:
    return [(str(key), _plain(item)) for key, item in mapping(value).items() if key != without]


def _counts(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The sizes of the request, and of the evidence it is judged by."""
    sizes = [(_thousands(dig(report, "request", key)), words) for key, words in COUNTS]
    return [*sizes, (_thousands(oracle_count(report)), "retrained models")]


def _thousands(value: object) -> str:
    number = read_estimate(value)
    return DASH if number is None else f"{number.mean:,.0f}"


def _verdict(row: Row, method: object) -> dict[str, Any]:
    outcome = outcome_of(method)
    figures = (
        ("memory M (W)", row.cells["memory"].text, ""),
        ("removed", row.cells["removed"].text, " %"),
        ("of retraining's time", row.cells["cost"].text, " %"),
        ("right on unseen data", row.cells["holdout"].text, " %"),
    )
    return {
        "label": row.label,
        "outcome": outcome,
        "headline": outcome.words[:1].upper() + outcome.words[1:],
        "reason": dig(method, "verdict", "reason"),
        "notes": listing(dig(method, "notes")),
        "figures": [(words, _minus(text) + unit) for words, text, unit in figures if text != DASH],
    }


def _bands(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What each figure had to keep to, in words; without the bands that are absent."""
    bands = dig(report, "bands")
    low, high = (_text(dig(bands, "memory", end), 2) for end in ("low", "high"))
    lines = [("memory M", f"{low} to {high}" if (low, high) != (DASH, DASH) else DASH)]
    lines.append(("memory W", _upper(_text(dig(bands, "w", "high"), 2))))
    drifts = ((f"drift, {split}", _upper(_text(dig(bands, "drift", split, "high"), 2))) for split in SPLITS)
    lines.extend(drifts)
    accuracy = _text(dig(bands, "holdout_accuracy", "low"), 1, scale=100)
    lines.append(("accuracy, holdout", f"at least {accuracy} %" if accuracy != DASH else DASH))
    return [(name, _minus(text)) for name, text in lines if text != DASH]


def _upper(text: str) -> str:
    return f"at most {text}" if text != DASH else DASH


def _attacks(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One line for each attack on each subject: the original, the methods, the retrained models."""
    count = oracle_count(report)
    subjects = [("original (untouched)", dig(report, "original"))]
    subjects += [(printable(name), method) for name, method in mapping(dig(report, "methods")).items()]
    subjects += [(f"retrained ({count})", dig(report, "oracles"))] if count else []
    names = dict.fromkeys(name for _, subject in subjects for name in mapping(dig(subject, "attacks")))
    lines = []
    for attack in names:
        named = str(attack)  # on the first of its lines
        for label, subject in subjects:
            if (found := dig(subject, "attacks", attack)) is not None:
                line: dict[str, Any] = {
                    "attack": named,
                    "label": label,
                    "auc": format_estimate(read_auc(found), 3),
                }
                line["tpr"] = _text(dig(found, "tpr_at_1pct_fpr"), 1, scale=100)
                line["accuracy"] = _text(dig(found, "accuracy"), 1, scale=100)
                lines.append({**line, "reason": dig(found, "reason")})
                named = ""
    return lines


def _inside(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """What layers know and how fast it is learned again, a line for each subject, the bands last; None without any."""
    count = oracle_count(report)
    subjects = [("original (untouched)", dig(report, "original"))]
    subjects += [(printable(name), method) for name, method in mapping(dig(report, "methods")).items()]
    subjects += [(f"retrained ({count})", dig(report, "oracles"))]
    seen = [(label, dig(subject, "inside")) for label, subject in subjects if dig(subject, "inside") is not None]
    layers = list(dict.fromkeys(layer for _, inside in seen for layer in mapping(dig(inside, "probes"))))
    if not seen:
        return None

    def cells(read: Callable[..., Cell]) -> list[Cell]:
        per_layer = [cell for layer in layers for cell in (read("probes", layer), read("kinship", layer))]
        return [*per_layer, read("savings")]

    def figures(inside: object) -> list[Cell]:
        def read(kind: str, *layer: str) -> Cell:
            value = dig(inside, kind, *layer, *(["w"] if kind == "probes" else []))
            return format_estimate(read_estimate(value), 2)

        return cells(read)

    def bands(kind: str, *layer: str) -> Cell:
        low, high = (_text(dig(report, "bands", "inside", kind, *layer, end), 2) for end in ("low", "high"))
        return Cell(_upper(high) if low == DASH else f"{low} to {high}")

    lines = [(label, figures(inside)) for label, inside in seen]
    return {
        "layers": [printable(layer) for layer in layers],
        "lines": [*lines, ("where retrained models fall", cells(bands))],
    }


def _details(row: Row, method: object) -> dict[str, Any]:
    seconds, examples = (dig(method, "cost", key) for key in ("seconds", "examples_ratio"))
    cost = [
        ("seconds", _text(seconds, 1)),
        ("time, % of retraining", row.cells["cost"].text),
        ("examples seen, % of retraining", _text(examples, 1, scale=100)),
    ]
    return {
        "label": row.label,
        "summary": dig(method, "summary"),
        "cost": [(name, text) for name, text in cost if text != DASH],
        "settings": _pairs(dig(method, "settings")),
    }
