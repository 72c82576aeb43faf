"""KLoM: divergence of the judged models' margins from retrained ones', record by record."""

from __future__ import annotations

import numpy as np
import scipy

from ebbing.errors import InputError
from ebbing.measures.margin_gap import MIN_SD, check_min_sd, checked_margins, chunks, moments


def klom(
    unlearned: np.ndarray, retrained: np.ndarray, *, bins: int = 20, clip: float = 100.0, floor: float = 1e-5
) -> np.ndarray:
    """KL(p || q) per record, p and q the histograms of its margin over unlearned and over retrained models.

    Margins are clipped to +-``clip``. Both histograms share ``bins`` bins of equal width from the smallest to the largest
    margin of both, bin b holding low + b * w <= phi < low + (b + 1) * w and the last one its upper end as well, so that
    every margin is counted. Then

        KLoM = sum over bins with p > 0 of p * log(p / max(q, floor)),    in nats.

    **Its floor is not 0**: retrained models against as many others, Gaussian margins, have a mean of 3.8 with 16 models,
    1.64 with 32, .62 with 64, .34 with 100 (`floor_of` gives it for other margins and counts). Below 64 models take
    `klom_gaussian`. Report the mean and the 95th percentile over the records.

    Args:
        unlearned: (N_U, n) margins, N_U >= 2.
        retrained: (N_O, n) margins of the same records, N_O >= 2. The counts may differ.
        bins: number of bins, >= 1.
        clip: largest margin that counts as such, > 0.
        floor: what an empty bin of the retrained models counts, in (0, 1). With one model in each of two far places the
            result is log(1 / floor), 11.51 by default: the largest value there is.

    Returns:
        (n,) values in [0, log(1 / floor)], for fewer than 1 / floor models; 0 where all margins are one constant. Margins of
        float32 are put into bins without rounding.

    Raises:
        InputError: if the arrays do not fit together, are too few or not finite, or a setting is out of range.

    Source: Georgiev et al., arXiv 2410.23232. Public code leaves the largest margin out of its bins: constants above every
    retrained margin then count as a perfect 0, or as NaN.
    """
    unlearned, retrained = _several(unlearned, retrained, measure="KLoM")
    if bins < 1 or not 0 < clip < np.inf or not 0 < floor < 1:
        raise InputError(
            "`bins` must be at least 1, `clip` positive and finite, and `floor` lie in (0, 1), but they are "
            f"{bins}, {clip} and {floor}. The source has 20, 100 and 1e-5."
        )
    values = np.empty(unlearned.shape[1])
    for part in chunks(unlearned, retrained):
        p, q = _histograms(unlearned[:, part], retrained[:, part], bins=bins, clip=clip)
        values[part] = scipy.special.rel_entr(p, np.maximum(q, floor)).sum(axis=1)
    return values


def klom_gaussian(unlearned: np.ndarray, retrained: np.ndarray, *, min_sd: float = MIN_SD) -> np.ndarray:
    """KL between Gaussians in place of histograms, for fewer than 64 models.

    log(s_O / s_U) + (s_U^2 + d^2) / (2 s_O^2) - 1/2 per record, d the difference of the mean margins, s_U and s_O the
    standard deviations over N - 1. Retrained models against as many others have a mean of about .067 with 32 models
    (Gaussian margins), where the histograms have 1.64. It has no upper end, and does not see a second peak.

    Args:
        unlearned: (N_U, n) margins, N_U >= 2.
        retrained: (N_O, n) margins of the same records, N_O >= 2.
        min_sd: in log-odds, > 0; smaller standard deviations, on both sides, are raised to it. Equal constants then give 0,
            and others a finite value, d^2 / (2 min_sd^2).

    Returns:
        (n,) values in nats, >= 0 up to rounding.

    Raises:
        InputError: if the arrays do not fit together, are too few or not finite, or ``min_sd`` is not positive.
    """
    unlearned, retrained = _several(unlearned, retrained, measure="The Gaussian KLoM")
    check_min_sd(min_sd)
    values = np.empty(unlearned.shape[1])
    for part in chunks(unlearned, retrained):
        mean_u, sd_u = moments(unlearned[:, part], min_sd=min_sd)
        mean_o, sd_o = moments(retrained[:, part], min_sd=min_sd)
        values[part] = np.log(sd_o / sd_u) + (sd_u**2 + (mean_u - mean_o) ** 2) / (2 * sd_o**2) - 0.5
    return values


def _several(unlearned: np.ndarray, retrained: np.ndarray, *, measure: str) -> list[np.ndarray]:
    """Both arrays, once each holds several models."""
    given = {"unlearned": unlearned, "retrained": retrained}
    return checked_margins(given, dict.fromkeys(given, 2), measure=measure)


def _histograms(
    unlearned: np.ndarray, retrained: np.ndarray, *, bins: int, clip: float
) -> tuple[np.ndarray, np.ndarray]:
    """(n, bins) shares of the models in each shared bin, of both."""
    phi = np.concatenate((unlearned, retrained), dtype=np.float64)  # (N_U + N_O, n)
    np.clip(phi, -clip, clip, out=phi)
    phi -= phi.min(axis=0)
    width = phi.max(axis=0)  # of all bins together
    # Multiplied first: a quotient that is a whole number then comes out as one, and its margin in the bin it begins.
    phi *= bins
    phi /= np.where(width > 0, width, 1.0)
    places = np.minimum(phi.astype(np.int64), bins - 1)  # the largest margin belongs to the last bin
    n = places.shape[1]
    places += np.arange(n) * bins
    sides = (places[: len(unlearned)], places[len(unlearned) :])
    p, q = (np.bincount(side.ravel(), minlength=n * bins).reshape(n, bins) / len(side) for side in sides)
    return p, q
