"""What hides behind the answers: memory in the layers, and savings in relearning. Needs the weights, see `ebbing.inside`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ebbing.inside import Inside
from ebbing.measures.memory import Others, Reference, figures

ROUNDING = 1e-5  # of the largest margin; readouts of one input differ by no more on any device


@dataclass(frozen=True)
class Hidden:
    """What one model keeps inside.

    Attributes:
        probes: by layer, (M, W) of the margins of a linear readout on the layer's input, as `figures` gives them of the
            model's own margins.
        savings: log((1 + steps to learn unseen records drawn alike) / (1 + steps to learn the forgotten ones again)), after
            Ebbinghaus; for a concept against the retrained models' mean steps. > 0 where they come back sooner.
        kinship: by layer, see `kinship`; empty where no original was given.
    """

    probes: dict[str, tuple[float, float]]
    savings: float
    kinship: dict[str, float] = field(default_factory=dict)


def telling_layers(reference: Inside) -> list[str]:
    """The layers on whose input retrained models differ by more than rounding; the raw input is the same for every model."""
    return [name for name, seen in reference.probes.items() if _differ(seen.forget.margin)]


def _differ(margin: np.ndarray) -> bool:
    """Whether any record's margin, (n_models, n_examples), is another for another model."""
    return bool(np.ptp(margin, axis=0).max() > ROUNDING * np.abs(margin).max())


def kinship(judged: Inside, originals: Inside, reference: Inside) -> dict[str, float]:
    """How far each layer is still the original's, by what it says of records that were in nobody's training.

    With z = (margin of the readout - mean of the retrained models) / their standard deviation on the holdout, the
    correlation over the records of the judged model's z with the original's: what is peculiar to the original, beyond
    what every model trained on such data has, and is found again. 1 where the layer was left as it was, about 0 for a
    model trained by itself. Of several originals the closest counts.

    Args:
        judged: of one model.
        originals: of at least one.
        reference: retrained models; the judged one must not be among them.

    Returns:
        By layer, in [-1, 1]; 0 where either does not vary.
    """
    return _kinship(judged, originals, _by_layer(reference))


def _by_layer(reference: Inside, *, concept: bool = False) -> dict[str, Reference]:
    """What each layer that tells is held against."""
    return {layer: Reference(reference.probes[layer], concept) for layer in telling_layers(reference)}


def _kinship(judged: Inside, originals: Inside, layers: Mapping[str, Reference | Others]) -> dict[str, float]:
    found = {}
    for layer, reference in layers.items():
        mean, sd = reference.moments("holdout")
        own = (judged.probes[layer].holdout.margin[0].astype(np.float64) - mean) / sd
        others = (originals.probes[layer].holdout.margin.astype(np.float64) - mean) / sd
        found[layer] = max(_correlation(own, other) for other in others)
    return found


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's; 0 where either does not vary."""
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 0 else 0.0


def hidden(judged: Inside, reference: Inside, *, concept: bool, originals: Inside | None = None) -> Hidden:
    """The figures of one model against retrained ones, which it must not be among, and its kinship with originals."""
    return _hidden(judged, _by_layer(reference, concept=concept), float(np.mean(reference.savings)), originals)


def _hidden(
    judged: Inside, layers: Mapping[str, Reference | Others], savings: float, originals: Inside | None
) -> Hidden:
    """The figures by layer, and the savings beyond the retrained models' mean where there is nothing unseen to relearn."""
    probes = {}
    for layer, reference in layers.items():
        found = figures(judged.probes[layer], reference)
        probes[layer] = (found.m, found.w)
    own = float(judged.savings[0])
    if judged.steps_matched is None:
        own -= savings
    return Hidden(probes, own, {} if originals is None else _kinship(judged, originals, layers))


def hidden_left_out(reference: Inside, *, concept: bool, originals: Inside | None = None) -> list[Hidden]:
    """The figures of each retrained model against the others, on the layers where they differ without the first as well."""
    telling, n = telling_layers(reference[1:]), reference.n_models
    layers = {name: every for name, every in _by_layer(reference, concept=concept).items() if name in telling}
    kept = Inside({name: reference.probes[name] for name in layers}, reference.steps_forget, reference.steps_matched)
    savings = (reference.savings.sum() - reference.savings) / (n - 1)  # (n,) means of the others
    return [
        _hidden(kept[[i]], {name: every.without(i) for name, every in layers.items()}, float(savings[i]), originals)
        for i in range(n)
    ]
