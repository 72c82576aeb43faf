"""The sample reports as fixtures; each test gets its own copy to change."""

from typing import Any

import pytest
from sample_report import bare_report, sample_report


@pytest.fixture
def report() -> dict[str, Any]:
    return sample_report()


@pytest.fixture
def bare() -> dict[str, Any]:
    return bare_report()
