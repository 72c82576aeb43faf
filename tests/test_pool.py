"""The pool: results, one thread each, and workers that never outlive their caller."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import threadpoolctl
import torch

from ebbing.errors import InputError
from ebbing.pool import compute
from own_script import run_twice
from processes import alive


def facts(payload: torch.Tensor, item: int) -> tuple[int, int, float]:
    threads = max([torch.get_num_threads(), *(found["num_threads"] for found in threadpoolctl.threadpool_info())])
    return os.getpid(), threads, float(payload.sum()) + item


def megabytes(payload: None, item: int) -> np.ndarray:
    return np.full(4_000_000, item, dtype=np.uint8)


def dies_at_first(folder: Path, item: int) -> int:
    if item == 1 and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    with (folder / str(item)).open("a") as file:
        file.write("done\n")
    return item


def fails(payload: object, item: int) -> None:
    raise InputError(f"item {item} cannot be")


def dies(payload: object, item: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class EndsItsProcess:
    """A payload that no process can take up."""

    def __init__(self, log: Path, way: str) -> None:
        self.log, self.way = log, way

    def __setstate__(self, state: dict[str, Any]) -> None:
        with state["log"].open("a") as file:
            file.write("begun\n")
        if state["way"] == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(7)


def test_every_item_comes_back_once_from_processes_of_one_thread() -> None:
    found = dict(compute(facts, torch.ones(3), list(range(5)), workers=2))
    assert {item: value for item, (_, _, value) in found.items()} == {i: 3.0 + i for i in range(5)}
    assert {threads for _, threads, _ in found.values()} == {1}
    assert os.getpid() not in {pid for pid, _, _ in found.values()}


def test_nothing_to_do_starts_nothing() -> None:
    assert list(compute(facts, lambda: None, [], workers=2)) == []


def test_an_error_of_the_work_is_the_callers() -> None:
    with pytest.raises(InputError, match="item 7 cannot be"):
        list(compute(fails, None, [7], workers=1))


def test_workers_that_are_killed_again_and_again_are_said(monkeypatch) -> None:
    monkeypatch.setattr("ebbing.pool.RETRIES", 1)
    with pytest.raises(InputError, match="worker processes ended 2 times before their work was done"):
        list(compute(dies, None, [1, 2], workers=1))


def test_what_a_killed_worker_was_at_is_begun_again_and_nothing_else(tmp_path) -> None:
    found = [item for item, _ in compute(dies_at_first, tmp_path, list(range(6)), workers=1)]
    assert sorted(found) == list(range(6))
    assert (tmp_path / "died").exists()
    assert [len((tmp_path / str(item)).read_text().split()) for item in range(6)] == [1] * 6


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="looks into /proc")
def test_nothing_grows_with_the_number_of_finished_runs() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    before = 0
    for number, (item, result) in enumerate(compute(megabytes, None, list(range(60)), workers=1)):
        assert int(result[0]) == item
        if number == 10:
            before = resident()
    assert resident() - before < 60e6, "of 49 results with 196 MB"


def test_what_cannot_be_passed_on_is_said_before_a_process_starts() -> None:
    with pytest.raises(InputError, match="must be importable by name"):
        list(compute(facts, lambda: None, [1], workers=1))
    with pytest.raises(InputError, match="at least 1 process, but is 0"):
        list(compute(facts, None, [1], workers=0))


@pytest.mark.parametrize(("way", "code"), [("ended", 7), ("killed", -9)])
def test_workers_that_cannot_start_are_said_at_once(way, code, tmp_path) -> None:
    log = tmp_path / "log"
    with pytest.raises(InputError, match=rf"one ended with exit code {code} before it took up any work\. Usual causes"):
        list(compute(facts, EndsItsProcess(log, way), [1, 2], workers=1))
    assert log.read_text().split() == ["begun"]


def test_a_script_without_a_guard_is_told_of_it(tmp_path) -> None:
    script = tmp_path / "script.py"
    script.write_text("from ebbing.pool import compute\nlist(compute(print, None, [1, 2], workers=1))\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert 'put that under `if __name__ == "__main__":`' in done.stderr.splitlines()[-1]
    assert done.stderr.count("finished its bootstrapping phase") == 1, "it was tried again"


def test_what_the_script_itself_defines_is_found_again_by_its_name(tmp_path) -> None:
    run_twice(tmp_path, "here")


CALLER = """
import os, sys, time
from ebbing.pool import compute

def slow(payload, item):
    with open(payload, "a") as file:
        file.write(f"{os.getpid()}\\n")
    time.sleep(60)

if __name__ == "__main__":
    list(compute(slow, sys.argv[1], [1, 2], workers=2))
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_workers_end_with_their_caller(sent, tmp_path) -> None:
    script, log = tmp_path / "caller.py", tmp_path / "pids"
    # Python leaves Ctrl-C alone where a shell started the tests in the background
    script.write_text(
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + textwrap.dedent(CALLER)
    )
    with subprocess.Popen([sys.executable, script, log], stderr=subprocess.DEVNULL) as caller:
        end = time.monotonic() + 60
        while not log.exists() or len(log.read_text().split()) < 2:
            assert time.monotonic() < end
            time.sleep(0.05)
        workers = [int(pid) for pid in log.read_text().split()]
        caller.send_signal(sent)
        caller.wait(timeout=20)
    end = time.monotonic() + 10
    while any(alive(pid) for pid in workers):
        assert time.monotonic() < end, f"workers outlive a caller that got {sent.name}"
        time.sleep(0.05)
