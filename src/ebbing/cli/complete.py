"""Names for the shell to complete, as words: to look them up would load torch at every press of a key."""

METHODS = (
    "distilled-head",
    "do-nothing",
    "ebb",
    "fine-tune",
    "forgetting-network",
    "forgetting-network:ffr",
    "forgetting-network:paper",
    "forgetting-network:published-code",
    "gate-only",
    "half-and-half",
    "just-unpredicted",
    "one-step",
    "random-units",
    "randomised-labels",
    "replaced-head",
    "retrain",
    "retrain-equal-compute",
    "temperature",
    "until-unpredicted",
    "weight-noise",
)
DATASETS = ("digits", "fashion-mnist", "mnist")
NETWORKS = ("authors-cnn", "digits-cnn", "digits-mlp", "paper-cnn")


def methods(incomplete: str) -> list[str]:
    """Methods, with their presets."""
    return [name for name in METHODS if name.startswith(incomplete)]


def datasets(incomplete: str) -> list[str]:
    """Data sets of ``ebbing run``."""
    return [name for name in DATASETS if name.startswith(incomplete)]


def networks(incomplete: str) -> list[str]:
    """Networks of ``ebbing run``."""
    return [name for name in NETWORKS if name.startswith(incomplete)]
