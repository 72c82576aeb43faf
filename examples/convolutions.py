"""Which layers of a residual network decay: its convolutions stage by stage, its head, or all of them.

5 % of scanned digits have a wrong label and must go. `ebbing.units.find_units` says what a network of one's own is made of,
`Ebb` has a decay time for every kind of unit, and `DecayLaw` decays any of them by name.
"""

from copy import deepcopy

import torch
from torch import nn

import ebbing as eb
from ebbing.data import load
from ebbing.data.selection import select
from ebbing.law import DecayLaw
from ebbing.models.resnet import ResNet
from ebbing.rates import FixedRate
from ebbing.units import find_units, fresh_anchor

RECIPE = eb.Recipe(epochs=25, learning_rate=2e-3)
NEVER = FixedRate(float("inf"))


def build() -> nn.Module:
    """Two stages with BatchNorm, for images of 8 x 8 pixels."""
    return ResNet(colours=1, stages=((16, 1), (32, 2)), blocks=1)


def main() -> None:
    """Train, forget, and compare."""
    torch.set_num_threads(1)  # a network this small is slower on more
    request, task = select("mislabelled:0.05", load("digits"), seed=0), eb.Classification()
    original = eb.Trainer(build, RECIPE)(request.dataset, seed=0)
    batch = tuple(torch.stack(parts) for parts in zip(*(request.retain[i] for i in range(8)), strict=True))
    units = find_units(original, task=task, batch=batch)
    for group in units:
        print(f"{group.name:22} {group.kind:7} {group.size} units")

    print("\nbaked decay alone, no repair: what is left of the wrong labels, and of unseen digits")
    for part in ("stages.0", "stages.1", "fc"):
        model, chosen = deepcopy(original), [group for group in units if group.name.startswith(part)]
        anchor = fresh_anchor(model, chosen, seed=0)
        DecayLaw(FixedRate(6.0), duration=4.0).apply(model, chosen, request, task=task, seed=0, anchor=anchor)
        print(f"{part:22} {known(model, request.forget):6.1%} {known(model, request.holdout):6.1%}")

    print("\nwith the repair of Ebb, a fifth of one retraining")
    for name, method in {
        "do-nothing": eb.DoNothing(),
        "head": eb.Ebb(conv=NEVER, training=RECIPE),
        "head and convolutions": eb.Ebb(training=RECIPE),
        "all drawn anew": eb.Ebb(conv=FixedRate(0.0), spare_input=False, training=RECIPE),
    }.items():
        model = method.unlearn(original, request, seed=0)
        print(f"{name:22} {known(model, request.forget):6.1%} {known(model, request.holdout):6.1%}", flush=True)


def known(model: nn.Module, records: eb.ForgetRequest) -> float:
    """Share of records whose label a model gives."""
    images, labels = (torch.stack([torch.as_tensor(part) for part in parts]) for parts in zip(*records, strict=True))
    with torch.no_grad():
        return float((model.eval()(images).argmax(1) == labels).double().mean())


if __name__ == "__main__":
    main()
