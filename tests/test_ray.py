"""Runs on a Ray cluster of two nodes on this machine: the same bits, and nothing finished is lost, whoever is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import threadpoolctl
import torch

import ebbing as eb
from ebbing import ray_pool
from ebbing.bench.cells import Places, cells_of, make_cells
from ebbing.bench.methods import METHODS
from ebbing.bench.tasks import TASKS
from ebbing.cli import main
from ebbing.data import load
from ebbing.data.selection import select
from ebbing.errors import InputError
from ebbing.models import digits_mlp
from ebbing.pool import compute
from ebbing.store import ModelStore, train_many
from own_script import run_twice
from processes import alive

pytestmark = pytest.mark.ray

STORE_BYTES = 100_000_000
PATIENCE = 120.0  # seconds: cores may be busy


def eventually(true: Callable[[], bool], what: str, *, within: float = PATIENCE) -> None:
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.05)


@dataclass
class Node:
    """A `ray start` and all that it started, in a session of its own."""

    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(cls, folder: Path, name: str, *words: str) -> Node:
        log = folder / f"{name}.log"
        program = Path(sys.executable).with_name("ray")
        command = [str(program), "start", "--block", "--num-cpus=1", "--node-ip-address=127.0.0.1", *words]
        command += [f"--object-store-memory={STORE_BYTES}", "--disable-usage-stats"]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        return cls(process, log)

    def wait_until_started(self) -> None:
        eventually(lambda: self.process.poll() is not None or "Ray runtime started" in self.log.read_text(), "no node")
        assert self.process.poll() is None, self.log.read_text()

    def kill(self) -> None:
        """As a machine that loses its power: all processes at once, those in groups of their own as well."""
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                session = int(stat.read_text().rpartition(")")[2].split()[3])
                if session == self.process.pid:
                    os.kill(int(stat.parent.name), signal.SIGKILL)
        self.process.wait()


@dataclass
class Cluster:
    """Two nodes with room for one run each; the second says that it has a GPU."""

    address: str
    head: Node
    second: Node


@pytest.fixture(scope="module")
def cluster(ray_there: None) -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="ebbing-ray.", dir="/tmp"))  # sockets lie there: their paths must be short
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nodes = []
    try:
        words = (f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}")
        nodes.append(Node.start(folder, "head", "--head", *words))
        nodes.append(Node.start(folder, "second", f"--address=127.0.0.1:{port}", "--num-gpus=1"))
        for node in nodes:
            node.wait_until_started()
        yield Cluster(f"127.0.0.1:{port}", *nodes)
    finally:
        import ray

        ray.shutdown()
        for node in reversed(nodes):
            node.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def executor(cluster: Cluster) -> eb.RayExecutor:
    assert cluster.head.process.poll() is None, cluster.head.log.read_text()
    return eb.RayExecutor(address=cluster.address)


# ---------------------------------------------------------------- results


def facts(payload: torch.Tensor, item: int) -> tuple[int, str, list[int], float]:
    import ray

    time.sleep(0.3)  # so that both nodes have something to do
    threads = [torch.get_num_threads(), *(found["num_threads"] for found in threadpoolctl.threadpool_info())]
    return os.getpid(), ray.get_runtime_context().get_node_id(), threads, float(payload.sum()) + item


def test_every_item_comes_back_once_from_processes_of_one_thread_on_both_nodes(executor) -> None:
    found = list(compute(facts, torch.ones(3), list(range(12)), workers=executor))
    assert {item: value for item, (*_, value) in found} == {i: 3.0 + i for i in range(12)}
    assert len(found) == 12
    assert {n for _, (_, _, threads, _) in found for n in threads} == {1}
    assert len({node for _, (_, node, _, _) in found}) == 2
    assert os.getpid() not in {pid for _, (pid, *_) in found}


def given(payload: None, item: int) -> tuple[dict[str, float], str | None, float, float]:
    import ray

    began = time.time()
    time.sleep(0.3)
    resources = ray.get_runtime_context().get_assigned_resources()
    return resources, os.environ.get("CUDA_VISIBLE_DEVICES"), began, time.time()


def test_a_run_is_given_what_is_asked_for(executor) -> None:
    """Four runs would fit by processors, two by the GPU: whether torch can use it is not Ray's to know."""
    on_gpu = replace(executor, cpus_per_run=0.25, gpus_per_run=0.5)
    assert (executor.at_once, on_gpu.at_once, replace(on_gpu, workers=1).at_once) == (2, 2, 1)
    found = [told for _, told in compute(given, None, list(range(6)), workers=on_gpu)]
    assert [resources for resources, *_ in found] == [{"CPU": 0.25, "GPU": 0.5}] * 6
    assert {device for _, device, _, _ in found} == {"0"}
    most = max(sum(began <= moment < ended for *_, began, ended in found) for *_, moment, _ in found)
    assert most <= 2


def test_that_no_node_has_what_a_run_needs_is_said_while_it_is_waited_for(executor, monkeypatch, caplog) -> None:
    """At once, and again later; the run goes on all the same, as where a node joins."""
    alive = [node | {"Resources": {"CPU": 4.0}} for node in executor._connected().nodes()]
    monkeypatch.setattr("ray.nodes", lambda: alive)
    monkeypatch.setattr(ray_pool, "SAID_FOR", 0.0)
    on_gpu = replace(executor, gpus_per_run=1.0)
    assert [item for item, _ in compute(given, None, [1], workers=on_gpu)] == [1]
    assert caplog.text.count("no node of the cluster has room for a run of 1 CPUs and 1 GPUs: they have 4 and 0.") > 1


def pid_of(payload: None, item: int) -> int:
    return os.getpid()


@pytest.mark.parametrize(("gpus", "own"), [(1.0, False), (2.0, True)])
def test_where_nodes_have_several_gpus_each_run_has_a_process_of_its_own(executor, monkeypatch, gpus, own) -> None:
    """CUDA stays on the GPU that a process began with, while Ray may give it another for the next run."""
    nodes = [node | {"Resources": node["Resources"] | {"GPU": gpus}} for node in executor._connected().nodes()]
    monkeypatch.setattr("ray.nodes", lambda: nodes)
    pids = [pid for _, pid in compute(pid_of, None, [1, 2, 3], workers=replace(executor, gpus_per_run=1.0, workers=1))]
    assert (len(set(pids)) == len(pids)) == own


def test_folders_of_files_alone_are_opened_and_not_read(tmp_path, monkeypatch) -> None:
    """What has been written there grows with the runs, and is looked at after each."""
    models = tmp_path / "task" / "models"
    models.mkdir(parents=True)
    for number in range(3):
        (models / str(number)).touch()
    opened: dict[str, int] = {}
    scandir = os.scandir

    def counted(folder: str) -> Any:
        class Entries:
            def __init__(self) -> None:
                self.all = scandir(folder)
                opened[os.path.basename(folder)] = 0

            def __enter__(self) -> Entries:
                return self

            def __exit__(self, *_: object) -> None:
                self.all.close()

            def __iter__(self) -> Iterator[os.DirEntry[str]]:
                for entry in self.all:
                    opened[os.path.basename(folder)] += 1
                    yield entry

        return Entries()

    monkeypatch.setattr(ray_pool.os, "scandir", counted)
    ray_pool._look_again([tmp_path, tmp_path / "gone"])
    assert opened.pop(tmp_path.name) == 1
    assert opened == {"task": 1, "models": 0 if models.stat().st_nlink == 2 else 3}


def digests(folder: Path, workers: Any) -> dict[int, str]:
    request = select("mislabelled:0.1", load("digits", train_size=400), seed=0)
    trainer = eb.Trainer(digits_mlp, eb.Recipe(epochs=3.0))
    store = ModelStore(folder)
    seeds = list(train_many(trainer, request.for_training("retain"), range(4), store=store, workers=workers))
    assert sorted(seed for seed, _ in seeds) == [0, 1, 2, 3]
    return {int(entry.facts["seed"]): entry.facts["content"] for entry in store.entries() if entry.facts}


def test_the_same_seeds_give_the_same_bits_whichever_executor(executor, tmp_path) -> None:
    by_ray = digests(tmp_path / "ray", executor)
    assert len(set(by_ray.values())) == 4
    assert by_ray == digests(tmp_path / "one", replace(executor, workers=1))
    assert by_ray == digests(tmp_path / "local", 2)
    assert not list((tmp_path / "ray").glob(".ebbing-*")), "marks are left"


def test_what_the_script_itself_defines_is_found_again_by_its_name(cluster, tmp_path) -> None:
    run_twice(tmp_path, cluster.address)


class Counted:
    """Data that tell when they are packed and unpacked."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def tell(self, word: str) -> None:
        with self.log.open("a") as file:
            file.write(f"{word} {os.getpid()}\n")

    def __getstate__(self) -> dict[str, Any]:
        self.tell("packed")
        return {"log": self.log}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.log = state["log"]
        self.tell("unpacked")


def own_pid(payload: Counted, item: int) -> int:
    return os.getpid()


def test_data_are_packed_once_and_unpacked_once_by_each_worker(executor, tmp_path) -> None:
    log = tmp_path / "log"
    pids = {pid for _, pid in compute(own_pid, Counted(log), list(range(20)), workers=executor)}
    said = log.read_text().splitlines()
    assert said.count(f"packed {os.getpid()}") == 1
    assert sorted(line for line in said if line.startswith("un")) == sorted(f"unpacked {pid}" for pid in pids)


def megabytes(payload: None, item: int) -> np.ndarray:
    return np.full(4_000_000, item, dtype=np.uint8)


def own_memory() -> int:
    """Resident bytes of this process alone: pages of Ray's store, which it looks into, are those of all."""
    _, resident, shared, *_ = Path("/proc/self/statm").read_text().split()
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="looks into /proc")
def test_nothing_grows_with_the_number_of_finished_runs(executor) -> None:
    from ray._private.worker import global_worker

    before = 0
    for number, (item, result) in enumerate(compute(megabytes, None, list(range(60)), workers=executor)):
        assert int(result[0]) == item
        result[0] = 0  # the caller's own, as from a process on this machine
        if number == 10:
            before = own_memory()
    assert own_memory() - before < 30e6, "of 49 results with 196 MB"
    assert len(global_worker.core_worker.get_all_reference_counts()) < 10


# ---------------------------------------------------------------- errors


class OddError(Exception):
    """One that pickle cannot make again."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def fails(payload: str, item: int) -> None:
    raise InputError(f"item {item} cannot be") if payload == "input" else OddError(1, 2)


def test_an_error_of_the_work_is_the_callers(executor) -> None:
    with pytest.raises(InputError, match="item 7 cannot be") as caught:
        list(compute(fails, "input", [7], workers=executor))
    assert "in fails" in caught.value.__notes__[0]
    with pytest.raises(RuntimeError, match="OddError: 1 and 2"):
        list(compute(fails, "odd", [7], workers=executor))


def test_what_cannot_be_passed_on_is_said(executor) -> None:
    with pytest.raises(InputError, match="must be importable by name"):
        list(compute(fails, lambda: None, [1], workers=executor))
    assert list(compute(fails, lambda: None, [], workers=executor)) == []


def nothing(payload: Any, item: int) -> None:
    raise AssertionError("the work has begun")


def test_a_folder_that_is_not_shared_is_said_before_anything_is_done(executor, tmp_path, monkeypatch) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        own = Path(f"/proc/self/fd/{descriptor}/models")  # of this process alone, as another machine's disk is
        with pytest.raises(
            InputError, match=r"seen by all nodes, but '/proc/self/fd/\d+/models' is not the same folder"
        ):
            list(compute(nothing, None, [1, 2], workers=executor, folders=[own]))
        assert list((tmp_path / "models").iterdir()) == []
    finally:
        os.close(descriptor)


def test_a_node_that_differs_is_said(executor, monkeypatch) -> None:
    monkeypatch.setattr(ray_pool, "_versions", lambda: {"Python": "3", "ebbing": "7.7", "torch": torch.__version__})
    with pytest.raises(InputError, match=r"every node must have the versions of the caller, but .* in place of 7\.7"):
        list(compute(nothing, None, [1], workers=executor))


def test_a_folder_to_work_in_that_is_not_there_is_said(executor, monkeypatch) -> None:
    monkeypatch.setattr(os, "getcwd", lambda: "/nowhere/at/all")
    with pytest.raises(InputError, match=r"must be on every node, but '/nowhere/at/all' is not"):
        list(compute(nothing, None, [1], workers=executor))


# ---------------------------------------------------------------- the command line


def test_a_bank_is_trained_by_ray_and_found_by_others(cluster, tmp_path, monkeypatch, capsys) -> None:
    words = ["bank", "train", "--model", "digits-mlp", "--recipe", "epochs=1", "--train-size", "200", "--oracles", "2"]
    words += ["--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["ebbing", *words, "--executor", "ray", "--address", cluster.address])
    with pytest.raises(SystemExit, match=r"^0$"):
        main()
    assert "3 trained" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["ebbing", *words, "--workers", "1"])
    with pytest.raises(SystemExit, match=r"^0$"):
        main()
    assert "0 trained, 3 found again" in capsys.readouterr().out


def test_a_whole_run_goes_by_ray_and_is_found_by_others(cluster, tmp_path, monkeypatch, capsys) -> None:
    words = ["run", "--model", "digits-mlp", "--recipe", "epochs=1", "--train-size", "200", "--oracles", "4"]
    words += ["--originals", "2", "--method", "fine-tune", "--forget", "random:0.1", "--out", str(tmp_path)]
    for where in (["--executor", "ray", "--address", cluster.address], ["--workers", "2"]):
        monkeypatch.setattr(sys, "argv", ["ebbing", *words, *where])
        with pytest.raises(SystemExit, match=r"^0$"):
            main()
        models = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "models").iterdir()}
        if "ray" in where:
            first = models
    assert len(models) > 6  # originals, retrained models, and what the method made of each original
    assert models == first  # one thread each: the same models, none of which is made again


# ---------------------------------------------------------------- the leaderboard


@pytest.mark.slow
def test_cells_of_the_leaderboard_are_the_same_by_ray(executor, tmp_path) -> None:
    task = replace(TASKS["digits-mislabelled5-cnn/v1"], models=4, recipe=eb.Recipe(epochs=2.0))
    cells = cells_of([task], {"fine-tune": METHODS["fine-tune"]}, [0.5])
    found = []
    for name, workers in (("ray", executor), ("local", 1)):
        places = Places(tmp_path / name / "results", tmp_path / name / "work")
        assert len(list(make_cells(cells, places, workers=workers))) == 4 + 4 + 1
        found.append(json.loads(places.cell(cells[0]).read_text())["figures"])
    assert found[0] == found[1]


# ---------------------------------------------------------------- who is killed


def dies_at_first(folder: Path, item: int) -> int:
    if item == 1 and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def dies(payload: None, item: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_run_whose_process_is_killed_is_begun_again(executor, tmp_path) -> None:
    found = sorted(item for item, _ in compute(dies_at_first, tmp_path, list(range(4)), workers=executor))
    assert found == [0, 1, 2, 3]
    assert (tmp_path / "died").exists()


def test_a_run_that_kills_its_process_each_time_is_given_up(executor) -> None:
    with pytest.raises(InputError, match="was begun 2 times and lost each time"):
        list(compute(dies, None, [1], workers=replace(executor, retries=1)))


CALLER = """
import os, sys, signal, time
from pathlib import Path
import ebbing as eb
from ebbing.files import write_text
from ebbing.pool import compute

def one(work, item):
    folder, quick = work
    with (folder / "pids").open("a") as file:
        file.write(f"{os.getpid()}\\n")
    time.sleep(0.1 if item < quick else 600)
    write_text(folder / "done" / str(item), f"{item} " * 1000)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder, address, quick = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    items = [i for i in range(6) if not (folder / "done" / str(i)).exists()]
    for item, _ in compute(one, (folder, quick), items, workers=eb.RayExecutor(address=address), folders=[folder]):
        print(item, flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
def test_a_caller_that_is_killed_loses_nothing_and_its_workers_end(cluster, tmp_path) -> None:
    script, done = tmp_path / "caller.py", tmp_path / "done"
    script.write_text(CALLER)

    def call(quick: int) -> list[str]:
        return [sys.executable, str(script), str(tmp_path), cluster.address, str(quick)]

    def finished() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in done.glob("[!.]*")}

    for sent, quick in ((signal.SIGINT, 2), (signal.SIGKILL, 4)):
        errors = tmp_path / "errors"
        with errors.open("w") as file, subprocess.Popen(call(quick), stdout=file, stderr=file) as caller:
            eventually(lambda quick=quick: len(finished()) == quick, "what is quick was not finished")
            kept = finished()
            caller.send_signal(sent)
            assert caller.wait(timeout=30) != 0
        workers = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        ended = lambda: not any(alive(pid) for pid in workers)  # noqa: B023, E731
        eventually(ended, f"workers outlive a caller that got {sent.name}", within=30)
        assert finished() == kept
        if sent == signal.SIGINT:
            assert not list(tmp_path.glob(".ebbing-*")), f"marks are left: {errors.read_text()}"
    again = subprocess.run(call(6), capture_output=True, text=True, check=True)
    assert sorted(again.stdout.split()) == ["4", "5"]
    assert kept.items() <= finished().items()
    assert {path.name: path.read_text() for path in done.glob("[!.]*")} == {str(i): f"{i} " * 1000 for i in range(6)}


def logged(folder: Path, item: int) -> str:
    import ray

    node = ray.get_runtime_context().get_node_id()
    with (folder / str(item)).open("a") as file:
        file.write(f"{node}\n")
    time.sleep(1.0)
    return str(node)


@pytest.mark.slow
def test_a_node_that_is_killed_loses_nothing_that_is_finished(cluster, executor, tmp_path) -> None:
    """The last test here: the cluster has one node afterwards."""
    assert executor.at_once == 2
    import ray

    (second,) = (node["NodeID"] for node in ray.nodes() if node["Resources"].get("GPU"))

    def begun(item: int) -> list[str]:
        path = tmp_path / str(item)
        return path.read_text().split() if path.exists() else []

    def just_begun(item: int) -> bool:
        return begun(item) == [second] and time.time() - (tmp_path / str(item)).stat().st_mtime < 0.5

    before: dict[int, str] = {}
    after: dict[int, str] = {}
    lost: list[int] = []
    for item, node in compute(logged, tmp_path, list(range(40)), workers=executor):
        (after if lost else before)[item] = node
        if not lost and second in before.values():
            lost = [other for other in range(40) if other not in before and just_begun(other)]
            if lost:
                cluster.second.kill()
        if len(after) > 5 and set(lost) <= after.keys():
            break
    assert lost, "the second node was never killed at work"
    assert all(begun(item) == [node] for item, node in before.items()), "what was finished was begun again"
    for item in lost:
        assert begun(item)[0] == second
        assert begun(item)[-1] == after[item] != second, "what was lost was not begun again elsewhere"
