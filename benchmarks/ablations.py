"""What each part of `Ebb` is worth: one piece changed at a time, on tasks of the leaderboard, within the same budgets.

    python benchmarks/ablations.py --workers 2            # make what is missing
    python benchmarks/ablations.py --task digits-memorised3 --budget 0.03
    python benchmarks/ablations.py --task fashion10k-mislabelled5 --variant linear-only --variant no-decay

A cell is a small file under results/ablations; a run that was interrupted goes on. Models are those of the leaderboard.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import nn

from ebbing.allocator import keep_freed_memory
from ebbing.bench.cells import Cell, Places, cells_of, make_cells
from ebbing.bench.tasks import TASKS
from ebbing.curves import PowerLaw, Step
from ebbing.methods import Ebb, Run, Unlearner
from ebbing.rankings import Activation, ActivationRatio, FisherRatio, Inverse, Random, Ranking, Taylor
from ebbing.rates import FixedRate, RankedRate
from ebbing.units import UnitGroup

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results" / "ablations"
ON = ("digits-mislabelled5-cnn/v1", "digits-memorised3-cnn/v1")
ON_IMAGES = ("mnist10k-mislabelled5-cnn/v1", "fashion10k-mislabelled5-cnn/v1")
NEVER = FixedRate(float("inf"))


@dataclass(frozen=True)
class InTurns(Ebb):
    """The decay and the repair of `Ebb` shared out among turns.

    Attributes:
        turns: how many, >= 1; each has its share of the duration and of the budget.
    """

    turns: int = 1

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """One turn after the other."""
        settings = {f.name: getattr(self, f.name) for f in fields(Ebb)}
        shared = {"duration": self.duration / self.turns, "budget": self.budget / self.turns}
        for _ in range(self.turns):
            model = Ebb(**(settings | shared)).forget(model, run)
        return model


@dataclass(frozen=True)
class InLayers(Ebb):
    """`Ebb` that decays some layers alone.

    Attributes:
        layers: their names.
    """

    layers: tuple[str, ...] = ()

    def _decaying(self, units: list[UnitGroup], kind: str) -> list[UnitGroup]:
        return [unit for unit in super()._decaying(units, kind) if unit.name in self.layers]


def ranked(ranking: Ranking) -> Ebb:
    """Rates by rank in place of fixed ones, four times as fast to four times as slow: the geometric mean stays."""
    return Ebb(linear=RankedRate(ranking, 0.125, 2.0), conv=RankedRate(ranking, 1.5, 24.0))


def in_turns(turns: int) -> InTurns:
    """The default in turns; at full strength, as that is told once."""
    return InTurns(by_memory=False, turns=turns)


VARIANTS: Mapping[str, Unlearner] = {
    "ebb": Ebb(),
    "no-decay": Ebb(duration=0.0),
    "decay-alike": Ebb(by_memory=False),
    "by-activation": ranked(Activation()),
    "by-activation-ratio": ranked(ActivationRatio()),
    "by-taylor": ranked(Taylor()),
    "by-fisher-ratio": ranked(FisherRatio()),
    "by-random": ranked(Random()),
    "by-inverse-ratio": ranked(Inverse(ActivationRatio())),
    "zero-anchor": Ebb(anchor="zero"),
    "linear-only": Ebb(conv=NEVER),
    "conv-only": Ebb(linear=NEVER),
    "all-layers": Ebb(spare_input=False),
    "anew": Ebb(linear=FixedRate(0.0), conv=FixedRate(0.0), spare_input=False),
    "first-linear-only": InLayers(layers=("fc1",)),
    "last-linear-only": InLayers(layers=("fc2",)),
    "conv-half-as-fast": Ebb(conv=FixedRate(12.0)),
    "conv-twice-as-fast": Ebb(conv=FixedRate(3.0)),
    "power-law": Ebb(curve=PowerLaw()),
    "step": Ebb(curve=Step()),
    "half-as-long": Ebb(duration=2.0),
    "twice-as-long": Ebb(duration=8.0),
    "peak-1": Ebb(peak=1.0),
    "peak-3": Ebb(peak=3.0),
    "peak-30": Ebb(peak=30.0),
    **{f"turns-{turns}": in_turns(turns) for turns in (1, 2, 3, 4, 5)},
}


DEPTHS = (
    *("ebb", "no-decay", "linear-only", "conv-only", "all-layers", "first-linear-only", "last-linear-only"),
    *("conv-half-as-fast", "conv-twice-as-fast", "peak-3", "peak-30"),
)  # what is asked of images, where a cell takes minutes


def ablation_cells(
    tasks: tuple[str, ...] = (*ON, *ON_IMAGES),
    budgets: tuple[float, ...] = (0.03, 0.1),
    variants: tuple[str, ...] = tuple(VARIANTS),
) -> list[Cell]:
    """All cells of some tasks, budgets and variants: on images, those that tell layers apart."""
    return [
        cell
        for name in tasks
        for cell in cells_of([TASKS[name]], VARIANTS, budgets)
        if cell.label in variants and (name not in ON_IMAGES or cell.label in DEPTHS)
    ]


def main() -> None:
    """Make what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--task",
        action="append",
        help="the beginning of a name; the default is two of digits and two of images",
    )
    parser.add_argument("--budget", action="append", type=float)
    parser.add_argument("--variant", action="append", choices=VARIANTS)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--data-dir", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    names = (
        tuple(n for n in TASKS if any(n.startswith(word) for word in options.task))
        if options.task
        else (*ON, *ON_IMAGES)
    )
    cells = ablation_cells(names, tuple(options.budget or (0.03, 0.1)), tuple(options.variant or VARIANTS))
    places = Places(RESULTS, ROOT / "runs" / "bench", options.data_dir, "python benchmarks/ablations.py")
    missing = [cell for cell in cells if not places.cell(cell).exists()]
    print(f"{len(cells) - len(missing)} of {len(cells)} cells are finished", flush=True)
    started, done = time.perf_counter(), 0
    for made in make_cells(cells, places, workers=options.workers):
        if not isinstance(made, Cell):
            continue
        done += 1
        left = (time.perf_counter() - started) * (len(missing) - done) / done / 60
        found = json.loads(places.cell(made).read_text(encoding="utf-8"))["figures"]
        told = (
            "too dear"
            if found is None
            else f"M {found['memory']['mean']:.2f}, holdout {found['accuracy']['holdout']['mean']:.1%}"
        )
        print(f"{done} of {len(missing)}, about {left:.0f} min left; {made.path}: {told}", flush=True)


if __name__ == "__main__":
    main()
