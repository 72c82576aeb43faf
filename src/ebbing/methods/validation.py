"""What validation records tell a method while it runs: whether the forget set is still known, and how much of it."""

from __future__ import annotations

import math
from typing import Any

import torch
from scipy import stats
from torch import nn
from torch.utils.data import Dataset

from ebbing.batches import evenly, iterate, size
from ebbing.methods.unlearner import SAMPLE, Run
from ebbing.request import ForgetRequest
from ebbing.task import cross_entropy, evaluation_mode

SURE = 2.0  # standard deviations of chance that are taken off before memory is believed in
WHOLE = 0.25  # of AUC above that: from here on everything is decayed at full strength


def loss_auc(model: nn.Module, run: Run, unseen: Dataset[Any]) -> float:
    """Probability that a forgotten record's loss is below an unseen one's, ties counted half, in [0, 1].

    At most 1,000 evenly spaced records of each are read, and counted.
    """
    losses = []
    for dataset in (evenly(run.request.forget, SAMPLE), evenly(unseen, SAMPLE)):
        with evaluation_mode(model):
            rows = [cross_entropy(run.task.forward(model, b)) for b in iterate(dataset, batch_size=512)]
        losses.append(torch.cat(rows).cpu().numpy())
        run.journal.advance(len(losses[-1]))
    forgotten, never_seen = losses
    u = stats.mannwhitneyu(never_seen, forgotten).statistic
    return float(u / (len(forgotten) * len(never_seen)))


def auc_by_chance(n: int, m: int) -> float:
    """Standard deviation of the AUC between n and m records that do not differ: sqrt((n + m + 1) / (12 n m)).

    Example:
        >>> round(auc_by_chance(65, 80), 3)
        0.048
    """
    return math.sqrt((n + m + 1) / (12 * n * m))


def memorised_strength(auc: float, n: int, m: int) -> float:
    """How strongly what is memorised should be decayed, in [0, 1]: 0 where chance could explain the AUC, 1 far above it.

    (AUC - .5 - 2 s) / .25, cut at both ends, with the standard deviation s of chance.

    Args:
        auc: of the loss between forget set and unseen records drawn alike.
        n: records of the forget set that were read.
        m: unseen records that were read.

    Example:
        >>> memorised_strength(0.99, 65, 80), memorised_strength(0.55, 65, 80)
        (1.0, 0.0)
    """
    return min(1.0, max(0.0, (auc - 0.5 - SURE * auc_by_chance(n, m)) / WHOLE))


def read_for_strength(request: ForgetRequest) -> int:
    """Examples that the strength of a request is told by; none where nothing unseen was drawn as the forget set was."""
    unseen = request.validation_matched
    if unseen is None or request.concept:
        return 0
    n, m = min(SAMPLE, len(request.forget)), min(SAMPLE, size(unseen))
    return n + m if can_tell(n, m) else 0


def can_tell(n: int, m: int) -> bool:
    """Whether so many records could show memory at full strength if there were nothing but memory.

    Example:
        >>> can_tell(1, 1000), can_tell(2, 1000), can_tell(20, 20)
        (False, False, True)
    """
    return 0.5 - SURE * auc_by_chance(n, m) >= WHOLE - 1e-9


def strength_of(model: nn.Module, run: Run) -> float:
    """The strength for a model and a request; 1 with a note where validation records cannot tell.

    Where a whole class goes unseen records of it are known as well as those that were learned from, so that it is 1 too.
    """
    unseen = run.request.validation_matched
    if run.request.concept:
        return 1.0
    if unseen is None:
        run.journal.note("No validation records are drawn as the forget set was: decay is at full strength.")
        return 1.0
    n, m = min(SAMPLE, len(run.request.forget)), min(SAMPLE, size(unseen))
    if not can_tell(n, m):
        run.journal.note(
            f"{n} records to forget and {m} unseen ones drawn alike are too few to tell what is memorised: decay is at full "
            "strength."
        )
        return 1.0
    auc = loss_auc(model, run, unseen)
    strength = memorised_strength(auc, n, m)
    run.journal.note(
        f"On validation records the loss tells the forget set with an AUC of {auc:.2f}, chance alone gives .5 ± "
        f"{auc_by_chance(n, m):.2f}: decay is at {strength:.0%} of its full strength."
    )
    return strength
