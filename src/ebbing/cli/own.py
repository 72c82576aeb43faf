"""What ``ebbing unlearn`` and ``ebbing audit`` share: the user's own network, data, request and weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import nn
from torch.utils.data import Dataset

from ebbing.attacks import Attack
from ebbing.batches import size
from ebbing.battery import Level
from ebbing.checkpoints import WeightsRecord, read_record
from ebbing.cli.attacks import attacks_of
from ebbing.cli.checks import arguments_as_options, check_file, device_named, named_option, noted, raise_all
from ebbing.cli.loading import builder_of, datasets_of, keys_of, load_weights, padding_of, task_of
from ebbing.cli.names import nearest
from ebbing.cli.screen import print_line
from ebbing.errors import InputError
from ebbing.ids import read_ids, read_keys
from ebbing.pool import Workers
from ebbing.preflight import preflight
from ebbing.request import ForgetRequest
from ebbing.task import Task
from ebbing.unseen import Overlap, split_unseen
from ebbing.verdict import FEWEST_ORACLES, ORACLES_FOR_GOOD_NEWS, OUTCOMES, too_little

FAILED = 3


@dataclass(frozen=True)
class OwnOptions:
    """The options that name the user's own model, data and request; ``model_option`` is the one that names the model."""

    model: str
    data: str
    holdout: str
    forget: Path
    keys: str | None = None
    exclude: Path | None = None
    matched: str | None = None
    training_view: str | None = None
    task: str | None = None
    validation_share: float = 0.2
    overlap: Overlap = "refuse"
    allow_pt: bool = False
    fail_if: str | None = None
    received: str | None = None
    measures: Level = "quick"
    technical: bool = False
    show_examples: bool = False
    attacks: tuple[str, ...] = ()
    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    model_option: str = "--model"


@dataclass(frozen=True)
class Own:
    """What the options stand for.

    Attributes:
        build: makes a fresh network.
        request: what must be forgotten.
        task: turns batches into outputs.
        device: where models are run.
        ids: how many were named.
        allow_pt: whether weights may be `.pt` files.
        fail_if: outcomes that make the command fail.
        attacks: reported beside the standard ones.
        model_option: that names the model.
    """

    build: Callable[[], nn.Module]
    request: ForgetRequest
    task: Task
    device: str
    ids: int
    allow_pt: bool
    fail_if: tuple[str, ...]
    attacks: tuple[Attack, ...]
    model_option: str

    def load(self, path: Path, option: str, console: Console) -> nn.Module:
        """A fresh network with the weights of a file."""
        return load_weights(path, option, build=self.build, allow_pt=self.allow_pt, device=self.device, console=console)


def prepare(options: OwnOptions, problems: list[str], *, workers: Workers | None = None) -> Own:
    """Everything that the options name, checked; what is wrong with them is reported at once.

    Args:
        options: as given.
        problems: what the caller found wrong already; raised with the rest.
        workers: where runs go that use the device, see `device_named`.

    Raises:
        InputError: if an option cannot be used.
    """
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    model = ""  # where it cannot be used, no more is asked of it
    with noted(problems):
        build = builder_of(options.model, {}, option=options.model_option)
        model = options.model
    named = {"data": options.data, "holdout": options.holdout, "matched": options.matched}
    datasets = datasets_of(named | {"training_view": options.training_view}, problems, pad=padding_of(model))
    with noted(problems):
        task = task_of(options.task, model=model)
    with noted(problems):
        device = device_named(options.device, workers=workers)
    with noted(problems):
        fail_if = outcomes_of(options.fail_if)
    with noted(problems):
        attacks = attacks_of(options.attacks)
    received: date | None = None
    with noted(problems):
        received = None if options.received is None else _day(options.received)
    keys: list[str] | None = None
    ids: dict[str, list[int] | list[str]] = {}
    with noted(problems):
        if options.keys is not None and "data" in datasets:
            keys = keys_of(options.keys, records=size(datasets["data"]))
    for option, path in (("--forget", options.forget), ("--exclude", options.exclude)):
        with noted(problems):
            if path is not None:
                check_file(path, option)
                ids[option] = read_ids(path) if options.keys is None else read_keys(path)
    if options.matched is not None and options.matched == options.holdout:
        problems.append(
            f"--matched {options.matched!r} must be other unseen records than --holdout. Leave it out: the part of the holdout "
            "with the forget set's mix of classes is then taken."
        )
    raise_all(problems)
    with arguments_as_options():
        request = _request(
            options, datasets, ids["--forget"], ids.get("--exclude", []), keys, task=task, received=received
        )
    return Own(
        build,
        request,
        task,
        device,
        len(ids["--forget"]),
        options.allow_pt,
        fail_if,
        attacks,
        model_option=options.model_option,
    )


def _request(
    options: OwnOptions,
    datasets: dict[str, Dataset[Any]],
    ids: list[int] | list[str],
    exclude: list[int] | list[str],
    keys: list[str] | None,
    *,
    task: Task,
    received: date | None,
) -> ForgetRequest:
    """The request; unseen data are split by the seed into what methods may look at and what only the judge does."""
    generator = np.random.default_rng(options.seed)
    share = options.validation_share
    validation: Dataset[Any] | None
    validation, holdout = split_unseen(datasets["holdout"], share=share, generator=generator)
    validation_matched: Dataset[Any] | None = None
    matched: Dataset[Any] | None = None
    if "matched" in datasets:
        validation_matched, matched = split_unseen(datasets["matched"], share=share, generator=generator)
        validation_matched = validation_matched if size(validation_matched) else None
    return ForgetRequest.from_ids(
        datasets["data"],
        ids,
        holdout=holdout,
        validation=validation if size(validation) else None,
        matched=matched,
        validation_matched=validation_matched,
        keys=keys,
        exclude=exclude,
        task=task,
        description=f"the records named in {options.forget.name}",
        training_view=datasets.get("training_view"),
        overlap=options.overlap,
        received=received,
    )


def _day(text: str) -> date:
    """The day that --received says."""
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"--received must be a day as YYYY-MM-DD, but is {text!r}.") from error
    if day > datetime.now().astimezone().date():
        raise InputError(f"--received must be a day that has come, but is {text!r}.")
    return day


def check_record(path: Path, request: ForgetRequest, console: Console) -> WeightsRecord | None:
    """What stands beside the weights of an original, if it fits the data that were passed.

    Raises:
        InputError: if the data are not those recorded, or records that were forgotten before would be trained on.
    """
    record = read_record(path)
    if record is None or record.data is None:
        print_line(
            console,
            f"No record beside {path} of the data it was trained on: --data is taken at its word. `ebbing fingerprint` "
            "writes one.",
        )
        return record
    if record.data != request.data_fingerprint:
        n = size(request.dataset)
        counts = f" ({record.records} records then, {n} now)" if record.records not in (None, n) else ""
        raise InputError(
            f"--data must be the data that {path} was trained on, but its fingerprint is {request.data_fingerprint} and the "
            f"record beside the weights says {record.data}{counts}. Pass the same data in the same order, or delete "
            f"{path.name}.json if the record is wrong."
        )
    again = sorted(set(record.forgotten) & set(request.retain_ids.tolist()))
    if again:
        raise InputError(
            f"what {path} was made to forget must not be trained on again, but {len(again)} such records would be, positions "
            f"{again[:5]} first. Name them in a file for --exclude."
        )
    return record


def outcomes_of(words: str | None) -> tuple[str, ...]:
    """The outcomes of --fail-if, by commas."""
    if words is None:
        return ()
    asked = [w.strip() for w in words.split(",") if w.strip()]
    if not asked:  # an empty variable in a script must not open the gate
        raise InputError(f"--fail-if must name outcomes, by commas, but is {words!r}. {nearest(words, OUTCOMES)}")
    for word in asked:
        if word not in OUTCOMES:
            raise InputError(f"--fail-if {word!r} is no outcome of a verdict. {nearest(word, OUTCOMES)}")
    return tuple(asked)


def tell_request(own: Own, original: nn.Module, console: Console) -> None:
    """Say what was matched and how the original does; refuse a model that does not go with the data."""
    request = own.request
    ids, records, total = own.ids, len(request.forget_ids), size(request.dataset)
    excluded = total - records - len(request.retain_ids)
    kept = f", {excluded} kept out as forgotten before" if excluded else ""
    print_line(console, f"{ids} id{'s' * (ids != 1)} matched {records} of {total} records{kept}.")
    with named_option(f"{own.model_option} and --data"), arguments_as_options():
        found = preflight(original, request, task=own.task)
    print_line(
        console,
        f"The original predicts {found.forget:.1%} of the records to forget, {found.retain:.1%} of those that stay, and "
        f"{found.holdout:.1%} of unseen ones (samples).",
    )
    matched = "no" if request.matched is None else size(request.matched)
    print_line(
        console,
        f"Judged on {size(request.holdout)} unseen records, and {matched} that are matched to those to forget.",
    )
    if found.looks_untrained:
        print_line(
            console,
            f"Warning: that is hardly more than the commonest class alone ({found.commonest:.1%}). Do these weights belong to "
            "this network, and are the data prepared as they were in training?",
        )


def tell_evidence(request: ForgetRequest, references: int, console: Console) -> None:
    """Say before anything long begins what the verdict can be at best."""
    lacking = too_little(
        oracles=references,
        records=len(request.forget_ids),
        matched=None if request.matched is None else size(request.matched),
        concept=request.concept,
    )
    if references == 0:
        print_line(console, "No retrained reference: the only possible verdict is inconclusive.")
    elif lacking is not None:
        print_line(console, f"The only possible verdict is inconclusive: {lacking}.")
    elif FEWEST_ORACLES <= references < ORACLES_FOR_GOOD_NEWS:
        print_line(
            console,
            f"{references} retrained references can show a memory that is large, not that there is none: that needs "
            f"{ORACLES_FOR_GOOD_NEWS}.",
        )
