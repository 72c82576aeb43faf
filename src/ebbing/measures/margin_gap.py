"""Standardised margin gap: how far the judged models' mean margins lie from retrained ones', record by record.

The checks and the moments that every measure over several models shares are here as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ebbing.errors import InputError

MIN_SD = 1e-3  # log-odds; below this the spread of a few models is rounding or a constant, not a spread
CELLS = 1 << 17  # margins held at once in float64: 1 MiB, what a core's cache keeps


def standardised_margin_gap(unlearned: np.ndarray, retrained: np.ndarray, *, min_sd: float = MIN_SD) -> np.ndarray:
    """d(x) = abs(mean phi_U(x) - mean phi_O(x)) / s_O(x), U unlearned and O retrained models; ebbing's own.

    Needs few models, and the judged one may be single: then it is the abs z of drift. Its floor is not 0, about
    sqrt(2 / pi * (1 / N_U + 1 / N_O)) and more for few retrained models: see `floor_of`.

    Args:
        unlearned: (N_U, n) margins, N_U >= 1.
        retrained: (N_O, n) margins of the same records, N_O >= 2; s_O is over N_O - 1.
        min_sd: in log-odds, > 0; a smaller s_O is raised to it, so that equal constants give 0 and others a finite gap.

    Returns:
        (n,) gaps in retrained models' standard deviations, >= 0.

    Raises:
        InputError: if the arrays do not fit together, are too few or not finite, or ``min_sd`` is not positive.
    """
    unlearned, retrained = checked_margins(
        {"unlearned": unlearned, "retrained": retrained}, {"unlearned": 1, "retrained": 2}, measure="The margin gap"
    )
    check_min_sd(min_sd)
    gap = np.empty(unlearned.shape[1])
    for part in chunks(unlearned, retrained):
        mean, sd = moments(retrained[:, part], min_sd=min_sd)
        gap[part] = np.abs(unlearned[:, part].mean(axis=0, dtype=np.float64) - mean) / sd
    return gap


def moments(margins: np.ndarray, *, min_sd: float) -> tuple[np.ndarray, np.ndarray]:
    """(n,) means and standard deviations (over N - 1, raised to ``min_sd``) of (N, n) margins, N >= 2, in float64."""
    mean = margins.mean(axis=0, dtype=np.float64)
    rest = margins - mean
    return mean, np.maximum(np.sqrt(np.einsum("ij,ij->j", rest, rest) / (len(margins) - 1)), min_sd)


def chunks(*margins: np.ndarray) -> Iterator[slice]:
    """Examples, the columns of all arrays, in pieces of which every array together has about `CELLS` margins."""
    n = margins[0].shape[1]
    width = max(1, CELLS // sum(len(array) for array in margins))
    for start in range(0, n, width):
        yield slice(start, min(start + width, n))


def check_min_sd(min_sd: float) -> None:
    """Refuse a spread to raise others to that is not positive and finite."""
    if not 0 < min_sd < np.inf:
        raise InputError(f"`min_sd` must be positive and finite, but is {min_sd}. It is in log-odds; 0.001 is usual.")


def checked_margins(given: Mapping[str, np.ndarray], least: Mapping[str, int], *, measure: str) -> list[np.ndarray]:
    """Margins of the same examples as float arrays, in the order given, once they are known to be usable.

    Args:
        given: (n_models, n_examples) arrays by the name of the argument.
        least: how many models each needs, by the same names.
        measure: what the message calls the measure.

    Raises:
        InputError: naming everything that is wrong at once.
    """
    arrays = {name: np.asarray(values) for name, values in given.items()}
    problems = [problem for name, array in arrays.items() for problem in _problems(name, array)]
    if not problems:
        if len({array.shape[1] for array in arrays.values()}) > 1:
            shapes = " and ".join(f"{a.shape} in `{n}`" for n, a in arrays.items())
            problems.append(f"all must show the same examples, in the same order, but the shapes are {shapes}")
        problems += [
            f"`{name}` must hold at least {least[name]} models, but holds {len(array)}: what varies between models "
            "cannot be told from fewer. Observe more models, or take a measure for few, such as the margin gap"
            for name, array in arrays.items()
            if len(array) < least[name]
        ]
    if problems:
        raise InputError(f"{measure} cannot be computed: " + "; ".join(problems) + ".")
    return [a if a.dtype in (np.float32, np.float64) else a.astype(np.float64) for a in arrays.values()]


def _problems(name: str, array: np.ndarray) -> list[str]:
    """What is wrong with one array by itself."""
    if array.ndim != 2 or 0 in array.shape:
        return [f"`{name}` must have the shape (n_models, n_examples), none of them 0, but has {array.shape}"]
    if array.dtype.kind not in "fiu":
        return [f"`{name}` must hold margins (log-odds of the label), not {array.dtype}: pass `Signals.margin`"]
    bad = int(array.size - np.isfinite(array).sum())
    if bad:
        return [f"`{name}` must be finite, but {bad} margins are NaN or infinite. Leave these models out, or clip them"]
    return []
