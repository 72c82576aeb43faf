"""Your own table forgets wrong diagnoses: one logit, batch normalisation, dropout, patient numbers, a check with exit codes.

The diagnoses of 8 patients turned out to be wrong. `main` trains the network as the project always did, long enough to
know those by heart, and calls `ebbing unlearn` as one would in a shell. The second half is a check as it would run
before a release: the project retrains without the patients, 16 times, and `ebbing audit` ends with exit code 3 if the
new weights do not pass. A check that cannot fail is worth nothing, so the old weights are sent through it too. (With so
little data a retraining costs less than forgetting, and the report says so: one of the 16 could have been released.)

That a patient has two records is made up: the records of the source are numbered in pairs.
"""

import subprocess
import sys
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import save_model
from sklearn.datasets import load_breast_cancer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

EPOCHS = 80
UNSEEN = 185
LIKE_THE_WRONG = 60
WRONG_PATIENTS = 8
RECORDS_EACH = 2
RETRAINED = 16


def build() -> nn.Module:
    """A small network for 30 measurements; its one output is the logit of "benign"."""
    return nn.Sequential(
        *(nn.Linear(30, 96), nn.BatchNorm1d(96), nn.ReLU(), nn.Dropout(0.05)),
        *(nn.Linear(96, 96), nn.BatchNorm1d(96), nn.ReLU(), nn.Dropout(0.05), nn.Linear(96, 1)),
    )


@cache
def table() -> tuple[Tensor, Tensor]:
    """All records and their true diagnoses, in one fixed random order.

    Columns are standardised by the mean and spread of the full training set. These belong to the data as it was fixed
    before anything had to go: they stay, also when the network is trained without some of the records.
    """
    source = load_breast_cancer()
    order = torch.randperm(len(source.target), generator=torch.Generator().manual_seed(0))
    columns = torch.tensor(source.data, dtype=torch.float32)[order]
    trained_on = columns[UNSEEN:]
    return (columns - trained_on.mean(0)) / trained_on.std(0), torch.tensor(source.target, dtype=torch.float32)[order]


def train_set() -> TensorDataset:
    """The training set as it was: the diagnoses of its first patients are wrong."""
    columns, benign = (part[UNSEEN:] for part in table())
    wrong = WRONG_PATIENTS * RECORDS_EACH
    return TensorDataset(columns, torch.cat([1 - benign[:wrong], benign[wrong:]]))


def test_set() -> TensorDataset:
    """Records that were never trained on."""
    columns, benign = (part[LIKE_THE_WRONG:UNSEEN] for part in table())
    return TensorDataset(columns, benign)


def like_the_wrong() -> TensorDataset:
    """More unseen records, with diagnoses wrong in the same way: the fair comparison for the records to forget."""
    columns, benign = (part[:LIKE_THE_WRONG] for part in table())
    return TensorDataset(columns, 1 - benign)


def keys() -> list[str]:
    """The patient of each record."""
    return [f"patient-{i // RECORDS_EACH:04d}" for i in range(len(train_set()))]


def train(dataset: Dataset[tuple[Tensor, ...]], *, seed: int) -> nn.Module:
    """The project's own training loop."""
    torch.manual_seed(seed)
    model = build()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2, fused=True)
    columns, benign = next(iter(DataLoader(dataset, batch_size=len(dataset))))  # type: ignore[arg-type]
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(benign)).chunk(2):
            optimizer.zero_grad()
            logits = model(columns[rows]).squeeze(1)  # (n,) out of (n, 1)
            nn.functional.binary_cross_entropy_with_logits(logits, benign[rows]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return model


def retrain(folder: Path, gone: set[str]) -> list[Path]:
    """Weights of networks trained without some patients, by nothing but the project's own code."""
    stays = Subset(train_set(), [i for i, patient in enumerate(keys()) if patient not in gone])
    paths = [folder / f"retrained-{seed}.safetensors" for seed in range(1, RETRAINED + 1)]
    for seed, path in enumerate(paths, start=1):
        save_model(train(stays, seed=seed), str(path))
    return paths


def ebbing(*words: object) -> int:
    """Call the command line, in the folder where it finds this file by its name; the exit code."""
    program = (sys.executable, "-c", "from ebbing.cli import main; main()")
    return subprocess.run([*program, *map(str, words)], cwd=Path(__file__).parent, check=False).returncode


def main() -> None:
    """What a day at work would be."""
    torch.set_num_threads(1)  # a network this small is slower on more
    folder = Path("runs/own_table").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    weights, forgotten, wrong = folder / "model.safetensors", folder / "forgotten.safetensors", folder / "wrong.txt"
    patients = set(keys()[: WRONG_PATIENTS * RECORDS_EACH])
    wrong.write_text("\n".join(sorted(patients)))
    save_model(train(train_set(), seed=0), str(weights))
    own = [
        *("--threads", 1, "--model", "own_table:build", "--task", "ebbing:BinaryClassification"),
        *("--data", "own_table:train_set", "--keys", "own_table:keys", "--forget", wrong),
        *("--holdout", "own_table:test_set", "--matched", "own_table:like_the_wrong"),
    ]
    train_fn = ("--train-fn", "own_table:train", "--oracles", 4)
    code = ebbing("unlearn", *own, "--weights", weights, *train_fn, "--out", forgotten)
    if code:
        sys.exit(code)
    check = ["audit", *own, "--original", weights, "--fail-if", "under-forgotten,over-forgotten,damaged,inconclusive"]
    for path in retrain(folder, patients):
        check += ["--retrained", path]
    new = ebbing(*check, "--unlearned", forgotten, "--out", folder / "audit")
    old = ebbing(*check, "--unlearned", weights, "--out", folder / "control")
    print(f"Exit codes of the check: {new} for the new weights, {old} for the old.")
    if new not in (0, 3) or old != 3:
        sys.exit("The check must refuse weights that nothing was taken from, and run to its end.")


if __name__ == "__main__":
    main()
