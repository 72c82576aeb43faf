"""Build docs/reproduction.md and its pictures from the files under results/paper/.

python benchmarks/reproduction_page.py           # write
python benchmarks/reproduction_page.py --check   # exit 1 where they are not what the files say
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from pages import write_or_check

from ebbing.paper import read_cells, tables
from ebbing.paper.claims import claims
from ebbing.paper.grid import BOUT
from ebbing.paper.tables import ProblemCells, markdown
from ebbing.rates import FixedRate, RankedRate
from ebbing.report.svg import BLUE, GREEN, INK, ORANGE, PINK, draw

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results" / "paper"
PAGE = ROOT / "docs" / "reproduction.md"
TEXT = Path(__file__).with_name("reproduction_text.md")
SHOWN = "mnist-10000-mislabelled-0.05"
UNITS = 128


def main() -> None:
    """Write the page, or check it."""
    cells = read_cells(RESULTS)
    answers = markdown([["claim", "measured", "answer"], *([c.claim, c.measured, c.answer] for c in claims(cells))])
    made = {path: svg + "\n" for path, svg in _pictures(cells[SHOWN]).items()}
    text = TEXT.read_text(encoding="utf-8")
    page = text.replace("{claims}", answers).replace("{tables}", tables(cells).rstrip())
    made[PAGE] = page
    write_or_check(made)


def _pictures(problem: ProblemCells) -> dict[Path, str]:
    folder = ROOT / "docs"
    return {
        folder / "reproduction-turns.svg": _turns(problem),
        folder / "reproduction-factors.svg": _factors(),
        folder / "reproduction-baking.svg": _baking(problem),
    }


def _turns(problem: ProblemCells) -> str:
    """The attack over every epoch of every bout, with the band of retrained models."""
    chosen = [
        (name, colour) for name, colour in (("no-decay", ORANGE), ("ffr", PINK), ("vfr", BLUE)) if name in problem
    ]
    band = problem[chosen[0][0]][0]["retrained"]["loss_auc"]

    def paint(axes: Axes) -> None:
        axes.axhspan(band["low"], band["high"], color=GREEN, alpha=0.25, linewidth=0)
        axes.axhspan(0.4, 0.6, color=INK, alpha=0.12, linewidth=0)
        for name, colour in chosen:
            history = problem[name][0]["unlearned"]["history"]
            axes.plot([e["validation_auc"] for e in history], color=colour, linewidth=1.2, label=name)
        starts = [i for i, e in enumerate(problem[chosen[0][0]][0]["unlearned"]["history"]) if e["bout"] == "learning"]
        for start in starts:
            axes.axvline(start, color=INK, linewidth=0.4, linestyle=":")
        axes.set_xlabel("epochs of bouts; dotted: the end of a learning bout")
        axes.set_ylabel("AUC of the loss")
        axes.legend(loc="upper right")

    return draw("turns", "The attack over turns", "", height=2.6, paint=paint).svg


def _factors() -> str:
    """Factor after a bout by rank."""
    scores = {"fc": -_ranks()}

    def paint(axes: Axes) -> None:
        for rate, colour, label in (
            (RankedRate(), BLUE, "VFR, tau 2 to 200"),
            (FixedRate(2.0), PINK, "FFR, tau 2"),
        ):
            taus = rate.tau(scores)["fc"].tolist()
            axes.plot(range(UNITS), [math.exp(-BOUT / tau) for tau in taus], color=colour, linewidth=1.4, label=label)
        axes.set_xlabel("rank of the neuron; 0 responds most")
        axes.set_ylabel("factor after 4 epochs")
        axes.set_ylim(0, 1.02)
        axes.legend(loc="center right")

    return draw("factors", "What is left of each neuron", "", height=2.2, paint=paint).svg


def _ranks() -> Any:
    import torch

    return torch.arange(UNITS, dtype=torch.float64)


def _baking(problem: ProblemCells) -> str:
    """Accuracy on the forget and the retain set through the turns of VFR."""
    history = problem["vfr"][0]["unlearned"]["history"]
    retrained = problem["vfr"][0]["retrained"]["accuracy"]

    def paint(axes: Axes) -> None:
        for split, colour in (("retain", BLUE), ("forget", ORANGE)):
            band = retrained[split]
            axes.axhspan(100 * band["low"] - 0.5, 100 * band["high"] + 0.5, color=GREEN, alpha=0.25, linewidth=0)
            axes.plot([100 * e["accuracy"][split] for e in history], color=colour, linewidth=1.2, label=split)
        for i, entry in enumerate(history):
            if entry["bout"] == "unlearning" and entry["epoch"] == BOUT:
                axes.axvline(i, color=INK, linewidth=0.4, linestyle=":")
        axes.set_xlabel("epochs of bouts; dotted: factors are baked into the weights")
        axes.set_ylabel("accuracy, %")
        axes.legend(loc="center right")

    return draw("baking", "Accuracy before and after baking", "", height=2.6, paint=paint).svg


if __name__ == "__main__":
    main()
