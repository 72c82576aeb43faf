"""The words that the shell completes are those that there are."""

import os
import subprocess
import sys
from pathlib import Path

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


# ---------------------------------------------------------------- the installed command, as a shell calls it


def typed(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What the command says; what it prints beside the words a shell shows to whoever presses the key."""
    code = "import sys; from ebbing.cli import main; sys.argv[0] = 'ebbing'; main()"
    env = os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"} | environment
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False, env=env)


def test_bash_gets_its_words_and_nothing_else() -> None:
    done = typed(_EBBING_COMPLETE="complete_bash", COMP_WORDS="ebbing unl", COMP_CWORD="1")
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["unlearn"], "")


def test_zsh_gets_its_words_and_nothing_else() -> None:
    done = typed(_EBBING_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS="ebbing unlearn --method eb")
    assert (done.returncode, done.stderr) == (0, "")
    assert "ebb" in done.stdout


@pytest.mark.parametrize(("begun", "code"), [("unlearn --method eb", 0), ("unlearn --weights w", 1)])
def test_fish_is_told_by_the_exit_code_whether_there_are_words(begun: str, code: int) -> None:
    asked = {"_TYPER_COMPLETE_ARGS": f"ebbing {begun}", "_TYPER_COMPLETE_FISH_ACTION": "is-args"}
    done = typed(_EBBING_COMPLETE="complete_fish", **asked)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_the_script_for_a_shell_is_shown() -> None:
    done = typed("--show-completion", "bash")
    assert (done.returncode, done.stderr) == (0, "")
    assert "complete -o default -F _ebbing_completion ebbing" in done.stdout


def test_completion_is_installed(tmp_path: Path) -> None:
    done = typed("--install-completion", "bash", HOME=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "_ebbing_completion" in (tmp_path / ".bash_completions" / "ebbing.sh").read_text()
