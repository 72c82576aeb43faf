"""What years of requests cost, against sums by hand, and what changes which way is the cheapest."""

import json
import math
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebbing.cli.plan import PlanOptions, print_plan
from ebbing.errors import InputError
from ebbing.planning import Unlearning, Workload, plan
from ebbing.sharding import Sharding


def ways(workload, **settings):
    return {way.name: way for way in plan(workload, **settings).ways}


def test_each_way_by_hand() -> None:
    """Four requests of 100 records of 1,000; one shard of one slice must be trained again each time."""
    work = Workload(records=1000, requests_per_year=4, size=100)
    left = [0.9, 0.8, 0.7, 0.6]
    found = ways(work, sharding=Sharding(1, 1), unlearning=Unlearning(share=0.1, audits="each", references=2))
    assert found["retraining"].cost == pytest.approx(sum(left))
    assert found["sisa"].cost == pytest.approx(sum(left))
    assert found["unlearning"].cost == pytest.approx(0.1 * sum(left) + 2 * sum(left))
    assert found["unlearning"].audits == pytest.approx(2 * sum(left))


def test_drift_asks_for_retrainings() -> None:
    work = Workload(records=10_000, requests_per_year=9)
    known = Unlearning(share=0.1, drift_per_run=0.002, drift_budget=0.005, audits="none")
    assert known.runs_until_retraining == 2
    left = [1 - r / 10_000 for r in range(1, 10)]
    price = [0.1, 0.1, 1.0] * 3
    found = ways(work, unlearning=known)["unlearning"]
    assert found.retrained == 3
    assert found.cost == pytest.approx(float(np.dot(left, price)))
    assert Unlearning(drift_per_run=-0.001).runs_until_retraining is None
    without = ways(work, unlearning=Unlearning(audits="none"))["unlearning"]
    assert without.retrained == 0
    assert any("its drift was not given" in note for note in without.notes)


def test_an_audit_a_year_is_cheaper_than_one_each_time() -> None:
    work = Workload(records=10_000, requests_per_year=12, years=2)
    each, yearly, none = (ways(work, unlearning=Unlearning(audits=a))["unlearning"] for a in ("each", "yearly", "none"))
    assert each.audits == pytest.approx(16 * 24, rel=0.01)
    assert yearly.audits == pytest.approx(16 * 2, rel=0.01)
    assert none.audits == 0
    without = ways(work, unlearning=Unlearning(references=0))["unlearning"]
    for way, has_none in ((each, False), (yearly, False), (none, True), (without, True)):
        assert any("no evidence" in note for note in way.notes) is has_none


def test_audits_go_by_years_whatever_is_retrained_between_them() -> None:
    """Ten runs, then a retraining: run 12 and 24 are unlearned and audited, the last one as well. By hand."""
    work = Workload(records=10**6, requests_per_year=12, years=29 / 12)
    drifting = Unlearning(drift_per_run=0.0005, drift_budget=0.005, audits="yearly", references=2)
    left = list(work.left())
    found = ways(work, unlearning=drifting)["unlearning"]
    assert found.retrained == 2
    assert found.audits == pytest.approx(2 * (left[11] + left[23] + left[28]))
    # where the run that is due is a retraining, the next one is audited: 12 is retrained, 13 is not
    later = Unlearning(drift_per_run=0.001, drift_budget=0.011, audits="yearly", references=2)
    assert ways(work, unlearning=later)["unlearning"].audits == pytest.approx(2 * (left[12] + left[24] + left[28]))


@pytest.mark.parametrize(("rate", "audits"), [(1.5, 10), (0.5, 5), (12.5, 10), (1, 10)])
def test_one_audit_a_year_is_one_where_runs_do_not_fit_into_years(rate, audits) -> None:
    work = Workload(records=10**6, requests_per_year=rate, years=10)
    found = ways(work, unlearning=Unlearning(audits="yearly", references=1))["unlearning"]
    assert found.audits == pytest.approx(audits, rel=1e-3)


def test_sizes_between_whole_records_cost_what_lies_between() -> None:
    """Runs of 1.4 records on average: some of one, some of two."""
    sharding = Sharding(5, 4)
    one, some, two = (ways(Workload(10**6, 10, size=size), sharding=sharding)["sisa"].cost / 10 for size in (1, 1.4, 2))
    assert one == pytest.approx(0.15, rel=1e-3)
    assert some == pytest.approx(0.6 * one + 0.4 * two, rel=1e-3)


def test_millions_of_records_take_no_time() -> None:
    with mock.patch.object(Sharding, "places", side_effect=AssertionError):
        assert plan(Workload(records=10**12, requests_per_year=12)).cheapest.cost == pytest.approx(12 * 0.15)
        with pytest.raises(InputError, match="20 for 10 records"):
            plan(Workload(10, 1))


def test_a_drift_of_nearly_nothing_allows_any_number_of_runs() -> None:
    assert Unlearning(drift_per_run=1e-320).runs_until_retraining is None


@pytest.mark.parametrize("hours", [0.0, -2.0, math.nan, math.inf])
def test_hours_that_are_none_are_refused(hours) -> None:
    options = PlanOptions(Workload(1000, 4), Sharding(), Unlearning(), hours, as_json=False)
    with pytest.raises(InputError, match=r"hours must be finite and > 0"):
        print_plan(options)


def test_waiting_makes_fewer_and_larger_runs() -> None:
    work = Workload(records=100_000, requests_per_year=730, size=2, every_days=36.5)
    assert (work.runs, work.run_size) == (10, 146)
    assert ways(work)["retraining"].cost == pytest.approx(10, rel=0.02)
    at_once = Workload(records=100_000, requests_per_year=730, size=2)
    assert (at_once.runs, at_once.run_size) == (730, 2)


def test_few_records_go_cheaply_from_shards_and_many_do_not() -> None:
    """With an audit each time nothing beats SISA for single records; for requests that hit every shard a cheap method does."""
    rare = Workload(records=50_000, requests_per_year=10)
    assert plan(rare, sharding=Sharding(20, 4)).cheapest.name == "sisa"
    cheap = Unlearning(share=0.05, audits="none")
    assert (
        plan(Workload(50_000, 10, size=500), sharding=Sharding(20, 4), unlearning=cheap).cheapest.name == "unlearning"
    )
    dear = Unlearning(share=1.5, audits="none")
    assert plan(Workload(50_000, 10, size=500), sharding=Sharding(1, 1), unlearning=dear).cheapest.name != "unlearning"


def test_the_turns_say_what_is_cheapest_at_every_rate() -> None:
    work = Workload(records=20_000, requests_per_year=5, every_days=30)
    settings = {"sharding": Sharding(10, 4), "unlearning": Unlearning(share=0.3, audits="none")}
    found = plan(work, **settings)
    assert len(found.turns) == 2  # single records come cheaply from shards, many together do not
    assert [name for _, name in found.turns] == ["sisa", "unlearning"]
    turn = found.turns[1][0]
    for rate, name in ((turn * 0.8, "sisa"), (turn * 1.05, "unlearning")):
        assert plan(Workload(20_000, rate, every_days=30), **settings).cheapest.name == name


@settings(max_examples=20)
@given(
    st.integers(100, 5000),
    st.floats(0.2, 40),
    st.floats(1, 3),
    st.floats(0, 60),
    st.integers(1, 5),
    st.integers(1, 4),
)
def test_exact_ways_never_cost_more_than_retraining(records, rate, years, every, shards, slices) -> None:
    if rate * years >= 0.9 * records:
        return
    found = ways(Workload(records, rate, 1.0, years, every), sharding=Sharding(shards, slices))
    assert 0 <= found["sisa"].cost <= found["retraining"].cost * (1 + 1e-9)
    assert all(math.isfinite(way.cost) for way in found.values())


def test_what_cannot_be_is_refused_all_at_once() -> None:
    with pytest.raises(
        InputError, match=r"records must be >= 1, but is 0; requests_per_year .* -1; size .*; every_days"
    ):
        Workload(0, -1, size=0.5, every_days=-3)
    with pytest.raises(InputError, match="would leave nothing of 100 records"):
        Workload(100, 50, size=2)
    with pytest.raises(
        InputError, match=r"a model would be made 3,000,000 times, more than 1,000,000: .* by every_days"
    ):
        Workload(10**9, 10**6, years=3)
    assert Workload(10**9, 10**6, years=3, every_days=36.5).runs == 30
    with pytest.raises(InputError, match=r"share must .* 0; audits must be .*'often'; references must be >= 0"):
        Unlearning(share=0, audits="often", references=-1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="20 for 10 records"):
        plan(Workload(10, 1))


def test_the_command_says_the_same_without_torch() -> None:
    code = (
        "import sys; from ebbing.cli import main\ntry: main()\nfinally: sys.stderr.write(str('torch' in sys.modules))"
    )
    words = ["plan", "--records", "1000", "--requests-per-year", "4", "--size", "100", "--hours", "2"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert done.stderr == "False"
    assert "Cheapest:" in done.stdout
    assert "4 runs over 1 years, 100 records each" in done.stdout
    told = subprocess.run([sys.executable, "-c", code, *words, "--json"], capture_output=True, text=True, check=True)
    found = json.loads(told.stdout)
    assert found["cheapest"] == plan(Workload(1000, 4, 100)).cheapest.name
    assert found["hours"]["retraining"] == pytest.approx(2 * 3.0)
    assert {way["name"]: way["cost"] for way in found["ways"]}["retraining"] == pytest.approx(3.0)


@pytest.mark.parametrize(
    "work", [Workload(10**9, 1e-6, years=1e8), Workload(10**15, 1e-3, years=1e3), Workload(20, 1e-3)]
)
def test_rates_are_looked_at_wherever_the_workload_lies(work) -> None:
    found = plan(work)
    assert all(0 < rate <= found.highest for rate, _ in found.turns)
    assert found.cheapest.name == "sisa"
