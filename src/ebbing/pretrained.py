"""Models of the transformers library in folders: read, fine-tuned from, written back."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from ebbing.checkpoints import WeightsRecord, digest_of, write_record
from ebbing.errors import InputError

CONFIG, WEIGHTS = "config.json", "model.safetensors"
INDEX = "model.safetensors.index.json"
LEFT_BEHIND = (".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".index.json", f"{WEIGHTS}.json")


@dataclass(frozen=True)
class Pretrained:
    """What builds the model of a folder that ``save_pretrained`` wrote: architecture, configuration and weights.

    Called without arguments it gives the model, read anew each time. Weights are read from safetensors alone; no code of the
    folder is run.

    Attributes:
        folder: with ``config.json`` and ``model.safetensors``, or the parts of it that an index names.
        classes: number of classes of a new classifier on top, where the folder is the checkpoint that a fine-tuning started
            from: what the folder has no weights for is drawn by torch's global generators. None for the model as it is.
    """

    folder: str
    classes: int | None = None

    def __call__(self) -> nn.Module:
        """The model, in evaluation mode.

        Raises:
            InputError: if the folder lacks a file, or the transformers library cannot make a model of it.
        """
        library = _library()
        check_folder(Path(self.folder))
        more: dict[str, Any] = {} if self.classes is None else {"num_labels": self.classes}
        kind = (
            _class_of(library, Path(self.folder))
            if self.classes is None
            else library.AutoModelForSequenceClassification
        )
        try:
            with _quiet(library):
                model: nn.Module = kind.from_pretrained(
                    self.folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, **more
                )
        except (OSError, ValueError, RuntimeError, KeyError, ImportError, TypeError, AttributeError) as error:
            raise InputError(f"{self.folder} must hold a model that transformers can load, but: {error}") from error
        return model.eval()


def is_folder(path: Path) -> bool:
    """Whether a path is a folder with the configuration of a model."""
    return (path / CONFIG).is_file()


def weights_in(path: Path) -> Path:
    """The file of weights that a path stands for: of a folder of one model that in it, else the path itself."""
    return path / WEIGHTS if is_folder(path) else path


def is_language_model(folder: Path) -> bool:
    """Whether the configuration in a folder names a model that predicts the next token."""
    return any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in _config(folder).get("architectures") or ())


def classes_in(folder: Path) -> int:
    """Number of classes that the configuration in a folder says, 2 where it does not, as transformers has it."""
    config = _config(folder)
    return int(config.get("num_labels") or len(config.get("id2label") or ()) or 2)


def check_folder(folder: Path) -> None:
    """Refuse a folder that is not of one model with safetensors.

    Raises:
        InputError: saying which file is missing, and what to do.
    """
    if not is_folder(folder):
        raise InputError(
            f"a model of the transformers library is a folder with {CONFIG}, but {folder} has none. Write one by "
            "model.save_pretrained(FOLDER)."
        )
    if not any((folder / name).is_file() for name in (WEIGHTS, INDEX)):
        raise InputError(
            f"the weights in {folder} must be {WEIGHTS}, but there is no such file. Pickles are not opened: load the model "
            "where you trust it, and write it by model.save_pretrained(FOLDER)."
        )


def write_folder(out: Path, model: nn.Module, *, like: Path, record: WeightsRecord) -> WeightsRecord:
    """Write a model as ``save_pretrained`` does, whole or not at all, with the other files of the folder that it came from.

    Tokenizer, generation settings and the like are copied; weights of the other folder are not. The record stands beside
    the weights, as beside any.

    Args:
        out: the folder; what it held is replaced.
        model: with ``save_pretrained``.
        like: the folder that the original came from.
        record: what is known of the weights; its digest is filled in.

    Returns:
        The record, with the digest of the weights.

    Raises:
        InputError: if the model cannot be saved so.
    """
    save = getattr(model, "save_pretrained", None)
    if save is None:
        raise InputError(
            f"to be written into a folder a model needs save_pretrained(), which {type(model).__name__} has not."
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        for path in sorted(like.iterdir()):
            if path.is_file() and not path.name.endswith(LEFT_BEHIND):
                shutil.copy2(path, made / path.name)
        with _quiet(_library()):
            save(made, max_shard_size="1000TB")
        record = replace(record, weights=digest_of(made / WEIGHTS))
        write_record(made / WEIGHTS, record)
        for path in made.iterdir():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
        _put_in_place(made, out)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    return record


def _put_in_place(made: Path, out: Path) -> None:
    """Put a folder where another may be: that one goes only when the new one stands."""
    made.chmod(0o755)
    if not out.exists():
        made.rename(out)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{out.name}.old.", dir=out.parent))
    out.rename(old / out.name)
    try:
        made.rename(out)
    except BaseException:
        (old / out.name).rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _config(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder / CONFIG} must be the JSON of a configuration, but cannot be read: {error}."
        ) from error
    return found


def _class_of(library: Any, folder: Path) -> Any:
    """The class that the configuration names."""
    names = _config(folder).get("architectures") or []
    kind = getattr(library, names[0], None) if names else None
    if not (isinstance(kind, type) and issubclass(kind, library.PreTrainedModel)):
        raise InputError(
            f"{folder / CONFIG} must name an architecture that the installed transformers library has, but names "
            f"{names or 'none'}. Models with code of their own are not loaded; name a function that builds them by --model."
        )
    return kind


def _library() -> Any:
    """The transformers library."""
    try:
        import transformers
    except ImportError as error:
        raise InputError(
            "models in folders need the transformers library: pip install 'ebbing[transformers]'."
        ) from error
    return transformers


@contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """Without the progress bars and hints of the library, which speak to somebody at its own prompt."""
    logging = library.utils.logging
    level = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
