"""What is checked before anything long begins, so that the user learns of everything at once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from ebbing.errors import InputError
from ebbing.pool import Workers
from ebbing.pretrained import is_folder, weights_in
from ebbing.ray_pool import RayExecutor


@contextmanager
def noted(problems: list[str]) -> Iterator[None]:
    """Note what is wrong and go on, so that the user learns of everything at once, and of each once."""
    try:
        yield
    except InputError as error:
        if str(error) not in problems:
            problems.append(str(error))


@contextmanager
def named_option(option: str) -> Iterator[None]:
    """Say which option an error comes from."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{option}: {error}") from error


OPTION_OF = {
    "ids": "--forget",
    "exclude": "--exclude",
    "dataset": "--data",
    "holdout": "--holdout",
    "validation": "the validation part of --holdout",
    "matched": "--matched",
    "validation_matched": "the validation part of --matched",
    "training_view": "--training-view",
}


@contextmanager
def arguments_as_options() -> Iterator[None]:
    """Say the options that a user gave, where an error speaks of the library's arguments."""
    try:
        yield
    except InputError as error:
        text = str(error)
        for argument, option in OPTION_OF.items():
            text = text.replace(f"`{argument}`", option)
        raise InputError(text) from error


def raise_all(problems: list[str]) -> None:
    """Raise what was noted, each on a line of its own, if anything was."""
    if problems:
        raise InputError("\nError: ".join(problems))


def device_named(name: str, *, workers: Workers | None = None) -> str:
    """The device that a name stands for; tried out.

    Args:
        name: as ``--device`` says it.
        workers: where runs go that use the device; None where all is done here, or what runs does not ask for the device.

    Raises:
        InputError: if it cannot be used here, or GPUs would be kept for runs that do not use them.
    """
    kind = name.partition(":")[0]
    if isinstance(workers, RayExecutor) and workers.gpus_per_run:
        if kind == "cpu":
            raise InputError(
                f"--gpus-per-run must come with a --device that runs use their GPUs by, but it is {name!r}: they would be kept "
                "and left idle. Say --device cuda, or leave --gpus-per-run out."
            )
        if kind in ("auto", "cuda") and not torch.cuda.is_available():
            raise InputError(
                "--gpus-per-run must be given where the command itself finds a GPU, as it loads and judges what runs made on "
                "theirs, but there is none here. Start it on a node with a GPU, or leave --gpus-per-run out."
            )
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = str(error).partition("\n")[0].partition(". ")[0].rstrip(".")
        raise InputError(f"--device {name!r} cannot be used here: {reason}. Use auto or cpu.") from error
    return name


def check_file(path: Path, option: str) -> None:
    """Find out now whether a file to be read is there."""
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "is no file" if path.exists() else "is not there"
        raise InputError(f"{option} must be a file, but {str(path)!r} {found}.")


def files_of(path: Path, option: str) -> list[Path]:
    """A file to be read; of a folder of the transformers library its weights, of any other every ``.safetensors`` file.

    Raises:
        InputError: if it is not there, or the folder holds none.
    """
    if is_folder(path):
        return [weights_in(path)]
    if not path.is_dir():
        check_file(path, option)
        return [path]
    inside = sorted(path.glob("[!.]*.safetensors"))
    if not inside:
        raise InputError(f"{option} may be a folder of .safetensors files, but {str(path)!r} holds none.")
    return inside


def check_writable(out: Path, option: str = "--out") -> None:
    """Find out now whether files can be made in the folder that an option gives; it is left as it was."""
    missing = [p for p in (out, *out.parents) if not p.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        reason = "Not a directory" if isinstance(error, FileExistsError) else error.strerror
        raise InputError(f"{option} {out} cannot be written to: {reason}. Choose another folder.") from error
    finally:
        for folder in missing:  # innermost first
            with suppress(OSError):
                folder.rmdir()
