"""Models as they might be deployed: what was forgotten must stay forgotten in them. Needs the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import partial

import numpy as np
from torch import nn

from ebbing.battery.measurement import Estimate, Material, Measurement, gathered
from ebbing.battery.one_by_one import LEFT_OUT, evenly
from ebbing.errors import InputError
from ebbing.measures import Floor, Reference, bootstrap_memory, figures, rounded
from ebbing.observations import Observations, observe
from ebbing.request import ForgetRequest
from ebbing.task import Task

COPIED = 8  # judged models of which copies are made, evenly spaced
PROTOCOLS = {
    "int8": "Memory M of a copy with weights rounded to 8 bits (round to nearest, a scale for each channel)",
    "int4": "Memory M of a copy with weights rounded to 4 bits (round to nearest, a scale for each channel)",
    "gate-off": "Memory M of the same weights in a fresh copy of the original's network, without hooks or wrappers",
}

Copies = Mapping[str, Observations | str]


def copies_of(
    models: Sequence[nn.Module], request: ForgetRequest, *, task: Task, original: nn.Module | None = None
) -> Copies:
    """What copies of at most 8 models answer, by the kind of copy; a sentence where there can be none.

    Args:
        models: the judged, or the retrained ones.
        request: its splits are read.
        task: turns batches into outputs.
        original: a model of the structure that weights are loaded into for "gate-off"; None leaves that copy out.
    """
    chosen = [models[i] for i in evenly(len(models), COPIED)]
    make: dict[str, Callable[[nn.Module], nn.Module]] = {
        "int8": partial(rounded, bits=8),
        "int4": partial(rounded, bits=4),
    }
    if original is not None:
        make["gate-off"] = partial(_bare, original=original)
    found: dict[str, Observations | str] = {}
    for kind, copy in make.items():
        try:
            found[kind] = observe([copy(model) for model in chosen], request, task=task)
        except InputError as error:
            found[kind] = f"not applicable: {error}"
    return found


def _bare(model: nn.Module, *, original: nn.Module) -> nn.Module:
    """The weights of a model in a network like the original's, and nothing else of it."""
    bare = deepcopy(original)
    try:
        bare.load_state_dict(model.state_dict())
    except RuntimeError as error:
        raise InputError("its weights do not fit the original's network") from error
    return bare


def deployed_measures(material: Material, copies: Copies | None, retrained: Copies) -> list[Measurement]:
    """Memory M of each kind of copy, beside that of copies of retrained models.

    The reference is the retrained models as they are; a copy of one of them is held against the others.

    Args:
        material: what else is known of the models.
        copies: of the judged models; None where the weights are not at hand.
        retrained: of the retrained models, of "int8" and "int4"; taking hooks off them changes nothing.
    """
    reference = Reference(material.retrained, material.concept)
    found = []
    for kind, protocol in PROTOCOLS.items():
        seen = "the weights are not at hand" if copies is None else copies[kind]
        if isinstance(seen, str):
            found.append(Measurement(kind, None, protocol, reason=seen))
            continue
        each = [
            _memory(seen[[i]], reference, material.seed if seen.n_models == 1 else None) for i in range(seen.n_models)
        ]
        if any(np.isnan(one.value) for one in each):
            found.append(Measurement(kind, None, protocol, reason="no matched unseen records to count memory from"))
            continue
        found.append(gathered(kind, None, protocol, each, _floor(retrained.get(kind), reference)))
    return found


def _memory(models: Observations, reference: Reference, seed: int | None) -> Estimate:
    one = figures(models, reference)
    return Estimate(one.m) if seed is None else Estimate(one.m, *bootstrap_memory(one, seed=seed))


def _floor(copies: Observations | str | None, reference: Reference) -> Floor:
    """M of copies of retrained models against the others; of the models themselves where there are no copies."""
    n = reference.observations.n_models
    own = isinstance(copies, Observations)
    rows = evenly(n, COPIED if own else LEFT_OUT)
    values = []
    for place, i in enumerate(rows):
        judged = copies[[place]] if isinstance(copies, Observations) else reference.observations[[i]]
        values.append(figures(judged, reference.without(i)).m)
    return Floor(float(np.mean(values)), min(values), max(values), 1, n - 1)
