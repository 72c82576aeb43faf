"""The entry point and its exit codes.

0 done, 2 the user's input is at fault, 3 --fail-if, 1 a defect of ours, 130 interrupted, 141 nobody reads what we print.
"""

from __future__ import annotations

# Before main() is reached, Ctrl-C cannot be met: nothing is imported here that takes time.
import atexit
import io
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, TextIO

INTERRUPTED = "Interrupted. What was finished is kept: the same command goes on from there."
KEPT = "What was finished is kept: the same command goes on from there."
PATIENCE = 2.0  # seconds
PIPE_CLOSED = 141  # 128 + SIGPIPE, what a shell says of any program that a closed pipe has ended


def main() -> None:
    """Run the command line and exit with its code; Ctrl-C is met from here on, also while modules are imported."""
    ctrl_c = _CtrlC()
    try:
        _open_what_is_closed()
        ctrl_c.take()
        code = _run()
        ctrl_c.too_late = True
    except KeyboardInterrupt as error:
        ctrl_c.too_late = True
        _let_go(sys.stdout)  # in a pipe, Ctrl-C has ended the reader as well
        _say(INTERRUPTED, ctrl_c.raised or error)
        code = 130
    finally:
        ctrl_c.give_back()
    sys.exit(code)


class _CtrlC:
    """What SIGINT does: the first raises KeyboardInterrupt, and those that follow at once do not stop the tidying up.

    Attributes:
        too_late: whether there is nothing left to interrupt.
        raised: the last one; its traceback says where it came, whatever became of it.
    """

    def __init__(self) -> None:
        self.too_late = self._given_back = False
        self.raised: KeyboardInterrupt | None = None
        self._pressed = float("-inf")
        self._before: Any = None
        self._told: Any = sys.unraisablehook
        self._note: Callable[[bool], None] = lambda happened: None

    def take(self) -> None:
        """Be called from now on, unless a shell that starts us in the background has SIGINT ignored."""
        import threading

        from ebbing.files import note_interruption

        self._note = note_interruption
        main_thread = threading.current_thread() is threading.main_thread()  # no other may ask for signals
        before = signal.getsignal(signal.SIGINT)
        if isinstance(before, _CtrlC) and before._given_back:
            before = before._before
        if main_thread and before is signal.default_int_handler:
            self._before = before
            signal.signal(signal.SIGINT, self)
            self._told, sys.unraisablehook = sys.unraisablehook, self._unraisable

    def give_back(self) -> None:
        """Be called no more, but for a moment: the process may end now, and SIGINT is not to stop that either.

        Were SIGINT given back at once, one that comes before the interpreter's own end would kill a run that is done.
        """
        self._note(False)
        # `python -m` ends by SIGINT, whatever the exit code, where one came in the last text that was evaluated
        eval("0")
        if self._before is not None:
            atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
            sys.unraisablehook = self._told
            self._pressed, self._given_back = time.monotonic(), True

    def _unraisable(self, unraisable: Any) -> None:
        """Where SIGINT comes in the midst of what cannot raise, such as a weak reference's callback, Python would print it.

        It was noted all the same, and the next file that is written heeds it.
        """
        if unraisable.exc_value is None or unraisable.exc_value is not self.raised:
            self._told(unraisable)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """SIGINT has come."""
        now = time.monotonic()
        if now - self._pressed < PATIENCE:
            return
        if self._given_back:
            signal.signal(signal.SIGINT, self._before)
            self._before(number, frame)
        if self.too_late:
            return
        self._pressed = now
        self._note(True)
        self.raised = KeyboardInterrupt()
        raise self.raised


def _run() -> int:
    import logging

    from ebbing import files

    streams = sys.stdout, sys.stderr
    try:
        _require_one_process()
        from ebbing.cli.commands import app

        logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
        for stream in streams:
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a terminal that has no plus-minus sign shows something else
        try:
            code = int(app(standalone_mode=False) or 0)
        except SystemExit as done:
            if not _of_completion(done):
                raise
            code = int(done.code or 0)
        sys.stdout.flush()
    except (Exception, SystemExit) as error:
        if files.was_interrupted():  # whatever was interrupted has made of it
            raise KeyboardInterrupt from error
        sys.stdout, sys.stderr = streams  # typer puts others in their place where a pipe is closed
        return _explained(error)
    if code == 130:  # what typer makes of Ctrl-C, without a word
        raise KeyboardInterrupt
    return code


def _require_one_process() -> None:
    """Refuse to be started many times at once by torchrun or accelerate launch: all would write the same files."""
    from ebbing.errors import InputError

    several = os.environ.get("WORLD_SIZE", "1")
    if several not in ("", "0", "1") and {"RANK", "LOCAL_RANK"} <= os.environ.keys():
        raise InputError(
            f"a command of ebbing is one process, but {several} were started together. Start it by itself; to share a model "
            "out among processes, call the library inside ebbing.data_parallel() in a script of your own."
        )


def _of_completion(done: SystemExit) -> bool:
    """Whether typer leaves because it has served a shell's completion; it also does where a pipe is closed."""
    return _package(done) == "typer" and not isinstance(done.__context__, OSError)


def _explained(error: BaseException) -> int:
    """Say what happened in one line; the exit code."""
    from typer.exceptions import Abort, TyperException

    from ebbing.errors import InputError

    if isinstance(error, InputError):
        return _failed(f"Error: {error}", 2)
    if isinstance(error, TyperException):
        message = error.format_message()  # none where the help was shown instead
        return _failed(f"Error: {message}", 2) if message else 2
    cause, made_by_typer = error.__context__, {Abort: EOFError, SystemExit: BrokenPipeError}
    if cause is not None and isinstance(cause, made_by_typer.get(type(error), ())):
        error = cause
    if _own_code(error) is None and isinstance(error, OSError):
        return _failed_system(error)
    return _unforeseen(error)


def _failed_system(error: OSError) -> int:
    """The disk is full, a file may not be read, nobody reads our output, and so on."""
    from ebbing.files import NotWrittenError

    lost = _let_go(sys.stdout) or (error if _printed(error) else None)
    if isinstance(lost, BrokenPipeError):  # whoever read our output has enough; there is nobody to tell
        return PIPE_CLOSED
    if lost is not None:
        return _failed(f"Error: standard output could not be written: {lost.strerror}. {KEPT}", 2)
    if isinstance(error, NotWrittenError) or not error.filename:
        return _failed(f"Error: {error}. {KEPT}", 2)
    return _failed(f"Error: {error.strerror or error}: {error.filename}. {KEPT}", 2)


def _unforeseen(error: BaseException) -> int:
    """An exception that nobody made for the user: from the user's own code, or a defect of ours."""
    said = f"{type(error).__name__}: {' '.join(str(error).split()).rstrip('.')}"
    culprit = _own_code(error)
    if culprit is not None:
        return _failed(f"Error: {culprit} raised {said}. `ebbing --debug` shows the traceback.", 2)
    command = " ".join(sys.argv[1:2])
    return _failed(
        f"Internal error: {said}. This is a defect of ebbing; `ebbing --debug {command} ...` shows where.", 1
    )


def _own_code(error: BaseException) -> str | None:
    """File and line of the innermost frame in a module that was named on the command line."""
    import traceback

    from ebbing.cli.names import OWN_MODULES

    found = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        if frame.f_globals.get("__name__", "").partition(".")[0] in OWN_MODULES:
            found = f"{os.path.relpath(frame.f_code.co_filename)}, line {line},"
    return found


def _printed(error: BaseException) -> bool:
    """Whether it was raised where lines are printed: an output without a buffer does not fail again."""
    return _package(error) in ("rich", "typer")


def _package(error: BaseException) -> str:
    """Whose code raised it."""
    import traceback

    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    name: str = frame.f_globals.get("__name__", "")
    return name.partition(".")[0]


def _failed(line: str, code: int) -> int:
    _say(line)
    return code


def _say(line: str, error: BaseException | None = None) -> None:
    """A line on standard error; with --debug, where the error was raised."""
    error = error or sys.exception()
    try:
        sys.stderr.write(f"{line}\n")
        if os.environ.get("EBBING_DEBUG") and error is not None:
            import traceback

            traceback.print_exception(error)
    except OSError:  # there is nowhere left to say anything
        pass
    _let_go(sys.stderr)


# ---------------------------------------------------------------- the standard streams


def _open_what_is_closed() -> None:
    """Put nothing in the place of standard streams that are closed.

    The next files to be opened, weights among them, would be taken for those.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - for as long as the process lives
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def _let_go(stream: TextIO) -> OSError | None:
    """Why a stream cannot be written to; None if it can.

    If it cannot, what was to be written goes nowhere, as Python would try once more at its end, and complain.
    """
    try:
        stream.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return error
    return None
