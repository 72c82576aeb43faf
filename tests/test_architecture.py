"""The shape of the code: who may import whom. docs/architecture.md says why."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ebbing

ROOT = Path(ebbing.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))

# Each may import those before it and itself.
LAYERS = (
    *("errors", "machine", "files", "allocator", "sharding", "planning", "compiled"),
    *("fresh", "resident", "batches", "fsdp", "parallel", "fingerprint", "checkpoints"),
    *("ids", "inspection", "pretrained"),
    *("task", "language", "unseen", "planted", "request", "journal", "precision", "training", "preflight"),
    *("pool", "ray_pool"),
    *("store", "ensemble"),
    *("units", "curves", "rankings", "rates", "law", "methods", "sabotage", "models", "data"),
    *("observations", "inside", "seen", "attacks", "measures", "battery", "profiles", "technical", "pictures", "bank"),
    *("report", "verdict", "evidence", "facts", "auditing"),
    *("study", "qualification", "places", "paper", "bench", "ledger", "cli", "__main__", "testing"),
)
JUDGE = {
    *("observations", "inside", "seen", "attacks", "measures", "battery", "profiles", "technical", "report"),
    *("verdict", "evidence", "facts", "auditing"),
}


def layer_of(path):
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imported_layers(tree):
    """The parts of ebbing that a module imports, inside functions and for type checkers included."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: import by the full name, not relatively"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    parts = [name.split(".") for name in names]
    return {part[1] if len(part) > 1 else "" for part in parts if part[0] == "ebbing"} - {"__version__"}


def library():
    """Path, layer and syntax tree of each module but the package's own `__init__`."""
    for path in SOURCES:
        if path != ROOT / "__init__.py":
            yield path.relative_to(ROOT), layer_of(path), ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("line", "layers"),
    [
        ("import ebbing.methods.ebb", {"methods"}),
        ("from ebbing import methods", {"methods"}),
        ("from ebbing.methods import Ebb", {"methods"}),
        ("def f():\n    from ebbing.methods.ebb import Ebb", {"methods"}),
        ("import ebbing as eb", {""}),  # the package itself imports everything: it has no place in LAYERS
        ("from ebbing import __version__", set()),
        ("import numpy, torch.nn", set()),
    ],
)
def test_every_way_to_import_is_seen(line, layers):
    assert imported_layers(ast.parse(line)) == layers


def test_every_module_has_a_layer():
    homeless = {layer for _, layer, _ in library()} - set(LAYERS)
    assert not homeless, f"{sorted(homeless)}: give them a place in LAYERS and in docs/architecture.md"


def test_imports_go_downward_only():
    wrong = []
    for path, layer, tree in library():
        allowed = set(LAYERS[: LAYERS.index(layer) + 1])
        wrong += [f"{path} imports {found or 'the whole package'}" for found in imported_layers(tree) - allowed]
    assert not wrong, "\n".join(sorted(wrong))


def test_judge_and_methods_do_not_know_each_other():
    wrong = []
    for path, layer, tree in library():
        forbidden = {"methods"} if layer in JUDGE else JUDGE if layer == "methods" else set()
        wrong += [f"{path} imports {found}" for found in imported_layers(tree) & forbidden]
    assert not wrong, "\n".join(sorted(wrong))


def test_the_command_line_starts_without_torch():
    code = "import sys, ebbing.cli; sys.exit('it imports torch' if 'torch' in sys.modules else 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_drawer_for_odds_and_ends():
    drawers = [path for path in SOURCES if path.stem in ("utils", "util", "helpers", "common", "misc")]
    assert not drawers, f"{drawers}: name them after what they hold"


def test_only_the_command_line_prints():
    printing = [
        f"{path}:{node.lineno}"
        for path, layer, tree in library()
        if layer != "cli"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not printing, f"{printing}: raise, log, or return it"
