"""The words that the shell completes are those that there are."""

import subprocess
import sys

import pytest

from ebbing import methods, models, sabotage
from ebbing.cli import complete
from ebbing.cli.methods import methods_of
from ebbing.cli.names import members
from ebbing.cli.run import DEFAULTS
from ebbing.methods import Unlearner


def test_methods_are_those_that_are_exported_with_their_presets() -> None:
    found = members(methods, Unlearner) | members(sabotage, Unlearner)
    for name in found:
        assert list(methods_of((name,), (), recipe=None)) == [name]
    presets = [f"{name}:{preset}" for name, kind in found.items() for preset in kind.presets]
    assert presets
    assert tuple(sorted([*found, *presets])) == complete.METHODS


def test_networks_are_those_that_are_exported() -> None:
    assert tuple(sorted(members(models))) == complete.NETWORKS


def test_data_sets_are_those_that_can_be_run() -> None:
    assert tuple(sorted(DEFAULTS)) == complete.DATASETS


@pytest.mark.parametrize(
    ("function", "begun", "found"),
    [
        (complete.methods, "forgetting-network:p", ["forgetting-network:paper", "forgetting-network:published-code"]),
        (complete.methods, "x", []),
        (complete.methods, "", list(complete.METHODS)),
        (complete.datasets, "m", ["mnist"]),
        (complete.networks, "digits", ["digits-cnn", "digits-mlp"]),
    ],
)
def test_words_go_on_from_what_was_begun(function, begun, found) -> None:
    assert function(begun) == found


def test_completing_does_not_wait_for_torch() -> None:
    code = (
        "import os, sys\n"
        "os.environ |= {'_EBBING_COMPLETE': 'complete_bash', 'COMP_WORDS': 'ebbing unlearn --method fo', 'COMP_CWORD': '3'}\n"
        "from ebbing.cli.commands import app\n"
        "sys.argv = ['ebbing']\n"
        "try:\n    app()\nexcept SystemExit:\n    pass\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *words, loaded = done.stdout.split()
    assert words == [name for name in complete.METHODS if name.startswith("fo")]
    assert loaded == "False"
