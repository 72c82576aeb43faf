"""``--data x.npy,y.npy`` and ``--data FOLDER``: records that stay on the disk, with how they are read, by commas."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from ebbing.data.mapped import MappedArrays, TableRecords
from ebbing.data.text import LABELS
from ebbing.errors import InputError

ARRAY = ".npy"
PAIR = ("inputs.npy", "labels.npy")  # what a folder of arrays holds
TABLE, SPLITS = "state.json", "dataset_dict.json"  # what save_to_disk() of the datasets library leaves in a folder
HOW = "x.npy,y.npy, a folder with inputs.npy and labels.npy, or one that save_to_disk() of the datasets library wrote"


def is_stored(name: str) -> bool:
    """Whether a name is of files on the disk, and no ``pkg.mod:name``."""
    first = name.partition(",")[0]
    return first.endswith(ARRAY) or (bool(first) and Path(first).is_dir())


def stored_records(name: str) -> Dataset[Any]:
    """The records of files on the disk, which are read as they are needed.

    Args:
        name: ``x.npy,y.npy``, or a folder with ``inputs.npy`` and ``labels.npy``, each with ``,scale=NUMBER`` behind it or not;
            or a folder of a table, with ``,inputs=COLUMN+COLUMN`` and ``,label=COLUMN`` or not.

    Raises:
        InputError: if it is nothing of the kind, or cannot be read.
    """
    first, *rest = [part.strip() for part in name.split(",")]
    paths = [part for part in rest if "=" not in part]
    said = dict(part.split("=", 1) for part in rest if "=" in part)
    folder = Path(first)
    if folder.is_dir() and not paths:
        if (folder / SPLITS).is_file():
            some = sorted(path.name for path in folder.iterdir() if (path / TABLE).is_file())
            raise InputError(
                f"a folder of splits must be named with one of them, such as {folder / (some or ['train'])[0]}."
            )
        if (folder / TABLE).is_file():
            return _table(folder, said)
        missing = [each for each in PAIR if not (folder / each).is_file()]
        if missing:
            raise InputError(f"records on the disk must be {HOW}, but {folder} has no {' and no '.join(missing)}.")
        first, *paths = [str(folder / each) for each in PAIR]
    if not first.endswith(ARRAY) or len(paths) != 1 or not paths[0].endswith(ARRAY):
        raise InputError(f"records on the disk must be {HOW}, but are {name!r}: {len(paths)} files of labels.")
    _refuse_others(said, ("scale",))
    return MappedArrays(first, paths[0], scale=_number(said["scale"]) if "scale" in said else None)


def _table(folder: Path, said: dict[str, str]) -> TableRecords:
    """A table of the datasets library: its columns of lists of numbers, or those that are named, and its labels."""
    _refuse_others(said, ("inputs", "label", "scale"))
    try:
        from datasets import load_from_disk
    except ImportError as error:
        raise InputError("tables in folders need the datasets library: pip install 'ebbing[datasets]'.") from error
    try:
        table = load_from_disk(str(folder))
        names = list(table.column_names)
        row = table[0] if len(table) else {}
    except Exception as error:  # of the library's own kinds, of Arrow's, and of the system's
        told = " ".join(str(error).split())
        raise InputError(
            f"{folder} must be a table as save_to_disk() writes it, but cannot be read: {type(error).__name__}: {told}."
        ) from error
    if not row:
        raise InputError(f"{folder} must hold at least one record, but is empty.")
    label = said.get("label") or next((name for name in LABELS if name in names), None)
    inputs = [name for name in names if name != label and isinstance(row[name], (list, tuple)) and _holds(row[name])]
    if "inputs" in said:
        inputs = [part.strip() for part in said["inputs"].split("+")]
    if words := [name for name in inputs if name in row and not _holds(row[name])]:
        raise InputError(f"the column {words[0]!r} of {folder} must hold numbers, but does not. Tokenise texts first.")
    if label is None or not inputs:
        lacking = "labels" if label is None else "inputs, lists of numbers"
        raise InputError(
            f"{folder} must have columns of {lacking}, but has {names}. Say which they are: "
            f"{folder},inputs=COLUMN+COLUMN,label=COLUMN."
        )
    only = inputs[0] if len(inputs) == 1 else inputs
    return TableRecords(table, inputs=only, label=label, scale=_number(said["scale"]) if "scale" in said else None)


def _holds(value: Any) -> bool:
    """Whether a value of a row is a number or a list, nested or not, of numbers."""
    while isinstance(value, (list, tuple)) and value:
        value = value[0]
    return isinstance(value, (int, float))


def _refuse_others(said: dict[str, str], known: Sequence[str]) -> None:
    """What is said of files must be something that goes with them."""
    other = [name for name in said if name not in known]
    if other:
        raise InputError(f"what is said of records on the disk must be {' or '.join(known)}, but is {other[0]!r}.")


def _number(text: str) -> float:
    """A number above zero, or a fraction such as 1/255."""
    try:
        found = float(Fraction(text.replace(" ", "")))
    except (ValueError, ZeroDivisionError, OverflowError):
        found = 0.0
    if found <= 0:
        raise InputError(f"`scale` must be a number above 0, such as 1/255, but is {text!r}.")
    return found
