"""What the documents say to type is what there is: commands, Python, links. tests/test_site.py is on the site itself."""

from __future__ import annotations

import ast
import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

import ebbing
from ebbing.cli.commands import app

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMAND = typer.main.get_command(app)
FENCED = re.compile(r"^```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
HEREDOC = re.compile(r"<<'END'\n.*?^END$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


class Line(NamedTuple):
    """Something to type, and where it stands."""

    document: Path
    words: list[str]


def blocks(document: Path, language: str) -> list[str]:
    """The texts of the fenced blocks in a language."""
    found = FENCED.finditer(document.read_text(encoding="utf-8"))
    return [block["text"] for block in found if block["language"] == language]


def prose(document: Path) -> str:
    """A document without its fenced blocks."""
    return FENCED.sub("", document.read_text(encoding="utf-8"))


def shell_lines(document: Path) -> list[Line]:
    """The simple commands of a document's shell blocks, with its variables filled in."""
    found: list[Line] = []
    variables: dict[str, str] = {}
    for block in blocks(document, "bash") + blocks(document, "sh"):  # sh: to be read, not typed with the rest
        for line in HEREDOC.sub("", block).replace("\\\n", " ").splitlines():
            if assigned := re.fullmatch(r'([A-Z]+)="([^"]*)"', line):
                variables[assigned[1]] = assigned[2]
                continue
            filled = re.sub(r"\$([A-Z]+)", lambda name: variables.get(name[1], name[0]), line)
            commands = (shlex.split(part, comments=True) for part in re.split(r"\|\||&&|;", filled))
            found += [Line(document, words) for words in commands if words]
    return found


def every_command(group: Any = COMMAND) -> Iterator[Any]:
    """The command line, its commands, and those of its groups."""
    yield group
    for command in getattr(group, "commands", {}).values():
        yield from every_command(command)


def complaint(words: list[str], group: Any = COMMAND) -> str | None:
    """What the command line has against ``ebbing ...``, found out by parsing alone; nothing is run."""
    if not words or words[0] in ("--version", "--help"):
        return None
    if words[0] not in group.commands:
        return f"no command {words[0]!r}"
    command = group.commands[words[0]]
    if hasattr(command, "commands"):
        return complaint(words[1:], command)
    try:
        command.make_context(words[0], [word for word in words[1:] if word != "--help"])
    except Exception as error:  # of typer, for whatever it cannot parse
        return str(getattr(error, "message", error))
    return None


COMMANDS = [line for document in DOCUMENTS for line in shell_lines(document) if line.words[0] == "ebbing"]


@pytest.mark.parametrize("line", COMMANDS, ids=lambda line: f"{line.document.stem}-{' '.join(line.words)[:40]}")
def test_every_command_in_a_block_can_be_parsed(line):
    assert complaint(line.words[1:]) is None


@pytest.mark.parametrize(
    "typed",
    [
        "unlern",
        "run --oracle 3",
        "run --oracles many",
        "run --overlap refuse",
        "unlearn --model m:build",
        "methods all",
        "bank trian",
    ],
)
def test_what_cannot_be_parsed_is_noticed(typed):
    assert complaint(typed.split()) is not None


def test_there_are_commands_for_both_users():
    for document, command in (("engineer", "unlearn"), ("engineer", "audit"), ("researcher", "run")):
        assert any(line.document.stem == document and line.words[1] == command for line in COMMANDS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_commands_and_options_named_in_the_text_exist(document):
    text = prose(document)
    options = [option for command in every_command() for option in command.params]
    known = {name for option in options for name in (*option.opts, *option.secondary_opts)}
    known |= {"--help", "--check", "--out", "--rounds"}  # of typer, and of the scripts in benchmarks/
    for spoken in re.findall(r"`ebbing ([a-z][a-z-]*)[^`]*`", text):
        assert spoken in COMMAND.commands
    for option in re.findall(r"`(--[a-z][a-z-]*)[^`]*`", text):
        assert option in known


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_scripts_and_make_targets_named_exist(document):
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1].split()
    for line in shell_lines(document):
        if line.words[0] == "make":
            assert line.words[1] in targets
        if line.words[0] == "python" and line.words[1].endswith(".py"):
            assert (ROOT / line.words[1]).is_file()


# ---------------------------------------------------------------- Python


PYTHON = [(document, number, text) for document in DOCUMENTS for number, text in enumerate(blocks(document, "python"))]


@pytest.mark.parametrize(("document", "number", "text"), PYTHON, ids=lambda value: getattr(value, "stem", "block"))
def test_python_compiles_and_names_what_there_is(document, number, text):
    tree = ast.parse(text, filename=f"{document.name}, Python block {number}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "eb":
            assert node.attr in ebbing.__all__
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "ebbing":
            module = importlib.import_module(node.module)
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


@pytest.fixture
def typed(tmp_path):
    """Run something in an empty folder, with `ebbing` and `python` those of the tests."""
    scripts = str(Path(sys.executable).parent)
    environment = os.environ | {"PATH": scripts + os.pathsep + os.environ["PATH"], "OMP_NUM_THREADS": "1"}

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.mark.slow
def test_the_researchers_python_runs_from_top_to_bottom(typed):
    said = typed(sys.executable, "-W", "error", "-c", "\n".join(blocks(ROOT / "docs" / "researcher.md", "python")))
    assert "do-nothing: under-forgotten" in said


@pytest.mark.slow
def test_the_engineers_page_can_be_typed_as_it_stands(typed, tmp_path):
    page = ROOT / "docs" / "engineer.md"
    (module,) = blocks(page, "python")
    (tmp_path / "mymodel.py").write_text(module, encoding="utf-8")
    said = typed("bash", "-euc", "\n".join(blocks(page, "bash")))
    for quoted in ("8 ids matched 40 of 1200 records.", "Nothing was done: --dry-run.", "exit code 3"):
        assert quoted in said
    assert "do-nothing (control): under-forgotten" in " ".join(said.split())
    for written in re.findall(r"^\| `(forgotten\.[^`]+)` \|", page.read_text(encoding="utf-8"), re.MULTILINE):
        assert (tmp_path / written).exists()


@pytest.mark.slow
def test_the_page_on_the_ledger_can_be_typed_as_it_stands(typed, tmp_path):
    page = ROOT / "docs" / "ledger.md"
    (module,) = blocks(page, "python")
    (tmp_path / "mymodel.py").write_text(module, encoding="utf-8")
    said = typed("bash", "-euc", "\n".join(blocks(page, "bash")))
    for quoted in (
        "exit code 2: some rows",
        "exit code 3: leave out",
        "Request 1 is closed",
        "All is as it was written.",
    ):
        assert quoted in said


# ---------------------------------------------------------------- links


@pytest.mark.parametrize("document", [*DOCUMENTS, ROOT / "CHANGELOG.md"], ids=lambda path: path.stem)
def test_every_relative_link_leads_to_a_file(document):
    targets = [target.partition("#")[0] for target in LINK.findall(prose(document)) if "://" not in target]
    missing = [target for target in targets if target and not (document.parent / target).exists()]
    assert missing == []


def test_the_documents_name_each_other():
    seen = {
        (document.parent / target.partition("#")[0]).resolve()
        for document in DOCUMENTS
        for target in LINK.findall(prose(document))
        if "://" not in target
    }
    how_to = [
        ROOT / "docs" / name for name in ("engineer.md", "researcher.md", "verdict.md", "report.md", "results.md")
    ]
    assert [str(page) for page in how_to if page not in seen] == []
