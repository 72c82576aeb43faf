"""Your own image network forgets mislabelled scans: augmentation, batch normalisation, dropout, record keys, own training loop.

Somebody found that 60 of the labels in the training set were entered wrong. This file is what such a project already has
(a network, data, a training loop); `main` trains it once, writes the keys of the wrong records to a file, and calls
`ebbing unlearn` as one would in a shell.
"""

import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import save_model
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

EPOCHS = 20
WRONG = 60
UNSEEN = 600


def build() -> nn.Module:
    """A small convolutional network for images of 8 x 8 pixels."""
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(512, 128), nn.ReLU(), nn.Dropout(0.1), nn.Linear(128, 10)),
    )


def images() -> tuple[Tensor, Tensor]:
    """All scans and their true labels, in one fixed random order."""
    source = load_digits()
    order = torch.randperm(len(source.target), generator=torch.Generator().manual_seed(0))
    pixels = torch.tensor(source.images, dtype=torch.float32)[order, None] / 16
    return pixels, torch.tensor(source.target)[order]


def entered_wrong(labels: Tensor) -> Tensor:
    """The same clerk's mistake: one class further on."""
    return (labels + 1) % 10


def train_set() -> TensorDataset:
    """The training set as it was: its first labels are wrong."""
    pixels, labels = (part[UNSEEN:] for part in images())
    return TensorDataset(pixels, torch.cat([entered_wrong(labels[:WRONG]), labels[WRONG:]]))


def test_set() -> TensorDataset:
    """Scans that were never trained on."""
    pixels, labels = (part[: UNSEEN // 2] for part in images())
    return TensorDataset(pixels, labels)


def like_the_wrong() -> TensorDataset:
    """More unseen scans, with labels entered wrong in the same way: the fair comparison for the records to forget."""
    pixels, labels = (part[UNSEEN // 2 : UNSEEN] for part in images())
    return TensorDataset(pixels, entered_wrong(labels))


def keys() -> list[str]:
    """What the records are called elsewhere."""
    return [f"scan-{i:04d}" for i in range(len(train_set()))]


class Shaken(Dataset[tuple[Tensor, ...]]):
    """The training set as training reads it: each image a little noisier, anew at each reading."""

    def __init__(self, plain: Dataset[tuple[Tensor, ...]]) -> None:
        self.plain = plain

    def __len__(self) -> int:
        return len(self.plain)  # type: ignore[arg-type]

    def __getitem__(self, position: int) -> tuple[Tensor, ...]:
        image, label = self.plain[position]
        return image + 0.02 * torch.randn_like(image), label


def augmented() -> Shaken:
    """What training reads."""
    return Shaken(train_set())


def train(dataset: Dataset[tuple[Tensor, ...]], *, seed: int) -> nn.Module:
    """The project's own training loop; it shakes nothing itself, its data set does."""
    torch.manual_seed(seed)
    model = build()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3, fused=True)
    loader = DataLoader(dataset, batch_size=64, shuffle=True)
    for _ in range(EPOCHS):
        for inputs, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return model


def ebbing(*words: object) -> int:
    """Call the command line, in the folder where it finds this file by its name; the exit code."""
    program = (sys.executable, "-c", "from ebbing.cli import main; main()")
    return subprocess.run([*program, *map(str, words)], cwd=Path(__file__).parent, check=False).returncode


def main() -> None:
    """What a day at work would be."""
    torch.set_num_threads(1)  # a network this small is slower on more
    folder = Path("runs/own_images").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    weights, wrong = folder / "model.safetensors", folder / "wrong.txt"
    wrong.write_text("\n".join(keys()[:WRONG]))
    save_model(train(augmented(), seed=0), str(weights))
    code = ebbing(
        *("unlearn", "--threads", 1, "--model", "own_images:build", "--weights", weights),
        *("--data", "own_images:train_set", "--training-view", "own_images:augmented"),
        *("--keys", "own_images:keys", "--forget", wrong),
        *("--holdout", "own_images:test_set", "--matched", "own_images:like_the_wrong"),
        *("--method", "ebb", "--method", "do-nothing", "--train-fn", "own_images:train", "--oracles", 4),
        *("--out", folder / "forgotten.safetensors"),
    )
    sys.exit(code)


if __name__ == "__main__":
    main()
