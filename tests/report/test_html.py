import copy
import json
import re
from xml.etree import ElementTree

import pytest
from page import Page
from sample_report import lone_report, method

from ebbing.report.html import render
from ebbing.report.plots import draw_plots

HOSTILE = '<script>alert(\'x\')</script>"><img src=x onerror=alert(1)>$\\frac{1}{0}$ & --> ]]> id="a"'


def test_the_page_needs_nothing_from_anywhere(report):
    source = render(report)
    page = Page(source)
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert not {"script", "iframe", "img", "object", "embed", "base", "form"} & set(page.tags)
    assert not re.search(r"@import|url\((?!#)", source)
    names = re.sub(r'xmlns(:xlink)?="[^"]*"', "", source)
    assert "http://" not in names
    assert "https://" not in names


def test_ids_are_unique_and_every_reference_has_its_target(report):
    source = render(report)
    page = Page(source)
    assert len(page.ids) == len(set(page.ids))
    targets = {link[1:] for link in page.links if link.startswith("#")}
    targets |= set(re.findall(r"url\(#([^)]+)\)", source))
    assert targets
    assert targets <= set(page.ids)
    assert "comparison" in page.ids


def test_the_page_holds_the_request_the_verdicts_the_rule_and_the_command(report):
    text = Page(render(report)).text
    order = [
        report["request"]["description"],
        "1,232",
        "Under-forgotten.",
        "No memory found.",
        "Every figure beside",
        report["methods"]["ebb"]["verdict"]["reason"],
        "Margins of the forget set",
        "Measures beyond the verdict",
        "Membership attacks",
        "Inside the network",
        "at most 0.31",
        report["rule"]["text"],
        "at least 95.9 %",
        "not proof",
        report["provenance"]["command"],
        report["models"]["methods"]["ebb"][0],
        "re-initialisation",
    ]
    places = [text.index(part, 40 if i else 0) for i, part in enumerate(order)]
    assert places == sorted(places)


def test_the_same_report_gives_the_same_page(report):
    assert render(report) == render(copy.deepcopy(report)) == render(json.loads(json.dumps(report)))


def test_rendering_leaves_the_report_alone(report):
    before = copy.deepcopy(report)
    render(report)
    assert report == before


def test_hostile_names_stay_text(report):
    hostile = {
        **report["methods"]["ebb"],
        "settings": {HOSTILE: HOSTILE},
        "notes": [HOSTILE],
        "summary": HOSTILE,
    }
    hostile["verdict"] = {"outcome": HOSTILE, "reason": HOSTILE}
    hostile["attacks"] = {HOSTILE: {"auc": None, "reason": HOSTILE}}
    report["methods"] = {HOSTILE: hostile, "名前\u202e\x00": report["methods"]["scrub"]}
    report["request"] |= {"description": HOSTILE, "kind": HOSTILE, "fingerprint": HOSTILE}
    report["provenance"] = {HOSTILE: HOSTILE, "command": HOSTILE}
    report["rule"] = {"text": HOSTILE, HOSTILE: [HOSTILE]}
    page = Page(render(report))
    assert not {"script", "img"} & set(page.tags)
    assert "<script>alert('x')" in page.text


def test_two_methods_may_share_the_beginning_of_a_long_name(report):
    names = [f"{'a-very-long-name' * 3}-{i}" for i in range(2)]
    report["methods"] = {name: method(i, "inconclusive", "", cost=0.1) for i, name in enumerate(names)}
    plots = {plot.name: plot.svg for plot in draw_plots(report)}
    assert all(plots[name].count("a-very-long-name") == 2 for name in ("memory", "cost", "distribution"))


def test_what_is_inside_is_shown_where_something_was_read(report):
    table = Page(render(report)).text.partition("Inside the network")[2].partition("The rule of")[0]
    assert "fc1: W fc1: kinship fc2: W fc2: kinship savings" in " ".join(table.split())
    assert re.search(r"original \(untouched\) 7.50 1.00 15.00 0.98 7.50", " ".join(table.split()))
    assert re.search(
        r"fall at most 0.55 at most 0.31 at most 0.57 at most 0.29 \N{MINUS SIGN}0.40 to 0.90", " ".join(table.split())
    )
    for subject in (report["original"], report["oracles"], *report["methods"].values()):
        subject["inside"] = None
    assert "Inside the network" not in Page(render(report)).text


def test_a_report_from_before_kinship_is_shown(report):
    for subject in (report["original"], report["oracles"], report["bands"], *report["methods"].values()):
        del subject["inside"]["kinship"]
    assert "fc1: kinship" in Page(render(report)).text


def test_everything_may_be_null(bare):
    page = Page(render(bare))
    assert "svg" not in page.tags
    assert "Inconclusive." in page.text
    assert "no retrained model to compare with" in page.text
    assert "There are no bands" in page.text
    assert "None" not in page.text
    assert "nan" not in page.text.split()


@pytest.mark.parametrize("section", ["request", "original", "oracles", "bands", "methods", "provenance", "rule"])
def test_any_section_may_be_null_or_absent(section):
    report = lone_report()
    assert "None" not in Page(render({**report, section: None})).text
    del report[section]
    Page(render(report))


def test_figures_may_be_numbers_or_intervals_everywhere(report):
    def widen(value):
        if isinstance(value, dict):
            known = {"mean", "low", "high"}
            return value if known & set(value) else {key: widen(item) for key, item in value.items()}
        return {"mean": value, "low": value - 0.1, "high": value + 0.1} if type(value) is float else value

    for name in ("original", "oracles", "methods", "bands"):
        report[name] = widen(report[name])
    for block in report["methods"].values():
        block["settings"] = None
    page = Page(render(report))
    assert "mean" not in page.text.split()
    assert page.tags.count("figure") == 6 + sum(bool(m["history"]) for m in report["methods"].values())


def test_plots_are_standalone_deterministic_and_leave_no_state(report):
    import matplotlib

    before = dict(matplotlib.rcParams)
    plots = draw_plots(report)
    assert dict(matplotlib.rcParams) == before
    assert plots == draw_plots(report)
    assert [plot.name for plot in plots] == [
        *("memory", "cost", "margins", "distribution", "roc", "sorted", "history-0", "history-1")
    ]
    for plot in plots:
        root = ElementTree.fromstring(plot.svg)
        assert root.get("aria-label") == plot.title
        texts = {"".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")}
        assert len(texts) > 3
        assert not re.search(r"<metadata|<style|<!--|\d{4}-\d\d-\d\dT", plot.svg)


def test_a_plot_says_whom_it_leaves_out(report):
    cost = next(plot for plot in draw_plots(report) if plot.name == "cost")
    assert cost.caption.endswith("Not shown, for want of a cost or a memory figure: do-nothing.")


def test_controls_are_hollow(report):
    report["methods"] = {"fresh-network": report["methods"]["fresh-network"]}
    hollow = next(plot for plot in draw_plots(report) if plot.name == "memory").svg
    report["methods"]["fresh-network"]["control"] = False
    filled = next(plot for plot in draw_plots(report) if plot.name == "memory").svg
    assert filled.count("fill: #2b8cc4") > hollow.count("fill: #2b8cc4")


@pytest.mark.parametrize("m", [0.0, -40.0, 1e-9, 3e5])
@pytest.mark.parametrize("cost", [1.0, 1e-9, 0.0, 250.0])
def test_extreme_figures_are_drawn_without_a_warning(report, m, cost):
    report["methods"] = {"ebb": method(m, "inconclusive", "", cost=cost)}
    assert {plot.name for plot in draw_plots(report)} >= {"memory", "distribution"}
    report["bands"]["memory"] = {"low": 0.0, "high": 0.0}
    report["original"] = report["oracles"] = None
    assert draw_plots(report)


def test_a_profile_of_another_length_is_left_out(report):
    report["methods"]["ebb"]["profile"] = {"z_forget": [0.0, 1.0], "z_matched": None}
    plot = next(plot for plot in draw_plots(report) if plot.name == "distribution")
    assert plot.caption.endswith("Not shown, for want of a profile: ebb.")


def test_a_history_without_figures_is_drawn_empty(report):
    entry = {"turn": 0, "bout": "unlearning", "epoch": 0, "accuracy": None, "validation_auc": None}
    report["methods"] = {"ebb": method(0.0, "inconclusive", "", history=[entry, None])}
    assert draw_plots(report)[-1].name == "history-0"
