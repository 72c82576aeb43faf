"""Average gap and ToW-MIA: by hand, against the plain tug of war, and with their protocol."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebbing.errors import InputError
from ebbing.measures import tug_of_war
from ebbing.measures.gaps import average_gap, tug_of_war_mia

PROTOCOL = "SVC on confidence, share of the forget set called non-member"
RETRAINED = {"forget": 0.95, "retain": 1.0, "holdout": 0.94}
SPLITS = st.fixed_dictionaries({split: st.floats(0, 1) for split in ("forget", "retain", "holdout")})
SHARE = st.floats(0, 1)


def test_an_average_gap_computed_by_hand():
    judged = {"forget": 0.99, "retain": 0.98, "holdout": 0.95}
    found = average_gap(judged, RETRAINED, mia=0.05, mia_retrained=0.13, protocol=PROTOCOL)
    assert (found.forget, found.retain, found.test, found.mia) == pytest.approx((0.04, 0.02, 0.01, 0.08))
    assert found.value == pytest.approx(0.0375)
    assert found.protocol == PROTOCOL


def test_a_tug_of_war_with_an_attack_computed_by_hand():
    judged = {"retain": 0.9, "holdout": 0.74}  # the forget accuracy is not asked for
    found = tug_of_war_mia(judged, RETRAINED, mia=0.1, mia_retrained=0.6, protocol=PROTOCOL)
    assert found.value == pytest.approx(0.5 * 0.9 * 0.8)
    assert found.protocol == PROTOCOL


@given(SPLITS, SPLITS, SHARE, SHARE)
def test_gaps_are_fractions_symmetric_and_nothing_for_equals(judged, retrained, mia, other):
    gap = average_gap(judged, retrained, mia=mia, mia_retrained=other, protocol=PROTOCOL)
    assert 0 <= gap.value <= 1
    assert gap == average_gap(retrained, judged, mia=other, mia_retrained=mia, protocol=PROTOCOL)
    assert average_gap(judged, judged, mia=mia, mia_retrained=mia, protocol=PROTOCOL).value == 0
    tug = tug_of_war_mia(judged, retrained, mia=mia, mia_retrained=other, protocol=PROTOCOL)
    assert 0 <= tug.value <= 1
    assert tug.value == pytest.approx((1 - gap.mia) * (1 - gap.retain) * (1 - gap.test))


@given(SPLITS, SPLITS)
def test_with_the_forget_accuracy_as_the_attack_it_is_the_tug_of_war(judged, retrained):
    found = tug_of_war_mia(
        judged, retrained, mia=1 - judged["forget"], mia_retrained=1 - retrained["forget"], protocol="forget error"
    )
    assert found.value == pytest.approx(tug_of_war(judged, retrained), abs=1e-12)


def test_doing_nothing_is_seen_by_the_attack_where_accuracies_see_nothing():
    gap = average_gap(RETRAINED, RETRAINED, mia=0.0, mia_retrained=0.13, protocol=PROTOCOL)
    assert gap.value == pytest.approx(0.13 / 4)
    assert tug_of_war(RETRAINED, RETRAINED) == 1.0
    assert tug_of_war_mia(RETRAINED, RETRAINED, mia=0.0, mia_retrained=0.13, protocol=PROTOCOL).value == pytest.approx(
        0.87
    )


@pytest.mark.parametrize("function", [average_gap, tug_of_war_mia])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocol": " "}, "must say which membership attack.*but is ' '. The same name means different"),
        ({"protocol": None}, "must say which"),
        ({"accuracy": {"forget": 0.9, "retain": 0.9}}, r"but accuracy\['holdout'\] are missing. Observe them"),
        ({"mia": 12.88}, r"must be fractions in \[0, 1\].*'mia': \(12.88, 0.1\).*Divide per cent by 100"),
        ({"retrained": {**RETRAINED, "retain": float("nan")}}, r"'retain': \(1.0, nan\)"),
    ],
)
def test_what_is_no_fraction_or_has_no_protocol_is_refused(function, change, message):
    given = {"accuracy": RETRAINED, "retrained": RETRAINED, "mia": 0.1, "mia_retrained": 0.1, "protocol": PROTOCOL}
    with pytest.raises(InputError, match=message):
        function(**(given | change))


@pytest.mark.parametrize("function", [average_gap, tug_of_war_mia])
def test_the_protocol_has_no_default(function):
    with pytest.raises(TypeError, match="protocol"):
        function(RETRAINED, RETRAINED, mia=0.1, mia_retrained=0.1)
