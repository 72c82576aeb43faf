"""``ebbing methods``: what there is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from ebbing import curves, methods, models, rankings, rates, sabotage
from ebbing.attacks import STANDARD
from ebbing.cli.names import members
from ebbing.cli.screen import make_console
from ebbing.fingerprint import as_plain


def summary(piece: object) -> str:
    """The first line of what is said of a piece, for a table."""
    return escape((piece.__doc__ or "").strip().partition("\n")[0])


def told_apart(pieces: Mapping[str, object]) -> dict[str, str]:
    """By name, the settings in which a piece differs from others of its class: ``layers=2``; "" where it is the only one."""
    flat = {name: dict(_flat(as_plain(piece))) for name, piece in pieces.items()}
    found = {}
    for name, own in flat.items():
        alike = [flat[other] for other, piece in pieces.items() if type(piece) is type(pieces[name])]
        found[name] = ", ".join(f"{k}={v}" for k, v in own.items() if any(other.get(k) != v for other in alike))
    return found


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by path, such as ``conv.decay_time``; the class of a piece stands at the path of the piece."""
    for name, value in settings.items():
        path = prefix.rstrip(".") if name == "type" else f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}.")
        else:
            yield path, value


def print_listing() -> None:
    """Print a table of each family."""
    console = make_console()
    table = Table("name", "presets", "", "what it is", title="methods", title_justify="left")
    for name, method in members(methods, methods.Unlearner).items():
        table.add_row(name, ", ".join(method.presets), "control" if method.control else "", summary(method))
    console.print(table)
    families = {
        "sabotage (controls)": members(sabotage, methods.Unlearner),
        "curves": members(curves, curves.ForgettingCurve),
        "rankings": members(rankings, rankings.Ranking),
        "rates": members(rates, rates.Rate),
        "networks": members(models),
    }
    for title, family in families.items():
        table = Table("name", "what it is", title=title, title_justify="left")
        for name, piece in family.items():
            table.add_row(name, summary(piece))
        console.print(table)
    table = Table("name", "what it is", title="attacks", title_justify="left")
    for attack in STANDARD:
        table.add_row(attack.name, summary(type(attack)))
    console.print(table)
