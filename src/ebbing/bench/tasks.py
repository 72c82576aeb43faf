"""The tasks of the leaderboard, frozen by name: data, records, recipe and seeds never change; a change is a new version."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from torch.utils.data import Subset

from ebbing.data import load
from ebbing.data.selection import select
from ebbing.errors import InputError
from ebbing.models import digits_cnn, paper_cnn, resnet18_grey, small_resnet, small_resnet_plain, small_vit
from ebbing.request import ForgetRequest
from ebbing.training import Recipe, Trainer
from ebbing.unseen import split_unseen

NETWORKS: Mapping[str, Callable[[], nn.Module]] = {
    "digits-cnn": digits_cnn,
    "paper-cnn": paper_cnn,
    "resnet18-grey": resnet18_grey,
    "small-resnet": small_resnet,
    "small-resnet-plain": small_resnet_plain,
    "small-vit": small_vit,
}
LARGE = ("resnet18-grey",)  # networks whose tasks take days without a GPU
MEMORISED = "memorised"
MATCHED_TIMES = 4  # the share of unseen records that are matched to the most memorised: there must be enough of them


@dataclass(frozen=True)
class BenchTask:
    """What is trained and what must be forgotten, once and for all.

    Attributes:
        name: data, what goes, network and version, such as ``digits-mislabelled5-cnn/v1``.
        dataset: "digits", "mnist" or "fashion-mnist".
        rule: of `ebbing.data.selection.select`, drawn by seed 0; or ``memorised:F``, the fraction F of the training set with
            the largest `Memorisation`, whose records are only known from the frozen file.
        network: a name in `NETWORKS`.
        recipe: of originals and retrained models.
        models: how many originals there are, and as many retrained models; their seeds are 0, 1, ... and 1000, 1001, ...
        train_size: images of the training set, drawn by seed 0; None for all.
        chosen_on: whether settings may be chosen on the task; results are reported on the others.
    """

    name: str
    dataset: str
    rule: str
    network: str
    recipe: Recipe
    models: int
    train_size: int | None = None
    chosen_on: bool = False

    @property
    def folder(self) -> str:
        """Its name as one of a folder or file."""
        return self.name.replace("/", "-")

    @property
    def trainer(self) -> Trainer:
        """What makes originals and retrained models."""
        return Trainer(NETWORKS[self.network], self.recipe)


def _of(data: str, dataset: str, network: str, recipe: Recipe, models: int, size: int | None = None) -> list[BenchTask]:
    """The tasks on one data set."""
    rules = {"mislabelled5": "mislabelled:0.05", "memorised3": f"{MEMORISED}:0.03", "random5": "random:0.05"}
    chosen: tuple[str, ...] = ()
    if dataset == "digits":
        rules |= {"class3": "class:3", "subclass3": "subclass:3", "confusion35": "confusion:3,5:0.3"}
        chosen = ("mislabelled5", "random5", "class3")
    return [
        BenchTask(f"{data}-{what}-cnn/v1", dataset, rule, network, recipe, models, size, what in chosen)
        for what, rule in rules.items()
    ]


RESIDUAL = Recipe(epochs=30, learning_rate=2e-3)
_ALL = [
    *_of("digits", "digits", "digits-cnn", Recipe(epochs=80, learning_rate=2e-3), 64),
    *_of("mnist10k", "mnist", "paper-cnn", Recipe(epochs=30), 8, 10_000),
    *_of("fashion10k", "fashion-mnist", "paper-cnn", Recipe(epochs=40), 8, 10_000),
    *(
        BenchTask(f"{data}-mislabelled5-{end}/v1", dataset, "mislabelled:0.05", network, recipe, 8, 10_000)
        for data, dataset, end, network, recipe in (
            ("fashion10k", "fashion-mnist", "resnet", "small-resnet", RESIDUAL),
            ("fashion10k", "fashion-mnist", "plain", "small-resnet-plain", RESIDUAL),
            ("fashion10k", "fashion-mnist", "vit", "small-vit", Recipe(epochs=40)),
            ("fashion10k", "fashion-mnist", "resnet18", "resnet18-grey", Recipe(epochs=30)),
            ("mnist10k", "mnist", "resnet", "small-resnet", RESIDUAL),
            ("mnist10k", "mnist", "plain", "small-resnet-plain", RESIDUAL),
        )
    ),
]
TASKS: Mapping[str, BenchTask] = {task.name: task for task in _ALL}


def is_frozen(task: BenchTask) -> bool:
    """Whether the package holds the records of a task."""
    return (resources.files("ebbing.bench") / "frozen" / f"{task.folder}.json").is_file()


def frozen(task: BenchTask) -> dict[str, Any]:
    """What the package holds of a task: its records and the fingerprint of its request.

    Raises:
        InputError: if it holds nothing.
    """
    if not is_frozen(task):
        raise InputError(
            f"the records of {task.name!r} must be frozen in the package before it can be used, but are not."
        )
    file = resources.files("ebbing.bench") / "frozen" / f"{task.folder}.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


@lru_cache(maxsize=2)
def request_of(task: BenchTask, data_dir: Path | None = None) -> ForgetRequest:
    """The request of a task, held to what was frozen.

    Raises:
        InputError: if the data are not those that the task was frozen with.
    """
    known = frozen(task)
    request = made(task, data_dir, known)
    if request.fingerprint != known["fingerprint"]:
        raise InputError(
            f"{task.name!r} was frozen with other data: the fingerprint of its request is {known['fingerprint']}, but that of "
            f"what was found is {request.fingerprint}. Check the files of {task.dataset}."
        )
    return request


def made(task: BenchTask, data_dir: Path | None, known: Mapping[str, Any]) -> ForgetRequest:
    """The request from its rule, or from the records that are known to be memorised most."""
    bundle = load(task.dataset, data_dir=data_dir, train_size=task.train_size, seed=0)
    if not task.rule.startswith(MEMORISED):
        return select(task.rule, bundle, seed=0)
    validation, _, holdout = unseen_parts(bundle.test)
    return ForgetRequest.from_ids(
        bundle.train,
        known["forget"],
        holdout=holdout,
        validation=validation,
        matched=Subset(bundle.test, known["matched"]),
        validation_matched=Subset(bundle.test, known["validation_matched"]),
        kind=MEMORISED,
        description=f"the {len(known['forget'])} records that are memorised most",
    )


def unseen_parts(test: Any) -> tuple[Subset[Any], Subset[Any], Subset[Any]]:
    """Validation (a fifth), records to draw matched ones from (two fifths), and holdout (two fifths) of a test set."""
    generator = np.random.default_rng(0)
    validation, rest = split_unseen(test, share=0.2, generator=generator)
    spare, holdout = split_unseen(rest, share=0.5, generator=generator)
    base = [Subset(test, [rest.indices[i] for i in part.indices]) for part in (spare, holdout)]
    return validation, base[0], base[1]
