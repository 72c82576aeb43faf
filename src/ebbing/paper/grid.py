"""Which variants of the paper's method are tried on which problems."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from ebbing.methods import DoNothing, ForgettingNetwork, Temperature, Unlearner
from ebbing.rankings import Activation, ActivationRatio, FisherRatio, Index, Inverse, Random, Taylor, TopK
from ebbing.rates import FixedRate, LinearRate, RankedRate, Rate
from ebbing.training import Recipe

BOUT = 4  # epochs of an unlearning bout, as in the paper
FC_UNITS = (128, 10)  # of the network's fully connected layers
DATASETS = ("mnist", "fashion-mnist")
SPLITS = tuple(f"{kind}:{share}" for share in ("0.1", "0.2", "0.05") for kind in ("random", "balanced"))
MEMORISED = "mislabelled:0.05"
ORACLES = 16  # the fewest that allow good news


def same_decay_tau(rate: Rate, *, epochs: int = BOUT, sizes: Sequence[int] = FC_UNITS) -> float:
    """The one tau whose factor after a bout is the mean of a rate's factors: tau = -epochs / log(mean exp(-epochs / tau_i)).

    Two rates are only compared fairly at the same total decay.

    Example:
        >>> round(same_decay_tau(FixedRate(2.0)), 6)
        2.0
    """
    scores = {str(n): torch.arange(n, dtype=torch.float64) for n in sizes}
    factors = torch.cat([torch.exp(-epochs / tau) for tau in rate.tau(scores).values()])
    return -epochs / math.log(float(factors.mean()))


def _ranked(ranking: object) -> ForgettingNetwork:
    return ForgettingNetwork(rate=RankedRate(ranking))  # type: ignore[arg-type]


VARIANTS: Mapping[str, Unlearner] = {
    "do-nothing": DoNothing(),
    "temperature": Temperature(),
    "no-decay": ForgettingNetwork(rate=FixedRate(math.inf)),
    "ffr": ForgettingNetwork(rate=FixedRate(2.0)),
    "ffr-same-decay": ForgettingNetwork(rate=FixedRate(same_decay_tau(RankedRate()))),
    "vfr": ForgettingNetwork(rate=RankedRate(Activation())),
    "vfr-random": _ranked(Random()),
    "vfr-inverse": _ranked(Inverse()),
    "vfr-index": _ranked(Index()),
    "vfr-activation-ratio": _ranked(ActivationRatio()),
    "vfr-taylor": _ranked(Taylor()),
    "vfr-fisher-ratio": _ranked(FisherRatio()),
    "vfr-top-k": _ranked(TopK(k=20)),
    "vfr-forget-trained": ForgettingNetwork(unlearning_trains="forget"),
    "paper": ForgettingNetwork.presets["paper"],
    "paper-ffr": ForgettingNetwork.presets["ffr"],
    "published-code": ForgettingNetwork.presets["published-code"],
    "published-code-top-20": replace(
        ForgettingNetwork.presets["published-code"], rate=LinearRate(Activation(), silenced=20)
    ),
    # the failures that the paper names, asked for
    "provoked-over-forgetting": ForgettingNetwork(rate=FixedRate(0.4), learning=Recipe(epochs=0.05)),
    "provoked-under-forgetting": ForgettingNetwork(rate=FixedRate(1e6), turns=6, learning=Recipe(epochs=0.1)),
    "provoked-oscillation": ForgettingNetwork(
        rate=RankedRate(Random(), fastest=0.1, slowest=20.0), turns=8, learning=Recipe(epochs=1, learning_rate=1e-2)
    ),
}
BROAD = ("do-nothing", "temperature", "no-decay", "ffr", "vfr", "paper", "paper-ffr")
RANKED = (
    *("ffr-same-decay", "vfr-random", "vfr-inverse", "vfr-index", "vfr-activation-ratio", "vfr-taylor"),
    *("vfr-fisher-ratio", "vfr-top-k", "vfr-forget-trained"),
)
PROVOKED = tuple(name for name in VARIANTS if name.startswith("provoked"))
PUBLISHED = ("do-nothing", "published-code", "published-code-top-20")


@dataclass(frozen=True)
class Problem:
    """What is trained, and what must be forgotten.

    Attributes:
        dataset: "mnist" or "fashion-mnist".
        train_size: training images, drawn by seed 0.
        split: a rule of `ebbing.data.selection.select`; drawn by seed 0, the same for every seed of the original.
        network: "paper-cnn" or "authors-cnn".
        epochs: of every training.
        oracles: retrained models.
        unseen: images of the test set that are read, drawn by seed 0.
    """

    dataset: str
    train_size: int
    split: str
    network: str = "paper-cnn"
    epochs: float = 5
    oracles: int = ORACLES
    unseen: int = 10_000

    @property
    def name(self) -> str:
        """Its folder."""
        network = "" if self.network == "paper-cnn" else f"-{self.network}"
        return f"{self.dataset}-{self.train_size}-{self.split.replace(':', '-')}{network}"

    @property
    def recipe(self) -> Recipe:
        """How originals and retrained models are trained."""
        return Recipe(epochs=self.epochs)


@dataclass(frozen=True)
class Cell:
    """One variant on one problem with one original."""

    problem: Problem
    variant: str
    seed: int

    @property
    def path(self) -> str:
        """Its file, below the folder of results."""
        return f"{self.problem.name}/{self.variant}-seed{self.seed}.json"

    @property
    def examples(self) -> float:
        """Roughly those of five turns, and of what they are watched and judged by."""
        turns = {"do-nothing": 0, "temperature": 0, "paper": 1, "paper-ffr": 1}.get(self.variant, 5)
        return (4.0 + 2.5 * turns) * self.problem.train_size


def memorised(dataset: str, *, train_size: int = 10_000, oracles: int = ORACLES) -> Problem:
    """5 % wrong labels, trained long enough that most of them are learned by heart."""
    epochs = {"mnist": 30, "fashion-mnist": 40}[dataset]
    return Problem(dataset, train_size, MEMORISED, epochs=epochs, oracles=oracles)


def variants_of(problem: Problem) -> tuple[str, ...]:
    """What is tried on a problem: every ranking where there is memory to forget, and on the split that all are tried on."""
    if problem.network == "authors-cnn":
        return PUBLISHED
    if problem.train_size > 10_000:
        return BROAD
    if problem.split == MEMORISED:
        return (*BROAD, *RANKED, *(PROVOKED if problem.dataset == "mnist" else ()))
    return (*BROAD, *RANKED) if problem.split == "random:0.1" else BROAD


def _problems() -> tuple[Problem, ...]:
    first = [problem for d in DATASETS for problem in (memorised(d), Problem(d, 10_000, "random:0.1"))]
    published = [Problem(d, 10_000, "random:0.1", network="authors-cnn", oracles=4) for d in DATASETS]
    rest = [Problem(d, 10_000, split) for split in SPLITS if split != "random:0.1" for d in DATASETS]
    return (*first, *rest, *published, *(Problem(d, 60_000, "random:0.1", oracles=4) for d in DATASETS))


PROBLEMS = _problems()


def grid(*, seeds: int, datasets: Sequence[str] = DATASETS) -> list[Cell]:
    """Every cell: problem by problem with the first original, then with the next."""
    chosen = [problem for problem in PROBLEMS if problem.dataset in datasets]
    return [Cell(p, variant, seed) for seed in range(seeds) for p in chosen for variant in variants_of(p)]


def quick_grid() -> list[Cell]:
    """A taste in ten minutes: MNIST with 2,000 images, memorised and not, four retrained models."""
    problems = (
        replace(memorised("mnist", train_size=2_000, oracles=4), epochs=40, unseen=3_000),
        Problem("mnist", 2_000, "random:0.1", epochs=20, oracles=4, unseen=3_000),
    )
    return [Cell(p, variant, 0) for p in problems for variant in (*BROAD, "vfr-random", "vfr-taylor")]
