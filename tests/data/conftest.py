import contextlib
import hashlib

import pytest
from mirrors import RAW, Mirror, packed

from ebbing.data.download import SHA256

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture
def published(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without proxies, settings or data, and small published files."""
    for name in ("EBBING_MIRROR", *PROXIES, *map(str.upper, PROXIES)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(SHA256, "mnist", {file: hashlib.sha256(raw).hexdigest() for file, raw in RAW.items()})


@pytest.fixture
def serve():
    with contextlib.ExitStack() as stack:

        def start(*tricks: object, files: dict[str, bytes] | None = None) -> Mirror:
            mirror = stack.enter_context(Mirror(files or packed(), *tricks))
            stack.callback(mirror.shutdown)
            stack.callback(mirror.over.set)
            return mirror

        yield start
