"""Where records lie, and what taking them out costs, against counting."""

import math
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebbing.errors import InputError
from ebbing.sharding import Sharding

shardings = st.builds(Sharding, st.integers(1, 5), st.integers(1, 4), st.integers(0, 50))


@given(shardings, st.integers(20, 90))
def test_every_record_lies_in_one_cell_and_cells_are_alike(sharding: Sharding, n: int) -> None:
    places = sharding.places(n)
    counts = np.bincount(places, minlength=sharding.shards * sharding.slices)
    assert counts.sum() == n
    assert counts.max() - counts.min() <= 1
    whole = [sharding.stage(n, range(n), shard=s, slices=sharding.slices) for s in range(sharding.shards)]
    assert sorted(i for part in whole for i in part) == list(range(n))


@given(shardings, st.integers(20, 60), st.data())
def test_where_a_record_lies_does_not_hang_on_who_else_is_there(
    sharding: Sharding, n: int, data: st.DataObject
) -> None:
    stays = sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1)))
    for shard in range(sharding.shards):
        for r in range(1, sharding.slices + 1):
            full = sharding.stage(n, range(n), shard=shard, slices=r)
            assert sharding.stage(n, stays, shard=shard, slices=r) == [i for i in full if i in stays]


@given(shardings, st.integers(20, 60), st.data())
def test_stages_that_are_trained_again_are_those_whose_records_changed(
    sharding: Sharding, n: int, data: st.DataObject
) -> None:
    gone = data.draw(st.sets(st.integers(0, n - 1)))
    stays = set(range(n)) - gone
    changed = [
        (shard, r)
        for shard in range(sharding.shards)
        for r in range(1, sharding.slices + 1)
        if sharding.stage(n, range(n), shard=shard, slices=r) != sharding.stage(n, stays, shard=shard, slices=r)
    ]
    assert sharding.stages(n, gone) == changed


@pytest.mark.parametrize("size", [1, 3, 20])
@pytest.mark.parametrize(("shards", "slices"), [(1, 1), (5, 1), (4, 3), (2, 5)])
def test_the_expected_share_is_the_mean_share(shards: int, slices: int, size: int) -> None:
    sharding, n, draws = Sharding(shards, slices), 240, 1500
    generator = np.random.default_rng(0)
    shares = np.array([sharding.share(n, generator.choice(n, size, replace=False)) for _ in range(draws)])
    error = shares.std() / np.sqrt(draws)
    assert abs(shares.mean() - sharding.expected_share(n, size)) <= 4 * error + 1e-12


@given(shardings)
def test_closed_forms(sharding: Sharding) -> None:
    s, r = sharding.shards, sharding.slices
    n = 60 * s * r
    assert sharding.expected_share(n, 1) == pytest.approx((2 * r + 1) / (3 * r * s))
    assert sharding.expected_share(n, 0) == pytest.approx(0, abs=1e-12)
    assert sharding.expected_share(n, n) == pytest.approx(1)
    assert sharding.share(n, range(n)) == 1
    assert sharding.share(n, []) == 0


@pytest.mark.parametrize("n", [10**k for k in (3, 5, 7, 9, 12, 15)])
def test_the_law_holds_for_any_number_of_records(n: int) -> None:
    sharding = Sharding(20, 3)
    one = (2 * 3 + 1) / (3 * 3 * 20)
    assert sharding.expected_share(n, 1) == pytest.approx(one, rel=1e-9)
    outside = [math.prod((n - r * n / 60 - k) / (n - k) for k in range(40)) for r in (1, 2, 3)]
    assert sharding.expected_share(n, 40) == pytest.approx(
        sum(r * (1 - p) / 6 for r, p in enumerate(outside, 1)), rel=1e-9
    )


def test_the_law_lays_out_no_records() -> None:
    with mock.patch.object(Sharding, "places", side_effect=AssertionError):
        assert Sharding().expected_share(20, 1) == pytest.approx(0.15)
        with pytest.raises(InputError, match="5 shards of 4 slices are 20 for 19 records"):
            Sharding().expected_share(19, 1)


@given(shardings)
def test_stages_cost_together_what_one_training_costs(sharding: Sharding) -> None:
    n = 12 * sharding.shards * sharding.slices
    stage = sharding.epochs(30.0)
    visits = sum(
        stage * len(sharding.stage(n, range(n), shard=s, slices=r))
        for s in range(sharding.shards)
        for r in range(1, sharding.slices + 1)
    )
    assert visits == pytest.approx(30 * n)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match=r"shards must be a whole number >= 1, but is 0; slices .* but is 1.5; seed"):
        Sharding(0, 1.5, -1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="5 shards of 4 slices are 20 for 19 records"):
        Sharding().places(19)
    with pytest.raises(InputError, match=r"must lie in \[0, 100\]"):
        Sharding().expected_share(100, 101)
    for ids in ([-1, 3], [3, 60]):
        with pytest.raises(InputError, match=r"positions must lie in \[0, 60\), but reach from"):
            Sharding().share(60, ids)


def test_it_loads_no_torch() -> None:
    code = "import sys, ebbing.sharding; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
