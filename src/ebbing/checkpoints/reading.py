"""Weights from a file into a model, all or none of them.

What a file is, its content says, never its name. A file of safetensors holds numbers only. A pickle can run code, so
none is opened unless the caller allows it, and then only by the reader of torch that runs nothing.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from ebbing.checkpoints.parts import refuse_what_is_no_file, unreadable
from ebbing.checkpoints.shown import few, shown
from ebbing.checkpoints.tensors import elements, is_plain, refuse_not_finite, state_of, wide
from ebbing.errors import InputError

CONTAINERS = ("state_dict", "model_state_dict", "model")  # where the checkpoints of a training keep their weights
PREFIXES = ("module.", "_orig_mod.")  # put before every name by nn.DataParallel and by torch.compile
FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}  # converted into one another where dtypes differ
FOLDER = 0x10  # the attribute of a folder in a zip archive, as MS-DOS set it

_CONVERT = "convert it with safetensors.torch.save_model"
_ALLOW = "pass --allow-pt, which reads it through torch.load(weights_only=True) and runs no code from it"


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
    own = state_of(model)
    notes: list[str] = []
    state = _read_pt(path, notes) if _is_pt(path, allow_pt=allow_pt) else _read_safetensors(path)
    if not state:
        raise InputError(f"weights must hold tensors, but {path} holds none. Check the path.")
    state = _without_prefix(state, own, notes)
    _refuse_misfit(path, state, own)
    state = _as_typed(state, own, notes)
    refuse_not_finite(state, f"the weights in {path}")
    _load(path, model, state, own)
    model.eval()
    return notes


def check_safetensors(path: Path) -> None:
    """Refuse what is no whole file of safetensors; of its content the header alone is read.

    Raises:
        InputError: if the file is not there, no file, cut short or something else.
    """
    refuse_what_is_no_file(path)
    try:
        with safe_open(path, framework="pt"):
            pass
    except Exception as error:  # whatever the bytes made the parser say
        raise _damaged(path, error) from None


def _is_pt(path: Path, *, allow_pt: bool) -> bool:
    """Whether the content is a pickle or an archive of ``torch.save``; refused if that is not allowed.

    A file of safetensors begins with the length of its header (8 bytes, little-endian, under 2^32) and a brace. That is
    looked for first, as lengths exist that begin like a pickle or an archive; those have no four zeros there.
    """
    refuse_what_is_no_file(path)
    try:
        with open(path, "rb") as file:
            head = file.read(262)
    except OSError as error:
        raise unreadable(path, error) from None
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
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"weights must be a whole file of safetensors, but {path} is cut short, damaged or something else: "
        f"{shown(str(error))}. Restore it, or write it again."
    )


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
                f"a checkpoint must hold tensors and plain values, but {path} asks for {shown(asked[1])}, as a whole "
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
        odd = [shown(k) for k, value in found.items() if not (isinstance(k, str) and isinstance(value, Tensor))]
        what = f"{len(odd)} of {len(found)} entries are something else ({few(odd)})"
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
    held = {elements(own[name]) for name in state if name in own}
    both = sorted(state.keys() & own.keys())
    shapes = [name for name in both if state[name].shape != own[name].shape]
    kinds = [name for name in both if name not in shapes and not _alike(state[name], own[name])]
    misfits = {
        "missing": [shown(n) for n in sorted(own.keys() - state.keys()) if elements(own[n]) not in held],
        "unexpected": [shown(n) for n in sorted(state.keys() - own.keys())],
        "of another shape": [f"{shown(n)}: {tuple(state[n].shape)} for {tuple(own[n].shape)}" for n in shapes],
        "of another kind": [f"{shown(n)}: {_kind(state[n])} for {_kind(own[n])}" for n in kinds],
    }
    found = "; ".join(f"{len(lines)} {what} ({few(lines)})" for what, lines in misfits.items() if lines)
    if found:
        raise InputError(
            f"the tensors in {path} must be the {len(own)} of the model, but there are {found}. "
            "Is the model the network that these weights were trained with?"
        )


def _alike(theirs: Tensor, ours: Tensor) -> bool:
    return is_plain(theirs) and (theirs.dtype == ours.dtype or {theirs.dtype, ours.dtype} <= FLOATS)


def _kind(tensor: Tensor) -> str:
    """The dtype, and what else sets a tensor apart from a plain one."""
    return str(tensor.dtype) if is_plain(tensor) else f"{tensor.dtype}, {tensor.layout}, on {tensor.device}"


def _as_typed(state: Mapping[str, Tensor], own: Mapping[str, Tensor], notes: list[str]) -> dict[str, Tensor]:
    """The tensors in the dtypes of the model's."""
    pairs = Counter((t.dtype, own[name].dtype) for name, t in state.items() if t.dtype != own[name].dtype)
    notes += [f"{n} of {len(state)} tensors were converted from {a} to the model's {b}" for (a, b), n in pairs.items()]
    return {name: tensor.to(own[name].dtype) for name, tensor in state.items()}


def _load(path: Path, model: nn.Module, state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Load what was checked, and undo it if the model does not hold it afterwards.

    That happens where weights are tied in the model but differ in the file, or the model has loading code of its own.
    """
    before = {name: tensor.clone() for name, tensor in own.items()}
    try:
        model.load_state_dict(state, strict=False)  # what is missing is tied to what is not
        now = model.state_dict()
        lost = [shown(n) for n, tensor in state.items() if not torch.equal(wide(now[n].cpu()), wide(tensor))]
        if lost:
            raise InputError(
                f"the model must hold the weights in {path} once they are loaded, but {len(lost)} of {len(state)} tensors "
                f"then differ ({few(lost)}): the model ties them, and the file has two values for one tensor. "
                "Is the model the network that these weights were trained with?"
            )
    except BaseException as error:
        for name, tensor in own.items():
            tensor.copy_(before[name])
        if isinstance(error, RuntimeError):
            raise InputError(f"the model must take the weights in {path}, but refuses them: {error}") from error
        raise
