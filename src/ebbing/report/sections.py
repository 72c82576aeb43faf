"""Sections of the page that are tables: verdicts, bands, attacks, what is inside, cost, and how the report was made."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ebbing.report.rows import (
    DASH,
    SPLITS,
    Cell,
    Row,
    dig,
    format_estimate,
    listing,
    mapping,
    oracle_count,
    printable,
    read_auc,
    read_estimate,
)
from ebbing.report.sensitivity import minus
from ebbing.report.table import outcome_of

IMAGES_LIMIT = 3_500_000  # characters of images: the page stays below 6 MB


def figure_text(value: object, digits: int, *, scale: float = 1.0) -> str:
    """A figure of the report as text, its mean alone; a dash where it is absent."""
    return format_estimate(read_estimate(value), digits, scale=scale).text


def plain(value: object) -> str:
    """Any value of a report as text: flat mappings as "key value", nested ones as JSON."""
    if value is None:
        return DASH
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping) and value and not any(isinstance(v, Mapping | list) for v in value.values()):
        return ", ".join(f"{key} {plain(item)}" for key, item in value.items())
    return json.dumps(value, ensure_ascii=False, default=str)


def pairs(value: object, *, without: str | None = None) -> list[tuple[str, str]]:
    """The keys and values of a mapping as text."""
    return [(str(key), plain(item)) for key, item in mapping(value).items() if key != without]


def _subjects(report: Mapping[str, Any]) -> list[tuple[str, Any]]:
    count = oracle_count(report)
    subjects = [("original (untouched)", dig(report, "original"))]
    subjects += [(printable(name), method) for name, method in mapping(dig(report, "methods")).items()]
    return [*subjects, (f"retrained ({count})", dig(report, "oracles"))] if count else subjects


def verdict(row: Row, method: object) -> dict[str, Any]:
    """One method's verdict with the figures behind it."""
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
        "figures": [(words, minus(text) + unit) for words, text, unit in figures if text != DASH],
    }


def bands(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What each figure had to keep to, in words; without the bands that are absent."""
    found = dig(report, "bands")
    low, high = (figure_text(dig(found, "memory", end), 2) for end in ("low", "high"))
    lines = [("memory M", f"{low} to {high}" if (low, high) != (DASH, DASH) else DASH)]
    lines.append(("memory W", _upper(figure_text(dig(found, "w", "high"), 2))))
    lines.extend((f"drift, {split}", _upper(figure_text(dig(found, "drift", split, "high"), 2))) for split in SPLITS)
    accuracy = figure_text(dig(found, "holdout_accuracy", "low"), 1, scale=100)
    lines.append(("accuracy, holdout", f"at least {accuracy} %" if accuracy != DASH else DASH))
    return [(name, minus(text)) for name, text in lines if text != DASH]


def _upper(text: str) -> str:
    return f"at most {text}" if text != DASH else DASH


def attacks(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One line for each attack on each subject: the original, the methods, the retrained models."""
    subjects = _subjects(report)
    names = dict.fromkeys(name for _, subject in subjects for name in mapping(dig(subject, "attacks")))
    lines = []
    for attack in names:
        named = str(attack)  # on the first of its lines
        for label, subject in subjects:
            if (found := dig(subject, "attacks", attack)) is not None:
                line: dict[str, Any] = {"attack": named, "label": label, "auc": format_estimate(read_auc(found), 3)}
                line["tpr"] = figure_text(dig(found, "tpr_at_1pct_fpr"), 1, scale=100)
                line["accuracy"] = figure_text(dig(found, "accuracy"), 1, scale=100)
                lines.append({**line, "reason": dig(found, "reason")})
                named = ""
    return lines


def inside(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """What layers know and how fast it is learned again, a line for each subject, the bands last; None without any."""
    seen = [
        (label, dig(subject, "inside")) for label, subject in _subjects(report) if dig(subject, "inside") is not None
    ]
    layers = list(dict.fromkeys(layer for _, found in seen for layer in mapping(dig(found, "probes"))))
    if not seen:
        return None

    def cells(read: Callable[..., Cell]) -> list[Cell]:
        per_layer = [cell for layer in layers for cell in (read("probes", layer), read("kinship", layer))]
        return [*per_layer, read("savings")]

    def figures(found: object) -> list[Cell]:
        def read(kind: str, *layer: str) -> Cell:
            value = dig(found, kind, *layer, *(["w"] if kind == "probes" else []))
            return format_estimate(read_estimate(value), 2)

        return cells(read)

    def band(kind: str, *layer: str) -> Cell:
        low, high = (figure_text(dig(report, "bands", "inside", kind, *layer, end), 2) for end in ("low", "high"))
        return Cell(_upper(high) if low == DASH else f"{low} to {high}")

    lines = [(label, figures(found)) for label, found in seen]
    return {
        "layers": [printable(layer) for layer in layers],
        "lines": [*lines, ("where retrained models fall", cells(band))],
    }


def cost(report: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Seconds, share of retraining's time and of its examples, by method; retraining once at the end."""
    lines = []
    for label, method in _subjects(report):
        found = dig(method, "cost")
        row = [
            figure_text(dig(found, "seconds"), 1),
            figure_text(dig(found, "ratio_to_retraining"), 1, scale=100),
            figure_text(dig(found, "examples_ratio"), 1, scale=100),
        ]
        if any(text != DASH for text in row):
            lines.append((label, row))
    retraining = figure_text(dig(report, "oracles", "seconds"), 1)
    return [*lines, ("retraining once (median)", [retraining, "100", "100"])] if lines and retraining != DASH else lines


def fingerprints(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The names by content of the request and of every model that was judged."""
    found = [("request", dig(report, "request", "fingerprint"))]
    found += [(f"original {place}", digest) for place, digest in _numbered(dig(report, "models", "original"))]
    for name, digests in mapping(dig(report, "models", "methods")).items():
        found += [(f"{printable(name)} {place}", digest) for place, digest in _numbered(digests)]
    return [(label.strip(), printable(digest)) for label, digest in found if digest]


def _numbered(digests: object) -> list[tuple[str, Any]]:
    known: Sequence[Any] = listing(digests)
    return [("" if len(known) == 1 else str(place), digest) for place, digest in enumerate(known, start=1)]


def details(row: Row, method: object) -> dict[str, Any]:
    """What a method is and its settings."""
    return {"label": row.label, "summary": dig(method, "summary"), "settings": pairs(dig(method, "settings"))}


def examples(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Forgotten records themselves, where they were asked for; as many as the page has room for."""
    found = dig(report, "examples")
    if found is None:
        return None
    shown, room = [], IMAGES_LIMIT
    for image in listing(dig(found, "images")):
        uri = str(dig(image, "uri"))
        if uri.startswith("data:image/png;base64,") and len(uri) <= room:
            room -= len(uri)
            words = f"{printable(dig(image, 'label'))}, position {printable(dig(image, 'position'))}"
            shown.append((uri, words))
    total = len(listing(dig(found, "images")))
    return {"note": printable(dig(found, "note") or ""), "images": shown, "left_out": total - len(shown)}
