"""The JSON Schema of report.json, as it comes with this version."""

import json
from importlib.resources import files
from typing import Any

FILE = "report.schema.json"


def report_schema() -> dict[str, Any]:
    """The schema of report.json (draft 2020-12), for a validator of the caller's.

    It knows every key that this version writes and refuses all others, so that a misspelt key is found. What callers
    add to `provenance`, the settings of a method and the names of methods, layers and attacks are free.

    Returns:
        The schema as JSON data, a new copy at each call.
    """
    loaded: dict[str, Any] = json.loads(files("ebbing.report").joinpath(FILE).read_text(encoding="utf-8"))
    return loaded
