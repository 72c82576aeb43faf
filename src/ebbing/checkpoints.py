"""The user's weights: read safely, written whole, with a record of what is known of them beside the file.

What a file is, its content says, never its name. A file of safetensors holds numbers only. A pickle can run code, so
none is opened unless the caller allows it, and then only by the reader of torch that runs nothing.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import operator
import os
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, TypeGuard

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ebbing.errors import InputError
from ebbing.files import write_text, write_whole

SCHEMA = "ebbing.weights/1"
INDEX_ENDING = ".safetensors.index.json"  # of what names the files of weights that lie in several

CONTAINERS = ("state_dict", "model_state_dict", "model")  # where the checkpoints of a training keep their weights
PREFIXES = ("module.", "_orig_mod.")  # put before every name by nn.DataParallel and by torch.compile
FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}  # converted into one another where dtypes differ
FOLDER = 0x10  # the attribute of a folder in a zip archive, as MS-DOS set it
NAMED = 5  # how many tensors of each kind a message names

_CONVERT = "convert it with safetensors.torch.save_model"
_ALLOW = "pass --allow-pt, which reads it through torch.load(weights_only=True) and runs no code from it"
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
        wrong = [
            f"`{n}` must be {rule}, but is {_shown(getattr(self, n))}" for n, (rule, ok) in rules.items() if not ok
        ]
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


def _shown(value: Any) -> str:
    """A value from a file as a message may show it: one line, escaped, not too long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def _few(lines: Sequence[str]) -> str:
    """The first of many."""
    return "; ".join(lines[:NAMED]) + (f"; and {len(lines) - NAMED} more" if len(lines) > NAMED else "")


# ---------------------------------------------------------------- files and records


def digest_of(path: Path) -> str:
    """32 hexadecimal digits of the bytes of a file (BLAKE2b of 16 bytes); of an index, of the files that it names as well.

    Raises:
        InputError: if there is no such file, or it cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in parts_of(path):
        _refuse_what_is_no_file(part)
        try:
            with open(part, "rb") as file:
                hashlib.file_digest(file, lambda: digest)
        except OSError as error:
            raise _unreadable(part, error) from None
    return digest.hexdigest()


def parts_of(path: Path) -> list[Path]:
    """The files that weights lie in: the file itself, or an index (``*.safetensors.index.json``) and those that it names.

    Raises:
        InputError: if an index cannot be read, or names a file that does not lie beside it.
    """
    if not path.name.endswith(INDEX_ENDING):
        return [path]
    _refuse_what_is_no_file(path)
    try:
        named = set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values())
    except OSError as error:
        raise _unreadable(path, error) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path} must be the index of weights in parts, JSON with a `weight_map`, but cannot be read: {error}. Write the "
            "model anew by model.save_pretrained(FOLDER)."
        ) from None
    odd = [name for name in named if not isinstance(name, str) or Path(name).name != name]
    if odd or not named:
        raise InputError(f"{path} must name files that lie beside it, but names {odd[:3] or 'none'}.")
    parts = [path.parent / name for name in sorted(named)]
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        raise InputError(f"{path} names {len(parts)} files, but {missing[:3]} are not there. Copy the whole folder.")
    return [path, *parts]


def _refuse_what_is_no_file(path: Path) -> None:
    try:
        if not path.exists():
            raise InputError(f"weights must be a file, but there is no {path}. Check the path.")
        if not path.is_file():  # opening a pipe would wait for ever
            kind = "a folder" if path.is_dir() else "a pipe or a device"
            raise InputError(f"weights must be a file, but {path} is {kind}. Name the file itself.")
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path} must be readable, but is not: {error.strerror}. Check the path and its permissions.")


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
        found = _shown(content.get("schema") if isinstance(content, dict) else content)
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
    _put_record(path, record)


def _put_record(path: Path, record: WeightsRecord) -> None:
    content = {"schema": SCHEMA} | asdict(record)
    lines = (f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())  # one each, however long
    write_text(record_path(path), "{\n" + ",\n".join(lines) + "\n}\n")


# ---------------------------------------------------------------- reading weights


def read_weights(path: Path, model: nn.Module, *, allow_pt: bool = False) -> list[str]:
    """Load the weights in ``path`` into ``model``, all or none of them, and set it to evaluation.

    Every name, shape and value is checked before anything is copied; a model whose weights are refused keeps every
    bit of its own. Tensors keep their device and dtype. Of tied weights the file need only hold one.

    Args:
        path: a file of safetensors, or of ``torch.save`` where that is allowed. The content decides, not the name.
        model: the network that the weights were trained with.
        allow_pt: read what ``torch.save`` has written, by ``torch.load(weights_only=True)``.

    Returns:
        Notes for the user on what was taken differently from how it lay in the file.

    Raises:
        InputError: if the file is not there, no file, empty, damaged or a pickle that is not allowed or holds more
            than tensors; if its tensors are not the model's, in name, shape or kind; or if any is not finite.
    """
    own = _state_of(model)
    notes: list[str] = []
    state = _read_pt(path, notes) if _is_pt(path, allow_pt=allow_pt) else _read_safetensors(path)
    if not state:
        raise InputError(f"weights must hold tensors, but {path} holds none. Check the path.")
    state = _without_prefix(state, own, notes)
    _refuse_misfit(path, state, own)
    state = _as_typed(state, own, notes)
    _refuse_not_finite(state, f"the weights in {path}")
    _load(path, model, state, own)
    model.eval()
    return notes


def _is_pt(path: Path, *, allow_pt: bool) -> bool:
    """Whether the content is a pickle or an archive of ``torch.save``; refused if that is not allowed.

    A file of safetensors begins with the length of its header (8 bytes, little-endian, under 2^32) and a brace. That is
    looked for first, as lengths exist that begin like a pickle or an archive; those have no four zeros there.
    """
    _refuse_what_is_no_file(path)
    try:
        with open(path, "rb") as file:
            head = file.read(262)
    except OSError as error:
        raise _unreadable(path, error) from None
    if not head:
        raise InputError(f"weights must hold tensors, but {path} is empty. Was the disk full when it was written?")
    if head[4:9] == b"\0\0\0\0{":
        return False
    kinds = {
        "a zip archive, as torch.save writes it": head.startswith(b"PK"),
        "a pickle": head.startswith(b"\x80"),
        "a tar archive, as torch.save wrote it long ago": head.endswith(b"ustar"),
    }
    kind = next((name for name, found in kinds.items() if found), None)
    if kind is not None and not allow_pt:
        raise InputError(
            f"weights must be a file of safetensors, but {path} is {kind}, which can run code when it is opened. "
            f"Nothing of it was. Where you trust it, {_CONVERT}, or {_ALLOW}."
        )
    return kind is not None


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path, device="cpu")
    except Exception as error:  # whatever the bytes made the parser say
        raise InputError(
            f"weights must be a whole file of safetensors, but {path} is cut short, damaged or something else: "
            f"{_shown(str(error))}. Restore it, or write it again."
        ) from None


def _read_pt(path: Path, notes: list[str]) -> dict[str, Tensor]:
    try:
        # By handle, as torch judges a path by the end of its name; its warnings speak to callers of torch.load.
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            source: IO[bytes] = file
            if file.read(2) == b"PK":
                _refuse_torn_archive(path)
            else:  # what torch.save wrote before there were archives
                file.seek(0)
                source = io.BytesIO(file.read())
            source.seek(0)
            found = torch.load(source, map_location="cpu", weights_only=True)
            if source is not file and source.read(1):  # tensors that were not read hold whatever the memory held
                raise EOFError("the list of its tensors ends before they do")
    except Exception as error:  # whatever the bytes made the parsers say
        asked = re.search(r"GLOBAL (\S+)", str(error))
        if asked:
            raise InputError(
                f"a checkpoint must hold tensors and plain values, but {path} asks for {_shown(asked[1])}, as a whole "
                "pickled module or harmful code does. Nothing of it was run. Where you trust it, load it yourself and "
                "save its weights with safetensors.torch.save_model."
            ) from None
        why = (
            f" ({error})" if isinstance(error, (zipfile.BadZipFile, EOFError)) else ""
        )  # torch's own advice is to trust it
        raise InputError(
            f"{path} must be a whole checkpoint of torch.save, but is cut short, damaged or something else{why}. "
            f"Restore it, or {_CONVERT} where it can be opened."
        ) from None
    return _weights_in(found, path, notes)


def _refuse_torn_archive(path: Path) -> None:
    """Hold every entry against its checksum, which torch does not: a flipped bit would be a wrong weight.

    Entries that are said to be empty or folders torch does not read at all: the tensor would hold whatever the memory
    held that it was given.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(e.compress_type != zipfile.ZIP_STORED or e.compress_size != e.file_size for e in entries):
            raise zipfile.BadZipFile("compressed, which torch.save never is: it may unpack to any size")
        if any(e.external_attr & FOLDER for e in entries):
            raise zipfile.BadZipFile("an entry is marked as a folder")
        if archive.testzip() is not None:
            raise zipfile.BadZipFile("an entry differs from its checksum")


def _weights_in(found: Any, path: Path, notes: list[str]) -> dict[str, Tensor]:
    """The tensors by name in what a checkpoint holds."""
    if isinstance(found, Mapping):
        inside = [key for key in CONTAINERS if isinstance(found.get(key), Mapping)]
        if len(inside) > 1:
            raise InputError(
                f"a checkpoint must hold one set of weights, but {path} holds {len(inside)}: {', '.join(inside)}. "
                "Save the one you mean in a file of its own."
            )
        if inside:
            found = found[inside[0]]
            notes.append(f"the weights were taken from {inside[0]!r} of the checkpoint; the rest of it was left alone")
        if all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in found.items()):
            return {name: tensor.detach() for name, tensor in found.items()}
        odd = [_shown(k) for k, value in found.items() if not (isinstance(k, str) and isinstance(value, Tensor))]
        what = f"{len(odd)} of {len(found)} entries are something else ({_few(odd)})"
    else:
        what = f"lies an object of type {type(found).__name__}"
    raise InputError(
        f"a checkpoint must hold tensors by name, alone or under one of {', '.join(CONTAINERS)}, but in {path} {what}. "
        "Save model.state_dict()."
    )


def _without_prefix(state: dict[str, Tensor], own: Mapping[str, Tensor], notes: list[str]) -> dict[str, Tensor]:
    """Names as they were before a wrapper put the same word before all of them, unless the model has such names too."""
    taken = ""
    while not state.keys() & own.keys():
        prefix = next((p for p in PREFIXES if all(name.startswith(p) for name in state)), None)
        if prefix is None:
            break
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
        taken += prefix
    if taken:
        notes.append(f"{taken!r} was taken off the names of all {len(state)} tensors: the weights of a wrapped model")
    return state


def _refuse_misfit(path: Path, state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Refuse names, shapes and kinds that are not the model's, all at once."""
    held = {_elements(own[name]) for name in state if name in own}
    both = sorted(state.keys() & own.keys())
    shapes = [name for name in both if state[name].shape != own[name].shape]
    kinds = [name for name in both if name not in shapes and not _alike(state[name], own[name])]
    misfits = {
        "missing": [_shown(n) for n in sorted(own.keys() - state.keys()) if _elements(own[n]) not in held],
        "unexpected": [_shown(n) for n in sorted(state.keys() - own.keys())],
        "of another shape": [f"{_shown(n)}: {tuple(state[n].shape)} for {tuple(own[n].shape)}" for n in shapes],
        "of another kind": [f"{_shown(n)}: {_kind(state[n])} for {_kind(own[n])}" for n in kinds],
    }
    found = "; ".join(f"{len(lines)} {what} ({_few(lines)})" for what, lines in misfits.items() if lines)
    if found:
        raise InputError(
            f"the tensors in {path} must be the {len(own)} of the model, but there are {found}. "
            "Is --model the network these weights were trained with?"
        )


def _alike(theirs: Tensor, ours: Tensor) -> bool:
    return _plain(theirs) and (theirs.dtype == ours.dtype or {theirs.dtype, ours.dtype} <= FLOATS)


def _plain(tensor: Tensor) -> bool:
    return not (is_lazy(tensor) or tensor.is_meta or tensor.is_quantized or tensor.layout != torch.strided)


def _kind(tensor: Tensor) -> str:
    """The dtype, and what else sets a tensor apart from a plain one."""
    return str(tensor.dtype) if _plain(tensor) else f"{tensor.dtype}, {tensor.layout}, on {tensor.device}"


def _as_typed(state: Mapping[str, Tensor], own: Mapping[str, Tensor], notes: list[str]) -> dict[str, Tensor]:
    """The tensors in the dtypes of the model's."""
    pairs = Counter((t.dtype, own[name].dtype) for name, t in state.items() if t.dtype != own[name].dtype)
    notes += [f"{n} of {len(state)} tensors were converted from {a} to the model's {b}" for (a, b), n in pairs.items()]
    return {name: tensor.to(own[name].dtype) for name, tensor in state.items()}


def _refuse_not_finite(state: Mapping[str, Tensor], whose: str) -> None:
    wrong = [_shown(name) for name, tensor in state.items() if not torch.isfinite(_wide(tensor)).all()]
    if wrong:
        raise InputError(
            f"{whose} must be finite, but {len(wrong)} of {len(state)} tensors hold NaN or infinite values ({_few(wrong)}). "
            "The training that made them diverged, or they are too large for the model's dtype."
        )


def _wide(tensor: Tensor) -> Tensor:
    """Numbers of one byte as float32, for which more is implemented."""
    return tensor.float() if tensor.dtype.itemsize == 1 else tensor


def _load(path: Path, model: nn.Module, state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Load what was checked, and undo it if the model does not hold it afterwards.

    That happens where weights are tied in the model but differ in the file, or the model has loading code of its own.
    """
    before = {name: tensor.clone() for name, tensor in own.items()}
    try:
        model.load_state_dict(state, strict=False)  # what is missing is tied to what is not
        now = model.state_dict()
        lost = [_shown(n) for n, tensor in state.items() if not torch.equal(_wide(now[n].cpu()), _wide(tensor))]
        if lost:
            raise InputError(
                f"the model must hold the weights in {path} once they are loaded, but {len(lost)} of {len(state)} tensors "
                f"then differ ({_few(lost)}): the model ties them, and the file has two values for one tensor. "
                "Is --model the network these weights were trained with?"
            )
    except BaseException as error:
        for name, tensor in own.items():
            tensor.copy_(before[name])
        if isinstance(error, RuntimeError):
            raise InputError(f"the model must take the weights in {path}, but refuses them: {error}") from error
        raise


# ---------------------------------------------------------------- memory of tensors


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers for a file, by name: of tied ones the first, each on the CPU and in memory of its own."""
    return _distinct(_state_of(model))


def _state_of(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, in the model's own memory."""
    state: dict[str, Any] = model.state_dict()
    odd = [_shown(name) for name, value in state.items() if not isinstance(value, Tensor) or not _plain(value)]
    if odd:
        raise InputError(
            f"the model's state must be dense tensors with values, but {len(odd)} of {len(state)} are not ({_few(odd)}): "
            "lazy, sparse, quantised, on the meta device or no tensors at all. Such models cannot be read or written here."
        )
    return state


def _elements(tensor: Tensor) -> Hashable:
    """The same for tensors of the same elements in memory, as tied weights are, transposed ones included."""
    steps = sorted((step, size) for step, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1)
    return (tensor.device, tensor.data_ptr(), tensor.dtype, *steps) if tensor.numel() else object()


def _distinct(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors for a file: of tied ones the first by name; each on the CPU, packed, in memory of its own."""
    kept = {_elements(state[name]): name for name in sorted(state, reverse=True)}
    packed = {name: state[name].detach().cpu().contiguous() for name in kept.values()}
    return {n: t if t.untyped_storage().nbytes() == t.nbytes else t.clone() for n, t in packed.items()}


# ---------------------------------------------------------------- writing weights


def write_weights(
    path: Path,
    model: nn.Module,
    *,
    data: str | None = None,
    records: int | None = None,
    forgotten: Iterable[int] = (),
    training_seconds: float | None = None,
    made_by: Mapping[str, Any] | None = None,
) -> WeightsRecord:
    """Write a model's weights as safetensors, whole or not at all, and the record beside them.

    Both files are made and flushed before either is put in place, so that a full disk leaves the old pair. The record
    goes first: a process that is killed between the two leaves a record of weights that are not there, which
    `read_record` refuses, rather than weights without a record, which would pass for weights of which nothing was ever
    forgotten. Writing once more mends it. The same weights give the same bytes.

    Args:
        path: the file; what it held is replaced.
        model: finite parameters and buffers. Of tied weights one is written.
        data: see `WeightsRecord`, as the others.
        records: see there.
        forgotten: positions in any order, each once.
        training_seconds: see there.
        made_by: see there.

    Returns:
        The record, as `read_record` will return it.

    Raises:
        InputError: if the weights are not finite, the record cannot be said, or ``path`` is no place for a file.
        OSError: if the disk is full or fails.
    """
    for place in (path, record_path(path)):
        if place.exists() and not place.is_file():
            raise InputError(f"weights and their record must go into files, but {place} is none. Name another.")
    try:
        places = tuple(sorted(place if isinstance(place, bool) else operator.index(place) for place in forgotten))
    except TypeError as error:
        raise InputError(f"`forgotten` must be positions, whole numbers, but is not: {error}.") from None
    record = WeightsRecord("0" * 32, data, records, places, training_seconds, made_by or {})
    state = _state_of(model)
    _refuse_not_finite(state, "the model's weights")
    before = record_path(path).read_bytes() if record_path(path).exists() else None

    def write(name: str) -> None:
        nonlocal record
        _save(_distinct(state), name)
        record = replace(record, weights=digest_of(Path(name)))
        _put_record(path, record)

    try:
        write_whole(path, write)
    except BaseException:
        if not path.is_file() or digest_of(path) != record.weights:  # else both were in place already
            _put_back(record_path(path), before)
        raise
    return record


def _save(state: dict[str, Tensor], name: str) -> None:
    try:
        save_file(state, name, metadata={"format": "pt"})
    except SafetensorError as error:
        raise OSError(f"the weights could not be written: {error}") from error
    except KeyError as error:
        raise InputError(f"weights must be of a dtype that safetensors knows, but some are {error}.") from None
    with open(name, "rb") as file:  # before the record is put in place: this is where a full disk may show at last
        os.fsync(file.fileno())


def _put_back(beside: Path, before: bytes | None) -> None:
    """The record as it was, where it was already replaced when something failed."""
    if before is None:
        beside.unlink(missing_ok=True)
    elif beside.read_bytes() != before:
        content = before

        def write(name: str) -> None:
            Path(name).write_bytes(content)

        write_whole(beside, write)
