"""A clinic's model, as a ledger's settings name it: points in three clouds, each record with a key, four to a patient."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset, TensorDataset

from ebbing.ledger import Added, ErasureRequest
from ebbing.ledger.manifest import SHARDS
from ebbing.ledger.project import Project
from ebbing.ledger.shards import Shards
from ebbing.methods import SISA, FineTune
from ebbing.sharding import Sharding
from ebbing.training import OwnTrainer, Recipe, Trainer

TODAY = date(2026, 3, 1)
BOTH = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
QUICK = FineTune(repair=Recipe(epochs=2, learning_rate=1e-2))
FEATURES, CLASSES, RECORDS, UNSEEN, STEPS = 6, 3, 120, 80, 40
WRONG = range(24)  # records with a wrong label, which a model can only know by heart


def records(n: int, *, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % CLASSES
    return torch.eye(FEATURES)[:CLASSES][labels] * 2 + torch.randn(n, FEATURES, generator=generator), labels


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(FEATURES, 24), nn.ReLU(), nn.Linear(24, CLASSES))


def train_set() -> TensorDataset:
    inputs, labels = records(RECORDS, seed=1)
    labels[WRONG.start : WRONG.stop] = (labels[WRONG.start : WRONG.stop] + 1) % CLASSES
    inputs[100] = inputs[2]  # the same record under another key
    return TensorDataset(inputs, labels)


def test_set() -> TensorDataset:
    return TensorDataset(*records(UNSEEN, seed=2))


test_set.__test__ = False  # type: ignore[attr-defined]  # pytest takes it for a test


def like_the_wrong() -> TensorDataset:
    inputs, labels = records(UNSEEN, seed=3)
    return TensorDataset(inputs, (labels + 1) % CLASSES)


def keys() -> list[str]:
    return [f"r{i}" for i in range(RECORDS)]


def subjects(patient: str) -> list[str]:
    number = int(patient.removeprefix("patient "))
    return [f"r{i}" for i in range(4 * number, 4 * number + 4) if i < RECORDS]


def train(dataset: Dataset[tuple[Tensor, Tensor]], *, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    model = build()
    optimizer = torch.optim.Adam(model.parameters(), 2e-2)
    items = [dataset[i] for i in range(len(dataset))]  # type: ignore[arg-type]
    inputs, labels = torch.stack([x for x, _ in items]), torch.stack([y for _, y in items])
    for _ in range(STEPS):
        optimizer.zero_grad()
        functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    return model


# ---------------------------------------------------------------- requests, and the clinic as processing needs it


def erasure(*records: str, **said: Any) -> ErasureRequest:
    """A request for some records."""
    known = {"basis": "GDPR Art. 17", "received": TODAY, "due": date(2026, 3, 31)}
    return ErasureRequest(**{**known, "records": records, **said})


def number_of(added: list[Added]) -> int:
    (one,) = added
    assert one.id is not None
    return one.id


def project(**said: Any) -> Project:
    """The clinic's project, by keys."""
    known = {
        "build": build,
        "dataset": train_set(),
        "holdout": test_set(),
        "matched": like_the_wrong(),
        "keys": keys(),
        "subjects": subjects,
        "method": QUICK,
        "gone_method": QUICK,
        "trainer": OwnTrainer(train, build),
    }
    return Project(**{**known, **said})


SHARDING = Sharding(3, 2)
IN_SHARDS = {"sisa": "3:2", "method": "sisa", "gone_method": "sisa"}  # settings of a ledger
MEMBERS = Trainer(build, Recipe(epochs=6, batch_size=16, learning_rate=1e-2))


def in_shards(folder: Path, **said: Any) -> Project:
    """The clinic's project where its model is an ensemble, for the ledger in a folder."""
    shards = Shards(MEMBERS, SHARDING, folder / SHARDS)
    known = {"build": shards.build, "trainer": shards.references, "method": SISA(), "gone_method": SISA()}
    return project(**{**known, "shards": shards, **said})
