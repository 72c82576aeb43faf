"""What decay does elsewhere than in a small network of convolutions: residual networks, and a vision transformer.

    python benchmarks/layers.py --workers 2               # make what is missing
    python benchmarks/layers.py --task mnist10k-mislabelled5-plain/v1 --variant ebb

5 % of 10,000 images have wrong labels, and these records must go: the same as of the paper's network, whose layers
`benchmarks/ablations.py` tells apart. A cell is a small file under results/layers; a run that was interrupted goes on.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from ebbing.allocator import keep_freed_memory
from ebbing.bench.cells import Cell, Places, cells_of, make_cells
from ebbing.bench.tasks import TASKS
from ebbing.methods import (
    SCRUB,
    SSD,
    DoNothing,
    Ebb,
    EUk,
    FineTune,
    ForgettingNetwork,
    NegGradPlus,
    RetrainEqualCompute,
    SalUn,
    SelectivePruning,
    Unlearner,
)
from ebbing.rankings import ActivationRatio, Random, Ranking
from ebbing.rates import FixedRate, RankedRate
from ebbing.training import Recipe
from ebbing.units import UnitGroup

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results" / "layers"
NEVER = FixedRate(float("inf"))
RESET = FixedRate(0.5)


@dataclass(frozen=True)
class InLayers(Ebb):
    """`Ebb` that decays some layers alone.

    Attributes:
        parts: with what the names of the layers begin.
    """

    parts: tuple[str, ...] = ()

    def _decaying(self, units: list[UnitGroup], kind: str) -> list[UnitGroup]:
        return [unit for unit in super()._decaying(units, kind) if unit.name.startswith(self.parts)]


def hot(learning_rate: float) -> Recipe:
    """A repair by Adam."""
    return Recipe(epochs=10, max_examples=60_000, batch_size=64, learning_rate=learning_rate, schedule="one-cycle")


RIVALS: Mapping[str, Unlearner] = {
    "do-nothing": DoNothing(),
    "fine-tune": FineTune(),
    "retrain-equal-compute": RetrainEqualCompute(),
}
CONVOLUTIONS: Mapping[str, Unlearner] = {
    **RIVALS,
    "ebb": Ebb(),
    "no-decay": Ebb(duration=0.0),
    "linear-only": Ebb(conv=NEVER),
    "conv-only": Ebb(linear=NEVER),
    "all-layers": Ebb(spare_input=False),
    "conv-reset": Ebb(conv=RESET),
    "first-stage": InLayers(conv=RESET, parts=("stages.0", "fc")),
    "second-stage": InLayers(conv=RESET, parts=("stages.1", "fc")),
    "third-stage": InLayers(conv=RESET, parts=("stages.2", "fc")),
    "eu-2": EUk(layers=2),
    "eu-4": EUk(layers=4),
}


def in_blocks(heads: FixedRate | RankedRate, mlp: FixedRate | RankedRate) -> Ebb:
    """`Ebb` that decays units of transformers and the head, not the patches."""
    return Ebb(conv=NEVER, heads=heads, mlp=mlp)


def ranked(ranking: Ranking) -> RankedRate:
    """Rates by rank, sixteen-fold from the fastest to the slowest, about as strong as the default together."""
    return RankedRate(ranking, 1.5, 24.0)


def network(layers: str | tuple[str, ...], ranking: Ranking | None = None) -> ForgettingNetwork:
    """The paper's method on other units, in two turns."""
    chosen = {} if ranking is None else {"rate": RankedRate(ranking)}
    return ForgettingNetwork(layers=layers, turns=2, **chosen)


TRANSFORMER: Mapping[str, Unlearner] = {
    **RIVALS,
    "ebb": Ebb(),
    "no-decay": Ebb(duration=0.0),
    "head-only": in_blocks(NEVER, NEVER),
    "mlp-only": in_blocks(NEVER, FixedRate(6.0)),
    "heads-only": in_blocks(FixedRate(6.0), NEVER),
    "heads-and-mlp": in_blocks(FixedRate(6.0), FixedRate(6.0)),
    "heads-and-mlp-reset": in_blocks(RESET, RESET),
    "mlp-reset": in_blocks(NEVER, RESET),
    "by-ratio": in_blocks(ranked(ActivationRatio()), ranked(ActivationRatio())),
    "by-random": in_blocks(ranked(Random()), ranked(Random())),
    "forgetting-network-mlp": network("mlp"),
    "forgetting-network-heads": network("heads"),
    "forgetting-network-both": network(("heads", "mlp")),
    "forgetting-network-random": network(("heads", "mlp"), Random()),
    "neg-grad-plus": NegGradPlus(),
    "neg-grad-plus-more": NegGradPlus(retain_weight=0.8),
    "neg-grad-plus-adam": NegGradPlus(repair=hot(1e-3)),
    "salun": SalUn(),
    "salun-adam": SalUn(repair=hot(1e-3)),
    "salun-hot": SalUn(repair=hot(5e-3)),
    "ssd": SSD(),
    "ssd-more": SSD(selection=3.0, dampening=0.3),
    "ssd-less": SSD(selection=30.0),
    "ssd-least": SSD(selection=100.0),
    "selective-pruning": SelectivePruning(),
    "selective-pruning-more": SelectivePruning(share=0.2),
    "fine-tune-hot": FineTune(repair=hot(5e-3)),
}
# where only some of the wrong labels were learned, asking whether anything was memorised hides what decay does
ALIKE: Mapping[str, Unlearner] = {
    "decay-alike": Ebb(by_memory=False),
    "no-decay-alike": Ebb(by_memory=False, duration=0.0),
    "linear-only-alike": Ebb(by_memory=False, conv=NEVER),
    "conv-only-alike": Ebb(by_memory=False, linear=NEVER),
}
LARGE: Mapping[str, Unlearner] = {  # the most wanted first
    **RIVALS,
    **{
        label: CONVOLUTIONS[label]
        for label in ("ebb", "no-decay", "eu-2", "eu-4", "linear-only", "conv-only", "conv-reset", "all-layers")
    },
    "forgetting-network": ForgettingNetwork(turns=2),
    **{label: TRANSFORMER[label] for label in ("salun", "salun-adam", "ssd", "ssd-less", "ssd-least")},
    **{label: TRANSFORMER[label] for label in ("neg-grad-plus", "neg-grad-plus-more", "neg-grad-plus-adam")},
    "scrub": SCRUB(),
}
STUDIES: Mapping[str, Mapping[str, Unlearner]] = {
    "mnist10k-mislabelled5-resnet/v1": CONVOLUTIONS,
    "fashion10k-mislabelled5-resnet/v1": CONVOLUTIONS,
    "mnist10k-mislabelled5-plain/v1": {**CONVOLUTIONS, **ALIKE},
    "fashion10k-mislabelled5-plain/v1": {**CONVOLUTIONS, **ALIKE},
    "fashion10k-mislabelled5-vit/v1": TRANSFORMER,
    "fashion10k-mislabelled5-resnet18/v1": LARGE,
}


def study_cells(
    studies: tuple[str, ...] = tuple(STUDIES), variants: tuple[str, ...] = (), budget: float = 0.1
) -> list[Cell]:
    """The cells of some studies, and of some of their variants; all without a word."""
    return [
        cell
        for study in studies
        for cell in cells_of([TASKS[study]], STUDIES[study], (budget,))
        if not variants or cell.label in variants
    ]


def main() -> None:
    """Make what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", action="append", choices=STUDIES)
    parser.add_argument(
        "--variant", action="append", choices=sorted({label for study in STUDIES.values() for label in study})
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--data-dir", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    cells = study_cells(tuple(options.task or STUDIES), tuple(options.variant or ()))
    places = Places(
        options.results,
        ROOT / "runs" / "bench" / ("" if options.device == "cpu" else options.device),
        options.data_dir,
        shlex.join(["python", *sys.argv]),
        options.device,
    )
    missing = [cell for cell in cells if not places.cell(cell).exists()]
    print(f"{len(cells) - len(missing)} of {len(cells)} cells are finished", flush=True)
    started = time.perf_counter()
    for made in make_cells(cells, places, workers=options.workers):
        took = (time.perf_counter() - started) / 60
        print(f"{took:.0f} min: {made.path}{_told(made, places)}", flush=True)


def _told(made: object, places: Places) -> str:
    """The figures of a cell in a line; nothing of a model."""
    if not isinstance(made, Cell):
        return ""
    found = json.loads(places.cell(made).read_text(encoding="utf-8"))["figures"]
    if found is None:
        return ": too dear"
    return f": M {found['memory']['mean']:.2f}, holdout {found['accuracy']['holdout']['mean']:.1%}"


if __name__ == "__main__":
    main()
