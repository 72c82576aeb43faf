"""One pass of many models over a request: everything the attacks and measures need, as arrays."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

import numpy as np
from torch import Tensor, nn

from ebbing.batches import evenly
from ebbing.errors import InputError
from ebbing.files import write_whole
from ebbing.parallel import batches_of_share, joined, read_in_parts
from ebbing.request import ForgetRequest
from ebbing.task import Outputs, Task, confidence, correct, entropy, evaluation_mode, margin, modified_entropy

SPLITS = ("forget", "retain", "holdout", "matched")
RETAIN_SAMPLE = 10_000
MOST_LOGITS = 20_000_000  # of a model on a split: 80 MB

Made = TypeVar("Made")


@dataclass(frozen=True)
class Signals:
    """Per-example outputs of several models on one split, each array of shape (n_models, n_examples).

    Attributes:
        margin: logit of the label minus logsumexp of the other logits, in (-inf, inf).
        confidence: largest predicted probability, in [1 / classes, 1].
        entropy: of the predicted distribution, in nats, >= 0.
        modified_entropy: -(1 - p_y) log p_y - sum over j != y of p_j log(1 - p_j), >= 0
            (Song and Mittal, arXiv 2003.10595).
        correct: whether the largest logit is the label's.
        logits: (n_models, n_examples, classes), where they were asked for; else None.

    Where only margins are known, see `from_margins`, the three in between hold NaN.
    """

    margin: np.ndarray
    confidence: np.ndarray
    entropy: np.ndarray
    modified_entropy: np.ndarray
    correct: np.ndarray
    logits: np.ndarray | None = None

    @classmethod
    def from_margins(cls, margin: np.ndarray, *, correct: np.ndarray | None = None) -> Signals:
        """The signals of models that were run elsewhere.

        Args:
            margin: (n_models, n_examples), finite.
            correct: likewise, bool; by default margin > 0, that the label has more than half of the probability, which is
                never more than what is predicted as labelled.

        Raises:
            InputError: if the shapes are others or a margin is not finite.
        """
        values = np.asarray(margin, dtype=np.float32)
        right = values > 0 if correct is None else np.asarray(correct, dtype=bool)
        if values.ndim != 2 or 0 in values.shape or right.shape != values.shape:
            raise InputError(
                f"margins and correct must have one shape (n_models, n_examples), but have {values.shape} and {right.shape}."
            )
        if not np.isfinite(values).all():
            raise InputError("margins must be finite, but some are NaN or infinite. Clip them, or leave the model out.")
        unknown = np.full_like(values, np.nan)
        return cls(values, unknown, unknown, unknown, right)

    @property
    def loss(self) -> np.ndarray:
        """Cross entropy in nats, log(1 + exp(-margin)): the margin is the log-odds of the label."""
        loss: np.ndarray = np.logaddexp(0.0, -self.margin)
        return loss

    @property
    def accuracy(self) -> np.ndarray:
        """(n_models,) fraction of examples predicted as labelled."""
        rates: np.ndarray = self.correct.mean(axis=1)
        return rates

    @property
    def n_models(self) -> int:
        """Number of models (rows)."""
        return int(self.margin.shape[0])

    @property
    def n_examples(self) -> int:
        """Number of examples (columns)."""
        return int(self.margin.shape[1])

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name, those that are there."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}

    def read_only(self) -> Signals:
        """The same arrays as views that cannot be written to."""
        views = {name: array.view() for name, array in self.arrays().items()}
        for view in views.values():
            view.flags.writeable = False
        return Signals(**views)

    def __getitem__(self, models: slice | list[int]) -> Signals:
        """The rows of some of the models."""
        return Signals(**{name: array[models] for name, array in self.arrays().items()})

    @classmethod
    def concatenate(cls, parts: Sequence[Signals]) -> Signals:
        """The models of several, one after the other; logits only where all have them."""
        arrays = [part.arrays() for part in parts]
        shared = [name for name in arrays[0] if all(name in other for other in arrays)]
        return cls(**{name: np.concatenate([found[name] for found in arrays]) for name in shared})


@dataclass(frozen=True)
class Observations:
    """The signals of the same models on every split of a request; ``matched`` is None where it is missing."""

    forget: Signals
    retain: Signals
    holdout: Signals
    matched: Signals | None

    def __getitem__(self, models: slice | list[int]) -> Observations:
        """The rows of some of the models, on every split."""
        return Observations(
            self.forget[models],
            self.retain[models],
            self.holdout[models],
            None if self.matched is None else self.matched[models],
        )

    @property
    def n_models(self) -> int:
        """Number of models observed."""
        return self.forget.n_models

    @classmethod
    def from_margins(
        cls, *, forget: np.ndarray, retain: np.ndarray, holdout: np.ndarray, matched: np.ndarray | None = None
    ) -> Observations:
        """Observations of models that were run elsewhere, from their margins alone.

        Each array is (n_models, n_examples), as EasyDUB and data-unlearning-bench publish them: ``train[:, forget_ids]``,
        ``train[:, retain_ids]``, and two disjoint parts of ``val``, the matched one drawn as the forget set was.
        """
        splits = {"forget": forget, "retain": retain, "holdout": holdout, "matched": matched}
        made = {name: None if m is None else Signals.from_margins(m) for name, m in splits.items()}
        counts = {name: s.n_models for name, s in made.items() if s is not None}
        if len(set(counts.values())) > 1:
            raise InputError(f"every split must show the same models, but they have {counts} rows.")
        return cls(**made)  # type: ignore[arg-type]

    @classmethod
    def concatenate(cls, parts: Sequence[Observations]) -> Observations:
        """The models of several observations of the same examples, one after the other."""
        together: dict[str, Signals | None] = {}
        for split in SPLITS:
            signals = [getattr(part, split) for part in parts]
            together[split] = None if any(s is None for s in signals) else Signals.concatenate(signals)
        return cls(**together)  # type: ignore[arg-type]

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by ``<split>/<signal>``."""
        return {
            f"{split}/{name}": array
            for split in SPLITS
            if getattr(self, split) is not None
            for name, array in getattr(self, split).arrays().items()
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Observations:
        """What `arrays` gave.

        Raises:
            KeyError: if a split other than matched, or a signal other than logits, is missing.
        """
        made = {
            split: Signals(
                **{name: arrays[f"{split}/{name}"] for name in _FUNCTIONS}, logits=arrays.get(f"{split}/logits")
            )
            for split in SPLITS
            if split != "matched" or "matched/margin" in arrays
        }
        return cls(made["forget"], made["retain"], made["holdout"], made.get("matched"))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the arrays into one ``.npz`` file, whole or not at all."""
        save_arrays(path, self.arrays())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Observations:
        """What `save` wrote. Nothing is unpickled.

        Raises:
            InputError: if the file is not there, damaged, or holds something else.
        """
        return load_arrays(path, cls.from_arrays)


def save_arrays(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays by name into one ``.npz`` file, whole or not at all."""

    def write(name: str) -> None:
        with open(name, "wb") as file:  # a name would be given another ending
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # no array is named allow_pickle

    write_whole(Path(path), write)


def load_arrays(path: str | os.PathLike[str], make: Callable[[Mapping[str, np.ndarray]], Made]) -> Made:
    """What is made of the arrays of a ``.npz`` file. Nothing is unpickled.

    Raises:
        InputError: if the file is not there or damaged, or lacks an array.
    """
    try:
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as file:
            return make({name: file[name] for name in file.files})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} must hold saved observations, but cannot be read: {error}. Observe again.") from error


def _logits(outputs: Outputs) -> Tensor:
    return outputs.logits


_FUNCTIONS: Mapping[str, Callable[[Outputs], Tensor]] = {
    "margin": margin,
    "confidence": confidence,
    "entropy": entropy,
    "modified_entropy": modified_entropy,
    "correct": correct,
}


def _signals(model: nn.Module, dataset: object, *, task: Task, batch_size: int, logits: bool) -> Signals:
    """The signals of one model on one data set."""
    functions = {**_FUNCTIONS, "logits": _logits} if logits else _FUNCTIONS
    rows: dict[str, list[np.ndarray]] = {name: [] for name in functions}
    for batch, counts in batches_of_share(dataset, batch_size=task.together(batch_size), reader=model):  # type: ignore[arg-type]
        outputs = task.forward(model, batch)
        if counts:
            for name, function in functions.items():
                rows[name].append(function(outputs).cpu().numpy())
    found = {name: joined(row)[None] for name, row in rows.items()}
    if logits and found["logits"].size > MOST_LOGITS:
        del found["logits"]
    return Signals(**found)


def observe(
    models: Sequence[nn.Module], request: ForgetRequest, *, task: Task, batch_size: int = 1024, logits: bool = False
) -> Observations:
    """Run every model over every split of a request.

    Args:
        models: at least one; they are used in evaluation mode and left as they were.
        request: its ``forget``, ``retain``, ``holdout`` and ``matched`` splits are read; of ``retain`` at most 10,000
            records, evenly spaced.
        task: turns batches into outputs.
        batch_size: examples per forward pass.
        logits: whether logits are kept as well, 4 bytes for each model, example and class; not where a split has more than
            20 million of a model.

    Returns:
        Observations with one row per model, in the order given.

    Raises:
        InputError: if there is no model, or a model returns values that are not finite.
    """
    if not len(models):
        raise InputError("at least one model is needed to observe, but none was given.")
    rows: dict[str, list[Signals]] = {split: [] for split in SPLITS}
    for number, model in enumerate(models):
        with read_in_parts(model), evaluation_mode(model):
            for split in SPLITS:
                dataset = evenly(request.retain, RETAIN_SAMPLE) if split == "retain" else getattr(request, split)
                if dataset is None:
                    continue
                seen = _signals(model, dataset, task=task, batch_size=batch_size, logits=logits)
                if not np.isfinite(seen.margin).all():
                    raise InputError(
                        f"every model must give finite outputs, but model {number} gives NaN or infinite margins on "
                        f"{split}. Leave it out, or check the data and the training that made it."
                    )
                rows[split].append(seen)
    gathered = {split: Signals.concatenate(seen) if seen else None for split, seen in rows.items()}
    return Observations(**gathered)  # type: ignore[arg-type]
