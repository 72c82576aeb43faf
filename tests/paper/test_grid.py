"""The grid of the paper's experiments: what is asked for is in it, and variants differ only in what they are named for."""

from __future__ import annotations

import math

import pytest
import torch

from ebbing.methods import ForgettingNetwork
from ebbing.paper.grid import (
    BOUT,
    FC_UNITS,
    MEMORISED,
    PROBLEMS,
    VARIANTS,
    grid,
    quick_grid,
    same_decay_tau,
    variants_of,
)
from ebbing.rates import FixedRate, RankedRate


def test_every_split_is_tried_on_both_data_sets() -> None:
    splits = {(p.dataset, p.split) for p in PROBLEMS if p.train_size == 10_000 and p.network == "paper-cnn"}
    shares = [f"{kind}:{share}" for kind in ("random", "balanced") for share in ("0.2", "0.1", "0.05")]
    assert splits == {(d, s) for d in ("mnist", "fashion-mnist") for s in (*shares, MEMORISED)}
    large = {(p.dataset, p.split) for p in PROBLEMS if p.train_size == 60_000}
    assert large == {("mnist", "random:0.1"), ("fashion-mnist", "random:0.1")}
    assert len({p.name for p in PROBLEMS}) == len(PROBLEMS)


def test_every_variant_is_tried_somewhere_and_names_of_cells_are_unique() -> None:
    cells = grid(seeds=3)
    assert {cell.variant for cell in cells} == set(VARIANTS)
    assert len({cell.path for cell in cells}) == len(cells) == 3 * len(grid(seeds=1))
    assert cells[: len(cells) // 3] == grid(seeds=1)  # the first originals come first
    assert {cell.problem.dataset for cell in grid(seeds=1, datasets=["mnist"])} == {"mnist"}


def test_controls_and_both_rates_stand_in_every_problem() -> None:
    for problem in PROBLEMS:
        wanted = (
            {"do-nothing", "published-code"}
            if problem.network == "authors-cnn"
            else {"do-nothing", "no-decay", "ffr", "vfr"}
        )
        assert wanted <= set(variants_of(problem)), problem


def test_a_taste_is_small() -> None:
    cells = quick_grid()
    assert {"do-nothing", "no-decay", "ffr", "vfr", "paper"} <= {cell.variant for cell in cells}
    assert {cell.problem.split for cell in cells} == {"random:0.1", MEMORISED}
    assert sum(cell.examples for cell in cells) < 1e6


def test_the_same_decay_is_the_same_mean_factor() -> None:
    rate = RankedRate()
    taus = torch.cat(list(rate.tau({str(n): torch.randperm(n).double() for n in FC_UNITS}).values()))
    wanted = float(torch.exp(-BOUT / taus).mean())
    assert math.exp(-BOUT / same_decay_tau(rate)) == pytest.approx(wanted, rel=1e-12)
    assert same_decay_tau(FixedRate(3.5)) == pytest.approx(3.5)
    ffr = VARIANTS["ffr-same-decay"]
    assert isinstance(ffr, ForgettingNetwork)
    assert ffr.rate == FixedRate(same_decay_tau(RankedRate()))
    assert ffr.unlearning_epochs == BOUT


def test_rankings_are_compared_with_one_set_of_decay_times() -> None:
    """Whoever is ranked first, the decay times given out are the same; top-K alone has but two."""
    scores = {"fc": torch.randn(128, generator=torch.Generator().manual_seed(0))}
    reference = torch.sort(VARIANTS["vfr"].rate.tau(scores)["fc"]).values  # type: ignore[attr-defined]
    for name in ("vfr-random", "vfr-inverse", "vfr-index", "vfr-activation-ratio", "vfr-taylor", "vfr-fisher-ratio"):
        method = VARIANTS[name]
        assert isinstance(method, ForgettingNetwork)
        torch.testing.assert_close(torch.sort(method.rate.tau(scores)["fc"]).values, reference)


def test_without_decay_no_factor_differs_from_one() -> None:
    method = VARIANTS["no-decay"]
    assert isinstance(method, ForgettingNetwork)
    factors = method.curve.factor(method.unlearning_epochs, method.rate.tau({"fc": torch.zeros(7)})["fc"])
    assert torch.equal(factors, torch.ones_like(factors))
    assert (method.turns, method.learning) == (VARIANTS["vfr"].turns, VARIANTS["vfr"].learning)  # type: ignore[attr-defined]
