"""What the measures beside the verdict will cost, said before anything long begins."""

from __future__ import annotations

import time

from rich.console import Console
from torch import nn

from ebbing.batches import evenly, iterate, size
from ebbing.battery import FEWEST_RETRAINED, Level, cost_of
from ebbing.cli.screen import print_line
from ebbing.observations import RETAIN_SAMPLE
from ebbing.request import ForgetRequest
from ebbing.task import Task, evaluation_mode

TRIED = 512  # records that go through the model to learn its speed


def tell_measures(
    level: Level,
    model: nn.Module,
    request: ForgetRequest,
    *,
    task: Task,
    originals: int,
    methods: int,
    retrained: int,
    console: Console,
) -> None:
    """Say what a level of measures takes, by a short trial of the model.

    Args:
        level: of ``--measures``.
        model: of the structure that is judged.
        request: its splits are observed.
        task: turns batches into outputs.
        originals: models before, and as many after each method.
        methods: that are judged.
        retrained: models that they are held against.
        console: where it is said.
    """
    if retrained < FEWEST_RETRAINED:
        return
    sample = evenly(request.retain, TRIED)
    started = time.perf_counter()
    with evaluation_mode(model):
        classes = {task.forward(model, batch).logits.shape[-1] for batch in iterate(sample, batch_size=TRIED)}
    each = (time.perf_counter() - started) / size(sample)
    splits = (request.forget, request.holdout, request.matched)
    records = min(size(request.retain), RETAIN_SAMPLE) + sum(size(data) for data in splits if data is not None)
    cost = cost_of(
        level,
        records=records,
        forget=size(request.forget),
        unseen=size(request.holdout),
        classes=max(classes),
        originals=originals,
        methods=methods,
        retrained=retrained,
    )
    passes = f"{cost.passes:,} records through a model, and " if cost.passes else ""
    seconds = cost.seconds + cost.passes * each
    print_line(
        console,
        f"Measures: {level}. {passes}arithmetic: about {max(seconds, 1):,.0f} s beside what the verdict takes.",
    )
