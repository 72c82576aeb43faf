"""How alike two networks see the same records, layer by layer."""

from __future__ import annotations

import numpy as np

from ebbing.errors import InputError


def linear_cka(first: np.ndarray, second: np.ndarray) -> float:
    """Linear centred kernel alignment of two representations of the same records.

    With the columns of X and Y centred, CKA = norm(X'Y)^2 / (norm(X'X) * norm(Y'Y)), Frobenius norms. 1 where one is a
    rotation and a multiple of the other; whatever is invariant to these is not seen. Few records and many features raise it
    even between unrelated representations (independent normal features: .95 with 10 records and 200 features): read
    it beside that of retrained models among themselves. Source: Kornblith et al., arXiv 1905.00414.

    Args:
        first: (n, d1) features of n >= 2 records.
        second: (n, d2) other features of the same records.

    Returns:
        In [0, 1]; NaN where either does not vary.

    Raises:
        InputError: if the shapes do not fit, or a value is not finite.

    Example:
        >>> x = np.array([[0.0, 1.0], [2.0, 0.0], [1.0, 3.0]])
        >>> round(linear_cka(x, 5 * x[:, ::-1] + 1), 6)
        1.0
    """
    x, y = (np.asarray(part, dtype=np.float64) for part in (first, second))
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or len(x) < 2:
        raise InputError(
            f"features must have shapes (n, d1) and (n, d2) with the same n >= 2 records, but have {x.shape} and {y.shape}. "
            "Pass what two models make of the same records, in the same order."
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError("features must be finite, but some are NaN or infinite. Leave the model out.")
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    if max(x.shape[1], y.shape[1]) <= len(x):
        shared, own, other = x.T @ y, x.T @ x, y.T @ y
        scale = np.linalg.norm(own) * np.linalg.norm(other)
        return float(np.linalg.norm(shared) ** 2 / scale) if scale else float("nan")
    k, m = x @ x.T, y @ y.T  # (n, n): the same by the smaller of two systems
    scale = np.linalg.norm(k) * np.linalg.norm(m)
    return float((k * m).sum() / scale) if scale else float("nan")
