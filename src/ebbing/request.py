"""What must be forgotten, what stays, and the unseen data that the judge needs."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from itertools import combinations
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset

from ebbing import fingerprint
from ebbing.batches import held, part_of, size
from ebbing.errors import InputError
from ebbing.inspection import Inspection, inspect, require_finite, require_steady
from ebbing.planted import Mark
from ebbing.task import Classification, Task
from ebbing.unseen import OVERLAPS, Overlap, same_mix, split_classes, without_overlap

LABELS_COMPARED = 64


@dataclass(frozen=True)
class ForgetRequest:
    """A training set split into what must go and what stays, with unseen data beside it.

    Make one with `from_ids`. The splits are disjoint views of what was passed in; nothing is copied.

    Attributes:
        dataset: the full training set.
        forget_ids: (n_f,) int64 positions in ``dataset``, ascending, non-empty.
        retain_ids: (n_r,) int64 positions in ``dataset``, ascending, non-empty.
        holdout: unseen data for the audit alone.
        validation: unseen data that stop rules may look at; None if there is none.
        matched: unseen examples drawn as the forget set was (same class mix, same label corruption); None if
            there are none. Without them a membership attack has no fair non-members.
        validation_matched: the part of ``validation`` drawn as the forget set was.
        concept: whether whole classes go, so that unseen examples of them are to be forgotten as well.
        kind: how the records were chosen, a word for the report.
        description: a line for the report.
        training_view: the training set as training reads it, record for record, where that differs from ``dataset``
            (random augmentation). Methods and retrained models are trained on it; everything else reads ``dataset``.
        received: the day on which the request came in, for the report; None if it is not said.
        planted: what was planted on the forgotten records before training; None for nothing, or for what is not known.
    """

    dataset: Dataset[Any]
    forget_ids: Tensor
    retain_ids: Tensor
    holdout: Dataset[Any]
    validation: Dataset[Any] | None = None
    matched: Dataset[Any] | None = None
    validation_matched: Dataset[Any] | None = None
    concept: bool = False
    kind: str = "ids"
    description: str = field(default="")
    training_view: Dataset[Any] | None = None
    received: date | None = None
    planted: Mark | None = None

    @cached_property
    def forget(self) -> Subset[Any]:
        """The records that must go."""
        return part_of(self.dataset, self.forget_ids)

    @cached_property
    def retain(self) -> Subset[Any]:
        """The records that stay."""
        return part_of(self.dataset, self.retain_ids)

    @cached_property
    def everything_ids(self) -> Tensor:
        """(n,) int64 positions of `everything` in ``dataset``, ascending."""
        return torch.cat([self.forget_ids, self.retain_ids]).sort().values

    @cached_property
    def everything(self) -> Dataset[Any]:
        """The records that the original is trained on: those that must go and those that stay, none excluded earlier."""
        if len(self.forget_ids) + len(self.retain_ids) == size(self.dataset):
            return self.dataset
        return part_of(self.dataset, self.everything_ids)

    def for_training(self, part: Literal["forget", "retain", "everything"]) -> Dataset[Any]:
        """A part of the request as training reads it: out of ``training_view`` where there is one."""
        plain: Dataset[Any] = getattr(self, part)
        if self.training_view is None:
            return plain
        view = _Named(self.training_view, self.dataset)
        return Subset(view, plain.indices) if isinstance(plain, Subset) and plain is not self.dataset else view

    @cached_property
    def data_fingerprint(self) -> str:
        """32 hexadecimal digits of the full training set."""
        return fingerprint.of_dataset(self.dataset)

    @cached_property
    def fingerprint(self) -> str:
        """32 hexadecimal digits of the training data and of which of them go and stay."""
        ids = [self.forget_ids.tolist(), self.retain_ids.tolist()]
        return fingerprint.of_settings([self.data_fingerprint, ids])

    @classmethod
    def from_ids(
        cls,
        dataset: Dataset[Any],
        ids: Iterable[Hashable],
        *,
        holdout: Dataset[Any],
        validation: Dataset[Any] | None = None,
        matched: Dataset[Any] | None = None,
        validation_matched: Dataset[Any] | None = None,
        keys: Sequence[Hashable] | None = None,
        exclude: Iterable[Hashable] = (),
        task: Task | None = None,
        kind: str = "ids",
        description: str = "",
        training_view: Dataset[Any] | None = None,
        overlap: Overlap = "refuse",
        received: date | None = None,
        planted: Mark | None = None,
        inspected: Inspection | None = None,
    ) -> ForgetRequest:
        """A request to forget the records with these ids.

        Where every record of a class goes, the unseen examples of that class are taken out of ``holdout`` and
        ``validation`` and become ``matched``: utility is then judged on the classes that stay. Otherwise ``matched``,
        where it is not given, is the largest part of ``holdout`` with the forget set's mix of classes. That is
        right only if nothing but the class tells the forget set from unseen data: for records with wrong labels
        pass ``matched`` yourself.

        Args:
            dataset: the full training set.
            ids: positions in ``dataset``, or keys where ``keys`` is given; each once.
            holdout: unseen data for the audit.
            validation: unseen data for stop rules, disjoint from ``holdout``.
            matched: unseen examples drawn as the forget set was.
            validation_matched: the same, out of ``validation``.
            keys: one key per record of ``dataset``; an id stands for every record with that key.
            exclude: ids forgotten earlier, kept out of the retain set as well.
            task: reads the labels; `Classification` if None.
            kind: how the records were chosen.
            description: a line for the report.
            training_view: the training set as training reads it, where that differs from ``dataset``.
            overlap: what becomes of unseen records whose inputs are exactly those of a training record (and of
                validation records that are in the holdout too): "refuse" leaves out up to 1 % with a warning and
                refuses more, "drop" leaves out all, "allow" keeps all.
            received: the day on which the request came in.
            planted: what was planted on these records before training; ``dataset`` holds it.
            inspected: what one reading of ``dataset`` found; None reads it.

        Raises:
            InputError: if ids are empty, unknown, duplicate, out of range, not integers where positions are
                meant, or leave nothing to retain; if data hold NaN or infinity, differ when they are read twice, or
                share records; if what was planted does not fit the records.
        """
        if overlap not in OVERLAPS:
            raise InputError(f"`overlap` must be one of {', '.join(OVERLAPS)}, but is {overlap!r}.")
        _refuse_same_positions({"dataset": dataset, "holdout": holdout, "validation": validation})
        n = size(dataset)
        given = _positions(ids, n=n, keys=keys, name="ids")
        forget = np.sort(given)
        if not len(forget):
            raise InputError("`ids` must name at least one record, but is empty. Nothing is to be forgotten.")
        gone = _positions(exclude, n=n, keys=keys, name="exclude")
        stays = np.ones(n, dtype=bool)
        stays[forget] = False
        stays[gone] = False
        if not stays.any():
            raise InputError(
                f"some records must stay, but `ids` and `exclude` name all {n}. To forget everything, train a new model."
            )
        task = task or Classification()
        holdout, validation, matched, validation_matched = _checked_unseen(
            dataset, holdout, validation, matched, validation_matched, overlap=overlap, inspected=inspected
        )
        labels = task.targets(dataset)
        _check_targets(labels, n=n)
        if training_view is not None:
            _check_view(training_view, dataset, labels, task=task)
        if planted is not None:
            planted = planted.placed(given, labels=labels, first=dataset[int(forget[0])])
        retain = np.flatnonzero(stays)
        leaving = sorted(set(labels[forget].tolist()) - set(labels[retain].tolist()))
        concept = bool(leaving) and set(labels[forget].tolist()) == set(leaving)
        if concept:
            holdout, unseen = split_classes(holdout, leaving, task=task)
            matched = matched if matched is not None else unseen
            if validation is not None:
                validation, unseen = split_classes(validation, leaving, task=task)
                validation_matched = validation_matched if validation_matched is not None else unseen
        else:
            matched = matched if matched is not None else same_mix(holdout, labels[forget], task=task)
            if validation is not None and validation_matched is None:
                validation_matched = same_mix(validation, labels[forget], task=task)
        for name, data in (("holdout", holdout), ("validation", validation)):
            if data is not None and size(data) == 0:
                raise InputError(
                    f"`{name}` must hold at least one example, but is empty (after the forgotten classes and what was "
                    "trained on)."
                )
        return cls(
            dataset,
            torch.from_numpy(forget),
            torch.from_numpy(retain),
            holdout,
            validation,
            matched,
            validation_matched,
            concept,
            kind,
            description,
            training_view,
            received,
            planted,
        )


class _Named(Dataset[Any]):
    """A training view that goes by the content of the records behind it, as its own cannot be read twice alike."""

    def __init__(self, view: Dataset[Any], plain: Dataset[Any]) -> None:
        self.view, self.plain = view, plain

    @property
    def fingerprint(self) -> str:
        return self._seen_as(fingerprint.of_dataset(self.plain))

    def fingerprint_of(self, ids: Sequence[int]) -> str:
        return self._seen_as(fingerprint.of_part(self.plain, ids))

    def _seen_as(self, content: str) -> str:
        own = getattr(self.view, "fingerprint", None)
        named = own if isinstance(own, str) else fingerprint.source_of(type(self.view))
        return fingerprint.of_settings([content, "seen as", named])

    def __len__(self) -> int:
        return size(self.view)

    def __getitem__(self, position: int) -> Any:
        return self.view[position]


def _inspected(dataset: Dataset[Any], name: str, known: Inspection | None = None) -> Inspection:
    """What a data set holds, read unless it is known; refused if it differs when it is read twice, or is not finite."""
    require_steady(dataset, name=name)
    found = inspect(dataset, name=name) if known is None else known
    require_finite(found, name=name)
    return found


def _checked_unseen(
    dataset: Dataset[Any],
    holdout: Dataset[Any],
    validation: Dataset[Any] | None,
    matched: Dataset[Any] | None,
    validation_matched: Dataset[Any] | None,
    *,
    overlap: Overlap,
    inspected: Inspection | None,
) -> tuple[Dataset[Any], Dataset[Any] | None, Dataset[Any] | None, Dataset[Any] | None]:
    """All unseen data without what was trained on; validation also without what is in the holdout."""
    seen = {"dataset": _inspected(dataset, "dataset", inspected)}
    judged = {"holdout": _inspected(holdout, "holdout")}

    def kept(data: Dataset[Any] | None, name: str, others: dict[str, Inspection]) -> Dataset[Any] | None:
        if data is None:
            return None
        return without_overlap(data, _inspected(data, name), name=name, others=others, overlap=overlap)

    return (
        without_overlap(holdout, judged["holdout"], name="holdout", others=seen, overlap=overlap),
        kept(validation, "validation", seen | judged),
        kept(matched, "matched", seen),
        kept(validation_matched, "validation_matched", seen),
    )


def _check_targets(labels: object, *, n: int) -> None:
    """What a task gives as targets must be one whole number for each record."""
    if not isinstance(labels, Tensor):
        found = type(labels).__name__
    elif labels.shape != (n,) or labels.is_floating_point():
        found = f"{labels.dtype} of shape {tuple(labels.shape)}"
    else:
        return
    raise InputError(
        f"a task's targets must be a tensor of whole numbers of shape (n,), but for the n = {n} records of `dataset` "
        f"are {found}."
    )


def _check_view(view: Dataset[Any], dataset: Dataset[Any], labels: Tensor, *, task: Task) -> None:
    """A training view must show the same records in the same order: as many, with the same labels."""
    if size(view) != size(dataset):
        raise InputError(
            f"`training_view` must show the records of `dataset` one by one, but holds {size(view)} for {size(dataset)}."
        )
    places = torch.linspace(0, size(view) - 1, min(LABELS_COMPARED, size(view)), dtype=torch.float64).long()
    differ = int((task.targets(Subset(view, places.tolist())) != labels[places]).sum())
    if differ:
        raise InputError(
            f"`training_view` must show the records of `dataset` in the same order, but {differ} of {len(places)} labels "
            "that were compared differ. Take both from the same list of records, unshuffled."
        )


def _refuse_same_positions(splits: dict[str, Dataset[Any] | None]) -> None:
    """Refuse data sets that are one, or that show the same positions of the same tensors."""
    for (name, one), (other_name, other) in combinations(splits.items(), 2):
        if one is None or other is None:
            continue
        shared = size(one) if one is other else 0
        a, b = held(one), held(other)
        if a is not None and b is not None and a[0][0] is b[0][0]:
            whole = torch.arange(len(a[0][0]))
            shared = int(torch.isin(*(whole if p is None else p for p in (a[1], b[1]))).sum())
        if shared:
            raise InputError(
                f"`{name}` and `{other_name}` must not share records, but share {shared}. Split them before, so that what is "
                "judged on was never trained on or looked at."
            )


def _positions(
    ids: Iterable[Hashable], *, n: int, keys: Sequence[Hashable] | None, name: str
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Positions that ids stand for, in the order of the ids."""
    listed: list[Any] = ids.tolist() if isinstance(ids, (Tensor, np.ndarray)) else list(ids)
    twice = len(listed) - len(set(listed))
    if twice:
        raise InputError(
            f"`{name}` must name each record once, but {twice} of {len(listed)} are repeated. Remove the repeats."
        )
    if keys is not None:
        if len(keys) != n:
            raise InputError(f"`keys` must hold one key for each of the {n} records, but holds {len(keys)}.")
        places: dict[Hashable, list[int]] = {}
        for position, key in enumerate(keys):
            places.setdefault(key, []).append(position)
        unknown = [i for i in listed if i not in places]
        if unknown:
            raise InputError(
                f"`{name}` must be among the keys of the data set, but {len(unknown)} are not, {unknown[:5]} first."
            )
        listed = [position for i in listed for position in places[i]]
    wrong = [i for i in listed if isinstance(i, bool) or not isinstance(i, (int, np.integer))]
    if wrong:
        raise InputError(
            f"`{name}` must be whole numbers (positions in the training set), but contains {wrong[:5]}. "
            "Pass `keys` for other ids."
        )
    outside = [int(i) for i in listed if not 0 <= i < n]
    if outside:
        raise InputError(
            f"`{name}` must lie in [0, {n}), but contains {outside[:5]}. Positions refer to the full training set."
        )
    return np.asarray(listed, dtype=np.int64)
