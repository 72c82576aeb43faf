"""Whatever ebbing has is cited, or said to be its own; and the bibliography is one that BibTeX can read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import ebbing
from ebbing import curves, methods, rankings, rates, sabotage
from ebbing.attacks import STANDARD
from ebbing.cli.names import members
from ebbing.data import NAMES
from ebbing.fingerprint import as_plain
from ebbing.report import citations, sources
from ebbing.report.bibliography import BIBLIOGRAPHY
from ebbing.report.citations import entry
from ebbing.report.sources import METHODS, PIECES, SABOTAGE, Source

ROOT = Path(__file__).parents[2]
SOURCES = Path(ebbing.__file__).parent
# The keys of a report's measures, without splits
MEASURES = (
    *("tow", "tow-mia", "average-gap", "salun-mia", "agreement", "js", "activation-distance", "ece-gap"),
    *("klom", "klom-gaussian", "margin-gap", "u-lira", "rmia", "forgetting-score", "worst-decile", "riskier"),
    *("int8", "int4", "gate-off", "interclass-confusion", "gaussian-canaries", "memory", "drift", "inside"),
)
FAMILIES: Mapping[str, Mapping[str, Source]] = {
    name: getattr(sources, name)
    for name in ("METHODS", "SABOTAGE", "PIECES", "SCHEDULES", "ATTACKS", "MEASURES", "DATASETS", "KINDS")
}


def classes(family: Any, base: type | None = None) -> list[str]:
    return [member.__name__ for member in members(family, base).values()]


def types_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "type" in value:
            yield value["type"]
        for inner in value.values():
            yield from types_in(inner)


@pytest.mark.parametrize(
    ("known", "there"),
    [
        (METHODS, classes(methods, methods.Unlearner)),
        (SABOTAGE, classes(sabotage, methods.Unlearner)),
        (PIECES, classes(curves, curves.ForgettingCurve)),
        (PIECES, classes(rankings, rankings.Ranking)),
        (PIECES, classes(rates, rates.Rate)),
        (sources.ATTACKS, [attack.name for attack in STANDARD]),
        (sources.MEASURES, MEASURES),
        (sources.DATASETS, NAMES),
    ],
    ids=["methods", "sabotage", "curves", "rankings", "rates", "attacks", "measures", "data"],
)
def test_everything_is_cited_or_ebbings_own(known: Mapping[str, Source], there: list[str]) -> None:
    assert there
    assert [name for name in there if name not in known] == []


def test_whatever_stands_in_the_settings_of_a_method_is_known() -> None:
    every = [*members(methods, methods.Unlearner).values()]
    made = [method() for method in every] + [preset for method in every for preset in method.presets.values()]
    found = {kind for method in [*made, *sabotage.SUITE.values()] for kind in types_in(as_plain(method))}
    assert sorted(found - set(METHODS) - set(SABOTAGE) - set(PIECES)) == []


def test_nothing_is_listed_that_is_not_there() -> None:
    assert set(METHODS) == set(classes(methods, methods.Unlearner))
    assert set(sources.DATASETS) == set(NAMES)


def test_every_source_has_works_or_words_and_every_work_is_used() -> None:
    every = [(f"{family} {name}", s) for family, known in FAMILIES.items() for name, s in known.items()]
    assert [name for name, source in every if not source.keys and not source.own] == []
    used = {key for _, source in every for key in source.keys} | set(sources.LOW_RATES.keys)
    assert used == set(BIBLIOGRAPHY)


def test_every_number_at_arxiv_that_the_code_names_is_in_the_bibliography() -> None:
    numbers = {work.more.get("eprint") for work in BIBLIOGRAPHY.values()}
    named = {
        number
        for path in SOURCES.rglob("*.py")
        for number in re.findall(r"arXiv[\s:]+(\d{4}\.\d{4,5})", path.read_text(encoding="utf-8"))
    }
    assert sorted(named - numbers) == []


@pytest.mark.parametrize("key", sorted(BIBLIOGRAPHY))
def test_an_entry_is_one_that_bibtex_reads(key: str) -> None:
    work = BIBLIOGRAPHY[key]
    text = entry(key, work)
    assert text.isascii()
    assert text.count("@") == 1
    assert re.fullmatch(rf"@(article|inproceedings|book|misc|techreport)\{{{key},\n(  \w+ = \{{.+\}},?\n)+\}}", text)
    assert text.count("{") == text.count("}")
    family = work.authors[0].partition(",")[0].lower()
    assert key.startswith(family)
    assert f"{work.year}" in key
    assert all(len(name.split(", ")) == 2 for name in work.authors)
    needed = {"article": "journal", "inproceedings": "booktitle", "book": "publisher", "techreport": "institution"}
    assert needed.get(work.kind, "title") in {"title", *work.more}
    number = work.more.get("eprint")
    if number is not None:
        assert re.fullmatch(r"\d{4}\.\d{4,5}", number)
        assert 2000 + int(number[:2]) <= (work.year or 0)
    elif work.kind == "misc":
        assert "doi" in work.more


def test_ebbing_and_its_paper_are_as_the_citation_file_has_them() -> None:
    said = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    own = citations.software([ebbing.__version__])
    assert f'title: "{own.title}"' in said
    assert f'name: "{own.authors[0]}"' in said
    assert f"version: {ebbing.__version__}" in said
    assert re.search(r"^license: Apache-2.0$", said, re.MULTILINE)
    assert "Apache-2.0" in own.more["note"]
    paper = BIBLIOGRAPHY[sources.PAPER]
    assert f'title: "{paper.title}"' in said
    assert f"arXiv:{paper.more['eprint']}" in said
    assert [name.partition(",")[0] for name in paper.authors] == re.findall(r"family-names: (\w+)", said)
    assert f"year: {paper.year}" in said
