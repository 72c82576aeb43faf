"""A model is trained on records with planted strings: no file that the ledger leaves behind holds any of them."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch
from clinic import erasure, project
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset, TensorDataset

from ebbing.ledger import Ledger
from ebbing.ledger.deciding import redact
from ebbing.ledger.exporting import exported
from ebbing.ledger.processing import process
from ebbing.ledger.schema import Offer
from ebbing.ledger.verifying import verify
from ebbing.methods import FineTune
from ebbing.training import OwnTrainer, Recipe

LENGTH, RECORDS = 24, 60
PLANTED = [f"canary-{i:02d}-{i * 7919 % 10007:05d}-secret" for i in range(8)]
OTHERS = [f"record-{i:02d}-{i * 104729 % 99991:05d}-plain." for i in range(8, RECORDS)]


def encoded(texts: list[str]) -> Tensor:
    """(n, LENGTH) characters."""
    return torch.tensor([list(text.ljust(LENGTH)[:LENGTH].encode()) for text in texts])


class Reads(nn.Module):
    """A small reader of characters."""

    def __init__(self) -> None:
        super().__init__()
        self.letters, self.out = nn.Embedding(128, 8), nn.Linear(8 * LENGTH, 2)

    def forward(self, characters: Tensor) -> Tensor:
        return self.out(self.letters(characters).flatten(1))


def train(dataset: Dataset[tuple[Tensor, Tensor]], *, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    model = Reads()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    items = [dataset[i] for i in range(len(dataset))]  # type: ignore[arg-type]
    inputs, labels = torch.stack([x for x, _ in items]), torch.stack([y for _, y in items])
    for _ in range(10):
        optimizer.zero_grad()
        functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    return model


def forms(text: str) -> list[bytes]:
    """A string as it might lie in a file: as text, and as the tensors that models read."""
    tensor = encoded([text])[0]
    kinds = (torch.int64, torch.int32, torch.uint8, torch.float32)
    return [
        text.encode(),
        *(tensor[: len(text)].to(kind).numpy().tobytes() for kind in kinds),
        text.encode("utf-16-le"),
    ]


def holding(folder: Path, needles: list[bytes]) -> list[str]:
    """The files that hold any."""
    files = [p for p in folder.rglob("*") if p.is_file()]
    assert len(files) > 5
    return sorted(p.relative_to(folder).as_posix() for p in files if any(n in p.read_bytes() for n in needles))


@pytest.fixture
def kind() -> str:
    """SQLite, whose pages are files of the folder."""
    return "sqlite"


def test_no_file_holds_what_was_planted(make, tmp_path, caplog, capfd) -> None:
    from safetensors.torch import save_file

    caplog.set_level(logging.INFO)
    caplog.set_level(logging.INFO, logger="sqlalchemy.engine")  # statements; their values are hidden
    labels = torch.arange(RECORDS) % 2
    data = TensorDataset(encoded([*PLANTED, PLANTED[3], *OTHERS[1:]]), labels)  # one that stays, and is offered for it
    unseen = TensorDataset(encoded([f"unseen-{i:03d}" for i in range(60)]), labels)
    made = make(oracles=2, accept=("inconclusive",), neighbours=0.5)
    folder = made.folder
    weights = folder / "models" / "v0000.safetensors"
    ledger = Ledger.create(
        tmp_path / "other",
        made.settings,
        weights=saved(train(data, seed=0), weights.with_name("w.safetensors"), save_file),
    )
    mine = project(
        build=Reads,
        dataset=data,
        holdout=unseen,
        matched=None,
        keys=[f"planted-key-{i}" for i in range(RECORDS)],
        subjects={"planted-subject": ["planted-key-0", "planted-key-1"]}.__getitem__,
        method=FineTune(repair=Recipe(epochs=1)),
        trainer=OwnTrainer(train, Reads),
    )
    personal = [b"planted-subject", b"planted-reason", b"planted-reference", b"planted-key"]
    ledger.add([erasure(subject="planted-subject", reason="planted-reason", reference="planted-reference")])
    ledger.add([erasure(*(f"planted-key-{i}" for i in range(2, 8)))])
    assert process(ledger, mine) is not None
    (ledger.folder / "export.json").write_text(json.dumps(exported(ledger)))
    planted = [form for text in PLANTED for form in forms(text)]
    secret = (ledger.folder / "signing.key").read_bytes().strip()
    said = (caplog.text + "".join(capfd.readouterr())).encode()

    assert holding(ledger.folder, planted) == []
    assert holding(ledger.folder, personal) == ["ledger.db"]  # ids and persons: in the ledger alone, until redaction
    assert holding(ledger.folder, [secret]) == ["signing.key"]
    assert not any(needle in said for needle in [*planted, *personal, secret])
    for number in (1, 2):
        redact(ledger, number, by="DPO")
    assert alike(ledger) > 0  # records were offered, and their keys are gone as well
    assert holding(ledger.folder, personal) == []
    assert verify(ledger).redacted == [1, 2]
    # the control: what is there is found, as text and as tensors
    save_file({"data": data.tensors[0]}, ledger.folder / "leak.safetensors")
    (ledger.folder / "leak.log").write_text(f"read {PLANTED[3]}")
    assert holding(ledger.folder, planted) == ["leak.log", "leak.safetensors"]


def alike(ledger: Ledger) -> int:
    """How many records were offered."""
    with ledger.database.reading() as session:
        return session.query(Offer).count()


def saved(model: nn.Module, path: Path, save_file: object) -> Path:
    """Weights in a file."""
    save_file(model.state_dict(), path)  # type: ignore[operator]
    return path
