"""A forgetting curve of your own: Ebbinghaus' savings formula of 1885, beside the curves that ebbing has."""

from dataclasses import dataclass

import torch
from torch import Tensor

import ebbing as eb
from ebbing.curves import Exponential, ForgettingCurve, PowerLaw
from ebbing.data import load
from ebbing.data.selection import select
from ebbing.models import digits_mlp
from ebbing.task import accuracy
from ebbing.testing import check_curve


@dataclass(frozen=True)
class Savings(ForgettingCurve):
    """phi(t) = k / (k + log10(1 + t / tau)^c): what Ebbinghaus fitted to his own forgetting, tau for his minute.

    Attributes:
        k: > 0; the larger, the slower.
        c: > 0.
    """

    k: float = 1.84
    c: float = 1.25

    def __post_init__(self) -> None:
        """Check both constants."""
        if not (self.k > 0 and self.c > 0):
            raise eb.InputError(f"`k` and `c` must be > 0, but are {self.k} and {self.c}.")

    def left(self, age: Tensor) -> Tensor:
        """1 at age 0, 0 at age inf; `ForgettingCurve.factor` takes care of t, tau and their limits."""
        return self.k / (self.k + torch.log10(1 + age) ** self.c)


def main() -> None:
    """What is left after some times, and what that does to a model."""
    check_curve(Savings())
    curves = {"exponential": Exponential(), "power law": PowerLaw(), "savings": Savings()}
    tau = torch.tensor([0.5])  # unlearning epochs
    print("what is left of a unit with tau = 0.5 after 0, 1, 4 and 16 unlearning epochs, then accuracy")
    request = select("mislabelled:0.05", load("digits"), seed=0)
    model = eb.Trainer(digits_mlp, eb.Recipe(epochs=100, learning_rate=3e-3))(request.dataset, seed=0)
    for name, curve in curves.items():
        left = "  ".join(f"{curve.factor(t, tau).item():.3f}" for t in (0, 1, 4, 16))
        forgotten = eb.Ebb(curve=curve).unlearn(model, request, seed=0)
        wrong, unseen = (
            accuracy(forgotten, part, task=eb.Classification()) for part in (request.forget, request.holdout)
        )
        print(f"{name:12}  {left}  wrong labels {wrong:6.1%}  holdout {unseen:6.1%}")


if __name__ == "__main__":
    main()
