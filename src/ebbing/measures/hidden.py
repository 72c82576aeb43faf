"""What hides behind the answers: memory in the layers, and savings in relearning. Needs the weights, see `ebbing.inside`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ebbing.inside import Inside
from ebbing.measures.memory import Reference, figures


@dataclass(frozen=True)
class Hidden:
    """What one model keeps inside.

    Attributes:
        probes: by layer, (M, W) of the margins of a linear readout on the layer's input, as `figures` gives them of the
            model's own margins.
        savings: log((1 + steps to learn unseen records drawn alike) / (1 + steps to learn the forgotten ones again)), after
            Ebbinghaus; for a concept against the retrained models' mean steps. > 0 where they come back sooner.
    """

    probes: dict[str, tuple[float, float]]
    savings: float


def telling_layers(reference: Inside) -> list[str]:
    """The layers on whose input retrained models differ at all; the raw input is the same for every model."""
    return [n for n, seen in reference.probes.items() if float(seen.forget.margin.std(axis=0).max()) > 0]


def hidden(judged: Inside, reference: Inside, *, concept: bool) -> Hidden:
    """The figures of one model against retrained ones, which it must not be among."""
    probes = {}
    for layer in telling_layers(reference):
        found = figures(judged.probes[layer], Reference(reference.probes[layer], concept))
        probes[layer] = (found.m, found.w)
    savings = float(judged.savings[0])
    if judged.steps_matched is None:
        savings -= float(np.mean(reference.savings))
    return Hidden(probes, savings)


def hidden_left_out(reference: Inside, *, concept: bool) -> list[Hidden]:
    """The figures of each retrained model against the others."""
    every = range(reference.n_models)
    layers = telling_layers(reference)
    kept = Inside({n: reference.probes[n] for n in layers}, reference.steps_forget, reference.steps_matched)
    return [hidden(kept[[i]], kept[[j for j in every if j != i]], concept=concept) for i in every]
