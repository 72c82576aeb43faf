"""Originals and splits of a task to take away, and models to score that were made elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ebbing.batches import iterate, size
from ebbing.bench.cells import INSIDE, Cell, Places, judge_of, refuse_other_models, trained
from ebbing.bench.labels import refuse_other_label
from ebbing.bench.margins import read_margins
from ebbing.bench.methods import METHODS
from ebbing.bench.score import score
from ebbing.bench.tasks import BenchTask, request_of
from ebbing.checkpoints import read_weights, write_weights
from ebbing.errors import InputError
from ebbing.evidence import Judge
from ebbing.files import write_text
from ebbing.fingerprint import as_plain, of_settings, of_tensors
from ebbing.inside import probed_layers
from ebbing.machine import describe
from ebbing.methods import DoNothing
from ebbing.observations import save_arrays
from ebbing.seen import Seen, see

ELSEWHERE = "made elsewhere"
READABLE = "validation"  # what a method may look at beside the records that go and stay


@dataclass(frozen=True)
class TakenIn:
    """What became of weights that were brought back.

    Attributes:
        cell: that they are.
        new: whether they were scored now; False where the cell holds their figures already.
    """

    cell: Cell
    new: bool


def export(
    task: BenchTask, places: Places, folder: Path, *, on_model: Callable[[int], None] = lambda number: None
) -> None:
    """Write what a method needs that is run elsewhere; what only the judge may read stays here.

    The folder then holds ``task.json`` (names, sizes, recipe, seeds), ``data.npz`` (inputs and labels as they are trained on,
    which records go and which stay, and the validation set) and ``originals/0.safetensors`` and so on.

    Args:
        task: which.
        places: where originals are found; those that are missing are trained.
        folder: new or empty.
        on_model: called after each original with its number.

    Raises:
        InputError: if the folder holds something.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"a task is exported into a new or empty folder, but {str(folder)!r} holds something.")
    request = request_of(task, places.data_dir)
    inputs, labels = _tensors(request.dataset)
    arrays = {
        "inputs": inputs,
        "labels": labels,
        "forget": request.forget_ids.numpy(),
        "retain": request.retain_ids.numpy(),
    }
    for name in (READABLE, f"{READABLE}_matched"):
        data = getattr(request, name)
        if data is not None:
            arrays[f"{name}_inputs"], arrays[f"{name}_labels"] = _tensors(data)
    save_arrays(folder / "data.npz", arrays)
    for number in range(task.models):
        model = trained(task, places, "original", number).model
        write_weights(folder / "originals" / f"{number}.safetensors", model)
        on_model(number)
    facts = {
        "task": as_plain(task),
        "fingerprint": request.fingerprint,
        "records": {name: len(getattr(request, name)) for name in ("forget", "retain", "holdout")},
        "retraining_examples": task.recipe.examples(len(request.retain)),
        "to_return": "one file of weights for each original, with its number: 0.safetensors and so on",
        "provenance": describe(places.command),
    }
    write_text(folder / "task.json", json.dumps(facts, indent=1) + "\n")


def take_in(
    task: BenchTask,
    places: Places,
    folder: Path,
    *,
    label: str,
    budget: float,
    examples: float | None = None,
    seconds: float | None = None,
    on_model: Callable[[int], None] = lambda number: None,
) -> TakenIn:
    """Score weights that were made elsewhere, and keep the figures as a cell.

    The cell says which weights they are. The same ones with the same cost are not scored twice.

    Args:
        task: which.
        places: where retrained models were seen, or at least their margins are published.
        folder: ``0.safetensors`` and so on, one for each original, unlearned.
        label: what the method is called; it must not be that of a method that takes part.
        budget: share of one retraining's examples that it keeps to, in (0, 1].
        examples: processed for one model, forward passes included; None where it is not known.
        seconds: of wall time for one model.
        on_model: called after each model was seen, with its number.

    Returns:
        The cell, and whether it is new.

    Raises:
        InputError: if files are missing or do not fit the network, the cell is there with figures of other weights, there is
            nothing to compare with, or that was made by another version.
    """
    _refuse_label_or_budget(label, budget)
    cell, request = Cell(task, label, DoNothing(), budget), request_of(task, places.data_dir)
    retraining = task.recipe.examples(len(request.retain))
    for name, value in (("examples", examples), ("seconds", seconds)):
        if value is not None and not 0 <= value < float("inf"):
            raise InputError(f"`{name}` must be a number >= 0, what one model took, but is {value:g}.")
    if examples is not None and examples > budget * retraining:
        raise InputError(
            f"{examples:,.0f} examples are more than {budget:.1%} of the {retraining:,} that one retraining processes. Give "
            "the budget that they lie in."
        )
    held = _held(places.cell(cell), label)
    models = _weights_from(folder, task)
    weights = of_settings([of_tensors(model.state_dict()) for model in models])
    cost = {
        "examples_ratio": None if examples is None else examples / retraining,
        "seconds_ratio": None,
        "seconds": seconds,
    }
    if held is not None:
        _refuse_other_weights(places.cell(cell), held, weights, cost)
        return TakenIn(cell, new=False)
    judge, seen = _judge(task, places), []
    for number, model in enumerate(models):
        read = judge.inside is not None and number < INSIDE
        layers = probed_layers(model, request, task=task.trainer.task) if read else []
        seen.append(see([model], request, task=task.trainer.task, layers=layers))
        on_model(number)
    figures: dict[str, Any] = {
        "task": task.name,
        "label": label,
        "budget": budget,
        "method": {"type": ELSEWHERE, "label": label, "weights": weights},
        "settings": None,
        "provenance": describe(places.command) | {"threads": torch.get_num_threads()},
        "figures": score(
            judge, Seen.concatenate([Seen(one.answers) for one in seen]), looked_into=Seen.concatenate(seen[:INSIDE])
        ),
        "cost": cost,
        "rolled_back": 0,
    }
    write_text(places.cell(cell), json.dumps(figures, indent=1) + "\n")
    return TakenIn(cell, new=True)


def _refuse_label_or_budget(label: str, budget: float) -> None:
    """What is called by the name of ours is refused, and a budget that is none."""
    if label in METHODS:
        raise InputError(f"{label!r} is a method of the leaderboard. Call what was made elsewhere by another name.")
    if not 0 < budget <= 1:
        raise InputError(f"the budget must be a share of one retraining in (0, 1], but is {budget:g}.")


def _held(path: Path, label: str) -> dict[str, Any] | None:
    """What a cell holds of weights that were brought back before; None where there is no cell.

    Raises:
        InputError: if it is of a method that was run here, or of another label that is spelled alike.
    """
    if not path.exists():
        return None
    held: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    refuse_other_label(held, label, path)
    if held["method"].get("type") != ELSEWHERE:
        raise InputError(f"{str(path)!r} holds figures of a method that was run here. Take another label.")
    return held


def _refuse_other_weights(path: Path, held: dict[str, Any], weights: str, cost: dict[str, float | None]) -> None:
    """A cell of weights that were brought back before is not written over; cells of old do not say which they were."""
    if held["method"].get("weights") != weights:
        raise InputError(
            f"{str(path)!r} must be of the weights that are given, but was made of others, or does not say of which. Take "
            "another label, or delete the file."
        )
    if held["cost"] != cost:
        raise InputError(
            f"{str(path)!r} holds the figures of these weights, but says of `examples` or `seconds` something else than is "
            "given now. Give them as before, or delete the file."
        )


def _weights_from(folder: Path, task: BenchTask) -> list[nn.Module]:
    """The unlearned models; whatever is wrong with any is found before anything is judged."""
    missing = [number for number in range(task.models) if not _weights_at(folder, number).is_file()]
    if missing:
        raise InputError(
            f"{str(folder)!r} must hold the weights of {task.models} models, 0.safetensors and so on, but lacks {missing[:5]}."
        )
    models = [task.trainer.initial(seed=0) for _ in range(task.models)]
    for number, model in enumerate(models):
        read_weights(_weights_at(folder, number), model)
    return models


def _weights_at(folder: Path, number: int) -> Path:
    return folder / f"{number}.safetensors"


def _tensors(dataset: Any) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and labels of a data set as arrays."""
    batches = list(iterate(dataset, batch_size=max(1, size(dataset))))
    inputs, labels = (torch.cat([batch[i] for batch in batches]) for i in (0, 1))
    return inputs.numpy(), labels.numpy()


def _judge(task: BenchTask, places: Places) -> Judge:
    """By what was seen here, else by published margins: then by answers alone."""
    numbers = range(task.models)
    if all(places.seen(task, role, n).exists() for role in ("original", "retrained") for n in numbers):
        refuse_other_models(places.work / task.folder, task, device=None)
        return judge_of(task, places)
    path = places.margins(task)
    if not path.exists():
        raise InputError(
            f"{task.name!r} has nothing to compare with: its retrained models were not seen in {str(places.work)!r}, and their "
            f"margins are not in {str(path)!r}. Make a cell first: ebbing bench run --task {task.name} --method do-nothing."
        )
    before, retrained = (Seen(read_margins(path, role)) for role in ("original", "retrained"))
    return Judge(before, retrained, concept=request_of(task, places.data_dir).concept, seed=0)
