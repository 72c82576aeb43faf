"""What a report used and where it comes from, as BibTeX."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ebbing import __version__
from ebbing.report.bibliography import BIBLIOGRAPHY, Reference
from ebbing.report.rows import Report, dig, mapping, printable, read_estimate
from ebbing.report.sources import (
    ATTACKS,
    DATASETS,
    KINDS,
    LOW_RATES,
    MEASURES,
    METHODS,
    PAPER,
    PIECES,
    SABOTAGE,
    SCHEDULES,
    Source,
)


@dataclass(frozen=True)
class Citations:
    """What reports used, and where it comes from.

    Attributes:
        works: by key of the bibliography, what each is cited for.
        own: what is ebbing's own, in words.
        unknown: names of what ebbing has no source of: the user's own pieces, or those of a later version.
        versions: of ebbing that made the reports.
    """

    works: Mapping[str, Sequence[str]]
    own: Sequence[str]
    unknown: Sequence[str]
    versions: Sequence[str]


def citations(reports: Sequence[Report]) -> Citations:
    """Every method, piece, attack, measure and data set with a figure in one of the reports; the paper in any case."""
    works: dict[str, list[str]] = {PAPER: ["forgetting networks"]}
    own: list[str] = []
    unknown: list[str] = []
    for what, source in (found for report in reports for found in _used(report)):
        if source is None:
            _note(unknown, what)
            continue
        for key in source.keys:
            _note(works.setdefault(key, []), what)
        if source.own and not what.startswith("piece "):  # those serve a method that is named
            _note(own, f"{what} ({source.own})")
    versions: list[str] = []
    for report in reports:
        version = str(dig(report, "provenance", "ebbing"))
        _note(versions, version if re.fullmatch(r"\d[\w.+!-]*", version) else __version__)
    return Citations(dict(sorted(works.items())), own, unknown, versions)


def _note(noted: list[str], words: str) -> None:
    if words not in noted:
        noted.append(words)


def _used(report: Report) -> Iterator[tuple[str, Source | None]]:
    """Name and source of everything that a report used; None where there is no source."""
    for name, method in mapping(dig(report, "methods")).items():
        yield from _method(str(name), dig(method, "settings"))
    yield from _trained(dig(report, "provenance", "recipe"))
    kind = dig(report, "request", "kind")
    if isinstance(kind, str) and kind in KINDS:
        yield f"records chosen as {kind}", KINDS[kind]
    dataset = dig(report, "provenance", "dataset")
    if isinstance(dataset, str):
        yield f"data set {dataset}", DATASETS.get(dataset)
    for subject in (dig(report, "original"), *mapping(dig(report, "methods")).values()):
        yield from _measured(subject)


def _method(name: str, settings: object) -> Iterator[tuple[str, Source | None]]:
    """A method by the type of its settings, else by its name, and the pieces inside."""
    known = {**METHODS, **SABOTAGE}
    kind = dig(settings, "type")
    by_name = {_plain(each): each for each in known}
    kind = str(kind) if kind is not None else by_name.get(_plain(name.partition("@")[0].partition(":")[0]), name)
    yield f"method {kind}", known.get(kind)
    for value in mapping(settings).values():
        yield from _pieces(value)


def _plain(name: str) -> str:
    return name.replace("-", "").lower()


def _pieces(value: object) -> Iterator[tuple[str, Source | None]]:
    """Every piece inside settings."""
    if isinstance(value, Mapping):
        kind = value.get("type")
        if isinstance(kind, str):
            yield f"piece {kind}", {**PIECES, **METHODS, **SABOTAGE}.get(kind)
            yield from _trained(value)
        for inner in value.values():
            yield from _pieces(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _pieces(inner)


def _trained(recipe: object) -> Iterator[tuple[str, Source | None]]:
    schedule = dig(recipe, "schedule")
    if isinstance(schedule, str) and schedule in SCHEDULES:
        yield f"{schedule} learning rates", SCHEDULES[schedule]


def _measured(subject: object) -> Iterator[tuple[str, Source | None]]:
    """The attacks and measures that have a figure for a subject."""
    for name, attack in mapping(dig(subject, "attacks")).items():
        if read_estimate(dig(attack, "auc")) is not None or read_estimate(dig(attack, "accuracy")) is not None:
            yield f"attack {name}", ATTACKS.get(str(name))
        if read_estimate(dig(attack, "tpr_at_1pct_fpr")) is not None:
            yield "true positives at a low false-positive rate", LOW_RATES
    for name in ("memory", "drift", "inside"):
        if dig(subject, name) is not None:
            yield f"measure {name}", MEASURES[name]
    if read_estimate(dig(subject, "tow")) is not None:
        yield "measure tow", MEASURES["tow"]
    if dig(subject, "technical", "cka") is not None:
        yield "measure cka", MEASURES["cka"]
    for key, measure in mapping(dig(subject, "measures")).items():
        if read_estimate(dig(measure, "value")) is not None:
            name = str(key).partition("/")[0]
            yield f"measure {name}", MEASURES.get(name)


# ---------------------------------------------------------------- BibTeX


def bibtex(found: Citations) -> str:
    """The works as BibTeX, ebbing's entry first; above each what it is cited for, and on top what has no entry."""
    lines = []
    if found.own:
        lines.append(_comment("ebbing's own, at least in part: " + "; ".join(found.own)))
    if found.unknown:
        lines.append(_comment("no source is known to ebbing, look for one yourself: " + "; ".join(found.unknown)))
    blocks = ["\n".join(lines)] if lines else []
    blocks.append(entry("ebbing", software(found.versions)))
    for key, uses in found.works.items():
        blocks.append(f"{_comment('; '.join(uses))}\n{entry(key, BIBLIOGRAPHY[key])}")
    return "\n\n".join(blocks) + "\n"


def software(versions: Sequence[str]) -> Reference:
    """The entry of ebbing itself, as CITATION.cff has it."""
    said = f"Version{'s' * (len(versions) > 1)} {', '.join(versions)}. Licence: Apache-2.0"
    return Reference(
        "misc", "ebbing", ("The ebbing developers",), None, {"howpublished": "Python library", "note": said}
    )


def entry(key: str, work: Reference) -> str:
    """One work as a BibTeX entry in ASCII; braces keep the title's capitals and a group's name whole."""
    authors = " and ".join(name if "," in name else f"{{{name}}}" for name in work.authors)
    fields = {"title": f"{{{_in_ascii(work.title)}}}", "author": _in_ascii(authors)}
    if work.year is not None:
        fields["year"] = str(work.year)
    for name, value in work.more.items():
        fields[name] = value if name in ("doi", "eprint", "url") else _in_ascii(value)
    if "eprint" in work.more:
        fields["archivePrefix"] = "arXiv"
        if work.kind == "misc":
            fields["howpublished"] = f"arXiv:{work.more['eprint']}"
    inside = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
    return f"@{work.kind}{{{key},\n{inside}\n}}"


ACCENTS = {
    "\N{LATIN SMALL LETTER A WITH BREVE}": r"{\u{a}}",
    "\N{LATIN SMALL LETTER A WITH DIAERESIS}": r"{\"a}",
    "\N{LATIN SMALL LETTER E WITH ACUTE}": r"{\'e}",
    "\N{LATIN SMALL LETTER E WITH DIAERESIS}": r"{\"e}",
    "\N{LATIN SMALL LETTER E WITH GRAVE}": r"{\`e}",
    "\N{LATIN CAPITAL LETTER E WITH ACUTE}": r"{\'E}",
    "\N{LATIN CAPITAL LETTER U WITH DIAERESIS}": r"{\"U}",
    "&": r"\&",
}


def _in_ascii(text: str) -> str:
    return "".join(ACCENTS.get(character, character) for character in text)


def _comment(words: str) -> str:
    """A line that BibTeX passes over: outside of entries it looks for nothing but an at sign."""
    return "% " + re.sub("@", " at ", printable(words))
