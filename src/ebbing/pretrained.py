"""Models of the transformers library in folders: read, fine-tuned from, written back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ebbing.checkpoints import WeightsRecord, check_safetensors, digest_of, parts_of, record_path, write_record
from ebbing.checkpoints.shown import few
from ebbing.errors import InputError
from ebbing.files import write_whole_folder
from ebbing.fingerprint import of_settings

CONFIG, WEIGHTS = "config.json", "model.safetensors"
INDEX = "model.safetensors.index.json"
ADAPTER = "adapter_config.json"  # of the peft library
LEFT_BEHIND = (".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".index.json", f"{WEIGHTS}.json")


@dataclass(frozen=True)
class Pretrained:
    """What builds the model of a folder that ``save_pretrained`` wrote: architecture, configuration and weights.

    Called without arguments it gives the model, read anew each time. Weights are read from safetensors alone, in one file or
    several; no code of the folder is run. They must be whole: what is missing would be drawn at random.

    Where the folder is the checkpoint that a fine-tuning started from, ``like`` or ``classes`` say what the fine-tuning made
    of it: what the folder has no weights for, or has them in other shapes on top of the base, as a head for other classes, is
    drawn by torch's global generators.

    Attributes:
        folder: with ``config.json`` and ``model.safetensors``, or the parts of it that an index names.
        classes: number of classes of a new classifier of texts on top; None for the model as it is.
        like: folder of the fine-tuned model, whose class and configuration (labels, padding token, ...) are taken; None for
            those of ``folder``.
    """

    folder: str
    classes: int | None = None
    like: str | None = None

    def __post_init__(self) -> None:
        """Refuse two answers to one question."""
        if self.classes is not None and self.like is not None:
            raise InputError("`classes` and `like` both say what is on top of a checkpoint. Give one of them.")

    @property
    def fingerprint(self) -> str:
        """32 hexadecimal digits of what the model is made from, by content: the folders may be moved.

        Raises:
            InputError: if the folder lacks a file.
        """
        check_folder(Path(self.folder))
        config = Path(self.like or self.folder) / CONFIG
        return of_settings([digest_of(weights_in(Path(self.folder))), digest_of(config), self.classes])

    def __call__(self) -> nn.Module:
        """The model, in evaluation mode.

        Raises:
            InputError: if the folder lacks a file, the transformers library cannot make a model of it, or its weights are not
                all those of that model or, with ``like`` or ``classes``, of its base.
        """
        library = _library()
        folder = Path(self.folder)
        check_folder(folder)
        if self.like is None:
            return self._made(library, folder, None)
        like = Path(self.like)
        theirs, own = (_config(each).get("model_type") for each in (folder, like))
        if theirs != own:
            raise InputError(
                f"a fine-tuning goes on in the architecture of its checkpoint, but {self.folder} is of type {theirs!r} and "
                f"{self.like} of {own!r}. Name the checkpoint that it started from."
            )
        return self._made(library, folder, like)

    def _made(self, library: Any, folder: Path, like: Path | None) -> nn.Module:
        """The model of ``folder``; with the class and configuration of ``like``, where that is given."""
        more: dict[str, Any] = {}
        if like is not None:
            more = {"config": str(like / CONFIG), "ignore_mismatched_sizes": True}
        elif self.classes is not None:
            more = {"num_labels": self.classes, "ignore_mismatched_sizes": True}
        kind = (
            library.AutoModelForSequenceClassification
            if self.classes is not None
            else _class_of(library, like or folder)
        )
        try:
            with _quiet(library):
                model, told = kind.from_pretrained(
                    str(folder),
                    local_files_only=True,
                    use_safetensors=True,
                    trust_remote_code=False,
                    output_loading_info=True,
                    **more,
                )
        except Exception as error:  # whatever the files made the library say
            raise InputError(f"{folder} must hold a model that transformers can load, but: {error}") from error
        if like is not None or self.classes is not None:
            _refuse_other_base(model, told, folder, like or folder)
        else:
            _refuse_missing(model, told, folder)
        made: nn.Module = model.eval()
        return made


@dataclass(frozen=True)
class Configured:
    """What builds a network of the configuration in a folder, with weights that torch's global generators draw.

    Attributes:
        folder: with ``config.json``; weights are not looked for.
    """

    folder: str

    def __call__(self) -> nn.Module:
        """The network, in evaluation mode.

        Raises:
            InputError: if the transformers library cannot make one of the configuration.
        """
        library, folder = _library(), Path(self.folder)
        kind = _class_of(library, folder)
        try:
            with _quiet(library):
                config = library.AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
                model: nn.Module = kind(config)
        except Exception as error:  # whatever the files made the library say
            raise InputError(
                f"{folder / CONFIG} must be a configuration that transformers can make a model of, but: {error}"
            ) from error
        dtype = getattr(config, "dtype", None)
        return model.to(dtype).eval() if isinstance(dtype, torch.dtype) else model.eval()


def load_folder(folder: Path, network: Pretrained) -> nn.Module:
    """The model in a folder, where it is of the network that another folder holds.

    Args:
        folder: of the model.
        network: the other; its weights are not read.

    Returns:
        The model, in evaluation mode.

    Raises:
        InputError: if the folder lacks a file or weights, or holds a model of another network.
    """
    model = Pretrained(str(folder))()
    if folder.resolve() == Path(network.folder).resolve():
        return model
    with torch.device("meta"):
        own = {name: tensor.shape for name, tensor in Configured(network.folder)().state_dict().items()}
    theirs = {name: tensor.shape for name, tensor in model.state_dict().items()}
    shapes = [name for name in own if name in theirs and own[name] != theirs[name]]
    found = {
        "missing": own.keys() - theirs.keys(),
        "unexpected": theirs.keys() - own.keys(),
        "of another shape": shapes,
    }
    misfits = "; ".join(f"{len(names)} {what} ({few(sorted(names))})" for what, names in found.items() if names)
    if misfits:
        raise InputError(
            f"the tensors in {folder} must be the {len(own)} of the network in {network.folder}, but there are {misfits}. "
            "Name a model that was trained as that one was, from its class and configuration."
        )
    return model


def is_folder(path: Path) -> bool:
    """Whether a path is a folder with the configuration of a model."""
    return (path / CONFIG).is_file()


def weights_in(path: Path) -> Path:
    """The file of weights that a path stands for: of a folder of one model that in it, or its index; else the path itself."""
    if not is_folder(path):
        return path
    return path / (INDEX if not (path / WEIGHTS).is_file() and (path / INDEX).is_file() else WEIGHTS)


def is_language_model(folder: Path) -> bool:
    """Whether the configuration in a folder names a model that predicts the next token."""
    return any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in _architectures(folder))


def padding_in(folder: Path) -> int:
    """The token that the model in a folder is padded with, by its configuration; 0 where that says none."""
    token = _config(folder).get("pad_token_id")
    return token if isinstance(token, int) else 0


def check_folder(folder: Path) -> None:
    """Refuse a folder that is not of one model with safetensors.

    Raises:
        InputError: saying which file is missing or damaged, or what is wrong with an index, and what to do.
    """
    if not is_folder(folder) and (folder / ADAPTER).is_file():
        raise InputError(
            f"a model is a folder with {CONFIG}, but {folder} holds an adapter alone ({ADAPTER}), which lies on another model. "
            "To unlearn in the adapter, put it on that model in Python, peft.PeftModel.from_pretrained(model, FOLDER, "
            "is_trainable=True), and hand it to ebbing.Ebb or another method; to have one model, write "
            "model.merge_and_unload().save_pretrained(FOLDER)."
        )
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
    _config(folder)
    for path in parts_of(weights_in(folder)):
        if path.name != INDEX:
            check_safetensors(path)


def write_folder(out: Path, model: nn.Module, *, like: Path, record: WeightsRecord) -> WeightsRecord:
    """Write a model as ``save_pretrained`` does, whole or not at all, with the other files of the folder that it came from.

    Tokenizer, generation settings and the like are copied; weights of the other folder are not. They go into one file,
    or, where the other folder's lie in several, into files no larger than its largest. The record stands beside them.

    Args:
        out: the folder; what it held is replaced.
        model: with ``save_pretrained``.
        like: the folder that the original came from.
        record: what is known of the weights; its digest is filled in.

    Returns:
        The record, with the digest of the weights.

    Raises:
        InputError: if the model cannot be saved so.
        NotWrittenError: if the system does not let it be written.
    """
    save = getattr(model, "save_pretrained", None)
    if save is None:
        raise InputError(
            f"to be written into a folder a model needs save_pretrained(), which {type(model).__name__} has not."
        )
    written: list[WeightsRecord] = []

    def write(made: Path) -> None:
        for path in _beside_weights(like):
            shutil.copyfile(path, made / path.name)
        with _quiet(_library()):
            save(made, max_shard_size=_largest_part(like))
        weights = weights_in(made)
        written.append(replace(record, weights=digest_of(weights)))
        write_record(weights, written[-1])

    write_whole_folder(out, write)
    return written[-1]


def copy_folder(folder: Path, out: Path) -> None:
    """Copy a folder of one model as it is, whole or not at all: weights and their record, configuration, tokenizer.

    Weights in other formats, folders, and files of other weights are left out.

    Raises:
        InputError: if the folder lacks a file.
        NotWrittenError: if the system does not let it be written.
    """
    check_folder(folder)
    weights = weights_in(folder)
    record = record_path(weights)
    files = [*_beside_weights(folder), *parts_of(weights), *([record] if record.is_file() else ())]

    def write(made: Path) -> None:
        for path in files:
            shutil.copyfile(path, made / path.name)

    write_whole_folder(out, write)


def _beside_weights(folder: Path) -> list[Path]:
    """Configuration, tokenizer and the like: what goes with weights into another folder."""
    return [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.endswith(LEFT_BEHIND)]


def _largest_part(folder: Path) -> int | str:
    """How many bytes a file of weights may have, to be cut like those of a folder."""
    weights = weights_in(folder)
    if weights.name == WEIGHTS:
        return "1000TB"
    return max(part.stat().st_size for part in parts_of(weights)[1:])


def _refuse_missing(model: nn.Module, told: Mapping[str, Any], folder: Path) -> None:
    """A trained model has weights for all of its network; what is tied to another tensor is not missing.

    Args:
        model: as it was made.
        told: what the transformers library says of its loading: names of weights that were missing or unexpected.
        folder: of the model.
    """
    missing, unexpected = sorted(told["missing_keys"]), sorted(told["unexpected_keys"])
    if missing:
        strange = (
            f", and {len(unexpected)} are there that it has no place for ({few(unexpected)})" if unexpected else ""
        )
        raise InputError(
            f"the weights in {folder} must be all those of its {type(model).__name__}, but {len(missing)} of "
            f"{len(model.state_dict())} are missing ({few(missing)}){strange}. They would be drawn at random: save the trained "
            "model whole, by model.save_pretrained(FOLDER). What a fine-tuning started from may lack a head: that is "
            "--pretrained, or in Python Pretrained with `like` or `classes`."
        )


def _refuse_other_base(model: Any, told: Mapping[str, Any], folder: Path, like: Path) -> None:
    """What lies below the head must be the checkpoint's, but for small parts that it had no use for, as a pooler.

    Args:
        model: as it was made.
        told: what the transformers library says of its loading: names of weights that were missing or of other shapes.
        folder: of the checkpoint.
        like: of the fine-tuned model.
    """
    base = f"{model.base_model_prefix}."
    named = [name for name, _ in model.named_parameters()]
    below = [name for name in named if name.startswith(base)] or named
    other = {each[0] if isinstance(each, (tuple, list)) else each for each in told["mismatched_keys"]}
    if wrong := sorted(other.intersection(below)):
        raise InputError(
            f"below its head a fine-tuned model has the weights of its checkpoint, but of {folder} {len(wrong)} have other "
            f"shapes than in {like}, {wrong[:3]} first. Is it another size? Were tokens added? Then save the checkpoint with "
            "as many (model.resize_token_embeddings)."
        )
    missing = set(told["missing_keys"]).intersection(below)
    if 2 * len(missing) > len(below):
        raise InputError(
            f"{folder} must hold the weights that {like} was fine-tuned from, but {len(missing)} of {len(below)} are not "
            f"there, {sorted(missing)[:3]} first. Name the checkpoint that it started from."
        )


def _config(folder: Path) -> dict[str, Any]:
    """The configuration in a folder."""
    path = folder / CONFIG
    way_out = "Restore it, or write the model anew by model.save_pretrained(FOLDER)."
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path} must be the JSON of a configuration, but cannot be read: {error}. {way_out}"
        ) from error
    if not isinstance(found, dict):
        raise InputError(f"{path} must be the JSON of a configuration, but holds a {type(found).__name__}. {way_out}")
    return found


def _architectures(folder: Path) -> list[str]:
    """The classes that the configuration in a folder names."""
    named = _config(folder).get("architectures")
    return [name for name in named if isinstance(name, str)] if isinstance(named, list) else []


def _class_of(library: Any, folder: Path) -> Any:
    """The class that the configuration names."""
    names = _architectures(folder)
    kind = getattr(library, names[0], None) if names else None
    if not (isinstance(kind, type) and issubclass(kind, library.PreTrainedModel)):
        raise InputError(
            f"{folder / CONFIG} must name an architecture that the installed transformers library has, but names "
            f"{names or 'none'}. Models with code of their own are not loaded: in the place of the folder, name "
            "a function that builds one by --model, and its weights by --weights."
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
