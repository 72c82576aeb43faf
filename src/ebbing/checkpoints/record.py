"""What is known of a file of weights, in a small file beside it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeGuard

from ebbing.checkpoints.parts import INDEX_ENDING, digest_of
from ebbing.checkpoints.shown import shown
from ebbing.errors import InputError
from ebbing.files import write_text

SCHEMA = "ebbing.weights/1"

_PAIR = "Restore the weights and the record that belong together, or delete the record: nothing is then known of them."


@dataclass(frozen=True)
class WeightsRecord:
    """What is known of a file of weights; kept beside it as ``<file name>.json``. None is "not known".

    Attributes:
        weights: `digest_of` the file, so that a record never speaks of other weights.
        data: fingerprint of the full training set that positions refer to.
        records: its number of records, >= 1.
        forgotten: positions in it that were forgotten so far, ascending.
        training_seconds: wall time of the training from scratch, in seconds.
        made_by: how the weights came about (method, settings, seed, ...), as JSON data.
    """

    weights: str
    data: str | None = None
    records: int | None = None
    forgotten: tuple[int, ...] = ()
    training_seconds: float | None = None
    made_by: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what a record cannot say, all problems at once."""
        places = self.forgotten if isinstance(self.forgotten, tuple) and all(map(_whole, self.forgotten)) else (0, 0)
        end = self.records if _whole(self.records) else math.inf
        rules = {
            "weights": ("32 hexadecimal digits", _text(self.weights) and re.fullmatch("[0-9a-f]{32}", self.weights)),
            "data": ("a fingerprint or None", self.data is None or _text(self.data)),
            "records": ("a whole number >= 1 or None", self.records is None or (_whole(self.records) and self.records)),
            "forgotten": (
                "positions in [0, records), ascending, each once",
                all(a < b for a, b in pairwise((*places, end))),
            ),
            "training_seconds": ("seconds >= 0 or None", self.training_seconds is None or _time(self.training_seconds)),
            "made_by": ("a mapping of JSON data", isinstance(self.made_by, Mapping)),
        }
        wrong = [f"`{n}` must be {rule}, but is {shown(getattr(self, n))}" for n, (rule, ok) in rules.items() if not ok]
        if wrong:
            raise InputError(f"{'; '.join(wrong)}. Leave out what is not known.")
        try:
            made_by = json.loads(json.dumps(dict(self.made_by), allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(f"`made_by` must be JSON data, but is not: {error}. Pass numbers and text.") from None
        object.__setattr__(self, "made_by", made_by)  # as it will be read back


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _time(value: Any) -> bool:
    return _whole(value) or (isinstance(value, float) and 0 <= value < math.inf)


def record_path(path: Path) -> Path:
    """Where the record of a file of weights lies: ``w.safetensors`` has ``w.safetensors.json``, and so has its index."""
    whole = path.name.removesuffix(INDEX_ENDING) + ".safetensors" if path.name.endswith(INDEX_ENDING) else path.name
    return path.parent / f"{whole}.json"


def read_record(path: Path) -> WeightsRecord | None:
    """The record of the weights in ``path``; None where there is none.

    Raises:
        InputError: if it cannot be read, is of another schema, or speaks of other weights than those in ``path``.
    """
    beside = record_path(path)
    try:
        content = json.loads(beside.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"the record {beside} must be JSON text, but cannot be read: {error}. {_PAIR}") from None
    wanted = ["schema", *(f.name for f in fields(WeightsRecord))]
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        found = shown(content.get("schema") if isinstance(content, dict) else content)
        raise InputError(f"the record {beside} must have the schema {SCHEMA!r}, but has {found}. {_PAIR}")
    missing = [name for name in wanted if name not in content]
    if missing:
        raise InputError(f"the record {beside} must have the keys {wanted}, but lacks {missing}. {_PAIR}")
    said = {name: content[name] for name in wanted[1:]}
    if isinstance(said["forgotten"], list):
        said["forgotten"] = tuple(said["forgotten"])
    try:
        record = WeightsRecord(**said)
    except InputError as error:
        raise InputError(f"the record {beside} is damaged: {error} {_PAIR}") from None
    _refuse_other_weights(path, record)
    return record


def _refuse_other_weights(path: Path, record: WeightsRecord) -> None:
    digest = digest_of(path)
    if digest != record.weights:
        raise InputError(
            f"the record {record_path(path)} must speak of the weights in {path}, whose digest is {digest}, but speaks of "
            f"{record.weights}. One of the two was replaced without the other. {_PAIR}"
        )


def write_record(path: Path, record: WeightsRecord) -> None:
    """Write the record of the weights in ``path`` beside them, whole or not at all.

    Raises:
        InputError: if the record speaks of other weights.
    """
    _refuse_other_weights(path, record)
    put_record(path, record)


def put_record(path: Path, record: WeightsRecord) -> None:
    """Write a record that is known to speak of the weights in ``path``, or of those that will be there."""
    content = {"schema": SCHEMA} | asdict(record)
    lines = (f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())  # one each, however long
    write_text(record_path(path), "{\n" + ",\n".join(lines) + "\n}\n")
