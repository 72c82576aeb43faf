"""How cost grows: seconds of unlearning and of an audit against what they could depend on, and the exponents.

    python benchmarks/scaling.py --out results/scaling.json
    python benchmarks/scaling.py --axis references --out results/scaling.json

Records of 64 numbers around ten centres, a perceptron of three layers, one thread. Each series changes one size and keeps the
others; each point is timed several times, the sizes in turns so that slow minutes of the machine do not fall on one point. An
exponent is the slope of log seconds over log size by least squares, with its interval of 95 %. With --axis only the series
along that axis are timed, and the others stay in the file as they are: each series says what made it.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import nn
from torch.utils.data import Dataset, TensorDataset

import ebbing as eb
from ebbing.allocator import keep_freed_memory
from ebbing.auditing import judge_observations
from ebbing.files import write_text
from ebbing.inside import probed_layers
from ebbing.machine import describe
from ebbing.rankings import ActivationRatio
from ebbing.rates import RankedRate
from ebbing.seen import Seen, see
from ebbing.task import Classification

WIDTH, CLASSES, HIDDEN = 64, 10, 128
SAMPLE = 10_000  # examples that the second method visits, however many there are
WORKERS = "workers"


@dataclass(frozen=True)
class Series:
    """What is changed, and what is timed at each size: ``prepare(size)`` gives it, and is not timed."""

    what: str
    sizes: tuple[int, ...]
    prepare: Callable[[int], Callable[[], object]]

    @property
    def axis(self) -> str:
        """What is changed."""
        return self.what.rpartition(" by ")[2]


def network(hidden: int = HIDDEN) -> nn.Module:
    """64-h-h-10."""
    layers = (nn.Linear(WIDTH, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, CLASSES))
    return nn.Sequential(*layers)


def records(n: int, *, seed: int) -> TensorDataset:
    """So many records."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(CLASSES, WIDTH, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(0, CLASSES, (n,), generator=generator)
    return TensorDataset(centres[labels] + torch.randn(n, WIDTH, generator=generator), labels)


def request_of(data: Dataset, forget: int) -> eb.ForgetRequest:
    """The first records go."""
    return eb.ForgetRequest.from_ids(data, range(forget), holdout=records(2000, seed=1))


def model_of(hidden: int = HIDDEN, seed: int = 0) -> nn.Module:
    """Untrained: only the time counts."""
    torch.manual_seed(seed)
    return network(hidden)


def unlearning(request: eb.ForgetRequest, hidden: int = HIDDEN) -> Callable[[], object]:
    """`Ebb` ranked by all records, with a tenth of retraining as its budget: what it visits grows with the training set."""
    rate = RankedRate(ActivationRatio())
    training, repair = eb.Recipe(epochs=40, batch_size=128), eb.Recipe(epochs=10, batch_size=128)
    method = eb.Ebb(linear=rate, repair=repair, training=training, budget=0.1, by_memory=False)
    model = model_of(hidden)
    return lambda: method.unlearn(model, request, seed=0)


def of_a_sample(request: eb.ForgetRequest) -> Callable[[], object]:
    """`Ebb` ranked by the forgotten records and 1,000 others, with a repair of fixed length."""
    rate = RankedRate(ActivationRatio(retain_records=1000))
    repair = eb.Recipe(epochs=10, max_examples=SAMPLE, batch_size=128)
    method = eb.Ebb(linear=rate, repair=repair, by_memory=False)
    model = model_of()
    return lambda: method.unlearn(model, request, seed=0)


def auditing(request: eb.ForgetRequest, oracles: int, hidden: int = HIDDEN) -> Callable[[], object]:
    """An audit by answers, layers and relearning."""
    every = [model_of(hidden, seed) for seed in range(oracles + 2)]
    before, after, *retrained = every
    return lambda: eb.audit(original=before, unlearned=after, oracles=retrained, request=request)


@cache
def observed(seed: int) -> Seen:
    """What an audit sees of a model."""
    request, model = request_of(records(4_000, seed=0), 500), model_of(seed=seed)
    layers = probed_layers(model, request, task=Classification())
    return see([model], request, task=Classification(), layers=layers, logits=True)


def judging(oracles: int, *, inside: bool) -> Callable[[], object]:
    """The verdict and the report of an audit whose models were observed before, from the answers alone or from all."""

    def shown(seeds: Sequence[int]) -> Seen:
        found = Seen.concatenate([observed(seed) for seed in seeds])
        return found if inside else Seen(found.answers)

    before, after, retrained = shown([0]), shown([1]), shown(range(2, oracles + 2))
    return lambda: judge_observations(original=before, unlearned={"unlearned": after}, oracles=retrained)


def series() -> list[Series]:
    """All of them."""
    grown, many = (4_000, 8_000, 16_000, 32_000, 64_000), (8, 16, 32, 64, 128, 256, 512)
    return [
        Series("unlearning, by records", grown, lambda n: unlearning(request_of(records(n, seed=0), 500))),
        Series("unlearning by a sample, by records", grown, lambda n: of_a_sample(request_of(records(n, seed=0), 500))),
        Series(
            "unlearning by a sample, by forgotten records",
            (1_000, 2_000, 4_000, 8_000, 16_000),
            lambda n: of_a_sample(request_of(records(40_000, seed=0), n)),
        ),
        Series(
            "unlearning, by parameters",
            (128, 256, 512, 1024),
            lambda hidden: unlearning(request_of(records(4_000, seed=0), 500), hidden),
        ),
        Series(
            "a request, by records", grown, lambda n: (data := records(n, seed=0)) and (lambda: request_of(data, 500))
        ),
        Series("an audit, by records", grown[::2], lambda n: auditing(request_of(records(n, seed=0), 500), 8)),
        Series(
            "an audit, by forgotten records",
            (500, 2_000, 8_000),
            lambda n: auditing(request_of(records(40_000, seed=0), n), 8),
        ),
        Series(
            "an audit, by parameters",
            (128, 256, 512, 1024),
            lambda hidden: auditing(request_of(records(4_000, seed=0), 500), 8, hidden),
        ),
        Series(
            "an audit, by references",
            (8, 16, 32, 64, 128),
            lambda n: auditing(request_of(records(4_000, seed=0), 500), n),
        ),
        Series("judging by answers, by references", many, lambda n: judging(n, inside=False)),
        Series("judging by answers and layers, by references", many, lambda n: judging(n, inside=True)),
    ]


def size_of(one: Series, size: int) -> int:
    """What a size stands for on the axis: parameters where widths are given."""
    return sum(p.numel() for p in network(size).parameters()) if one.axis == "parameters" else size


def timed(one: Series, rounds: int, points: int | None) -> dict[str, list[float]]:
    """Seconds by size, of the smallest ``points`` sizes."""
    sizes = one.sizes[:points]
    ready = {size: one.prepare(size) for size in sizes}
    seconds: dict[str, list[float]] = {str(size_of(one, size)): [] for size in sizes}
    for number in range(-1, rounds):  # the first round warms up
        for size, work in ready.items():
            start = time.perf_counter()
            work()
            if number >= 0:
                seconds[str(size_of(one, size))].append(time.perf_counter() - start)
    return seconds


def exponent(seconds: dict[str, list[float]]) -> dict[str, float]:
    """Slope of log seconds over log size, its interval of 95 %, and the constant."""
    x = np.log([float(size) for size, found in seconds.items() for _ in found])
    y = np.log([value for found in seconds.values() for value in found])
    fit = stats.linregress(x, y)
    reach = float(stats.t.ppf(0.975, len(x) - 2) * fit.stderr)
    return {"exponent": fit.slope, "low": fit.slope - reach, "high": fit.slope + reach, "constant": fit.intercept}


def workers(rounds: int) -> dict[str, Any]:
    """Seconds of a bank of eight models by the number of workers, their start included; an exponent from three numbers on."""
    request = request_of(records(16_000, seed=0), 500)
    seconds: dict[str, list[float]] = {str(n): [] for n in (1, 2, 4, 8) if n <= max(2, os.cpu_count() or 1)}
    for _ in range(rounds):
        for number, found in seconds.items():
            with tempfile.TemporaryDirectory() as folder:
                bank = eb.OracleBank(eb.Trainer(network, eb.Recipe(epochs=20)), request, directory=folder)
                start = time.perf_counter()
                bank.train(8, workers=int(number))
                found.append(time.perf_counter() - start)
    return {"seconds": seconds} | (exponent(seconds) if len(seconds) > 2 else {})


def main(arguments: Sequence[str] | None = None) -> None:
    """Time, fit, and write after each series."""
    axes = {one.axis: None for one in series()} | {WORKERS: None}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each point is timed")
    parser.add_argument("--axis", action="append", choices=axes, help="time the series along it alone; repeatable")
    parser.add_argument("--points", type=int, help="time so many of the smallest sizes of each series, to try out")
    parser.add_argument("--out", type=Path, help="with --axis, series along other axes that it holds stay as they are")
    options = parser.parse_args(arguments)
    if options.rounds < 2 or (options.points is not None and options.points < 2):
        parser.error("an exponent with an interval needs two rounds of two points at least")
    torch.set_num_threads(1)
    keep_freed_memory()
    chosen = options.axis or list(axes)
    only = "".join(f"--axis {shlex.quote(axis)} " for axis in options.axis or [])
    only += f"--points {options.points} " if options.points else ""
    command = f"python benchmarks/scaling.py {only}--rounds {options.rounds} --out results/scaling.json"
    made = describe(command) | {"threads": 1}
    found: dict[str, Any] = made | {"series": {}}
    if options.axis and options.out and options.out.exists():
        found = json.loads(options.out.read_text(encoding="utf-8"))

    def keep(name: str, one: dict[str, Any]) -> None:
        print(name, json.dumps(one), flush=True)
        found["series"][name] = one | {"made": made}
        if options.out:
            write_text(options.out, json.dumps(found, indent=1) + "\n")

    for one in series():
        if one.axis in chosen:
            seconds = timed(one, options.rounds, options.points)
            keep(one.what, {"seconds": seconds} | exponent(seconds))
    if WORKERS in chosen:
        keep(WORKERS, workers(min(3, options.rounds)))


if __name__ == "__main__":
    main()
