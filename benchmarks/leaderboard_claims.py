"""What was to be reached on the leaderboard, and whether it was: told from the cells by rules that were fixed before them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ebbing.bench.tables import Board
from ebbing.verdict import CONSISTENT, NO_MEMORY, NO_TRACE

OURS = "ebb"
DECAY = ("ebb", "forgetting-network")  # no rivals
FRESH = "retrain-equal-compute"
POINTS = 0.5  # of holdout accuracy
SPLITS = ("forget", "retain", "holdout")
Figures = Mapping[str, Any]
HOLDS = {True: "**holds**", False: "does not hold"}
PASSED = (NO_MEMORY, CONSISTENT, NO_TRACE)


@dataclass(frozen=True)
class Claim:
    """What was to be reached, in words, and a line for each task and budget."""

    title: str
    text: str
    rows: list[list[str]]


def claims(boards: Sequence[Board]) -> list[Claim]:
    """All of them."""
    return [_memory(boards), _drift(boards), _verdicts(boards), _unmemorised(boards)]


def is_memorised(board: Board) -> bool:
    """Whether the untouched model's mean M lies outside the band of retrained models."""
    return board.inside(_of(board, None, "do-nothing")) is False


def can_be_told(board: Board) -> bool:
    """Whether the cells that the claims are about are there, at every budget that anybody has a cell of."""
    wanted = [(None, "do-nothing"), *((budget, label) for budget in board.budgets for label in (OURS, FRESH))]
    there = {(cell["budget"], cell["label"]) for cell in board.cells}
    return there.issuperset(wanted)


def _of(board: Board, budget: float | None, label: str) -> Figures:
    return next(cell for cell in board.at(budget) if cell["label"] == label)


def _rivals(board: Board, budget: float) -> list[Figures]:
    """Everybody without decay, as they are and tuned, at a budget and free."""
    cells = board.at(budget)
    return [c for c in cells if c["figures"] is not None and not c["label"].startswith(DECAY)]


def _m(cell: Figures) -> float:
    return float(cell["figures"]["memory_abs"]["mean"])


def _holdout(cell: Figures) -> float:
    return 100 * float(cell["figures"]["accuracy"]["holdout"]["mean"])


def _gap(cell: Figures, split: str) -> float:
    return float(cell["figures"]["margin_gap"][split])


def _told(cell: Figures) -> str:
    return f"`{cell['label']}` {cell['figures']['memory']['mean']:.2f} at {_holdout(cell):.1f}"


def _places(boards: Sequence[Board], budgets: Sequence[float]) -> Iterator[tuple[Board, float, Figures]]:
    """The memorised tasks at those of the budgets that there are cells of, with our cell."""
    for board in boards:
        for budget in budgets:
            if is_memorised(board) and budget in board.budgets:
                yield board, budget, _of(board, budget, OURS)


def _memory(boards: Sequence[Board]) -> Claim:
    rows = [["task", "budget, %", "`ebb`: M at holdout", "best rival", "ahead", "fresh network", "beyond it"]]
    strictly = 0
    for board, budget, ours in _places(boards, (0.01, 0.03, 0.1)):
        rival, ahead = _ahead(board, ours, _rivals(board, budget))
        fresh = _best(board, [cell for cell in _rivals(board, budget) if cell["label"].startswith(FRESH)])
        inside = board.inside(ours) and board.inside(fresh)
        more = _holdout(ours) > _holdout(fresh)
        beyond = bool(more and (_m(ours) <= _m(fresh) or inside))
        strictly += more and _m(ours) <= _m(fresh)
        ceiling = 100 * board.reference["retrained"]["accuracy"]["holdout"]["mean"]
        answer = HOLDS[ahead]
        if not ahead and board.inside(rival) and _holdout(rival) + POINTS > ceiling:
            answer += f": retrained models have {ceiling:.1f}"
        told = [_told(ours), _told(rival), answer, _told(fresh), HOLDS[beyond]]
        rows.append([board.task.name, f"{100 * budget:g}", *told])
    return Claim(
        "Memory at no cost of accuracy",
        f"At every budget on every memorised task, M of `ebb` inside the band of retrained models at a holdout accuracy of "
        f"{POINTS} points above the best rival's whose M is inside, tuned or not; where none is inside, at most half of abs M "
        "of the lowest, at no less accuracy. And beyond the best fresh network at equal compute: more accuracy, and no more "
        "memory or both inside. Without these last three words, which is Pareto-better in the strict sense, it holds in "
        f"{strictly} of {len(rows) - 1} lines; in the others the fresh network has less memory or as much accuracy. A task is "
        "memorised where the untouched model is outside.",
        rows,
    )


def _ahead(board: Board, ours: Figures, rivals: Sequence[Figures]) -> tuple[Figures, bool]:
    """The rival to beat, and whether it is beaten."""
    best = _best(board, rivals)
    if board.inside(best):
        return best, bool(board.inside(ours)) and _holdout(ours) >= _holdout(best) + POINTS
    return best, _m(ours) <= _m(best) / 2 and _holdout(ours) >= _holdout(best)


def _best(board: Board, cells: Sequence[Figures]) -> Figures:
    """The most accurate of those inside the band; where none is inside, that with the least memory."""
    within = [cell for cell in cells if board.inside(cell)]
    return max(within, key=_holdout) if within else min(cells, key=_m)


def _drift(boards: Sequence[Board]) -> Claim:
    rows = [["task", "`ebb`: gap of D_f / holdout", "smallest of rivals inside the band", "1.3 times smaller"]]
    for board, budget, ours in _places(boards, (0.1,)):
        within = [cell for cell in _rivals(board, budget) if board.inside(cell)]
        if not within:
            rows.append([board.task.name, _gaps(ours), "none is inside", "–"])
            continue
        smallest = {split: min(within, key=lambda cell, s=split: _gap(cell, s)) for split in ("forget", "holdout")}
        told = " / ".join(f"`{cell['label']}` {_gap(cell, split):.2f}" for split, cell in smallest.items())
        holds = all(1.3 * _gap(ours, split) <= _gap(cell, split) for split, cell in smallest.items())
        rows.append([board.task.name, _gaps(ours), told, HOLDS[holds]])
    return Claim(
        "Drift at 10 %",
        "The standardised margin gap of D_f and of the holdout at least 1.3 times smaller than any rival's whose memory is "
        "inside the band.",
        rows,
    )


def _gaps(cell: Figures) -> str:
    return " / ".join(f"{_gap(cell, split):.2f}" for split in ("forget", "holdout"))


def _verdicts(boards: Sequence[Board]) -> Claim:
    rows = [["task", "budget, %", "verdicts on `ebb`", "in most", "passed: `ebb`, fresh network", "most of all others"]]
    for board, budget, ours in _places(boards, (0.01, 0.03, 0.1)):
        found = ours["figures"]["verdicts"]
        told = ", ".join(f"{name} {n}" for name, n in found.items())
        cells = [cell for cell in board.at(budget) if cell["figures"] is not None and cell["label"] != OURS]
        fresh = max((cell for cell in cells if cell["label"].startswith(FRESH)), key=_passed)
        best = max((cell for cell in cells if not cell["label"].startswith(FRESH)), key=_passed)
        most = f"`{best['label']}` {_passed(best)}" if _passed(best) else "0"
        both = f"{_passed(ours)}, {_passed(fresh)}"
        in_most = HOLDS[_passed(ours) > sum(found.values()) / 2]
        rows.append([board.task.name, f"{100 * budget:g}", told, in_most, both, most])
    verdicts = [cell["figures"]["verdicts"] for board in boards for cell in board.cells if cell["figures"] is not None]
    consistent = sum(found.get(CONSISTENT, 0) for found in verdicts)
    return Claim(
        "Verdicts",
        "By answers and layers, on the first 16 originals. Who is free of memory, or better, passed; that was to be in most. "
        f"`{CONSISTENT}`, which was to be reached once on each data set, is said of {consistent or 'none'} of the "
        f"{sum(sum(found.values()) for found in verdicts):,} models that were judged for this page, whoever's.",
        rows,
    )


def _passed(cell: Figures) -> int:
    """Of how many models no memory was found, or better."""
    return sum(cell["figures"]["verdicts"].get(name, 0) for name in PASSED)


def _unmemorised(boards: Sequence[Board]) -> Claim:
    rows = [["task", "budget, %", "cost, %", "largest share of do-nothing's distance", "not worse"]]
    for board in boards:
        if is_memorised(board):
            continue
        untouched = _of(board, None, "do-nothing")
        nothing = _distances(untouched)
        for budget in board.budgets:
            ours = _of(board, budget, OURS)
            shares = {name: value / nothing[name] for name, value in _distances(ours).items()}
            worst = max(shares, key=lambda name: shares[name])
            told, holds = f"{shares[worst]:.3f} ({worst})", shares[worst] <= 1 + 1e-9
            if _cpu(ours) != _cpu(untouched) and ours.get("left_alone") == board.task.models:
                told, holds = "its models are the untouched ones, of another processor", True
            cost = f"{100 * ours['cost']['examples_ratio']:.1f}"
            rows.append([board.task.name, f"{100 * budget:g}", cost, told, HOLDS[holds]])
    return Claim(
        "Where nothing is memorised",
        "No distance of `ebb` above that of the untouched model: abs M, W, drift, gap, KLoM, on every split. Figures of "
        "do-nothing are of models that were trained on one processor; a row of models of another is held to having left all "
        "of them as they were.",
        rows,
    )


def _cpu(cell: Figures) -> str:
    return str(cell["provenance"]["hardware"]["cpu"])


def _distances(cell: Figures) -> dict[str, float]:
    """Every distance from retrained models that the leaderboard has."""
    figures = cell["figures"]
    found = {"abs M": _m(cell), "W": float(figures["w"]["mean"])}
    for split in SPLITS:
        found[f"T of {split}"] = float(figures["drift"][split]["mean"])
        found[f"gap of {split}"] = _gap(cell, split)
        if figures["klom_gaussian"]:
            found[f"KLoM of {split}"] = float(figures["klom_gaussian"][split]["mean"])
    return found
