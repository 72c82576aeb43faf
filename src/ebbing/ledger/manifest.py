"""Versions of several files, an ensemble with its checkpoints or a folder of the transformers library: what belongs to one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ebbing.errors import InputError
from ebbing.files import write_text
from ebbing.ledger.digests import file_digest, weights_digest

SCHEMA = "ebbing.version/1"
SHARDS = "shards"  # the folder of the checkpoints, in the ledger's
CHECKPOINT = re.compile(r"shard-(\d+)/slice-(\d+)-[^/]*\.safetensors$")

ONE, ENSEMBLE, FOLDER = "a single model", "an ensemble in shards", "a folder of the transformers library"

Cell = tuple[int, int]  # shard and slice of a record, from 0


@dataclass(frozen=True)
class Manifest:
    """What a version consists of. Paths are in the ledger's folder.

    Attributes:
        weights: the file to load; of a folder of the transformers library that of its weights, or their index.
        files: SHA-256 of each file by its path, see `ebbing.ledger.digests.weights_digest`; ``weights`` is among them.
        sharding: shards, slices and seed of the assignment, and the number of records that it is of (None if it is not
            known). None for a folder.
        seed: of the ensemble; 0 for a folder.
        cells: by the mark of each record that the version was made to forget, the shards and slices where it was.
        about: the training, as JSON data.
    """

    weights: str
    files: Mapping[str, str]
    sharding: Mapping[str, int | None] | None
    seed: int
    cells: Mapping[str, list[Cell]] = field(default_factory=dict)
    about: Any = None

    def save(self, path: Path) -> None:
        """Write it, whole or not at all; the same content gives the same bytes."""
        write_text(path, json.dumps({"schema": SCHEMA} | asdict(self), sort_keys=True, indent=1) + "\n")

    @property
    def checkpoints(self) -> list[str]:
        """The files of shards and slices."""
        return [name for name in self.files if CHECKPOINT.search(name)]

    @property
    def kind(self) -> str:
        """`ENSEMBLE` or `FOLDER`."""
        return FOLDER if self.sharding is None else ENSEMBLE

    @property
    def place(self) -> str:
        """What users load: the file of weights, or the folder."""
        return Path(self.weights).parent.as_posix() if self.kind == FOLDER else self.weights

    def harmed(self, ledger: Path) -> list[str]:
        """Checkpoints that are missing, or not what was written."""
        return [
            name
            for name in self.checkpoints
            if not (ledger / name).is_file() or weights_digest(ledger / name) != self.files[name]
        ]

    def strangers(self, ledger: Path) -> list[Path]:
        """What lies in the folder of a version and was not written with it; the library might read it."""
        if self.kind != FOLDER:
            return []
        known = {ledger / name for name in self.files}
        return sorted(path for path in (ledger / self.place).glob("*") if path not in known)


def record_beside(weights: Path) -> Path:
    """The record of a file of weights, see `ebbing.checkpoints.WeightsRecord`."""
    return weights.with_name(f"{weights.name}.json")


def digests_of_version(folder: Path, file: str) -> dict[str, str | None]:
    """SHA-256 of the file that stands for a version, and of the record beside its weights, None where there is none.

    Args:
        folder: the ledger's.
        file: of the version, as the database names it.
    """
    record = record_beside(weights_of(folder, file))
    return {"weights": file_digest(folder / file), "record": file_digest(record) if record.is_file() else None}


def is_manifest(file: str) -> bool:
    """Whether a version is of several files, by the name that the database has for it."""
    return file.endswith(".json")


def read_manifest(path: Path) -> Manifest:
    """What a version consists of.

    Raises:
        InputError: if the file cannot be read, or says anything else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("schema") != SCHEMA or content.keys() != {f.name for f in fields(Manifest)}:
            raise ValueError(f"it is not of the schema {SCHEMA}")
        content["cells"] = {mark: [(s, c) for s, c in cells] for mark, cells in content["cells"].items()}
        return Manifest(**content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} must say what a version consists of, but cannot be read: {error}. Restore it."
        ) from None


def weights_of(folder: Path, file: str) -> Path:
    """The file of weights of a version.

    Args:
        folder: the ledger's.
        file: of the version, as the database names it.

    Raises:
        InputError: if it is of several files, and what they are cannot be read.
    """
    return folder / (read_manifest(folder / file).weights if is_manifest(file) else file)


def place_of(folder: Path, file: str) -> Path:
    """What users load of a version: its file of weights, or its folder; see `weights_of`."""
    return folder / (read_manifest(folder / file).place if is_manifest(file) else file)


def cell_of(checkpoint: str) -> tuple[int, int] | None:
    """Shard from 0 and slices from 1 of a checkpoint, by its path; None for any other file."""
    found = CHECKPOINT.search(checkpoint)
    return None if found is None else (int(found[1]), int(found[2]))


def has_seen(checkpoint: str, cells: Iterable[Cell]) -> bool:
    """Whether a checkpoint is of a stage that was trained on any of these cells."""
    found = cell_of(checkpoint)
    return found is None or any(shard == found[0] and cell < found[1] for shard, cell in cells)


def digests_of(folder: Path, names: Iterable[str], known: Mapping[str, str]) -> dict[str, str]:
    """The digests of files by path: those that are known as they are, so that a change of a file is not covered up."""
    return {name: known.get(name) or weights_digest(folder / name) for name in sorted(names)}
