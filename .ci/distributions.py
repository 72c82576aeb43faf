"""What a wheel and an sdist hold: `distributions.py WHEEL SDIST` names everything that is missing or too much."""

import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SDIST = ("src/ebbing/__init__.py", "tests/test_docs.py", "docs/index.md", "examples/ten_lines.py", "constraints.txt")


def wheel_problems(names: set[str]) -> list[str]:
    """The package whole, its metadata, and nothing else."""
    folders = {name.partition("/")[0] for name in names}
    source = {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src" / "ebbing").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    strange = [folder for folder in folders if folder != "ebbing" and not folder.endswith(".dist-info")]
    return [
        *(f"the wheel lacks {name}" for name in sorted(source - names)),
        *(f"the wheel holds {folder}/, which is not the package" for folder in sorted(strange)),
        *([] if any(name.endswith("licenses/LICENSE") for name in names) else ["the wheel lacks the licence"]),
    ]


def sdist_problems(names: set[str]) -> list[str]:
    """What the tests need, and no leavings of builds and runs."""
    inside = {name.partition("/")[2] for name in names}
    tests = {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("*.py")}
    leavings = [name for name in inside if name.partition("/")[0] in ("site", "runs", "dist", ".venv", ".git")]
    return [
        *(f"the sdist lacks {name}" for name in sorted((tests | set(SDIST)) - inside)),
        *(f"the sdist holds {name}" for name in sorted(leavings)),
    ]


def main() -> None:
    """Exit with what is wrong."""
    wheel, sdist = sys.argv[1:]
    with zipfile.ZipFile(wheel) as archive:
        found = set(archive.namelist())
    with tarfile.open(sdist) as archive:
        packed = {member.name for member in archive if member.isfile()}
    for needed in ("ebbing/py.typed", "ebbing/report/template.html.j2"):
        if needed not in found:
            sys.exit(f"packaging: FAILED: the wheel lacks {needed}")
    if problems := [*wheel_problems(found), *sdist_problems(packed)]:
        sys.exit("packaging: FAILED: " + "; ".join(problems))


if __name__ == "__main__":
    main()
