"""How far the predicted distributions of two models lie apart, example by example."""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy

from ebbing.errors import InputError


def jensen_shannon(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence of two models' predictions, in bits.

    JS(p, q) = KL(p || m) / 2 + KL(q || m) / 2 with m = (p + q) / 2, KL(p || m) = sum over classes of p log2(p / m) and
    0 log 0 = 0. Symmetric; 0 where both predict the same, 1 where no class is likely under both. Its square root is a
    metric. Source: Lin, IEEE Transactions on Information Theory 37 (1991).

    Args:
        first: (n_examples, classes) logits of one model; -inf for a class of probability 0.
        second: likewise, of the other model.

    Returns:
        (n_examples,) divergences, in [0, 1].

    Raises:
        InputError: if the shapes differ or are others, or a row is no distribution.
    """
    log_p, log_q = (scipy.special.log_softmax(logits, axis=1) for logits in logits_of_two(first, second))
    log_m = np.logaddexp(log_p, log_q) - np.log(2)
    nats = (_relative_entropy(log_p, log_m) + _relative_entropy(log_q, log_m)) / 2
    bits: np.ndarray = np.clip(nats / np.log(2), 0.0, 1.0)  # rounding alone leaves the range
    return bits


def activation_distance(first: np.ndarray, second: np.ndarray, *, norm: Literal["l1", "l2"]) -> np.ndarray:
    """Distance of two models' predicted probabilities.

    abs(p - q) summed over the classes ("l1"), or the root of the sum of its squares ("l2"). Papers give both the name
    activation distance, so the norm has no default. Source: Chundawat et al., arXiv 2205.08096 ("l2").

    Args:
        first: (n_examples, classes) logits of one model; -inf for a class of probability 0.
        second: likewise, of the other model.
        norm: "l1" or "l2".

    Returns:
        (n_examples,) distances, in [0, 2] for "l1" and [0, sqrt(2)] for "l2".

    Raises:
        InputError: if the norm is another, the shapes differ or are others, or a row is no distribution.
    """
    if norm not in ("l1", "l2"):
        raise InputError(
            f'`norm` must be "l1" or "l2", but is {norm!r}. Name the one that the other figures were taken in.'
        )
    p, q = (np.exp(scipy.special.log_softmax(logits, axis=1)) for logits in logits_of_two(first, second))
    distances: np.ndarray = np.linalg.norm(p - q, ord=1 if norm == "l1" else 2, axis=1)
    return distances


def zero_retrain_forgetting(unlearned: np.ndarray, random: np.ndarray) -> float:
    """ZRF = 1 - mean JS of a model's predictions and those of a freshly initialised one, on the forgotten examples.

    1 where the model knows no more than one that was never trained. That is not the aim: retrained models generalise to
    forgotten records, and score below 1. Read it beside the same figure for them. JS is in bits, per example, see
    `jensen_shannon`. Code in use takes KL(m || p) instead of KL(p || m) and averages over classes: two unrelated
    predictors (100 classes, logits drawn from N(0, 16)) get .960 from it, where .070 is right.
    Source: Chundawat et al., arXiv 2205.08096.

    Args:
        unlearned: (n_examples, classes) logits of the judged model on the forgotten examples.
        random: likewise, of a network of the same structure that was initialised and never trained.

    Returns:
        In [0, 1].

    Raises:
        InputError: as `jensen_shannon`.
    """
    return 1.0 - float(jensen_shannon(unlearned, random).mean())


def logits_of_two(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The logits of two models on the same examples, as float64, once each row is known to be a distribution.

    Raises:
        InputError: if they have not one shape (n_examples, classes) with n_examples >= 1 and classes >= 2, or hold NaN,
            +inf, or a row of -inf alone.
    """
    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.ndim != 2 or one.shape != other.shape or one.shape[0] < 1 or one.shape[1] < 2:
        raise InputError(
            "logits of two models must have one shape (n_examples, classes) with n_examples >= 1 and classes >= 2, but "
            f"have {one.shape} and {other.shape}. Pass one model's row, such as signals.logits[0], on the same examples."
        )
    for name, logits in (("first", one), ("second", other)):
        broken = ~np.isfinite(logits.max(axis=1))  # the largest is NaN with any NaN, and -inf only where all are
        if broken.any():
            raise InputError(
                f"each row of logits must be finite (-inf is allowed beside a finite one), but {int(broken.sum())} of "
                f"{len(broken)} rows of the {name} model hold NaN or +inf, or nothing but -inf. Leave that model out."
            )
    return one, other


def _relative_entropy(log_p: np.ndarray, log_m: np.ndarray) -> np.ndarray:
    """(n,) KL(p || m) in nats of rows of log-probabilities, with 0 log 0 = 0."""
    there = log_p > -np.inf
    ratio = np.subtract(log_p, log_m, out=np.zeros_like(log_p), where=there)
    summed: np.ndarray = (np.exp(log_p) * ratio).sum(axis=1)
    return summed
