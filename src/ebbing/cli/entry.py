"""The entry point and its exit codes: 0 done, 2 the user's input is at fault, 3 --fail-if, 1 ours, 130 interrupted."""

from __future__ import annotations

import io
import os
import sys
import traceback

INTERRUPTED = "Interrupted. What was finished is kept: the same command goes on from there."


def main() -> None:
    """Run the command line and exit with its code; Ctrl-C is met from here on, also while modules are imported."""
    try:
        code = _run()
    except KeyboardInterrupt:
        _say(INTERRUPTED)
        code = 130
    sys.exit(code)


def _run() -> int:
    import logging

    from typer.exceptions import Abort, TyperException

    from ebbing.cli.commands import app
    from ebbing.errors import InputError

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that has no plus-minus sign shows something else
    try:
        code = app(standalone_mode=False)
    except Abort:
        raise KeyboardInterrupt from None
    except InputError as error:
        return _failed(f"Error: {error}", 2)
    except TyperException as error:
        message = error.format_message()  # none where the help was shown instead
        return _failed(f"Error: {message}", 2) if message else 2
    except BrokenPipeError:  # whoever read our output has enough; there is nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        said = f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
        return _failed(f"Error: {said}. What was finished is kept.", 2)
    except Exception as error:
        return _unforeseen(error)
    if code == 130:  # what typer makes of Ctrl-C, without a word
        raise KeyboardInterrupt
    return int(code or 0)


def _unforeseen(error: Exception) -> int:
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
    from ebbing.cli.names import OWN_MODULES

    found = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        if frame.f_globals.get("__name__", "").partition(".")[0] in OWN_MODULES:
            found = f"{os.path.relpath(frame.f_code.co_filename)}, line {line},"
    return found


def _failed(line: str, code: int) -> int:
    _say(line)
    return code


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    if os.environ.get("EBBING_DEBUG") and sys.exc_info()[0] is not None:
        traceback.print_exc()
