"""Words that promise more than tests can show stand nowhere but in the section on limits."""

import re
from pathlib import Path

import pytest
from sample_report import OUTCOMES, bare_report, lone_report, method, sample_report, shown_examples

import ebbing.report
from ebbing.report import verdict_lines
from ebbing.report.html import render

PROMISES = ("erased", "deleted", "proven", "certified", "anonymous", "compliant")
FOLDER = Path(ebbing.report.__file__).parent
LIMITS = re.compile(r'<section id="limits">.*?</section>', re.DOTALL)


def promises(text):
    return re.findall(rf"(?<![a-z])(?:{'|'.join(PROMISES)})(?![a-z])", text.lower())


def shown_report():
    return lone_report() | {"examples": shown_examples()}


def test_the_search_finds_what_it_should():
    assert promises("Erased, and the provenance is proven; undeleted") == ["erased", "proven"]
    assert promises(LIMITS.search(render(bare_report()))[0])  # the section itself says what nothing is


@pytest.mark.parametrize("make", [sample_report, lone_report, bare_report, shown_report])
def test_no_page_promises(make):
    assert promises(LIMITS.sub("", render(make()))) == []


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_no_verdict_promises(outcome, without_plots):
    report = lone_report(technical_too=False)
    for name in ("methods", "controls"):
        report["methods"] = {"ebb": method(0.0, outcome, "the reason", control=name == "controls")}
        assert promises(LIMITS.sub("", render(report))) == []
        assert promises(" ".join(verdict_lines(report))) == []


@pytest.mark.parametrize("path", sorted(p for p in FOLDER.iterdir() if p.suffix in (".py", ".j2", ".json", ".css")))
def test_no_source_holds_such_a_word(path):
    """What the samples do not bring to the page is there in the sources."""
    assert promises(LIMITS.sub("", path.read_text(encoding="utf-8"))) == []
