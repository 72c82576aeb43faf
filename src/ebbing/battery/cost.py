"""What measures cost, said before they start."""

from __future__ import annotations

from dataclasses import dataclass

from ebbing.battery.battery import Level
from ebbing.battery.deployed import COPIED
from ebbing.battery.one_by_one import LEFT_OUT, PARTNERS
from ebbing.battery.salun import FITTED
from ebbing.battery.together import FEWEST

# Seconds on one core, rounded up so that results/standard/digits.json took less than is said: a test holds them to that.
PER_PREDICTION = 1.8e-7  # for each class, record and pair of models, all measures of predictions together
PER_ATTACK = (
    0.3  # SalUn's, for each model, where it is fitted to as many records as it ever is; falls with their square
)
PER_MARGIN = 8e-7  # what is taken of several models together, for each model and record
AGAIN = 400  # how often a forgotten record is resampled beside


@dataclass(frozen=True)
class Cost:
    """What measures take beside the verdict.

    Attributes:
        passes: records that go through a model, in all.
        seconds: of arithmetic, roughly, on one core.
    """

    passes: int
    seconds: float


def cost_of(
    level: Level,
    *,
    records: int,
    forget: int,
    unseen: int,
    classes: int,
    originals: int,
    methods: int,
    retrained: int,
) -> Cost:
    """The cost of a level, by what will be measured.

    Args:
        level: how much is measured.
        records: that every model is observed on, of all splits.
        forget: records that are forgotten.
        unseen: records of the holdout.
        classes: of the predictions.
        originals: models before, and as many after each method.
        methods: that are judged.
        retrained: models that they are held against.
    """
    subjects = originals * (1 + methods)
    pairs = (subjects + min(retrained, LEFT_OUT)) * min(retrained, PARTNERS)
    seconds = PER_PREDICTION * pairs * records * classes
    if level == "quick":
        return Cost(0, seconds)
    copied = (1 + methods) * 3 * min(originals, COPIED) + 2 * min(retrained, COPIED)
    attacked = (1 + methods) * min(originals, LEFT_OUT) + min(retrained, LEFT_OUT)
    seconds += PER_ATTACK * attacked * (min(unseen, FITTED) / FITTED) ** 2
    several = min(originals, retrained // 2)
    if several >= FEWEST:
        seconds += PER_MARGIN * ((1 + methods) * several + retrained) * (records + AGAIN * forget)
    return Cost(copied * records, seconds)
