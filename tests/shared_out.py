"""What tests/test_parallel.py launches on two processes, and runs on one: every figure goes to a file of this process."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import ebbing as eb
from ebbing.parallel import current
from ebbing.rankings import ActivationRatio, FisherRatio, WeightImportance
from ebbing.rates import RankedRate
from ebbing.store import ModelStore, train_or_load
from ebbing.task import Outputs, accuracy
from ebbing.units import find_units, single_weights

CLASSES, N = 3, 75  # batches of 16 leave one of 11; two processes never have the same share of that


def images(n: int, seed: int) -> TensorDataset:
    """Images with a class each."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % CLASSES
    return TensorDataset(torch.randn(n, 1, 6, 6, generator=generator) + labels[:, None, None, None], labels)


def network() -> nn.Module:
    """Convolutions and a norm that does not look at batches."""
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, CLASSES)),
    )


class Dropping(nn.Module):
    """Keeps what dropout left of the last batch it trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.kept = nn.Linear(36, CLASSES), torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of half of the pixels."""
        left = nn.functional.dropout(torch.ones(len(x), 36), 0.5, self.training)
        if self.training:
            self.kept = left
        return self.layer(x.flatten(1) * left)


class SomeCount(eb.Classification):
    """Only records of the first two classes count."""

    def forward(self, model: nn.Module, batch: Any) -> Outputs:
        """Those of the classification, and which count."""
        outputs = super().forward(model, batch)
        return replace(outputs, mask=outputs.targets < 2)


def main(folder: Path) -> None:
    """Train, rank, unlearn and observe."""
    torch.set_num_threads(1)
    with eb.data_parallel() as first:
        found = figures(folder)
        ranks = current()
        found["models that are held"] = np.array(0 if ranks is None else len(ranks.accelerator._models))
        rank = 0 if ranks is None else ranks.rank
        assert first == (rank == 0)
        np.savez(folder / f"process-{rank}.npz", **found)


def weights(model: nn.Module) -> np.ndarray:
    """All of them in a row."""
    return torch.cat([p.detach().flatten() for p in model.parameters()]).numpy()


def figures(folder: Path) -> dict[str, np.ndarray]:
    """By name."""
    data, unseen, task = images(N, 0), images(60, 1), eb.Classification()
    request = eb.ForgetRequest.from_ids(data, range(9), holdout=unseen)
    found: dict[str, np.ndarray] = {}
    recipe = eb.Recipe(epochs=4, batch_size=16, learning_rate=5e-3, optimizer="sgd", schedule="one-cycle")
    store = ModelStore(folder / "store")
    trained = train_or_load(eb.Trainer(network, recipe), data, seed=0, store=store)
    model = trained.model
    found["trained"] = weights(model)
    found["reused"] = np.array(trained.reused)
    found["found again"] = np.array(train_or_load(eb.Trainer(network, recipe), data, seed=0, store=store).reused)
    found["of-some"] = weights(eb.Trainer(network, recipe, task=SomeCount())(data, seed=0))
    found["lone records"] = weights(eb.Trainer(network, replace(recipe, epochs=1, batch_size=1))(images(5, 3), seed=0))
    units = find_units(model, task=task, batch=data[:2])
    for name, ranking in (("activation", ActivationRatio()), ("fisher", FisherRatio())):
        scores = ranking.scores(model, units, request, task=task, seed=0)
        found[name] = torch.cat([scores[unit.name] for unit in units]).numpy()
    singles = single_weights(model)
    importance = WeightImportance(batch_size=8).scores(model, singles, request, task=task, seed=0)
    found["importance"] = torch.cat([importance[unit.name] for unit in singles]).numpy()
    repair = replace(recipe, epochs=2)
    ranked = RankedRate(ActivationRatio())
    for name, method in (
        ("ebb", eb.Ebb(repair=repair, linear=ranked, conv=ranked, by_memory=False)),
        ("neg-grad-plus", eb.NegGradPlus(repair=repair)),
        ("scrub", eb.SCRUB(repair=repair)),
        ("forgetting-network", eb.ForgettingNetwork(turns=2, learning=repair)),
    ):
        journal = eb.Journal()
        found[name] = weights(method.unlearn(model, request, seed=1, journal=journal))
        found[f"{name} examples"] = np.array(journal.examples)
    seen = eb.observe([model], request, task=task)
    found |= {f"margins of {split}": getattr(seen, split).margin for split in ("forget", "retain", "holdout")}
    found["accuracy"] = np.array(accuracy(model, unseen, task=task))
    dropping = eb.Trainer(Dropping, replace(recipe, epochs=1, batch_size=20))(images(20, 2), seed=0)
    found["dropout"], found["own"] = weights(dropping), dropping.kept.numpy()
    found["next draw"] = torch.rand(1).numpy()
    return found


if __name__ == "__main__":
    torch.manual_seed(0)
    main(Path(sys.argv[1]))
