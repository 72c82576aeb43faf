"""From ``pkg.mod:name`` to the user's own network, data, keys, task and training function; weights from files."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from ebbing.batches import size
from ebbing.checkpoints import read_weights
from ebbing.cli.checks import named_option, noted
from ebbing.cli.names import find, made
from ebbing.cli.screen import print_line
from ebbing.cli.stored import is_stored, stored_records
from ebbing.data.columns import is_file_of_columns, read_columns
from ebbing.data.text import tensors_of_columns
from ebbing.errors import InputError
from ebbing.language import CausalLM
from ebbing.pretrained import Pretrained, is_folder, is_language_model, load_folder, padding_in, weights_in
from ebbing.task import Classification, Task
from ebbing.training import seeded

FOLDER = "hf:"  # before the name of a folder of the transformers library, in the place of a module's


def builder_of(name: str, known: Mapping[str, Any], *, option: str = "--model") -> Callable[[], nn.Module]:
    """What builds the network, of a function or a folder of the transformers library: a fresh one each time.

    Args:
        name: ``pkg.mod:name``, one that is known, or a folder behind `FOLDER`.
        known: by name, beside those of modules.
        option: that names it.

    Raises:
        InputError: if the name stands for nothing of the kind; it is called once to find out.
    """
    if name.startswith(FOLDER):
        folder = Pretrained(name.removeprefix(FOLDER))
        with named_option(option):
            folder()  # to find out
        return folder
    what = f"{option} {name!r}"
    build = find(name, known, option)
    if isinstance(build, nn.Module):
        template = build
        return lambda: deepcopy(template)
    if not callable(build):
        raise InputError(f"{what} must be callable without arguments and give a module, but is {build!r}.")
    with seeded(0):
        model = _called(build, what)
    if not isinstance(model, nn.Module):
        raise InputError(f"{what} must give a torch module, but gives a {type(model).__name__}.")
    return build  # type: ignore[no-any-return]


def dataset_of(name: str, option: str, *, pad: int = 0) -> Dataset[Any]:
    """A data set, or what a function without arguments makes: also a pair of arrays or tensors, inputs and labels.

    Columns of the datasets library, or of a file of JSON lines, must be tokenised.

    Args:
        name: ``pkg.mod:name``, a file of JSON lines, or what `ebbing.cli.stored.stored_records` reads.
        option: that names it.
        pad: token that columns of tokens are filled up with.

    Raises:
        InputError: if it is nothing of the kind, is empty, or cannot be indexed.
    """
    what = f"{option} {name!r}"
    if is_stored(name):
        with named_option(option):
            found: Any = stored_records(name)
    elif is_file_of_columns(name):
        with named_option(option):
            found = read_columns(Path(name))
    else:
        found = find(name, {}, option)
    if isinstance(found, type) or (not hasattr(found, "__getitem__") and callable(found)):
        found = _called(found, what)
    if hasattr(found, "column_names"):  # of the datasets library
        with named_option(option):
            found = tensors_of_columns(found, pad=pad)
    if isinstance(found, (tuple, list)) and len(found) == 2 and all(isinstance(p, (Tensor, np.ndarray)) for p in found):
        inputs, labels = (_tensor(part, what) for part in found)
        if len(inputs) != len(labels):
            raise InputError(
                f"{what}: there must be one label for each record, but are {len(labels)} for {len(inputs)}."
            )
        found = TensorDataset(inputs, labels)
    if not hasattr(found, "__getitem__") or isinstance(found, (str, bytes, Mapping)):
        raise InputError(
            f"{what} must be a map-style data set (with a length, indexed by position), a pair of inputs and labels, or a "
            f"function that gives one, but is a {type(found).__name__}."
        )
    dataset: Dataset[Any] = found
    if _length(dataset, what) == 0:
        raise InputError(f"{what} must hold at least one record, but is empty.")
    return dataset


def datasets_of(named: Mapping[str, str | None], problems: list[str], *, pad: int = 0) -> dict[str, Dataset[Any]]:
    """The data sets by what they are for, as far as they are named, see `dataset_of`; what is wrong with them is noted."""
    found: dict[str, Dataset[Any]] = {}
    for purpose, name in named.items():
        with noted(problems):
            if name is not None:
                found[purpose] = dataset_of(name, "--" + purpose.replace("_", "-"), pad=pad)
    return found


def load_weights(
    path: Path, option: str, *, build: Callable[[], nn.Module], allow_pt: bool, device: str, console: Console
) -> nn.Module:
    """A fresh network with the weights of a file; what there is to know of them is said.

    Those of a folder of the transformers library are read by it, as it has other names in files for some architectures.

    Raises:
        InputError: if the weights are not those of the network, all of them.
    """
    if path == weights_in(path.parent) and isinstance(build, Pretrained):
        with named_option(option):
            return load_folder(path.parent, build).to(device)
    with seeded(0):
        model = build()
    with named_option(option):
        for note in read_weights(path, model, allow_pt=allow_pt):
            print_line(console, f"{path}: {note}")
    return model.to(device)


def _length(dataset: Dataset[Any], what: str) -> int:
    try:
        return size(dataset)
    except Exception as error:  # ours where there is no length, else whatever the user's own code raised
        said = str(error) if isinstance(error, InputError) else f"asking for the length raised {_told(error)}"
        raise InputError(f"{what}: {said}") from error


def _tensor(part: Tensor | np.ndarray[Any, Any], what: str) -> Tensor:
    """Inputs or labels as a tensor; an array that torch cannot share, or must not write to, is copied."""
    try:
        if isinstance(part, np.ndarray):
            shared = part.flags.writeable and min(part.strides, default=0) >= 0
            part = torch.from_numpy(part.astype(part.dtype.newbyteorder("="), copy=not shared))
        len(part)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{what} must give arrays of numbers, one row for each record, but one is of type {part.dtype} and shape "
            f"{tuple(part.shape)}."
        ) from error
    return part


def keys_of(name: str, *, records: int) -> list[str]:
    """One key for each record of the training set, as text: what stands in a file of ids.

    Raises:
        InputError: if there are not as many, or two different keys read alike as text.
    """
    what = f"--keys {name!r}"
    found = find(name, {}, "--keys")
    if callable(found):
        found = _called(found, what)
    listed: Any = found.tolist() if hasattr(found, "tolist") else found
    if not isinstance(listed, Sequence) or isinstance(listed, (str, bytes)):
        raise InputError(
            f"{what} must be a list of keys or a function that gives one, but is a {type(found).__name__}."
        )
    if len(listed) != records:
        raise InputError(f"{what} must give one key for each of the {records} records, but gives {len(listed)}.")
    try:
        distinct = set(listed)
    except TypeError:
        raise InputError(f"{what} must give numbers or words as keys, but some are lists or the like.") from None
    odd = [key for key in distinct if isinstance(key, (float, bytes)) or key is None]
    if odd:  # nobody writes them in a file as Python does
        raise InputError(
            f"{what} must give whole numbers or words as keys, but gives {odd[0]!r}. Turn them into these."
        )
    texts = [str(key).strip() for key in listed]
    if len(set(texts)) != len(distinct):
        raise InputError(f"{what}: different keys must differ as text in a file, but some do not, such as 1 and '1'.")
    return texts


def padding_of(model: str) -> int:
    """The token that columns are filled up with: that of a folder of the transformers library, 0 for any other model."""
    folder = Path(model.removeprefix(FOLDER))
    return padding_in(folder) if model.startswith(FOLDER) and is_folder(folder) else 0


def task_of(name: str | None, *, model: str = "") -> Task:
    """The task; where none is named `CausalLM` for a folder of a language model, and `Classification` for any other."""
    if name is None:
        folder = Path(model.removeprefix(FOLDER))
        return CausalLM() if model.startswith(FOLDER) and is_language_model(folder) else Classification()
    found = find(name, {}, "--task")
    what = f"--task {name!r}"
    if callable(found) and not isinstance(found, (type, Task)):
        found = _called(found, what)
    task: Task = made(found, Task, what)
    return task


def training_function_of(name: str) -> Callable[..., nn.Module]:
    """A function ``(dataset, *, seed) -> model``; it is not called yet.

    Raises:
        InputError: if it cannot be called that way.
    """
    what = f"--train-fn {name!r}"
    found = find(name, {}, "--train-fn")
    if not callable(found):
        raise InputError(f"{what} must be a function (dataset, *, seed) -> model, but is a {type(found).__name__}.")
    try:
        inspect.signature(found).bind(None, seed=0)
    except TypeError as error:
        raise InputError(f"{what} must be callable as function(dataset, seed=0), but: {error}.") from error
    except ValueError:  # a builtin says nothing of what it takes
        pass
    return found  # type: ignore[no-any-return]


def _called(function: Callable[[], Any], what: str) -> Any:
    try:
        return function()
    except (Exception, SystemExit) as error:
        raise InputError(f"{what} must be callable without arguments, but raised {_told(error)}") from error


def _told(error: BaseException) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
