"""What a report says beside its figures: the request, the weights, the costs, and what it was made by."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from torch import nn

from ebbing import __version__, fingerprint
from ebbing.attacks import Attack
from ebbing.bank import OracleBank
from ebbing.journal import RunRecord
from ebbing.observations import Observations
from ebbing.request import ForgetRequest
from ebbing.training import Trainer


def digests(models: Sequence[nn.Module]) -> list[str]:
    """32 hexadecimal digits of the weights of each model."""
    return [fingerprint.of_tensors(model.state_dict()) for model in models]


def cost_of_run(record: RunRecord, oracles: Sequence[nn.Module], request: ForgetRequest) -> dict[str, float | None]:
    """Seconds and examples of a method, and both over those of one retraining."""
    retraining = oracles.median_seconds if isinstance(oracles, OracleBank) else None
    examples = None
    if isinstance(oracles, OracleBank) and isinstance(oracles.trainer, Trainer):
        examples = oracles.trainer.recipe.examples(len(request.retain))
    known = record.seconds is not None and retraining
    return {
        "seconds": record.seconds,
        "ratio_to_retraining": record.seconds / retraining if known and record.seconds and retraining else None,
        "examples_ratio": record.examples / examples if record.examples is not None and examples else None,
    }


def cost_notes(cost: Mapping[str, float | None]) -> list[str]:
    """A sentence where retraining would have cost less."""
    ratio = cost["ratio_to_retraining"]
    if ratio is not None and ratio >= 1:
        return [f"Retraining would have cost less: this took {ratio:.2f} times as long."]
    return []


def describe_request(request: ForgetRequest) -> dict[str, Any]:
    """What was to be forgotten, and the numbers of records."""
    return {
        "kind": request.kind,
        "description": request.description,
        "forget": len(request.forget),
        "retain": len(request.retain),
        "holdout": len(request.holdout),  # type: ignore[arg-type]
        "matched": None if request.matched is None else len(request.matched),  # type: ignore[arg-type]
        "concept": request.concept,
        "fingerprint": request.fingerprint,
        "received": None if request.received is None else request.received.isoformat(),
    }


def describe_counts(seen: Observations, concept: bool) -> dict[str, Any]:
    """The same, of models that were observed elsewhere."""
    counts = {name: getattr(seen, name).n_examples for name in ("forget", "retain", "holdout")}
    matched = None if seen.matched is None else seen.matched.n_examples
    return {
        "kind": "observations",
        "description": "models that were observed elsewhere",
        **counts,
        "matched": matched,
        "concept": concept,
        "fingerprint": None,
        "received": None,
    }


def provenance_of(model: nn.Module) -> dict[str, Any]:
    """Versions, machine and time."""
    return {
        "ebbing": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": str(next((p.device for p in model.parameters()), "cpu")),
        "threads": torch.get_num_threads(),
        "seeds": None,
        "command": None,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def origin_of(attacks: Sequence[Attack]) -> dict[str, Any]:
    """What a report says of attacks beside the standard ones: the class and the settings of each, by its name."""
    own = {a.name: {"class": fingerprint.as_plain(type(a)), "settings": fingerprint.as_plain(a)} for a in attacks}
    return {"attacks": own} if own else {}


def plain(value: Any) -> Any:
    """JSON data: absent evidence (NaN) becomes null."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value
