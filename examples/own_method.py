"""An unlearning method of your own: one class in one file, held to the contract, and judged beside the others.

The method here blurs what a model knows: it adds noise to every weight, then trains on what stays.
"""

from dataclasses import dataclass, field

import torch
from torch import nn

import ebbing as eb
from ebbing.data import load
from ebbing.data.selection import select
from ebbing.methods import Run
from ebbing.models import digits_mlp
from ebbing.testing import check_unlearner
from ebbing.training import fit


@dataclass(frozen=True)
class Blur(eb.Unlearner):
    """theta <- theta + strength * sd(theta) * noise for each parameter tensor, then training on the retain set.

    Attributes:
        strength: of the noise, in standard deviations of each tensor, >= 0.
        repair: the training afterwards.
    """

    strength: float = 0.7
    repair: eb.Recipe = field(default_factory=lambda: eb.Recipe(epochs=5, learning_rate=1e-2, schedule="one-cycle"))

    def __post_init__(self) -> None:
        """Check the strength."""
        if not 0 <= self.strength < float("inf"):
            raise eb.InputError(f"`strength` must be finite and >= 0, but is {self.strength}.")

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Blur, then repair; `model` is a working copy, and torch's own generators are already seeded."""
        with torch.no_grad():
            for theta in model.parameters():
                theta.add_(torch.randn_like(theta), alpha=self.strength * float(theta.std()))
        fit(model, run.request.retain, self.repair, task=run.task, generator=run.generator, journal=run.journal)
        return model


def main() -> None:
    """Check it, then judge it beside the same training without noise and a model that nothing was done to."""
    check_unlearner(Blur())  # the input untouched, the same seed the same weights, the holdout never read, ...
    request = select("mislabelled:0.05", load("digits"), seed=0)
    trainer = eb.Trainer(digits_mlp, eb.Recipe(epochs=100, learning_rate=3e-3))
    model = trainer(request.dataset, seed=0)
    methods = {"blur": Blur(), "no-noise": Blur(strength=0.0), "do-nothing": eb.DoNothing()}
    report = eb.audit(
        original=model,
        unlearned={name: method.unlearn(model, request, seed=0) for name, method in methods.items()},
        oracles=eb.OracleBank(trainer, request).train(4),
        request=request,
    )
    for name, verdict in report.verdicts.items():
        print(f"{name}: {verdict}")


if __name__ == "__main__":
    main()
