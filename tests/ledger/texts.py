"""A clinic's classifier of texts, fine-tuned from a pre-trained encoder: folders of the transformers library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from clinic import RECORDS, keys, subjects

from ebbing.batches import NamedTensors
from ebbing.cli.erasing import project_of
from ebbing.ledger.project import Project
from ebbing.ledger.settings import read_settings
from ebbing.pretrained import Pretrained
from ebbing.training import Recipe, Trainer

__all__ = ["in_folder", "keys", "subjects"]  # keys and subjects are named as this module's
EPOCHS, RATE = 2, 1e-2
IN_FOLDER = {  # settings of a ledger
    **{"hf": True, "data": "texts:train_set", "holdout": "texts:test_set", "keys": "texts:keys"},
    **{"subjects": "texts:subjects", "recipe": (f"epochs={EPOCHS}", f"learning_rate={RATE}")},
    **{"method": "fine-tune", "settings": ("repair.epochs=1",), "gone_settings": ("repair.epochs=1",)},
}


def records(n: int, *, seed: int) -> NamedTensors:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(2, 20, (n, 6), generator=generator)
    return NamedTensors(input_ids=tokens, attention_mask=torch.ones_like(tokens), labels=(tokens[:, 1] >= 11).long())


def train_set() -> NamedTensors:
    return records(RECORDS, seed=1)


def test_set() -> NamedTensors:
    return records(80, seed=2)


test_set.__test__ = False  # type: ignore[attr-defined]  # pytest takes it for a test


def made_in(home: Path) -> dict[str, Path]:
    """A pre-trained encoder, and the classifier that was fine-tuned from it, with what usually lies beside weights."""
    config = transformers.BertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, vocab_size=20,
        max_position_embeddings=8, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.BertModel(config).save_pretrained(home / "encoder")
    recipe = Recipe(epochs=EPOCHS, batch_size=16, optimizer="adamw", learning_rate=RATE)
    model: Any = Trainer(Pretrained(str(home / "encoder"), 2), recipe)(train_set(), seed=3)
    model.save_pretrained(home / "tuned")
    (home / "tuned" / "tokenizer_config.json").write_text('{"a": 1}', encoding="utf-8")
    (home / "tuned" / "optimizer.pt").write_bytes(b"not read")
    (home / "tuned" / "checkpoint-5").mkdir()
    return {"pretrained": home / "encoder", "tuned": home / "tuned"}


def in_folder(folder: Path, **said: Any) -> Project:
    """The clinic's project where its model is a folder, for the ledger in another."""
    project = project_of(read_settings(folder), folder)
    for name, value in said.items():
        setattr(project, name, value)
    return project
