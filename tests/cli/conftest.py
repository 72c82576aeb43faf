"""The command line in this process, and a folder to call it in that holds what a user's project does."""

from __future__ import annotations

import importlib
import importlib.util
import linecache
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import project
import pytest
from project import Said, contents, listed, worded
from safetensors.torch import save_file
from torch import Tensor

from ebbing import LocalExecutor, RayExecutor
from ebbing.cli import main, names


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """``ebbing`` in this process: exit code, standard output, standard error."""
    monkeypatch.setenv("EBBING_DEBUG", "")

    def ebbing_(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["ebbing", *map(str, words)])
        with pytest.raises(SystemExit) as done:
            main()
        return Said(done.value.code or 0, *capsys.readouterr())

    return ebbing_


@pytest.fixture(scope="session")
def trained() -> dict[str, Tensor]:
    """The project's weights, trained once."""
    return project.train(project.train_set(), seed=0).state_dict()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: dict[str, Tensor]) -> Path:
    """The working directory, with the trained weights and the positions of the wrong records in files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(names, "OWN_MODULES", set())
    project.given.clear()
    save_file(trained, "model.safetensors")
    listed("wrong.txt", *project.WRONG)
    return tmp_path


@pytest.fixture
def write(folder: Path) -> Iterator[Callable[[str], Any]]:
    """A module ``mine`` of the user's that begins with what the project has; imported by those who name it."""

    def write_(text: str) -> None:
        Path("mine.py").write_text(f"from project import *\nfrom torch.utils.data import *\n\n{text}\n")
        sys.modules.pop("mine", None)
        importlib.invalidate_caches()
        linecache.clearcache()

    yield write_
    sys.modules.pop("mine", None)


@pytest.fixture
def unlearn(call: Callable[..., Said], folder: Path) -> Callable[..., Said]:
    """``ebbing unlearn`` with what the project has; None leaves an option out, a list repeats it."""

    def unlearn_(*flags: str, **changes: Any) -> Said:
        options = {
            "model": "project:build",
            "weights": "model.safetensors",
            "data": "project:train_set",
            "holdout": "project:test_set",
            "forget": "wrong.txt",
            "out": "new.safetensors",
            "threads": 1,
        }
        return call("unlearn", *worded(options | changes), *flags)

    return unlearn_


@pytest.fixture
def refused(unlearn: Callable[..., Said], folder: Path) -> Callable[..., str]:
    """What ``ebbing unlearn`` says where it refuses: code 2, errors only, and not a file touched."""

    def refused_(*flags: str, **changes: Any) -> str:
        before = contents(folder)
        said = unlearn(*flags, **changes)
        assert said.code == 2, said
        assert all(line.startswith("Error: ") for line in said.err.splitlines()), said.err
        assert contents(folder) == before
        return said.err

    return refused_


@pytest.fixture
def with_ray(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Whether Ray can be found; nothing here goes so far as to import it."""

    def pretend(there: bool) -> None:
        spec, real = ModuleSpec("ray", None) if there else None, importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, *of: spec if name == "ray" else real(name, *of))

    return pretend


@pytest.fixture
def by_ray(
    with_ray: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> list[tuple[RayExecutor, list[Any], list[Path]]]:
    """What goes to Ray: executor, items and folders of each call; computed in a process of this machine instead."""
    with_ray(True)
    given: list[tuple[RayExecutor, list[Any], list[Path]]] = []

    def compute(
        self: RayExecutor, function: Any, payload: Any, items: Sequence[Any], *, folders: Sequence[Path] = ()
    ) -> Iterator[tuple[Any, Any]]:
        given.append((self, list(items), list(folders)))
        return LocalExecutor(1).compute(function, payload, items, folders=folders)

    monkeypatch.setattr(RayExecutor, "compute", compute)
    monkeypatch.setattr(RayExecutor, "at_once", property(lambda self: 1))
    return given
