"""The paper's claims, each beside what was measured: it holds, it fails, or why nothing can be said."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ebbing.measures import mean_interval
from ebbing.paper.grid import PUBLISHED, RANKED
from ebbing.paper.tables import NAMES, WITHIN, ProblemCells, lowest_retain, spread, turns_to_stop

HOLDS, FAILS, OPEN = "holds", "fails", "cannot be told"
EXPECTED = 0.95

Cells = Mapping[str, ProblemCells]
Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Claim:
    """One line: what is claimed, what was found, and the answer."""

    claim: str
    measured: str
    answer: str


def claims(cells: Cells) -> list[Claim]:
    """Every claim that finished cells speak of, in the order of the paper."""
    found: list[Claim] = []
    for check in (_baseline, _attack, _throughout, _ablation, _rankings, _failures, _turns, _cost, _published):
        found += check(cells)
    return found


def _of(cells: Cells, *, memorised: bool, network: str = "paper-cnn") -> dict[str, ProblemCells]:
    """The problems of one kind."""
    kept = {}
    for name, problem in cells.items():
        facts = next(iter(problem.values()))[0]["problem"]
        if facts["network"] == network and facts["split"].startswith("mislabelled") == memorised:
            kept[name] = problem
    return kept


def _by_dataset(problems: Cells) -> dict[str, list[ProblemCells]]:
    grouped: dict[str, list[ProblemCells]] = {}
    for problem in problems.values():
        grouped.setdefault(NAMES[next(iter(problem.values()))[0]["problem"]["dataset"]], []).append(problem)
    return grouped


def _values(problems: Sequence[ProblemCells], variant: str, read: Callable[[Figures], float | None]) -> list[float]:
    """A figure of every finished cell of a variant."""
    read_all = [read(figures) for problem in problems for figures in problem.get(variant, [])]
    return [value for value in read_all if value is not None]


def _auc(figures: Figures) -> float | None:
    auc: float | None = figures["unlearned"]["loss_auc"]
    return auc


def _answer(holds: bool) -> str:
    return HOLDS if holds else FAILS


def _baseline(cells: Cells) -> list[Claim]:
    found = []
    for dataset, problems in _by_dataset(_of(cells, memorised=False)).items():
        accuracies = [
            f["original"]["accuracy"]["holdout"]
            for problem in problems
            for several in problem.values()
            for f in several
        ]
        measured = f"{spread(accuracies, 1, scale=100)} % of unseen images right, over every split"
        found.append(
            Claim(f"{dataset}: the network reaches about 95 % before", measured, _answer(min(accuracies) >= EXPECTED))
        )
    return found


def _attack(cells: Cells) -> list[Claim]:
    found = []
    for memorised in (False, True):
        for dataset, problems in _by_dataset(_of(cells, memorised=memorised)).items():
            after = {name: _values(problems, name, _auc) for name in ("paper", "vfr", "ffr")}
            before = _values(problems, "do-nothing", _auc)
            known = [value for values in after.values() for value in values]
            if not known or not before:
                continue
            told = "; ".join(f"{name} {spread(values, 3)}" for name, values in after.items() if values)
            inside = all(abs(value - 0.5) <= WITHIN for value in known)
            vacuous = all(abs(value - 0.5) <= WITHIN for value in before)
            answer = _answer(inside) + (
                ": the untouched model passes as well, so that it shows nothing" if vacuous else ""
            )
            what = "records that were learned by heart" if memorised else "random and balanced splits"
            found.append(
                Claim(
                    f"{dataset}, {what}: after unlearning the attack on the loss is at .5 ± .1",
                    f"AUC {told}; untouched {spread(before, 3)}",
                    answer,
                )
            )
    return found


def _throughout(cells: Cells) -> list[Claim]:
    found = []
    for memorised in (False, True):
        for dataset, problems in _by_dataset(_of(cells, memorised=memorised)).items():
            lowest = {
                name: _values(problems, name, lambda f: lowest_retain(f["unlearned"]))
                for name in ("vfr", "ffr", "no-decay")
            }
            known = [value for name in ("vfr", "ffr") for value in lowest[name]]
            if known:
                told = "; ".join(f"{name} {spread(values, 1, scale=100)}" for name, values in lowest.items() if values)
                what = "learned by heart" if memorised else "random and balanced splits"
                found.append(
                    Claim(
                        f"{dataset}, {what}: retained accuracy stays above 95 % throughout",
                        f"the lowest after any epoch of any bout, %: {told}",
                        _answer(min(known) > EXPECTED),
                    )
                )
    return found


def _size(figures: Figures) -> float | None:
    memory = figures["unlearned"]["memory"]
    return None if memory is None else abs(memory["m"])


def _closer(problem: ProblemCells, variant: str, other: str) -> tuple[str, str] | None:
    """How much closer to retraining one variant's M is than another's, paired by seeds; and whether that is sure."""
    pairs = []
    for one in problem.get(variant, []):
        for two in problem.get(other, []):
            a, b = _size(one), _size(two)
            if one["seed"] == two["seed"] and a is not None and b is not None:
                pairs.append((a, b))
    if not pairs:
        return None
    differences = np.array([a - b for a, b in pairs])
    mean, low, high = mean_interval(differences)
    told = f"abs M {np.mean([a for a, _ in pairs]):.2f} against {np.mean([b for _, b in pairs]):.2f}"
    if math.isnan(low):
        return f"{told} (one original)", f"{OPEN} from one original"
    answer = HOLDS if high < 0 else FAILS if low > 0 else OPEN
    return f"{told}; difference {mean:+.2f}, 95 % interval {low:+.2f} to {high:+.2f}", answer


def _compared(cells: Cells, claim: str, variant: str, other: str) -> list[Claim]:
    found = []
    for dataset, problems in _by_dataset(_of(cells, memorised=True)).items():
        for problem in problems:
            told = _closer(problem, variant, other)
            if told is not None:
                found.append(Claim(f"{dataset}, learned by heart: {claim}", *told))
    return found


def _ablation(cells: Cells) -> list[Claim]:
    return [
        *_compared(
            cells, "decay forgets more than the same bouts without it (vfr against no-decay)", "vfr", "no-decay"
        ),
        *_compared(cells, "the same for one rate for all (ffr against no-decay)", "ffr", "no-decay"),
    ]


def _rankings(cells: Cells) -> list[Claim]:
    found = _compared(cells, "VFR is closer to retraining than FFR with tau = 2", "vfr", "ffr")
    found += _compared(cells, "VFR is closer than FFR at the same total decay", "vfr", "ffr-same-decay")
    for other in RANKED:
        if other.startswith("vfr-") and other != "vfr-forget-trained":
            name = other.removeprefix("vfr-").replace("-", " ")
            found += _compared(cells, f"VFR by activation is closer than by {name}", "vfr", other)
    return found


def _failures(cells: Cells) -> list[Claim]:
    """Each failure that was asked for: in how many runs it was recognised, and in which words first."""
    found = []
    for failure in ("over-forgetting", "under-forgetting", "oscillation"):
        runs = [figures for problem in cells.values() for figures in problem.get(f"provoked-{failure}", [])]
        said = [
            next((n for n in run["unlearned"]["notes"] if n.lower().startswith(failure)), None)
            for run in sorted(runs, key=lambda run: int(run["seed"]))
        ]
        seen = [note for note in said if note is not None]
        if not runs:
            continue
        claim = f"{failure} happens under wrong settings, and is recognised"
        if not seen:
            found.append(Claim(claim, f"was asked for, and recognised in 0 of {len(runs)} runs", FAILS))
            continue
        answer = HOLDS if len(seen) == len(runs) else f"happens, in {len(seen)} of {len(runs)} runs"
        found.append(Claim(claim, f"recognised in {len(seen)} of {len(runs)} runs, first: {seen[0]}", answer))
    return found


def _turns(cells: Cells) -> list[Claim]:
    found = []
    for memorised in (False, True):
        for dataset, problems in _by_dataset(_of(cells, memorised=memorised)).items():
            runs = [f["unlearned"] for p in problems for name in ("vfr", "ffr") for f in p.get(name, [])]
            if not runs:
                continue
            turns = [turns_to_stop(block) for block in runs]
            stopped = [turn for turn in turns if turn is not None]
            what = "learned by heart" if memorised else "random and balanced splits"
            told = f"{spread(stopped, 1)} turns" if stopped else "never"
            found.append(
                Claim(
                    f"{dataset}, {what}: turns go on until the attack says forgotten",
                    f"{told}, in {len(stopped)} of {len(turns)} runs of VFR and FFR within 5 turns",
                    _answer(len(stopped) == len(turns)),
                )
            )
    return found


def _cost(cells: Cells) -> list[Claim]:
    found = []
    for memorised in (False, True):
        for dataset, problems in _by_dataset(_of(cells, memorised=memorised)).items():
            costs = {
                name: _values(problems, name, lambda f: f["unlearned"]["cost"]["examples_ratio"])
                for name in ("paper", "vfr")
            }
            known = [value for values in costs.values() for value in values]
            if known:
                what = "learned by heart" if memorised else "random and balanced splits"
                told = "; ".join(f"{name} {spread(values, 0, scale=100)}" for name, values in costs.items() if values)
                found.append(
                    Claim(
                        f"{dataset}, {what}: it costs less than retraining",
                        f"examples processed, % of one retraining: {told}",
                        _answer(max(known) < 1),
                    )
                )
    return found


def _published(cells: Cells) -> list[Claim]:
    found = []
    for dataset, problems in _by_dataset(_of(cells, memorised=False, network="authors-cnn")).items():
        for variant in PUBLISHED[1:]:
            for problem in problems:
                told = _change_without_gates(problem.get(variant, []))
                if told is not None:
                    found.append(Claim(f"{dataset}, the published code ({variant}): its gates forget for good", *told))
    return found


def _change_without_gates(cells: Sequence[Figures]) -> tuple[str, str] | None:
    """Forget accuracy before, with the gates of the last bout, and without them.

    Where the gates hide nothing, nothing can come back when they are taken off, and nothing was forgotten.
    """
    runs = []
    for figures in cells:
        ends = [e for e in figures["unlearned"]["history"] if e["bout"] in ("unlearning", "gates off")]
        if len(ends) >= 2:  # with, and without
            before = figures["original"]["accuracy"]["forget"]
            runs.append((before, *(end["accuracy"]["forget"] for end in ends[-2:])))
    if not runs:
        return None
    before_, gated, open_ = (spread([run[i] for run in runs], 1, scale=100) for i in range(3))
    told = f"forget accuracy {before_} % before, {gated} % with the gates, {open_} % when they are taken off"
    if all(with_gates > before - 0.02 for before, with_gates, _ in runs):
        return told, f"{OPEN}: its gates hide nothing"
    return told, _answer(all(without <= with_gates + 0.02 for _, with_gates, without in runs))
