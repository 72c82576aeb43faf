"""Where does a small vision transformer keep what it learned by heart: in attention heads, or in the hidden units of its MLPs?

5 % of scanned digits have a wrong label. `Ebb` decays heads, hidden units, or both, and units drawn by chance in place of those
that respond most; the answer is M, how far the wrong labels stand from where models put them that were never shown them.
"""

import torch
from torch import nn

import ebbing as eb
from ebbing.data import load
from ebbing.data.selection import select
from ebbing.models.vit import VisionTransformer
from ebbing.rankings import ActivationRatio, Random, Ranking
from ebbing.rates import FixedRate, RankedRate

RETRAINED = 4  # the fewest that memory can be told with
RECIPE = eb.Recipe(epochs=30, learning_rate=3e-3)
NEVER = FixedRate(float("inf"))


def build() -> nn.Module:
    """4 patches of 4 x 4 pixels, two blocks."""
    return VisionTransformer(size=8, patch=4, width=32, layers=2, heads=4, hidden=64)


def by(ranking: Ranking) -> eb.Ebb:
    """Fast for units that the ranking puts first, slow for the others."""
    rate = RankedRate(ranking, fastest=1.5, slowest=24.0)
    return eb.Ebb(heads=rate, mlp=rate, conv=NEVER, training=RECIPE)


METHODS = {
    "do-nothing": eb.DoNothing(),
    "heads": eb.Ebb(mlp=NEVER, conv=NEVER, training=RECIPE),
    "mlp": eb.Ebb(heads=NEVER, conv=NEVER, training=RECIPE),
    "both": eb.Ebb(conv=NEVER, training=RECIPE),
    "by response": by(ActivationRatio()),
    "by chance": by(Random()),
}


def main() -> None:
    """Train, forget, and compare."""
    torch.set_num_threads(1)  # a network this small is slower on more
    request = select("mislabelled:0.05", load("digits"), seed=0)
    trainer = eb.Trainer(build, RECIPE)
    original = trainer(request.dataset, seed=0)
    oracles = eb.OracleBank(trainer, request).train(RETRAINED)
    print("what decays      M  accuracy on unseen digits")
    for name, method in METHODS.items():
        model = method.unlearn(original, request, seed=0)
        found = eb.audit(original=original, unlearned=model, oracles=oracles, request=request, task=eb.Classification())
        figures = found.data["methods"]["unlearned"]
        print(f"{name:12} {figures['memory']['m']:6.2f} {figures['accuracy']['holdout']:8.1%}", flush=True)


if __name__ == "__main__":
    main()
