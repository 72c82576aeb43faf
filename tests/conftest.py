import importlib.util
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

from ebbing.auditing import AuditReport
from schema_check import complaints

torch.set_num_threads(1)  # the number of threads changes bits, and many of them on few cores crawl
settings.register_profile("ebbing", deadline=None)  # the time of an example says nothing on a shared machine
settings.load_profile("ebbing")


# Files that take long, the longest first: begun first, so that no process is left with one of them at the end.
LONG = (
    *("test_ray", "test_study", "test_processing", "test_interruption", "test_pool", "test_cells"),
    *("test_unlearn", "test_html", "test_faults", "test_sabotage", "test_bench_command", "test_parallel"),
    *("test_precision", "test_full_disk", "test_bank", "test_method_contract", "test_examples"),
    *("test_bank_commands", "test_folders", "test_making", "test_results"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first; the order within a file stays."""
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


@pytest.fixture
def ebbing_data(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with mnist/ and fashion-mnist/, in $EBBING_DATA for the test."""
    default = Path(__file__).parents[2] / "shared" / "data"
    if os.environ.get("EBBING_DATA"):
        return Path(os.environ["EBBING_DATA"])
    if default.is_dir():
        monkeypatch.setenv("EBBING_DATA", str(default))
        return default
    missing = "needs the MNIST and Fashion-MNIST files: set EBBING_DATA to the folder that holds them"
    if os.environ.get("CI") == "true":
        pytest.fail(f"{missing} (in CI no data test may be skipped)")
    pytest.skip(missing)


# Ray reads them once in a process, with the first cluster that it meets: all tests of a process must agree on them
RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),  # nobody else on this machine runs anything on a cluster of the tests
    "RAY_health_check_period_ms": "500",  # a node that is gone is noticed sooner; one that is slow is waited for
}


@pytest.fixture(scope="session")
def ray_there() -> Iterator[None]:
    """Ray can be imported; where it cannot the test is skipped, and in CI it fails."""
    if importlib.util.find_spec("ray") is not None:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in RAY.items():
                patch.setenv(name, value)
            yield
        return
    missing = "needs Ray: pip install 'ebbing[ray]'"
    if os.environ.get("CI") == "true":
        pytest.fail(f"{missing} (in CI no ray test may be skipped)")
    pytest.skip(missing)


@pytest.fixture(scope="session")
def cuda() -> str:
    """The device of the tests of GPUs; where there is none they are skipped, and the summary says so."""
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    return "cuda"


@pytest.fixture(autouse=True)
def reports_keep_to_the_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every report that any test saves is held against the schema of the package."""
    save = AuditReport.save

    def checked(self: AuditReport, *args: Any, **settings: Any) -> Path:
        assert complaints(self.data) == []
        return save(self, *args, **settings)

    monkeypatch.setattr(AuditReport, "save", checked)
