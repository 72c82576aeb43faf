"""A membership attack of your own: one class in one file, reported beside the attacks that every report has."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

import ebbing as eb
from ebbing.attacks import Attack
from ebbing.data import load
from ebbing.data.selection import select
from ebbing.models import digits_mlp
from ebbing.observations import Signals
from ebbing.testing import check_attack


@dataclass(frozen=True)
class Decided(Attack):
    """score = largest logit - second largest: how decided an answer is, right or wrong; needs no label."""

    name: ClassVar[str] = "decided"

    def scores(self, signals: Signals) -> np.ndarray:
        """(n_models, n_examples) scores >= 0."""
        if signals.logits is None:
            raise eb.InputError("`decided` needs logits, but these observations have none. Observe with logits=True.")
        second, first = np.moveaxis(np.sort(signals.logits, axis=-1)[..., -2:], -1, 0)
        return first - second


def main() -> None:
    """What it finds before, after, and in retrained models; far below .5 tells as much as far above."""
    torch.set_num_threads(1)
    check_attack(Decided())
    request = select("mislabelled:0.05", load("digits"), seed=0)
    trainer = eb.Trainer(digits_mlp, eb.Recipe(epochs=100, learning_rate=3e-3))
    model = trainer(request.dataset, seed=0)
    report = eb.audit(
        original=model,
        unlearned=eb.Ebb(training=trainer.recipe).unlearn(model, request, seed=0),
        oracles=eb.OracleBank(trainer, request).train(4),
        request=request,
        attacks=[Decided()],
    ).data
    for name in ("loss", "decided"):
        found = report["original"]["attacks"][name], report["methods"]["unlearned"]["attacks"][name]
        retrained = report["oracles"]["attacks"][name]["auc"]["mean"]
        print(
            f"AUC of {name:8}  original {found[0]['auc']:.2f}  forgotten {found[1]['auc']:.2f}  retrained {retrained:.2f}"
        )


if __name__ == "__main__":
    main()
