"""What a request may say, and which state follows on which."""

from __future__ import annotations

from datetime import date

import pytest
from clinic import TODAY, erasure
from hypothesis import given
from hypothesis import strategies as st

from ebbing.errors import InputError
from ebbing.ledger import Budget, Settings
from ebbing.ledger.deciding import move
from ebbing.ledger.erasure import CLOSED, FAILED, NEXT, RECEIVED, STATES, request_of
from ebbing.ledger.schema import Request

ROW = {"basis": "GDPR Art. 17", "subject": "Ada"}


def of(**said: object):
    return request_of({**ROW, **said}, today=TODAY, days=30)


def test_what_is_not_said_is_filled_in() -> None:
    found = of(subject="", records="r1; r2 ;")
    assert (found.received, found.due, found.records, found.subject) == (TODAY, date(2026, 3, 31), ("r1", "r2"), None)


@pytest.mark.parametrize(
    "name",
    ["Zahr\u00e1", "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627", "Ada\u00a0Lovelace", "\u0915\u094d\u200d\u0937"],
)
def test_people_have_the_names_that_they_have(name) -> None:
    assert of(subject=name).subject == name


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"basis": ""}, "`basis` must say"),
        ({"subject": ""}, "neither did"),
        ({"records": "r1"}, "both did"),
        ({"subject": "", "records": ["r1", "r1"]}, "each id once"),
        ({"subject": "", "records": ["a\nb"]}, "printable"),
        ({"subject": "Ada\u202eecalevoL"}, "printable"),  # would be shown backwards
        ({"subject": {"a": 1}}, "`subject` must be text, but is a dict"),
        ({"received": "2026-03-02"}, "is 2026-03-02, and in UTC it is 2026-03-01"),
        ({"received": "01.03.2026"}, "YYYY-MM-DD"),
        ({"due": "2026-02-28"}, "`due` must not be before"),
        ({"reason": "x" * 2001}, "a ledger holds no data"),
        ({"gone": "perhaps"}, "yes or no"),
        ({"image": "..."}, "no field 'image'"),
    ],
)
def test_what_cannot_be_a_request_is_refused(said, told) -> None:
    with pytest.raises(InputError, match=told):
        of(**said)


def test_a_day_past_the_calendar_is_refused() -> None:
    for days in (10**7, 10**10):
        with pytest.raises(InputError, match="`due` must be a day of the calendar"):
            request_of(ROW, today=TODAY, days=days)


def test_all_problems_are_said_at_once() -> None:
    with pytest.raises(InputError, match=r"`basis` must not be empty.*neither.*`due`"):
        erasure(basis=" ", due=date(2020, 1, 1))


@given(st.lists(st.sampled_from(STATES), max_size=12))
def test_no_walk_leaves_the_graph_of_states(walk) -> None:
    request = Request(id=1, state=RECEIVED)
    for state in walk:
        before = request.state
        if state in NEXT[before]:
            move(request, state)
            assert request.state == state
        else:
            with pytest.raises(InputError, match=f"is {before} and may become"):
                move(request, state)
            assert request.state == before


def test_closed_is_for_good_and_what_failed_may_be_tried_again() -> None:
    assert NEXT[CLOSED] == frozenset()
    assert NEXT[FAILED] == {RECEIVED}
    assert NEXT.keys() == set(STATES)


@pytest.mark.parametrize("wrong", [{"accept": ("fine",)}, {"oracles": -1}, {"lease": 0}, {"neighbours": 2.0}])
def test_settings_that_cannot_be_are_refused(wrong) -> None:
    with pytest.raises(InputError, match=f"`{next(iter(wrong))}` must"):
        Settings(database="sqlite:///x", key="k", **wrong)


def test_a_budget_is_not_negative() -> None:
    with pytest.raises(InputError, match="`utility` must be a number >= 0"):
        Budget(utility=-0.1)
