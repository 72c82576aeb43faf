"""A tiny project of a user's, as `ebbing unlearn` meets it: a network, data, keys, a training function.

Twelve of the 120 training records have a wrong label, one class further on.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset, TensorDataset

from ebbing.attacks import Attack

FEATURES, CLASSES, RECORDS, UNSEEN = 6, 3, 120, 80
WRONG = range(12)
STEPS = 60

given: list[Dataset[Any]] = []  # what the training function was called with


def records(n: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Three clouds of points that overlap a little."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % CLASSES
    centres = torch.eye(FEATURES)[:CLASSES] * 2
    return centres[labels] + torch.randn(n, FEATURES, generator=generator), labels


def build() -> nn.Module:
    """What the examples lack: normalisation by batches and dropout."""
    return nn.Sequential(
        *(nn.Linear(FEATURES, 24), nn.BatchNorm1d(24), nn.ReLU()),
        *(nn.Linear(24, 12), nn.ReLU(), nn.Dropout(0.1), nn.Linear(12, CLASSES)),
    )


def train_set() -> TensorDataset:
    """As it was: the first labels are wrong."""
    inputs, labels = records(RECORDS, seed=1)
    labels[WRONG.start : WRONG.stop] = (labels[WRONG.start : WRONG.stop] + 1) % CLASSES
    return TensorDataset(inputs, labels)


def test_set() -> TensorDataset:
    """Never trained on, labels right."""
    return TensorDataset(*records(UNSEEN, seed=2))


def like_the_wrong() -> TensorDataset:
    """Never trained on, labels wrong in the same way."""
    inputs, labels = records(UNSEEN, seed=3)
    return TensorDataset(inputs, (labels + 1) % CLASSES)


def keys() -> list[str]:
    """Each key stands for four records, the last of them wrong among the first three keys."""
    return [f"patient {i // 4}" for i in range(RECORDS)]


class Shaken(Dataset[tuple[Tensor, Tensor]]):
    """The training set with noise, anew at each reading."""

    def __init__(self, plain: TensorDataset) -> None:
        self.plain = plain

    def __len__(self) -> int:
        return len(self.plain)

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor]:
        inputs, label = self.plain[position]
        return inputs + 0.05 * torch.randn(FEATURES), label


def augmented() -> Shaken:
    """What training reads where `train_set` is what is judged on."""
    return Shaken(train_set())


def stacked(dataset: Dataset[Any]) -> tuple[Tensor, Tensor]:
    """All records at once."""
    items = [dataset[i] for i in range(len(dataset))]  # type: ignore[arg-type]
    return torch.stack([inputs for inputs, _ in items]), torch.stack([torch.as_tensor(label) for _, label in items])


def train(dataset: Dataset[Any], *, seed: int) -> nn.Module:
    """The project's own training, which notes what it was given."""
    given.append(dataset)
    torch.manual_seed(seed)
    model = build()
    optimizer = torch.optim.Adam(model.parameters(), 2e-2)
    inputs, labels = stacked(dataset)
    for _ in range(STEPS):
        optimizer.zero_grad()
        functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    return model


class Loud(Attack):
    """An attack of the project's."""

    name = "loud"

    def scores(self, signals: Any) -> Any:
        """The largest logit, which is only there where it was asked for."""
        return signals.logits.max(axis=-1)


class Dull(Loud):
    """One that needs an argument."""

    name = "dull"

    def __init__(self, times: float) -> None:
        self.times = times


# ---------------------------------------------------------------- what the tests do with it


class Said(NamedTuple):
    code: int
    out: str
    err: str


def worded(options: dict[str, Any]) -> list[str]:
    """Options as words."""
    words = []
    for name, value in options.items():
        for each in value if isinstance(value, list) else [] if value is None else [value]:
            words += ["--" + name.replace("_", "-"), str(each)]
    return words


def listed(path: str, *ids: object) -> str:
    """A file of ids."""
    Path(path).write_text("".join(f"{i}\n" for i in ids))
    return path


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder by its path."""
    found = sorted(folder.rglob("*"))
    return {os.fspath(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in found}
