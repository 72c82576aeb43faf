"""How fast the training loop is, beside two others on the same records, network, optimizer and batches.

`raw` is what an expert would write by hand for tensors that fit: a permutation for each epoch, indexing, channels-last
for convolutions, the fused optimizer for a small network. It must end with the same weights, bit for bit, so that both
are known to have done the same work. `loader` is the usual DataLoader(TensorDataset, shuffle=True), in the usual memory
layout and with the usual optimizer. All three take turns, each round beginning with another one; each figure is a median
over rounds of the ratio within a round.

    python benchmarks/throughput.py --out results/throughput.json
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from ebbing import Classification, DataNotFoundError, Recipe
from ebbing.data import load
from ebbing.machine import describe
from ebbing.models import digits_mlp, paper_cnn
from ebbing.training import fit

LOOPS = ("ebbing", "raw", "loader")


@dataclass(frozen=True)
class Case:
    """A network and the records it is trained on."""

    name: str
    build: Callable[[], nn.Module]
    data: TensorDataset
    recipe: Recipe
    fused: bool


def with_ebbing(model: nn.Module, case: Case, seed: int) -> None:
    """The loop of this library."""
    generator = torch.Generator().manual_seed(seed)
    fit(model, case.data, case.recipe, task=Classification(), generator=generator)


def by_hand(model: nn.Module, case: Case, seed: int) -> None:
    """The same in plain PyTorch."""
    images, labels = case.data.tensors
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=case.recipe.learning_rate, fused=case.fused)
    if any(isinstance(module, nn.Conv2d) for module in model.modules()):
        model.to(memory_format=torch.channels_last)
    model.train()
    for _ in range(int(case.recipe.epochs)):
        order = torch.randperm(len(labels), generator=generator)
        for start in range(0, len(labels), case.recipe.batch_size):
            index = order[start : start + case.recipe.batch_size]
            loss = cross_entropy(model(images[index]), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def with_loader(model: nn.Module, case: Case, seed: int) -> None:
    """What most tutorials do."""
    generator = torch.Generator().manual_seed(seed)
    loader = DataLoader(case.data, batch_size=case.recipe.batch_size, shuffle=True, generator=generator)
    optimizer = torch.optim.Adam(model.parameters(), lr=case.recipe.learning_rate)
    model.train()
    for _ in range(int(case.recipe.epochs)):
        for images, labels in loader:
            loss = cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


RUN = dict(zip(LOOPS, (with_ebbing, by_hand, with_loader), strict=True))


def one_round(case: Case, number: int) -> tuple[dict[str, float], dict[str, nn.Module]]:
    """Seconds and model of each loop, from the same weights and seed."""
    seconds, trained = {}, {}
    for i in range(len(LOOPS)):
        loop = LOOPS[(number + i) % len(LOOPS)]
        torch.manual_seed(number)
        model = case.build()
        start = time.perf_counter()
        RUN[loop](model, case, number)
        seconds[loop] = time.perf_counter() - start
        trained[loop] = model
    return seconds, trained


def measure(case: Case, rounds: int) -> dict[str, object]:
    """The figures of one case; the first round only warms up and is checked for equal weights."""
    _, trained = one_round(case, 0)
    pairs = zip(trained["ebbing"].parameters(), trained["raw"].parameters(), strict=True)
    if not all(torch.equal(a, b) for a, b in pairs):
        raise SystemExit(f"{case.name}: the loop and the one by hand end with different weights: nothing to compare.")
    taken = [one_round(case, number)[0] for number in range(1, rounds + 1)]
    examples = case.recipe.examples(len(case.data))
    return {
        "examples_per_run": examples,
        "recipe": {"batch_size": case.recipe.batch_size, "epochs": case.recipe.epochs, "optimizer": "adam"},
        "rounds": rounds,
        "examples_per_second": {loop: examples / statistics.median(s[loop] for s in taken) for loop in LOOPS},
        "ratio_to_raw": spread([s["raw"] / s["ebbing"] for s in taken]),
        "ratio_to_loader": spread([s["loader"] / s["ebbing"] for s in taken]),
        "seconds": {loop: [s[loop] for s in taken] for loop in LOOPS},
    }


def spread(ratios: list[float]) -> dict[str, float]:
    """Median, smallest and largest of the paired ratios."""
    return {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}


def cases(records: int, data_dir: str | None) -> dict[str, Case]:
    """The two cases by name; random images where there is no MNIST, whose values do not change the work."""
    try:
        images, source = load("mnist", data_dir=data_dir, train_size=records).train, "mnist"
    except DataNotFoundError:
        generator = torch.Generator().manual_seed(0)
        pixels = torch.randn(records, 1, 28, 28, generator=generator)
        images, source = TensorDataset(pixels, torch.randint(10, (records,), generator=generator)), "random images"
    digits = Case("digits_mlp, digits", digits_mlp, load("digits").train, Recipe(epochs=20, batch_size=128), True)
    return {"digits_mlp": digits, "paper_cnn": Case(f"paper_cnn, {source}", paper_cnn, images, Recipe(epochs=1), False)}


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="measured rounds, at least 5 for a figure to be quoted")
    parser.add_argument("--records", type=int, default=12_800, help="images for paper_cnn")
    parser.add_argument("--threads", type=int, default=None, help="of torch; its own choice if left out")
    parser.add_argument("--data-dir", default=None, help="where the files of MNIST are")
    parser.add_argument("--out", type=Path, default=None, help="a JSON file for the figures")
    options = parser.parse_args()
    if options.threads is not None:
        torch.set_num_threads(options.threads)

    figures = {}
    print(f"{'examples/s, median':<28}" + "".join(f"{loop:>10}" for loop in LOOPS) + f"{'/raw':>8}{'/loader':>9}")
    for name, case in cases(options.records, options.data_dir).items():
        found = figures[name] = {"data": case.name.partition(", ")[2], **measure(case, options.rounds)}
        speeds = "".join(f"{found['examples_per_second'][loop]:>10,.0f}" for loop in LOOPS)
        ratios = f"{found['ratio_to_raw']['median']:>8.2f}{found['ratio_to_loader']['median']:>9.2f}"
        print(f"{case.name:<28}{speeds}{ratios}", flush=True)
    if options.out is not None:
        facts = {**describe(), "threads": torch.get_num_threads(), "figures": figures}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
