"""The first screen: seven questions of the person who must sign."""

import pytest
from page import Page
from sample_report import OUTCOMES, bare_report, lone_report, method, shown_examples, spread

from ebbing.report.html import render
from ebbing.report.sensitivity import rank_test_words
from ebbing.report.signer import REMAINS, signer_view

QUESTIONS = (
    "1 The request",
    "2 The result",
    "3 Could the original be told apart?",
    "4 The smallest effect this would have found",
    "5 Side effects",
    "6 Not covered by this audit",
    "7 The decision that is needed",
)


@pytest.fixture(autouse=True)
def _without_plots(without_plots):
    """They take most of the time, and stand below the first screen."""


@pytest.fixture
def lone():
    return lone_report(technical_too=False)


def first_screen(report):
    text = Page(render(report)).text
    return text[: text.index("What it was judged by")]


@pytest.mark.parametrize("make", [lone_report, bare_report])
def test_the_seven_questions_stand_first_and_in_order(make):
    text = first_screen(make())
    places = [text.index(question) for question in QUESTIONS]
    assert places == sorted(places)


def test_the_request_names_records_models_and_dates(lone):
    text = first_screen(lone)
    assert "65 to forget, chosen as: mislabelled; 1,232 stay" in text
    assert lone["models"]["original"][0][:12] in text
    assert lone["models"]["methods"]["ebb"][0][:12] in text
    assert "12 January 2026" in text
    assert "31 January 2026" in text
    lone["request"]["received"] = lone["models"] = lone["provenance"] = None
    text = first_screen(lone)
    assert text.count("not stated") == 4  # two models, two dates


def test_several_models_are_counted_behind_the_first(lone):
    lone["models"]["original"] *= 3
    assert f"{lone['models']['original'][0][:12]} and 2 more" in first_screen(lone)


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_the_result_is_one_sentence_with_its_tests_and_what_it_does_not_show(lone, outcome):
    lone["methods"] = {"ebb": method(0.03, outcome, "the reason")}
    text = first_screen(lone)
    begin = text.index("Held against 16 models retrained without the records")
    sentence = text[begin : text.index(f"{REMAINS}.", begin)]
    assert "." not in sentence
    for test in (
        "memory in its answers",
        "accuracy on unseen data",
        "drift",
        "readouts of 2 layers",
        "relearning",
        "kinship",
    ):
        assert test in sentence
    assert "the model after ebb" in sentence


def test_tests_that_were_not_taken_are_not_named(lone):
    for block in (lone["methods"]["ebb"], lone["methods"]["do-nothing"]):
        block["inside"] = block["drift"] = None
    text = first_screen(lone)
    assert "by memory in its answers (M, W) and accuracy on unseen data, the model" in text
    assert "relearning" not in text


def test_an_unknown_outcome_is_shown_as_it_stands(lone):
    lone["methods"]["ebb"]["verdict"]["outcome"] = "brand-new"
    assert "the model after ebb is called brand-new; this does not show" in first_screen(lone)


def test_almost_all_is_not_all(lone):
    assert "99.6 % removed" in first_screen(lone)


@pytest.mark.parametrize(
    ("m", "w", "inner", "lead"),
    [
        (7.34, 7.34, 7.5, "Yes."),
        (0.05, 0.9, 7.5, "Yes."),
        (-0.5, 0.2, 0.1, "Yes."),
        (0.05, 0.2, 7.5, "Only inside the network."),
        (0.05, 0.2, 0.1, "No."),
        ({"mean": 0.05, "low": -0.1, "high": 2.0}, 0.2, 0.1, "Yes."),  # the one farthest out counts
        (None, None, 0.1, "No."),
    ],
)
def test_whether_the_original_could_be_told_apart(lone, m, w, inner, lead):
    lone["original"]["memory"] = None if m is None else {"m": m, "w": w, "low": None, "high": None}
    for probe in lone["original"]["inside"]["probes"].values():
        probe["w"] = inner
    lone["original"]["inside"]["savings"] = 0.1
    assert signer_view(lone)["before"]["lead"] == lead


def test_an_attack_that_was_not_run_says_why(lone):
    reason = "too few records: an attack needs at least 20 members and 20 matched non-members"
    lone["original"]["attacks"]["loss"] = {"auc": None, "reason": reason}
    assert f"No attack on the loss: {reason}." in first_screen(lone)


def test_the_smallest_effect_stands_beside_the_original(lone):
    view = signer_view(lone)["smallest"]
    assert view["lead"] == "Memory M 0.31, 4 % of the original's."
    assert "1/17 = 0.059" in view["text"]
    lone["original"]["memory"]["m"] = 0.1
    assert signer_view(lone)["smallest"]["lead"] == "Memory M 0.31."
    lone["bands"] = None
    assert signer_view(lone)["smallest"]["lead"] == "Not known."


@pytest.mark.parametrize(("count", "words"), [(0, ""), (1, "1/2 = 0.5"), (16, "1/17 = 0.059"), (999, "1/1000 = 0.001")])
def test_no_rank_test_goes_below_what_the_counts_allow(count, words):
    said = rank_test_words({"oracles": {"count": count}})
    assert words in said
    assert bool(said) == bool(count)


def test_side_effects_stand_between_before_and_retrained(lone):
    effects = signer_view(lone)["effects"]
    assert [label for label, _ in effects["lines"]] == ["before", "after", "retrained"]
    assert [[text for text, _ in cells] for _, cells in effects["lines"]] == [
        ["97.0", "99.3", "1.9"],
        ["98.4", "99.0", "1.2"],
        ["98.5", "100.0", "0.9"],
    ]


def test_riskier_records_that_were_not_counted_are_said_to_be_so(lone):
    lone["methods"]["ebb"]["measures"]["riskier"] |= {"value": None, "reason": "needs level standard"}
    effects = signer_view(lone)["effects"]
    assert all(len(cells) == 2 for _, cells in effects["lines"])
    assert "easier to attack: not measured: needs level standard." in first_screen(lone)
    lone["methods"]["ebb"]["measures"] = None
    assert "easier to attack: not measured." in first_screen(lone)


def test_what_is_not_covered_is_named():
    text = first_screen(bare_report())
    named = (
        "source data",
        "backups",
        "logs",
        "features",
        "older versions",
        "derived",
        "pre-trained base",
        "not listed",
    )
    assert [words for words in named if words not in text] == []


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ("under-forgotten", "Not to put this model in the original's place"),
        ("over-forgotten", "Not to put this model in the original's place"),
        ("damaged", "If the loss is bearable"),
        ("no-memory-found", "retraining would have given another model"),
        ("consistent-with-retraining", "Whether this model takes the original's place"),
        ("no-measurable-trace", "cannot show that the method did anything"),
        ("inconclusive", "bring the evidence that is missing"),
    ],
)
def test_every_outcome_asks_for_its_decision(lone, outcome, words):
    lone["methods"] = {"ebb": method(0.03, outcome, "")}
    assert words in signer_view(lone)["decision"]["text"]


def test_several_methods_are_candidates_and_controls_are_not(report):
    view = signer_view(report)
    assert [result["name"] for result in view["results"]["methods"]] == list(report["methods"])[2:]
    assert view["results"]["controls"] == "do-nothing: under-forgotten, fresh-network: over-forgotten"
    assert dict(view["decision"]["groups"]) == {
        "nothing found against": "ebb",
        "no verdict on": "forgetting-network",
        "evidence against": "scrub, fine-tune, neggrad+",
    }
    text = first_screen(report)
    assert text.count(REMAINS) == 1
    assert "5 candidates, one for each method" in text


def test_controls_alone_are_nothing_to_sign_for(report):
    report["methods"] = {"do-nothing": report["methods"]["do-nothing"]}
    text = first_screen(report)
    assert "Controls only" in text
    assert "no method was judged that could take the original's place" in text
    assert REMAINS in text


def test_notes_reach_the_person_who_signs(lone):
    assert "Note: One unit group follows a normalisation" in first_screen(lone)


def test_the_page_says_whether_it_holds_forgotten_records(lone):
    assert "This page holds none of the forgotten records" in first_screen(lone)
    assert "img" not in Page(render(lone)).tags
    lone["examples"] = shown_examples(3)
    page = Page(render(lone))
    assert "This page shows 3 of the forgotten records themselves" in first_screen(lone)
    assert page.tags.count("img") == 3
    assert lone["examples"]["note"] in page.text
    lone["examples"] = {"note": "No images could be made of them.", "images": []}
    assert "This page holds none of the forgotten records" in first_screen(lone)
    assert "No images could be made of them." in Page(render(lone)).text


def test_several_originals_are_shown_with_their_range(lone):
    lone["original"]["accuracy"]["holdout"] = spread(0.97, 0.01)
    assert dict(signer_view(lone)["effects"]["lines"])["before"][0] == ("97.0", "96.0 to 98.0")
