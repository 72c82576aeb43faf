"""What the package's own schema has against a report."""

import json
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from ebbing.report import report_schema


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(report_schema())


def complaints(report: dict[str, Any]) -> list[str]:
    """One line for each complaint, empty for a report that keeps to the schema."""
    found = _validator().iter_errors(json.loads(json.dumps(report, allow_nan=False)))
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:300]}" for error in found]
