"""What validation records tell a method while it runs: whether the forget set is still known, and was more so before."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import nn
from torch.utils.data import Dataset

from ebbing.batches import evenly, iterate, size
from ebbing.methods.unlearner import SAMPLE, Run
from ebbing.request import ForgetRequest
from ebbing.task import cross_entropy, evaluation_mode

MORE = 0.1  # of AUC: how much likelier a forgotten record may lose more before the forget set counts as memorised
WATCHED = 100  # records of each kind: what is read counts against the budget
MOST_CHANCE = 0.125  # standard deviation of that AUC: with more, nothing is said


def loss_auc(model: nn.Module, run: Run, unseen: Dataset[Any]) -> float:
    """Probability that a forgotten record's loss is below an unseen one's, ties counted half, in [0, 1].

    At most 1,000 evenly spaced records of each are read, and counted.
    """
    forgotten, never_seen = (_losses(model, run, dataset, at_most=SAMPLE) for dataset in (run.request.forget, unseen))
    u = stats.mannwhitneyu(never_seen, forgotten).statistic
    return float(u / (len(forgotten) * len(never_seen)))


def _losses(model: nn.Module, run: Run, dataset: Dataset[Any], *, at_most: int) -> np.ndarray:
    """(n,) losses of at most so many evenly spaced records, which are counted."""
    with evaluation_mode(model):
        rows = [cross_entropy(run.task.forward(model, b)) for b in iterate(evenly(dataset, at_most), batch_size=512)]
    found: np.ndarray = torch.cat(rows).cpu().numpy()
    run.journal.advance(len(found))
    return found


def auc_by_chance(n: int, m: int) -> float:
    """Standard deviation of the AUC between n and m records that do not differ: sqrt((n + m + 1) / (12 n m)).

    Example:
        >>> round(auc_by_chance(65, 80), 3)
        0.048
    """
    return math.sqrt((n + m + 1) / (12 * n * m))


class Watch:
    """Whether an unlearning raises the loss of the forget set more than that of unseen records: it does where it was memorised.

    The probability that the loss of a forgotten record rises more than that of an unseen one counts as memory from .5 + .1 + s
    on, with the standard deviation s that chance alone gives. The losses before would not do: the most memorised records are
    the hardest, whose losses are not small even where they were learned. A few memorised records among many others are not
    seen.

    Args:
        model: before the unlearning; at most 100 evenly spaced records of each kind are read, and counted.
        run: of the unlearning.
        unseen: records that the model never saw.
    """

    def __init__(self, model: nn.Module, run: Run, unseen: Dataset[Any]) -> None:
        """Read the losses before."""
        self._run, self._unseen = run, unseen
        self._before = self._losses(model)

    def saw_memory(self, model: nn.Module) -> bool:
        """Whether the loss of the forget set rose more; the journal is told what was found.

        Args:
            model: after the unlearning.
        """
        forgotten, unseen = (after - before for before, after in zip(self._before, self._losses(model), strict=True))
        n, m = len(forgotten), len(unseen)
        auc = float(stats.mannwhitneyu(forgotten, unseen).statistic) / (n * m)
        least = threshold(n, m)
        self._run.journal.note(
            f"The loss of a forgotten record rose more than that of an unseen validation record with a probability of "
            f"{auc:.2f}: from {least:.2f} on that counts as memory."
        )
        return auc >= least

    def _losses(self, model: nn.Module) -> tuple[np.ndarray, np.ndarray]:
        """Of the forget set and of validation records."""
        parts = (self._run.request.forget, self._unseen)
        forgotten, unseen = (_losses(model, self._run, part, at_most=WATCHED) for part in parts)
        return forgotten, unseen


def threshold(n: int, m: int) -> float:
    """From which probability on n forgotten and m unseen records tell of memory.

    Example:
        >>> round(threshold(65, 100), 3)
        0.646
    """
    return 0.5 + MORE + auc_by_chance(n, m)


def unseen_that_tell(request: ForgetRequest) -> Dataset[Any] | None:
    """Validation records, where they can tell that nothing is memorised.

    Not where a whole class goes (unseen records of it are known as well as those that were learned from), nor where so few
    records go that chance explains much: s must be at most .125.
    """
    if request.concept or request.validation is None or auc_by_chance(*_counts(request)) > MOST_CHANCE:
        return None
    return request.validation


def read_by_watch(request: ForgetRequest) -> int:
    """Examples that a watch reads, before and after; none where it cannot tell."""
    return 0 if unseen_that_tell(request) is None else 2 * sum(_counts(request))


def _counts(request: ForgetRequest) -> tuple[int, int]:
    """Records that are read of the forget set and of the validation set."""
    unseen = 0 if request.validation is None else size(request.validation)
    return min(WATCHED, len(request.forget)), min(WATCHED, unseen)
