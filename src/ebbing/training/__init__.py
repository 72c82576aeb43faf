"""Training: the recipe, the one loop, the one way to seed, and trainers that make originals and retrained models alike."""

from ebbing.training.descent import DivergedError, Loss, Pass, descend, fit, lone_record, steps_of
from ebbing.training.recipe import Recipe
from ebbing.training.seeding import seeded, stream
from ebbing.training.together import train_together, why_apart
from ebbing.training.trainer import OwnTrainer, Trainer

__all__ = [
    "DivergedError",
    "Loss",
    "OwnTrainer",
    "Pass",
    "Recipe",
    "Trainer",
    "descend",
    "fit",
    "lone_record",
    "seeded",
    "steps_of",
    "stream",
    "train_together",
    "why_apart",
]
