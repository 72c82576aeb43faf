"""Records that stay and are like those that go: equal ones, and near ones in what the model makes of them.

A near-duplicate of a forgotten record keeps the model from forgetting it. It may be another person's, so it is offered,
never taken.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from ebbing.inside import features_of, probed_layers
from ebbing.ledger.project import Project

SAMPLE = 1000  # retained records among which the usual distance to the nearest is measured
BLOCK = 512  # rows of distances at once

Offered = tuple[str, str, str, float]  # the key, the forgotten key it is like, exact or near, the distance


def alike(
    project: Project, model: nn.Module, keys: Sequence[str], gone: Collection[str], *, nearness: float
) -> list[Offered]:
    """Keys that stay and are like keys that go; each once, with the nearest.

    Exact: the inputs are the same, byte for byte. Near: the distance of the inputs of the model's last layer that is looked
    into is at most ``nearness`` times the median distance of a retained record to its nearest other one.

    Args:
        project: whose data.
        model: the current one.
        keys: that go now, as far as they are in the data.
        gone: all keys that are to go or have gone; they are not offered.
        nearness: >= 0; 0 for exact ones alone.
    """
    going = [i for key in keys if key in project.places for i in project.places[key]]
    names = project.names
    out = set(gone) | set(keys)
    staying = [i for i, key in enumerate(names) if key not in out]
    if not going or not staying:
        return []
    found: dict[str, Offered] = {}
    digests = project.inspected.digests
    if digests is not None:
        first = {digests[i]: names[i] for i in reversed(going)}
        for i in staying:
            if digests[i] in first:
                found.setdefault(names[i], (names[i], first[digests[i]], "exact", 0.0))
    for i, j, distance in _near(project, model, going, staying, nearness=nearness):
        known = found.get(names[j])
        if known is None or (known[2] == "near" and distance < known[3]):
            found[names[j]] = (names[j], names[i], "near", distance)
    return sorted(found.values(), key=lambda offer: (offer[3], offer[0]))


def _near(
    project: Project, model: nn.Module, going: Sequence[int], staying: Sequence[int], *, nearness: float
) -> list[tuple[int, int, float]]:
    if nearness <= 0:
        return []
    request = project.request([], going, description="")
    layers = probed_layers(model, request, task=project.task)[-1:]
    if not layers or len(staying) < 2:
        return []
    gone, kept = (
        features_of(model, project.part(part), task=project.task, layers=layers)[0][layers[0]].float()
        for part in (going, staying)
    )
    step = max(1, len(staying) // SAMPLE)
    usual = torch.cat([_others(kept[i : i + 1], kept, i) for i in range(0, len(staying), step)]).median()
    found = []
    for start in range(0, len(going), BLOCK):
        distances = torch.cdist(gone[start : start + BLOCK], kept)
        for row, column in (distances <= nearness * usual).nonzero().tolist():
            found.append((going[start + row], staying[column], round(float(distances[row, column]), 6)))
    return found


def _others(one: Tensor, kept: Tensor, own: int) -> Tensor:
    """(1,) the distance of a retained record to the nearest other one."""
    distances = torch.cdist(one, kept)[0]
    distances[own] = torch.inf
    return distances.min()[None]
