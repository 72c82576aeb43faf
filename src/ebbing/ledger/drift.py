"""How far a model has drifted since it was last trained from scratch, and whether that is too far."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session
from torch import nn

from ebbing.batches import evenly, iterate, size
from ebbing.ledger.project import Project
from ebbing.ledger.schema import Audit, Version
from ebbing.ledger.settings import Budget
from ebbing.measures.bands import prediction_band
from ebbing.request import ForgetRequest
from ebbing.task import Task, accuracy, evaluation_mode, margin
from ebbing.verdict import DAMAGED, FEWEST_ORACLES, JOINT_LEVEL, OVER, UNDER

RETAIN_SAMPLE = 10_000
BAD = (UNDER, OVER, DAMAGED)


def measured(
    project: Project,
    model: nn.Module,
    retrained: Sequence[nn.Module],
    request: ForgetRequest,
    earlier: Mapping[int, Sequence[int]],
) -> dict[str, Any]:
    """Utility on the retain set beside retrained models', and which earlier batches have come back.

    A batch has come back if the mean margin of its records lies above where one more retrained model is expected: none of
    the references has seen them. The level is shared among the batches by Bonferroni.

    Args:
        project: whose data.
        model: the new version.
        retrained: without all that was forgotten so far; may be empty.
        request: the present one.
        earlier: positions of the records of each earlier batch.
    """
    retain = evenly(request.retain, RETAIN_SAMPLE)
    found: dict[str, Any] = {"retain": accuracy(model, retain, task=project.task), "retain-retrained": None}
    found |= {"retain-low": None, "remembered": [], "measured": []}
    if len(retrained) >= FEWEST_ORACLES:
        accuracies = np.array([accuracy(m, retain, task=project.task) for m in retrained])
        found["retain-retrained"] = float(accuracies.mean())
        found["retain-low"] = prediction_band(accuracies, level=JOINT_LEVEL, side="low").low
    if len(retrained) < FEWEST_ORACLES or not earlier:
        return found
    level = 1 - (1 - JOINT_LEVEL) / len(earlier)
    for batch, positions in earlier.items():
        part = project.part(positions)
        means = np.array([_margin(m, part, task=project.task) for m in retrained])
        found["measured"].append(batch)
        if _margin(model, part, task=project.task) > prediction_band(means, level=level, side="high").high:
            found["remembered"].append(batch)
    return found


def _margin(model: nn.Module, dataset: Any, *, task: Task) -> float:
    """The mean margin on a data set."""
    with evaluation_mode(model):
        batches = iterate(dataset, batch_size=task.together(1024))
        total = sum(float(margin(task.forward(model, batch)).double().sum()) for batch in batches)
    return total / size(dataset)


def spent(session: Session, budget: Budget, accept: Sequence[str]) -> str | None:
    """Why the model must be retrained; None while the budget lasts. What was not measured does not count."""
    scratch = session.scalar(
        select(Version.batch_id).where(Version.kind != "unlearned").order_by(Version.id.desc()).limit(1)
    )
    since = list(session.scalars(select(Audit).where(Audit.batch_id > (scratch or 0)).order_by(Audit.batch_id)))
    if not since:
        return None
    why = []
    last = json.loads(since[-1].figures)
    if last.get("retain-retrained") is not None:
        lost = last["retain-retrained"] - last["retain"]
        if (
            lost > budget.utility and last["retain"] < last["retain-low"]
        ):  # else one more retrained model might have it too
            why.append(
                f"{lost:.2%} of accuracy on the retain set lost against retrained models ({budget.utility:.2%} allowed)"
            )
    back = last.get("remembered", [])
    if len(back) > budget.remembered:
        why.append(f"{len(back)} earlier batches have come back ({budget.remembered} allowed): {back}")
    bad = [audit.outcome for audit in since if audit.outcome in BAD and audit.outcome not in accept]
    if len(bad) > budget.verdicts:
        why.append(f"{len(bad)} audits since the last training from scratch found {', '.join(sorted(set(bad)))}")
    return "; ".join(why) or None
