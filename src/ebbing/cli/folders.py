"""``--hf`` and ``--pretrained``: models of the transformers library in folders, in and out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ebbing.checkpoints import record_path
from ebbing.cli.checks import check_writable
from ebbing.cli.loading import FOLDER
from ebbing.cli.methods import recipe_with
from ebbing.errors import InputError
from ebbing.methods import Ebb, Repairing, Retrain, RetrainEqualCompute, Unlearner
from ebbing.pretrained import Pretrained, is_folder, weights_in
from ebbing.training import Recipe

# as most fine-tune; --recipe says otherwise
FINE_TUNING = Recipe(epochs=3, batch_size=16, optimizer="adamw", learning_rate=5e-5)


def model_and_weights(model: str | None, weights: Path | None, folder: Path | None) -> tuple[str, Path]:
    """What makes the network and the file of its weights, from --model and --weights, or from --hf.

    Raises:
        InputError: if neither or both are given.
    """
    if folder is not None:
        if model is not None or weights is not None:
            raise InputError(
                "--hf stands for both --model and --weights, but some of them are given as well. Leave them out."
            )
        return f"{FOLDER}{folder}", weights_in(folder)
    if model is None or weights is None:
        missing = " and ".join(name for name, value in (("--model", model), ("--weights", weights)) if value is None)
        raise InputError(f"{missing} must be given, or --hf with a folder of the transformers library.")
    return model, weights


def start_of(
    folder: Path | None, pretrained: Path | None, words: tuple[str, ...], train_function: str | None
) -> tuple[Pretrained | None, Recipe | None]:
    """What a fine-tuning started from, and how it was done; None where that is not said. No folder is read.

    Args:
        folder: of --hf.
        pretrained: of --pretrained.
        words: of --recipe.
        train_function: of --train-fn.

    Raises:
        InputError: if they do not go together.
    """
    if pretrained is None:
        if words:
            raise InputError("--recipe is how the model was fine-tuned from --pretrained, but that is not given.")
        return None, None
    if folder is None:
        raise InputError("--pretrained is what the model of --hf was fine-tuned from, but --hf is not given.")
    if train_function is not None:
        raise InputError("--train-fn and --pretrained both say how references are retrained. Give one of them.")
    return Pretrained(str(pretrained), like=str(folder)), fine_tuning(words)


def fine_tuning(words: tuple[str, ...]) -> Recipe:
    """How a model was fine-tuned, as --recipe says; else as most do."""
    return recipe_with(FINE_TUNING, words)


def going_on_from(start: Pretrained | None, recipe: Recipe | None, method: Unlearner) -> Unlearner:
    """A method for a model that was fine-tuned: decay is toward what that started from, a repair goes on as it went."""
    if start is None or recipe is None:
        return method
    if isinstance(method, Repairing):
        old = method.repair
        repair = replace(recipe, schedule="one-cycle", epochs=old.epochs, max_examples=old.max_examples)
        method = replace(method, repair=repair)
    if isinstance(method, Ebb) and method.anchor == "fresh":
        return replace(method, anchor=start, peak=None)
    return replace(method, start=start) if isinstance(method, (Retrain, RetrainEqualCompute)) else method


def toward_chance(folder: Path | None, start: Pretrained | None, methods: Iterable[Unlearner]) -> str | None:
    """What to say where decay would take away what a fine-tuned model knew before; None where it would not.

    Args:
        folder: of --hf.
        start: of --pretrained.
        methods: that were asked for.
    """
    if folder is None or start is not None:
        return None
    if not any(isinstance(method, Ebb) and method.anchor == "fresh" for method in methods):
        return None
    return (
        "Note: decay goes toward a fresh initialisation. If the model was fine-tuned, name what that started from by "
        "--pretrained: decay then goes toward it, and keeps what it knew."
    )


def check_out_folder(out: Path, *read: Path | None) -> None:
    """A model from a folder goes into a folder of its own: not there yet, empty, or one that was written here before.

    What the folder held is replaced, so nothing else may be in it: no folders, and nothing that is read.

    Args:
        out: where it is to go.
        read: files and folders that are read.

    Raises:
        InputError: if it is another.
    """
    own = out.resolve()
    for path in (path.resolve() for path in read if path is not None):
        if own == path or own in path.parents or (path in own.parents and path.is_dir()):
            raise InputError(
                f"--out must not be a folder that is read, nor hold or lie in one, but {str(out)!r} and {str(path)!r} are so. "
                "What is read stays as it is."
            )
    if out.exists() and not (out.is_dir() and (not any(out.iterdir()) or _was_written_here(out))):
        raise InputError(
            f"--out must be a new folder for --hf, but {str(out)!r} is something else. Choose another name."
        )
    check_writable(out.parent)


def _was_written_here(folder: Path) -> bool:
    """Whether a folder holds a model with a record beside it, and no folders."""
    return (
        is_folder(folder) and record_path(weights_in(folder)).is_file() and all(p.is_file() for p in folder.iterdir())
    )
