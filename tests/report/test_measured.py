"""The measures table, the appendix, the plots of records, cost and examples."""

import copy

import pytest
from page import Page
from sample_report import PNG, lone_report, measure, shown_examples, technical

from ebbing.report.html import render
from ebbing.report.measured import figure_cell, measures_view
from ebbing.report.plots import draw_plots
from ebbing.report.rows import Cell, Estimate
from ebbing.report.sections import IMAGES_LIMIT, fingerprints
from ebbing.report.technical import technical_view


@pytest.fixture(autouse=True)
def _without_plots(without_plots):
    """They take most of the time; `draw_plots` itself is there."""


@pytest.fixture
def lone():
    return lone_report()


def table_of(report, label="ebb"):
    return next(table for table in measures_view(report)["methods"] if table["label"] == label)


def test_each_measure_stands_beside_the_original_and_the_floor(lone):
    groups = dict(table_of(lone)["groups"])
    assert list(groups) == ["average gap", "KLoM", "made riskier", "agreement"]
    forget = groups["KLoM"][0]
    assert [line["split"] for line in groups["KLoM"]] == ["forget", "retain", "holdout"]
    assert (forget["value"].text, forget["original"].text, forget["floor"].text) == ("0.110", "7.420", "0.067")
    assert forget["value"].ends == "0.099 to 0.121"
    assert forget["counts"] == "1 against 15"
    assert forget["p95"] == "0.360"
    assert groups["agreement"][0]["value"] == Cell("0.981", ends="0.977 to 0.985")


def test_what_is_missing_says_why_once(lone):
    missing = dict(table_of(lone)["missing"])
    assert missing["U-LiRA, efficacy on forget, U-LiRA, privacy on forget"].startswith(
        "not applicable: needs at least two"
    )
    assert missing["Gaussian canaries"] == "not applicable: nothing was planted before training"
    lone["methods"]["ebb"]["measures"] = {"x": measure("x", None, None, None, "y")}
    assert table_of(lone)["missing"] == [("x", "no reason is given")]


def test_protocols_stand_once_for_all_methods_and_splits(lone):
    text = Page(render(lone)).text
    assert text.count("KL of Gaussians fitted to the margins") == 1
    assert "With 16 retrained models no rank test can give a p-value under 1/17" in text.partition("Measures beyond")[2]


def test_controls_are_folded_away(lone):
    assert [(table["label"], table["open"]) for table in measures_view(lone)["methods"]] == [
        ("do-nothing (control)", False),
        ("ebb", True),
    ]


def test_nothing_measured_is_said(lone):
    lone["measures"] = None
    for subject in (lone["original"], *lone["methods"].values()):
        subject["measures"] = None
    assert measures_view(lone)["words"] == "Nothing was measured beyond what the verdict rests on."
    assert measures_view(lone)["methods"] == []
    Page(render(lone))


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0.000"), (0.00012, "1.2e−04"), (-0.5, "−0.500"), (11.513, "11.51"), (250.0, "250.0")]
)
def test_figures_keep_what_counts(value, text):
    assert figure_cell(Estimate(value)).text == text


# The appendix


def test_the_appendix_stands_only_where_it_was_asked_for(lone):
    assert "Technical appendix" in Page(render(lone)).text
    assert "Technical appendix" not in Page(render(lone_report(technical_too=False))).text


def test_the_appendix_shows_factors_layers_and_predictions(lone):
    (shown,) = technical_view(lone)
    plot, _ = shown["factors"]
    assert "conv1 (16)" in plot.svg
    assert [(layer, value.text, floor.text) for layer, value, floor in shown["cka"]] == [
        ("conv1", "0.970", "0.960"),
        ("fc1", "0.710", "–"),
    ]
    first, second = shown["matrices"]
    assert first["rows"][0][0] == ("90", 64)
    assert first["stayed"] == "90.1 % of them have the same prediction."
    assert "retrained models'" in second["title"]


def test_a_large_matrix_is_shown_by_its_moves(lone):
    rows = [[0.0] * 40 for _ in range(40)]
    rows[3][7], rows[9][1], rows[5][5] = 4.0, 9.0, 50.0
    lone["methods"]["ebb"]["technical"]["predictions"] = {
        "classes": 40,
        "original_to_after": rows,
        "after_to_retrained": None,
    }
    (matrix,) = technical_view(lone)[0]["matrices"]
    assert matrix["rows"] == []
    assert matrix["moves"] == [("9", "1", "9"), ("3", "7", "4")]
    Page(render(lone))


def test_a_part_of_the_appendix_may_be_missing(lone):
    lone["methods"]["ebb"]["technical"] = dict.fromkeys(technical())
    (shown,) = technical_view(lone)
    assert shown["absent"] == "No forgetting factors and no CKA of layers and no matrix of predictions in this report."
    Page(render(lone))
    lone["methods"]["ebb"]["technical"]["predictions"] = {"classes": 2, "original_to_after": [[1.0], [2.0, 3.0]]}
    assert technical_view(lone)[0]["matrices"] == []  # not square: nothing to show


# The plots of records


def plot_of(report, name):
    return next((plot for plot in draw_plots(report) if plot.name == name), None)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("margins", ("profile", "margin_forget")),
        ("sorted", ("profile", "z_sorted")),
        ("roc", ("attacks", "loss")),
    ],
)
def test_a_plot_of_records_needs_its_figures(lone, name, path):
    assert plot_of(lone, name)
    lone["methods"]["ebb"][path[0]][path[1]] = None
    assert plot_of(lone, name).caption.endswith("figures: ebb." if name != "margins" else "a profile: ebb.")
    for subject in (lone["original"], lone["oracles"], *lone["methods"].values()):
        subject[path[0]] = None
    assert plot_of(lone, name) is None
    Page(render(lone))


def test_both_axes_of_the_roc_are_logarithmic(lone):
    from matplotlib.figure import Figure

    from ebbing.report.records import _paint_roc
    from ebbing.report.subjects import lines, subjects_of

    axes = Figure().subplots()
    subjects = subjects_of(lone)
    _paint_roc(axes, styled=list(zip(subjects, lines(subjects), strict=True)))
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_xlim() == (0.001, 1.0)
    assert len(axes.collections) == 1  # the retrained models' range


def test_a_roc_that_is_nowhere_above_zero_is_drawn_without_a_warning(lone):
    roc = lone["original"]["attacks"]["loss"]["roc"]
    roc["tpr"] = [0.0] * len(roc["tpr"])
    roc["fpr"] = [0.0, *roc["fpr"][1:]]
    assert plot_of(lone, "roc")


@pytest.mark.parametrize("z", [[0.3], [5.0, 5.0], [-400.0, 0.0, 9e5]])
def test_any_ordered_scores_are_drawn(lone, z):
    lone["methods"]["ebb"]["profile"]["z_sorted"] = z
    assert plot_of(lone, "sorted")


# What else the page holds


def test_cost_is_set_against_one_retraining(lone):
    text = Page(render(lone)).text.partition("Cost method")[2].partition("Limits")[0]
    assert "ebb 4.1 10.0 10.0" in text
    assert "retraining once (median) 41.2 100 100" in text


def test_fingerprints_are_whole(lone):
    lone["models"]["methods"]["ebb"] *= 2
    found = dict(fingerprints(lone))
    assert found["original"] == lone["models"]["original"][0]
    assert list(found) == ["request", "original", "do-nothing", "ebb 1", "ebb 2"]
    assert all(len(digest) == 32 for digest in found.values())


def test_the_page_stays_small_however_many_examples_there_are(lone):
    image = {"uri": PNG + "A" * 400_000, "label": "3", "position": 1}
    lone["examples"] = {"note": "", "images": [image] * 30}
    page = render(lone)
    assert len(page.encode()) < 6_000_000
    assert "22 more left out" in Page(page).text
    assert IMAGES_LIMIT < 6_000_000


def test_an_image_from_elsewhere_is_not_shown(lone):
    lone["examples"] = shown_examples(1)
    lone["examples"]["images"].append({"uri": "https://example.org/x.png", "label": "x", "position": 2})
    page = Page(render(lone))
    assert page.tags.count("img") == 1
    assert "example.org" not in render(lone)


def test_hostile_names_stay_text_in_the_new_parts(lone):
    hostile = '<script>x</script>"><img src=x>'
    block = copy.deepcopy(lone["methods"]["ebb"])
    block["measures"] = {
        hostile: measure(hostile, hostile, 0.5, 0.1, hostile),
        "y": measure(hostile, None, None, None, hostile),
    }
    block["measures"]["y"]["reason"] = hostile
    block["technical"]["factors"] = {hostile: [0.1, 0.2]}
    block["technical"]["cka"] = {hostile: {"value": 0.4, "floor": None}}
    lone["methods"] = {hostile: block}
    lone["models"] = {"original": [hostile], "methods": {hostile: [hostile]}}
    lone["request"]["received"] = lone["provenance"]["date"] = hostile
    lone["examples"] = {"note": hostile, "images": [{"uri": PNG + hostile, "label": hostile, "position": hostile}]}
    page = Page(render(lone))
    assert "script" not in page.tags
    assert page.tags.count("img") == 1
