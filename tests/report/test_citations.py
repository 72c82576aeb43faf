"""What a report used is cited, once, with what for; and nothing else."""

from __future__ import annotations

import re
from typing import Any

from ebbing.report.citations import bibtex, citations
from paper_reports import run


def keys(text: str) -> list[str]:
    return re.findall(r"^@\w+\{([^,]+),$", text, re.MULTILINE)


def bare(**methods: dict[str, Any]) -> dict[str, Any]:
    return {"original": None, "methods": methods, "provenance": {}}


def test_ebbing_and_the_paper_are_always_cited() -> None:
    text = bibtex(citations([bare()]))
    assert keys(text) == ["ebbing", "hatua2024machine"]
    assert "eprint = {2410.22374}" in text
    assert "Version 0.1.0" in text


def test_what_has_a_figure_is_cited_with_what_for() -> None:
    text = bibtex(citations([run()]))
    found = keys(text)
    assert found == ["ebbing", *sorted(found[1:])]
    assert set(found) == {
        *("ebbing", "hatua2024machine", "alpaydin1998optical", "pedregosa2011scikit"),  # the digits
        *("yeom2018privacy", "triantafillou2024progress", "carlini2022membership"),  # the two attacks and their rates
        *("fan2024salun", "jia2023model", "zhao2024what", "georgiev2024attribute"),  # the measures
    }
    assert re.search(r"^% data set digits\n@misc\{alpaydin1998optical", text, re.MULTILINE)
    assert "memory M and W" in text.splitlines()[0]


def test_a_measure_without_a_figure_was_not_used() -> None:
    report = run()
    for block in (report["original"], *report["methods"].values()):
        for split in ("forget", "retain", "holdout"):
            block["measures"][f"klom/{split}"]["value"] = None
    assert "georgiev2024attribute" not in keys(bibtex(citations([report])))


def test_pieces_inside_a_method_are_cited() -> None:
    settings = {
        "type": "ForgettingNetwork",
        "curve": {"type": "PowerLaw", "exponent": 1.0},
        "rate": {"type": "RankedRate", "ranking": {"type": "Inverse", "by": {"type": "Taylor"}}},
        "learning": {"type": "Recipe", "schedule": "one-cycle"},
    }
    found = keys(bibtex(citations([bare(fnn={"settings": settings})])))
    assert {"wickelgren1974single", "molchanov2019importance", "smith2017super"} <= set(found)
    assert "ebbinghaus1885gedaechtnis" not in found


def test_a_method_without_settings_goes_by_its_name() -> None:
    known = citations([bare(**{"forgetting-network:paper": {"settings": None}, "fine-tune": {}})])
    assert "golatkar2020eternal" in known.works
    assert known.unknown == []


def test_what_ebbing_does_not_know_is_said_and_is_no_entry() -> None:
    own = bare(**{"mine@{x}": {}, "blur": {"settings": {"type": "Blur", "curve": {"type": "Gaussian"}}}})
    own["provenance"] = {"dataset": "cifar", "ebbing": "0.1.0}, @evil{"}
    text = bibtex(citations([own]))
    assert keys(text) == ["ebbing", "hatua2024machine"]
    assert text.count("@") == 2
    (line,) = [line for line in text.splitlines() if line.startswith("% no source is known")]
    assert all(word in line for word in ("method mine at {x}", "method Blur", "piece Gaussian", "data set cifar"))


def test_several_reports_give_each_work_once() -> None:
    later = run(seed=1) | {"provenance": {"ebbing": "0.2.0", "dataset": "mnist"}}
    text = bibtex(citations([run(), later]))
    assert len(keys(text)) == len(set(keys(text)))
    assert {"alpaydin1998optical", "lecun1998gradient"} <= set(keys(text))
    assert "Versions 0.1.0, 0.2.0" in text
