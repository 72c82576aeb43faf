"""How long KLoM, U-LiRA and RMIA take on the margins of 100 models and 60,000 records, and how much memory.

The margins are drawn at random. Each measure is also written as a plain loop over records and run on a slice of them, in
turn with the measure itself; the loop's seconds over the slice, times the records that a slice stands for, are its seconds
over all. Where a part of the work is shared by all records (RMIA's population), the loop does it once, outside of what is
multiplied. The results of both must agree on the slice. The peak resident set is that of a child process that draws the
margins and runs the three measures once, without the loops.

    python benchmarks/measures.py --out results/measures.json
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")  # read when NumPy is loaded: figures of one core

import numpy as np  # noqa: E402

from ebbing.machine import describe  # noqa: E402
from ebbing.measures import klom, rmia, u_lira_efficacy  # noqa: E402

MODELS, RECORDS, POPULATION = 100, 60_000, 10_000
FOLDS, A = 10, 0.3
LIMIT_SECONDS, LIMIT_GIB, LIMIT_RATIO = 5.0, 2.0, 20.0


@dataclass(frozen=True)
class Margins:
    """Judged and retrained models' margins, float32, on the records and on a population that neither saw."""

    judged: np.ndarray
    retrained: np.ndarray
    judged_population: np.ndarray
    retrained_population: np.ndarray

    @classmethod
    def draw(cls, seed: int = 0) -> "Margins":
        """Gaussian around a mean of each record's own; what is judged lies half a standard deviation higher."""
        generator = np.random.default_rng(seed)
        means = generator.normal(3, 2, RECORDS + POPULATION).astype(np.float32)
        both = [generator.standard_normal((MODELS, RECORDS + POPULATION), dtype=np.float32) + means for _ in range(2)]
        both[0][:, :RECORDS] += 0.5
        parts = [np.ascontiguousarray(part) for margins in both for part in np.split(margins, [RECORDS], axis=1)]
        return cls(judged=parts[0], judged_population=parts[1], retrained=parts[2], retrained_population=parts[3])


# ---------------------------------------------------------------- the measures, and the same as loops over records


def klom_here(margins: Margins) -> np.ndarray:
    """(RECORDS,) values."""
    return klom(margins.judged, margins.retrained)


def klom_loop(margins: Margins, records: range) -> tuple[np.ndarray, float]:
    """Values of some records, and the seconds that do not grow with their number."""
    values = []
    for x in records:
        u, o = margins.judged[:, x], margins.retrained[:, x]
        u, o = np.clip(u, -100, 100).astype(np.float64), np.clip(o, -100, 100).astype(np.float64)
        ends = min(u.min(), o.min()), max(u.max(), o.max())
        p, q = (np.histogram(side, bins=20, range=ends)[0] / len(side) for side in (u, o))
        there = p > 0
        values.append(float((p[there] * np.log(p[there] / np.maximum(q[there], 1e-5))).sum()))
    return np.array(values), 0.0


def u_lira_here(margins: Margins) -> np.ndarray:
    """(RECORDS,) areas, with every pooled figure beside them."""
    return u_lira_efficacy(margins.judged, margins.retrained, folds=FOLDS).per_example_auc


def u_lira_loop(margins: Margins, records: range) -> tuple[np.ndarray, float]:
    """Areas of some records. The pooled figures are left out, to the loop's advantage."""
    areas = []
    folds = [(np.arange(MODELS) % FOLDS == fold) for fold in range(FOLDS)]
    for x in records:
        u, o = margins.judged[:, x].astype(np.float64), margins.retrained[:, x].astype(np.float64)
        won = pairs = 0.0
        for inside in folds:
            (mean_u, sd_u), (mean_o, sd_o) = ((side[~inside].mean(), side[~inside].std(ddof=1)) for side in (u, o))
            positive, negative = (
                np.log(sd_o / sd_u) + ((phi - mean_o) / sd_o) ** 2 / 2 - ((phi - mean_u) / sd_u) ** 2 / 2
                for phi in (u[inside], o[inside])
            )
            won += (positive[:, None] > negative).sum() + 0.5 * (positive[:, None] == negative).sum()
            pairs += len(positive) * len(negative)
        areas.append(won / pairs)
    return np.array(areas), 0.0


def rmia_here(margins: Margins) -> np.ndarray:
    """(MODELS, RECORDS) scores."""
    return rmia(
        margins.judged,
        margins.retrained,
        population=margins.judged_population,
        retrained_population=margins.retrained_population,
        a=A,
    )


def rmia_loop(margins: Margins, records: range) -> tuple[np.ndarray, float]:
    """Scores of some records, each beside the whole population of every model."""
    start = time.perf_counter()

    def p(values: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-values.astype(np.float64)))

    of_z = p(margins.judged_population) / (((1 + A) * p(margins.retrained_population).mean(axis=0) + 1 - A) / 2)
    shared = time.perf_counter() - start
    scores = []
    for x in records:
        ratio = p(margins.judged[:, x]) / (((1 + A) * p(margins.retrained[:, x]).mean() + 1 - A) / 2)
        scores.append((ratio[:, None] / of_z > 1).mean(axis=1))
    return np.stack(scores, axis=1), shared


Loop = Callable[[Margins, range], tuple[np.ndarray, float]]
# The measure, the loop, how many records the loop is run on, and how far results may lie apart
CASES: dict[str, tuple[Callable[[Margins], np.ndarray], Loop, int, float]] = {
    "klom": (klom_here, klom_loop, 2_000, 0.2),  # a margin on the edge between two bins may round into either
    "u_lira": (u_lira_here, u_lira_loop, 500, 1e-9),
    "rmia": (rmia_here, rmia_loop, 200, 1e-3),  # ratios that round to 1
}


def one_round(margins: Margins, number: int) -> dict[str, dict[str, float]]:
    """Seconds of each measure and of its loop over all records, and their ratio; each first in every other round.

    ``processor_seconds`` are what the measure itself computed, without what it waited for others on a busy machine.
    """
    figures = {}
    for name, (measure, loop, n, within) in CASES.items():
        records = range(number * n, (number + 1) * n)
        took: dict[str, float] = {}
        for what in ("measure", "loop") if number % 2 == 0 else ("loop", "measure"):
            start, computed = time.perf_counter(), time.process_time()
            if what == "measure":
                found = measure(margins)
                took[what], took["processor"] = time.perf_counter() - start, time.process_time() - computed
            else:
                slow, shared = loop(margins, records)
                took[what] = shared + (time.perf_counter() - start - shared) * RECORDS / n
        apart = np.abs(found[..., records] - slow)
        if apart.max() > within or np.mean(apart > 1e-9) > 0.01:
            raise SystemExit(f"{name}: the loop and the measure differ by up to {apart.max():.3g}.")
        figures[name] = {
            "seconds": took["measure"],
            "processor_seconds": took["processor"],
            "loop_seconds": took["loop"],
            "times_faster": took["loop"] / took["measure"],
        }
    return figures


def peak_gib() -> float:
    """Of a process that draws the margins and runs each measure once."""
    command = [sys.executable, __file__, "--peak"]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def own_peak() -> None:
    """What `peak_gib` runs. Linux counts the parent's size in: it must be small until this has ended."""
    margins = Margins.draw()
    for measure, *_ in CASES.values():
        measure(margins)
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30)


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds, at most 25")
    parser.add_argument("--peak", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=None, help="a JSON file for the figures")
    options = parser.parse_args()
    if options.peak:
        own_peak()
        return

    peak = peak_gib()
    margins = Margins.draw()
    for measure, *_ in CASES.values():
        measure(margins)  # warms up
    rounds = [one_round(margins, number) for number in range(options.rounds)]
    totals = [sum(found["seconds"] for found in r.values()) for r in rounds]
    ratios = [sum(found["loop_seconds"] for found in r.values()) / t for r, t in zip(rounds, totals, strict=True)]
    medians = {
        name: {key: statistics.median(r[name][key] for r in rounds) for key in rounds[0][name]} for name in CASES
    }
    print(f"{'median of ' + str(options.rounds):<14}{'seconds':>9}{'computing':>11}{'loop':>9}{'times faster':>14}")
    for name, m in medians.items():
        each = f"{m['seconds']:>9.2f}{m['processor_seconds']:>11.2f}{m['loop_seconds']:>9.1f}{m['times_faster']:>14.1f}"
        print(f"{name:<14}{each}")
    total, ratio = statistics.median(totals), statistics.median(ratios)
    print(f"all three: {total:.2f} s, {ratio:.1f} times faster")
    print(f"peak resident memory {peak:.2f} GiB")
    aims = {
        f"{LIMIT_SECONDS:g} s at most": total <= LIMIT_SECONDS,
        f"{LIMIT_GIB:g} GiB at most": peak <= LIMIT_GIB,
        f"{LIMIT_RATIO:g} times faster, each": all(m["times_faster"] >= LIMIT_RATIO for m in medians.values()),
    }
    print("; ".join(f"{aim}: {'kept' if kept else 'MISSED'}" for aim, kept in aims.items()))
    if options.out is not None:
        facts = {
            **describe(),
            "models": MODELS,
            "records": RECORDS,
            "population": POPULATION,
            "loop_records": {name: case[2] for name, case in CASES.items()},
            "rounds": rounds,
            "medians": medians,
            "seconds": {"median": total, "low": min(totals), "high": max(totals)},
            "times_faster": {"median": ratio, "low": min(ratios), "high": max(ratios)},
            "peak_gib": peak,
            "aims": {"seconds": LIMIT_SECONDS, "peak_gib": LIMIT_GIB, "times_faster": LIMIT_RATIO},
        }
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
