"""What validation records tell a method while it runs: whether the forget set is still known, and was more so before."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy
import torch
from torch import nn
from torch.utils.data import Dataset

from ebbing.batches import evenly, iterate, size
from ebbing.methods.unlearner import SAMPLE, Run
from ebbing.request import ForgetRequest
from ebbing.task import cross_entropy, evaluation_mode

MORE = 0.1  # of AUC: how much likelier a forgotten record may lose more before the forget set counts as memorised
WATCHED, FEWEST = 100, 36  # records of each kind, at most and at least
SHARE = 0.05  # of the budget, which what is read counts against
MOST_CHANCE = 0.125  # standard deviation of that AUC: with more, nothing is said


def loss_auc(model: nn.Module, run: Run, unseen: Dataset[Any]) -> float:
    """Probability that a forgotten record's loss is below an unseen one's, ties counted half, in [0, 1].

    At most 1,000 evenly spaced records of each are read, and counted.
    """
    forgotten, never_seen = (_losses(model, run, dataset, at_most=SAMPLE) for dataset in (run.request.forget, unseen))
    u = scipy.stats.mannwhitneyu(never_seen, forgotten).statistic
    return float(u / (len(forgotten) * len(never_seen)))


def _losses(model: nn.Module, run: Run, dataset: Dataset[Any], *, at_most: int) -> np.ndarray:
    """(n,) losses of at most so many evenly spaced records, which are counted."""
    batches = iterate(evenly(dataset, at_most), batch_size=run.task.together(512))
    with evaluation_mode(model):
        rows = [cross_entropy(run.task.forward(model, batch)) for batch in batches]
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


def memory_was_lost(original: nn.Module, result: nn.Module, run: Run, unseen: Dataset[Any], *, watched: int) -> bool:
    """Whether an unlearning raised the loss of the forget set more than that of unseen records: it does where it was memorised.

    The probability that the loss of a forgotten record rises more than that of an unseen one counts as memory from .5 + .1 + s
    on, with the standard deviation s that chance alone gives. The losses before would not do: the most memorised records are
    the hardest, whose losses are not small even where they were learned. A few memorised records among many others are not
    seen. The journal is told what was found.

    Args:
        original: before the unlearning.
        result: after it.
        run: of the unlearning.
        unseen: records that the original never saw: see `unseen_that_tell`.
        watched: evenly spaced records of each kind that are read of each model, at most, and counted.
    """
    forgotten, others = (
        _losses(result, run, part, at_most=watched) - _losses(original, run, part, at_most=watched)
        for part in (run.request.forget, unseen)
    )
    n, m = len(forgotten), len(others)
    auc = float(scipy.stats.mannwhitneyu(forgotten, others).statistic) / (n * m)
    least = threshold(n, m)
    run.journal.note(
        f"The loss of a forgotten record rose more than that of an unseen validation record with a probability of {auc:.2f}: "
        f"from {least:.2f} on that counts as memory."
    )
    return auc >= least


def threshold(n: int, m: int) -> float:
    """From which probability on n forgotten and m unseen records tell of memory.

    Example:
        >>> round(threshold(65, 100), 3), round(threshold(36, 36), 3)
        (0.646, 0.669)
    """
    return 0.5 + MORE + auc_by_chance(n, m)


def watched_within(examples: float) -> int:
    """Records of each kind that are read before and after: as many as a twentieth of a budget pays for, from 36 to 100.

    Example:
        >>> watched_within(1_000), watched_within(3_000), watched_within(float("inf"))
        (36, 37, 100)
    """
    return int(min(WATCHED, max(FEWEST, SHARE * examples / 4)))


def unseen_that_tell(request: ForgetRequest, *, watched: int = WATCHED) -> Dataset[Any] | None:
    """Validation records, where they can tell that nothing is memorised: those drawn as the forget set was, where 100 are.

    Wrong labels that were learned are lost, while those of unseen records never were known; among records drawn at large a
    repair that is too short raises every loss, and hides it. Not where a whole class goes (unseen records of it are known as
    well as those that were learned from), nor where so few records go that chance explains much: s must be at most .125.
    """
    unseen = _unseen(request)
    chance = 1.0 if unseen is None else auc_by_chance(*_counts(request, watched))
    return None if request.concept or chance > MOST_CHANCE else unseen


def _unseen(request: ForgetRequest) -> Dataset[Any] | None:
    """The validation records drawn as the forget set was, where there are as many as are ever read; else all of them."""
    alike = request.validation_matched
    return alike if alike is not None and size(alike) >= WATCHED else request.validation


def read_to_tell(request: ForgetRequest, *, watched: int = WATCHED) -> int:
    """Examples that `memory_was_lost` reads, before and after; none where it cannot tell."""
    return 0 if unseen_that_tell(request, watched=watched) is None else 2 * sum(_counts(request, watched))


def _counts(request: ForgetRequest, watched: int) -> tuple[int, int]:
    """Records that are read of the forget set and of the validation set."""
    unseen = _unseen(request)
    return min(watched, len(request.forget)), 0 if unseen is None else min(watched, size(unseen))
