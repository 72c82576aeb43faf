"""Work that is struck at every step it takes with files: killed, with a full disk, or interrupted."""

from __future__ import annotations

import errno
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

KILLED, FULL, INTERRUPTED = "killed", "full disk", "interrupted"
STEPS = {"open", "os.mkdir", "os.rename", "os.chmod", "os.remove", "os.rmdir", "os.scandir", "shutil.rmtree"}
NEED_ROOM = {"open", "os.mkdir", "os.rename"}
RAISED, PASSED_OVER = 3, 4  # exit codes


def strike_at_every_step(
    work: Callable[[], Any], fault: str, folder: Path, *, prepare: Callable[[], Any] = lambda: None
) -> Iterator[bool]:
    """Do the work in a process of its own, struck at its first step with files in the folder; then at the second, and so on.

    A step is what Python's audit hooks tell of, so that no function of the work need be replaced.

    Yields:
        After each: whether it was struck. The last was not: there were no more steps.
    """
    for number in count(1):
        prepare()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads, which touch nothing here
            child = os.fork()
        if child == 0:
            _work(work, _Striker(number, fault, folder))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        # making a folder that is there already may fail: nothing is lost by it
        assert code in {KILLED: {-signal.SIGKILL, 0}, FULL: {RAISED, PASSED_OVER, 0}, INTERRUPTED: {RAISED, 0}}[fault]
        yield code != 0
        if code == 0:
            return


def _work(work: Callable[[], Any], striker: _Striker) -> None:
    """The life of the child."""
    code = 1
    try:
        sys.addaudithook(striker)
        work()
        code = 0 if striker.left > 0 else PASSED_OVER
    except (OSError, KeyboardInterrupt):
        code = RAISED
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    finally:
        os._exit(code)


class _Striker:
    """An audit hook that does not come back from one of the steps."""

    def __init__(self, number: int, fault: str, folder: Path) -> None:
        self.left, self.fault, self.folder = number, fault, str(folder)

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if event not in STEPS or not str(args[0]).startswith(self.folder):
            return
        reads = event == "open" and not args[2] & (os.O_WRONLY | os.O_RDWR)
        if self.fault == FULL and (event not in NEED_ROOM or reads):
            return
        self.left -= 1
        if self.left == 0 and self.fault == KILLED:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.left == 0 and self.fault == INTERRUPTED:
            raise KeyboardInterrupt
        if self.left == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
