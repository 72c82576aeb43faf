"""Your own text classifier forgets a source: word embeddings, dict batches, outputs with `.logits`, one key for many records.

The texts are paragraphs of the documentation that four installed libraries carry with them, the class is the library, and
the key of a record is the module it comes from. The authors of one module take their texts back.

Two things are to be learned. Models retrained without the module know it as little as one they never read, so the fair
comparison, `--matched`, is modules of the same library that were never trained on. Unseen paragraphs of the *same* module
will not do: the network reads those better, too, for having been trained on the rest, and what must go would be measured
against what came of it. And the verdict is not always good: `ebb` decays layers, but leaves embeddings to the repair,
and this network has learned the module's words. Where a retraining takes seconds, as here, retrain.
"""

import importlib
import inspect
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_model
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

LIBRARIES = ("numpy", "scipy", "sklearn", "torch")
TRAINED_ON = (
    *("numpy.fft", "numpy.linalg", "numpy.random", "scipy.fft", "scipy.integrate", "scipy.linalg", "scipy.optimize"),
    *("sklearn.cluster", "sklearn.linear_model", "sklearn.metrics", "torch.distributions", "torch.linalg", "torch.nn"),
)
TAKEN_BACK = "scipy.optimize"
NEVER_READ = ("scipy.interpolate", "scipy.ndimage")
LENGTH = 40  # words of a paragraph that are read
FEWEST = 12  # words that make a paragraph
WORDS = 2000
PADDING, UNKNOWN = 0, 1
EPOCHS = 6


class Paragraph(NamedTuple):
    """What a record is made of."""

    module: str
    words: tuple[str, ...]


def docstrings(module: str) -> list[str]:
    """The docstrings of what a module exports, by name."""
    members = vars(importlib.import_module(module))
    names = sorted(members.get("__all__") or [name for name in members if not name.startswith("_")])
    exported = [members[name] for name in names if name in members and not inspect.ismodule(members[name])]
    return [inspect.cleandoc(member.__doc__) for member in exported if isinstance(member.__doc__, str)]


@cache
def paragraphs() -> list[Paragraph]:
    """All paragraphs, each once, in one fixed random order."""
    found: dict[tuple[str, ...], str] = {}
    for module in TRAINED_ON + NEVER_READ:
        for text in docstrings(module):
            for part in text.split("\n\n"):
                words = tuple(re.findall("[a-z]+", part.lower())[:LENGTH])
                if len(words) >= FEWEST:
                    found.setdefault(words, module)
    listed = [Paragraph(module, words) for words, module in found.items()]
    return [listed[i] for i in torch.randperm(len(listed), generator=torch.Generator().manual_seed(0))]


def trained_on() -> list[Paragraph]:
    """Every paragraph of the source that is taken back, and three of four of the other sources."""
    known = [p for p in paragraphs() if p.module in TRAINED_ON]
    return [p for i, p in enumerate(known) if p.module == TAKEN_BACK or i % 4]


@cache
def vocabulary() -> dict[str, int]:
    """The number of each of the commonest words of the training set; it was fixed then, and stays."""
    counts = Counter(word for paragraph in trained_on() for word in paragraph.words)
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return {word: i for i, word in enumerate(ranked[:WORDS], start=UNKNOWN + 1)}


class Texts(Dataset[dict[str, Tensor]]):
    """Paragraphs as numbers: `tokens` and `mask`, LENGTH of each, and the library as `labels`."""

    def __init__(self, source: list[Paragraph]) -> None:
        known = vocabulary()
        rows = [[known.get(word, UNKNOWN) for word in p.words] for p in source]
        self.tokens = torch.tensor([row + [PADDING] * (LENGTH - len(row)) for row in rows])
        self.labels = torch.tensor([LIBRARIES.index(p.module.partition(".")[0]) for p in source])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, position: int) -> dict[str, Tensor]:
        tokens = self.tokens[position]
        return {"tokens": tokens, "mask": tokens != PADDING, "labels": self.labels[position]}


@dataclass
class Output:
    """What the network returns."""

    logits: Tensor
    embedding: Tensor


class Reader(nn.Module):
    """The mean of the words' embeddings, and two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(UNKNOWN + 1 + WORDS, 32, padding_idx=PADDING)
        self.hidden = nn.Linear(32, 64)
        self.dropout = nn.Dropout(0.1)
        self.library = nn.Linear(64, len(LIBRARIES))

    def forward(self, tokens: Tensor, mask: Tensor) -> Output:
        """Logits (n, libraries) of tokens and mask (n, LENGTH)."""
        read = mask.unsqueeze(-1)  # (n, LENGTH, 1)
        mean = (self.words(tokens) * read).sum(1) / read.sum(1)  # (n, 32)
        return Output(self.library(self.dropout(torch.relu(self.hidden(mean)))), mean)


def build() -> nn.Module:
    """The untrained network."""
    return Reader()


def train_set() -> Texts:
    """The training set as it was."""
    return Texts(trained_on())


def test_set() -> Texts:
    """Unseen paragraphs of the sources that stay."""
    seen = set(trained_on())
    return Texts([p for p in paragraphs() if p.module in TRAINED_ON and p not in seen])


def never_read() -> Texts:
    """Sources that nothing was ever read of: the fair comparison for the source that is taken back."""
    return Texts([p for p in paragraphs() if p.module in NEVER_READ])


def keys() -> list[str]:
    """The source of each record."""
    return [p.module for p in trained_on()]


def train(dataset: Dataset[dict[str, Tensor]], *, seed: int) -> nn.Module:
    """The project's own training loop."""
    torch.manual_seed(seed)
    model = build()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, fused=True)
    loader = DataLoader(dataset, batch_size=64, shuffle=True)
    for _ in range(EPOCHS):
        for batch in loader:
            labels = batch.pop("labels")
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(**batch).logits, labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return model


def ebbing(*words: object) -> int:
    """Call the command line, in the folder where it finds this file by its name; the exit code."""
    program = (sys.executable, "-c", "from ebbing.cli import main; main()")
    return subprocess.run([*program, *map(str, words)], cwd=Path(__file__).parent, check=False).returncode


def main() -> None:
    """What a day at work would be."""
    torch.set_num_threads(1)  # a network this small is slower on more
    folder = Path("runs/own_texts").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    weights, sources = folder / "model.safetensors", folder / "taken_back.txt"
    sources.write_text(TAKEN_BACK)
    save_model(train(train_set(), seed=0), str(weights))
    code = ebbing(
        *("unlearn", "--threads", 1, "--model", "own_texts:build", "--weights", weights),
        *("--data", "own_texts:train_set", "--keys", "own_texts:keys", "--forget", sources),
        *("--holdout", "own_texts:test_set", "--matched", "own_texts:never_read", "--overlap", "drop"),
        *("--train-fn", "own_texts:train", "--oracles", 6, "--out", folder / "forgotten.safetensors"),
    )
    sys.exit(code)


if __name__ == "__main__":
    main()
