"""What .ci/packaging holds distributions to is noticed where it is broken; the building itself is `make packaging`."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import ebbing

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def distributions():
    """.ci/distributions.py, which no package holds."""
    spec = importlib.util.spec_from_file_location("distributions", ROOT / ".ci" / "distributions.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def wheel():
    """The names in a wheel as it should be."""
    files = [
        path for path in (ROOT / "src" / "ebbing").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    return {path.relative_to(ROOT / "src").as_posix() for path in files} | {"ebbing-0.dist-info/licenses/LICENSE"}


@pytest.fixture
def sdist(distributions):
    """The names in an sdist as it should be."""
    tests = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*.py")}
    return {f"ebbing-0/{name}" for name in tests | set(distributions.SDIST)}


def test_a_whole_wheel_and_a_whole_sdist_pass(distributions, wheel, sdist):
    assert distributions.wheel_problems(wheel) == []
    assert distributions.sdist_problems(sdist) == []


@pytest.mark.parametrize(
    "missing",
    ["ebbing/py.typed", "ebbing/report/template.html.j2", "ebbing/cli/entry.py", "ebbing-0.dist-info/licenses/LICENSE"],
)
def test_what_a_wheel_lacks_is_named(distributions, wheel, missing):
    assert len(distributions.wheel_problems(wheel - {missing})) == 1


@pytest.mark.parametrize("strange", ["tests/test_task.py", "results/memory.json", "docs/index.md"])
def test_what_does_not_belong_into_a_wheel_is_named(distributions, wheel, strange):
    assert distributions.wheel_problems(wheel | {strange}) == [
        f"the wheel holds {strange.partition('/')[0]}/, which is not the package"
    ]


def test_an_sdist_without_a_test_or_with_leavings_is_named(distributions, sdist):
    assert distributions.sdist_problems(sdist - {"ebbing-0/tests/test_task.py"}) == [
        "the sdist lacks tests/test_task.py"
    ]
    assert distributions.sdist_problems(sdist | {"ebbing-0/site/index.html"}) == ["the sdist holds site/index.html"]


def test_every_tool_and_dependency_has_a_bound_and_is_pinned():
    project = PROJECT["project"]
    wanted = project["dependencies"] + [line for extra in project["optional-dependencies"].values() for line in extra]
    pinned = re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    names = {name.lower() for name in pinned}
    for requirement in wanted:
        name = re.match(r"[\w.-]+", requirement)[0]
        assert ">" in requirement, requirement
        assert name.lower() in names, f"{requirement} is not in constraints.txt"


def test_the_pythons_of_the_classifiers_are_those_that_packaging_tries():
    classified = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["project"]["classifiers"]))
    script = (ROOT / ".ci" / "packaging").read_text(encoding="utf-8")
    assert re.search(r"EBBING_PYTHONS:-([^}]*)\}", script)[1].split() == classified


def test_the_scripts_of_ci_are_valid_bash():
    for name in ("run", "packaging"):
        subprocess.run(["bash", "-n", ROOT / ".ci" / name], check=True)
    assert (ROOT / ".ci" / "packaging").stat().st_mode & 0o111


def test_the_version_is_the_projects():
    assert ebbing.__version__ == PROJECT["project"]["version"]
