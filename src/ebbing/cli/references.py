"""Retrained models that the user names: which of the files are evidence, and which are something else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from ebbing.checkpoints import digest_of, read_record
from ebbing.cli.screen import print_line
from ebbing.errors import InputError
from ebbing.request import ForgetRequest
from ebbing.store import ModelStore


def check_references(retrained: Sequence[Path], judged: Mapping[str, Sequence[Path]]) -> None:
    """Refuse retrained models that are no evidence: the same file twice, or one of those that are held against them.

    Raises:
        InputError: if a file cannot be read, or has the content of another.
    """
    options = [("--retrained", path) for path in retrained]
    options += [(option, path) for option, paths in judged.items() for path in paths]
    seen: dict[str, str] = {}
    for option, path in options:
        digest = digest_of(path)
        if digest in seen and (option == "--retrained" or seen[digest].startswith("--retrained")):
            raise InputError(
                "--retrained must be models that differ from one another and from those they are held against, but "
                f"{seen[digest]} and {option} {path} hold the same weights. Retrain each with a seed of its own."
            )
        seen.setdefault(digest, f"{option} {path}")


def references_among(
    paths: Sequence[Path], named: Sequence[Path], request: ForgetRequest, console: Console
) -> list[Path]:
    """The retrained models among files; the folder of a run holds unlearned models and originals as well.

    Args:
        paths: every file that --retrained stands for.
        named: what was named: a file among these must be a retrained model, one that a folder holds may be left out.
        request: what the models must have been retrained for.
        console: says how many were left out.

    Raises:
        InputError: if a file that was named is none, or nothing is left.
    """
    stay = len(request.retain_ids)
    others = {path: why for path in paths if (why := _no_reference(path, stay)) is not None}
    for path in named:
        if path in others:
            raise InputError(
                f"--retrained must be models retrained on the {stay} records that stay, but {path} {others[path]}. Leave it "
                "out."
            )
    if paths and len(others) == len(paths):
        raise InputError(
            f"--retrained must be models retrained on the {stay} records that stay, but of {len(paths)} files none is: "
            f"{paths[0]} {others[paths[0]]}."
        )
    if others:
        first = next(iter(others))
        print_line(
            console,
            f"--retrained: {len(others)} of {len(paths)} files are left out; the first, {first}, {others[first]}.",
        )
    return [path for path in paths if path not in others]


def _no_reference(path: Path, stay: int) -> str | None:
    """Why a file cannot be a model retrained on so many records, by what it says of itself; None where it says nothing."""
    facts = (ModelStore(path.parent).facts(path.stem) if path.suffix == ".safetensors" else None) or {}
    record = read_record(path)
    method = facts.get("method") or (None if record is None else record.made_by.get("method"))
    if method is not None:
        return f"was made by the method {method!r}"
    if facts.get("role") == "trained" and facts.get("records") != str(stay):
        return f"was trained on {facts.get('records')} records"
    return None
