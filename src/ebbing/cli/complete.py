"""Names for the shell to complete, as words: to look them up would load torch at every press of a key."""

METHODS = (
    "bad-teacher",
    "cfk",
    "ct",
    "distilled-head",
    "do-nothing",
    "ebb",
    "ebb:gentle",
    "ebb:plain",
    "euk",
    "fine-tune",
    "forgetting-network",
    "forgetting-network:ffr",
    "forgetting-network:paper",
    "forgetting-network:published-code",
    "gate-only",
    "half-and-half",
    "just-unpredicted",
    "l1-sparse",
    "lfssd",
    "msg",
    "neg-grad",
    "neg-grad-plus",
    "npo",
    "one-step",
    "prune-reinit",
    "random-labels",
    "random-units",
    "randomised-labels",
    "replaced-head",
    "retrain",
    "retrain-equal-compute",
    "rmu",
    "sal-un",
    "scrub",
    "scrub:rewind",
    "selective-pruning",
    "sim-npo",
    "sisa",
    "ssd",
    "task-vector",
    "temperature",
    "unsir",
    "until-unpredicted",
    "weight-noise",
)
DATASETS = ("cifar-10", "digits", "fashion-mnist", "mnist")
NETWORKS = (
    *("authors-cnn", "cifar-cnn", "digits-cnn", "digits-mlp", "paper-cnn", "resnet18"),
    *("resnet18-grey", "small-resnet", "small-resnet-plain", "small-vit"),
)


def methods(incomplete: str) -> list[str]:
    """Methods, with their presets."""
    return [name for name in METHODS if name.startswith(incomplete)]


def datasets(incomplete: str) -> list[str]:
    """Data sets of ``ebbing run``."""
    return [name for name in DATASETS if name.startswith(incomplete)]


def networks(incomplete: str) -> list[str]:
    """Networks of ``ebbing run``."""
    return [name for name in NETWORKS if name.startswith(incomplete)]
