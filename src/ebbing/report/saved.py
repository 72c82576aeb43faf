"""report.json read again, whoever wrote it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ebbing.errors import InputError
from ebbing.report.rows import Report, dig, mapping

SCHEMA = "ebbing.report/1"


@dataclass(frozen=True)
class Saved:
    """A report and the file that it was read from."""

    path: Path
    data: Report


def read_reports(runs: Sequence[Path]) -> list[Saved]:
    """The reports of some runs, in order.

    Args:
        runs: each a folder that holds report.json, or the file itself, whatever its name.

    Raises:
        InputError: if a file is not there or is no report, or one report is given twice; all problems at once.
    """
    found: list[Saved] = []
    problems = []
    for run in runs:
        try:
            saved = Saved(*_read(run))
            for earlier in found:
                if earlier.data == saved.data:
                    raise InputError(
                        f"each run may count once, but {str(run)!r} holds the same report as {str(earlier.path)!r}. "
                        "Name it once."
                    )
            found.append(saved)
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError("\nError: ".join(problems))
    return found


def _read(run: Path) -> tuple[Path, Report]:
    path = run / "report.json" if run.is_dir() else run
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        what = "a folder without report.json" if run.is_dir() else "not there"
        raise InputError(
            f"RUN must be a folder with report.json, or such a file, but {str(run)!r} is {what}. Name the --out of a run."
        ) from error
    except OSError as error:
        raise InputError(
            f"RUN must be a file that can be read, but {str(path)!r} cannot: {error.strerror}. Change its permissions, or name "
            "another."
        ) from error
    except ValueError as error:
        raise InputError(
            f"RUN must be a report as ebbing writes it, but {str(path)!r} is no JSON. Name the report.json, or run again."
        ) from error
    schema = dig(data, "schema")
    if schema != SCHEMA or not mapping(dig(data, "methods")):
        said = f"has the schema {schema!r}" if schema != SCHEMA else "holds no methods"
        raise InputError(
            f"RUN must be a report of the schema {SCHEMA!r} with at least one method, but {str(path)!r} {said}. Name the "
            "report.json of a run."
        )
    return path, data
