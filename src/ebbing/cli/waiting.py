"""How long is left of things that take long one by one, such as models that are trained."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ebbing.cli.screen import print_line
from ebbing.store import time_left

RECENT = 1000  # things whose seconds tell how long the others take
EVERY = 60.0  # seconds between two lines where there is no terminal to show a bar on

Done = Callable[[float | None], None]


@contextmanager
def awaited(console: Console) -> Iterator[Callable[..., Done]]:
    """A display with the time that is left, one line for each kind of thing; where there is no terminal, a line now and then.

    The estimate of `ebbing.cli.screen.shown` looks back half a minute, in which no single thing may have been finished, and
    takes what was found for what was made.

    Yields:
        ``begin(what, total, there=0, known=(), workers=None)``, see `_begun`.
    """
    columns = (
        TextColumn("{task.description:<28}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}", markup=False),
    )
    with Progress(*columns, console=console) as display:

        def begin(
            what: str, total: int, *, there: int = 0, known: Sequence[float] = (), workers: int | None = None
        ) -> Done:
            return _begun(display, what, total, there=there, known=known, workers=workers)

        yield begin


def _begun(
    display: Progress, what: str, total: int, *, there: int, known: Sequence[float], workers: int | None
) -> Done:
    """A line of a display, and what is called with the seconds that each thing took; None where it was found.

    Args:
        display: of all lines.
        what: the things, in words.
        total: how many there will be.
        there: how many of them were made before.
        known: seconds that things like them took before.
        workers: how many are made at once.
    """
    seconds, done, told = deque(known, maxlen=RECENT), 0, time.monotonic()
    task = display.add_task(what, total=total, left=said(time_left(seconds, total - there, workers=workers)))

    def one(took: float | None) -> None:
        nonlocal done, told
        done += 1
        if took is not None:
            seconds.append(took)
        left = said(time_left(seconds, total - done, workers=workers))
        display.update(task, advance=1, left=left)
        if not display.console.is_terminal and time.monotonic() - told >= EVERY:
            told = time.monotonic()
            print_line(display.console, f"{done} of {what}{left and ', '}{left}")

    return one


def said(seconds: float | None) -> str:
    """A wait in words; nothing where it is over or not known.

    Example:
        >>> said(90.0), said(7200.0), said(0.0), said(None)
        ('about 90 s left', 'about 120 min left', '', '')
    """
    if not seconds:
        return ""
    return f"about {seconds:,.0f} s left" if seconds < 600 else f"about {seconds / 60:,.0f} min left"
