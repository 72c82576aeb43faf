"""The sample reports as fixtures; each test gets its own copy to change."""

from typing import Any

import pytest
from sample_report import bare_report, sample_report

from ebbing.report import html


@pytest.fixture
def report() -> dict[str, Any]:
    return sample_report()


@pytest.fixture
def without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages hold no plots."""
    monkeypatch.setattr(html, "draw_plots", lambda report: [])


@pytest.fixture
def bare() -> dict[str, Any]:
    return bare_report()
