"""What was seen of models, their answers and what they keep inside: gathered once, saved, and judged without the models."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from ebbing.inside import Inside, look_inside
from ebbing.observations import Observations, load_arrays, observe, save_arrays
from ebbing.request import ForgetRequest
from ebbing.task import Task


@dataclass(frozen=True)
class Seen:
    """What was seen of some models: their answers and, where the weights were at hand, what they keep inside."""

    answers: Observations
    inside: Inside | None = None

    def __getitem__(self, models: list[int]) -> Seen:
        """Some of the models."""
        return Seen(self.answers[models], None if self.inside is None else self.inside[models])

    @classmethod
    def concatenate(cls, parts: Sequence[Seen]) -> Seen:
        """The models of several, one after the other; what is inside only where all were looked into."""
        inside = [part.inside for part in parts if part.inside is not None]
        return cls(
            Observations.concatenate([part.answers for part in parts]),
            Inside.concatenate(inside) if len(inside) == len(parts) else None,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything into one ``.npz`` file, whole or not at all."""
        arrays = {f"answers/{name}": array for name, array in self.answers.arrays().items()}
        if self.inside is not None:
            arrays |= {f"inside/{name}": array for name, array in self.inside.arrays().items()}
        save_arrays(path, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Seen:
        """What `save` wrote. Nothing is unpickled.

        Raises:
            InputError: if the file is not there, damaged, or holds something else.
        """

        def make(arrays: Mapping[str, np.ndarray]) -> Seen:
            def under(prefix: str) -> dict[str, np.ndarray]:
                return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}

            inner = under("inside/")
            return cls(Observations.from_arrays(under("answers/")), Inside.from_arrays(inner) if inner else None)

        return load_arrays(path, make)


def see(
    models: Sequence[nn.Module],
    request: ForgetRequest,
    *,
    task: Task,
    layers: Sequence[str] = (),
    seed: int = 0,
    logits: bool = False,
    on_model: Callable[[], None] | None = None,
) -> Seen:
    """Run models over a request, and look inside them where they have the layers that are named.

    Args:
        models: at least one.
        request: its splits are read.
        task: turns batches into outputs.
        layers: see `ebbing.inside.probed_layers`; none to see the answers alone.
        seed: of the order of relearning.
        logits: whether logits are kept.
        on_model: called after each model was looked into.
    """
    answers = observe(models, request, task=task, logits=logits)
    alike = layers and all(set(layers) <= {name for name, _ in model.named_modules()} for model in models)
    inner = look_inside(models, request, task=task, layers=layers, seed=seed, on_model=on_model) if alike else None
    return Seen(answers, inner)
