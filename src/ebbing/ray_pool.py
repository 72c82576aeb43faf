"""Many runs on a Ray cluster: data travels once to each node, results come back as they are finished.

The same as a pool on one machine otherwise: processes of one thread each, and pieces that are importable by name.
"""

from __future__ import annotations

import importlib.util
import io
import logging
import os
import pickle
import platform
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import spawn
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from ebbing import __version__
from ebbing.errors import InputError
from ebbing.files import SCRATCH, STALE
from ebbing.pool import one_thread, passable

Item = TypeVar("Item")
Result = TypeVar("Result")

ROOM_FOR = 5.0  # seconds that what is known of the cluster's size counts: nodes come and go
MARKS_FOR = STALE / 12  # seconds until marks are touched, so that nobody takes them for abandoned
SEEN_WITHIN = 5.0  # seconds in which a folder made on one machine is seen on all that share it
SAID_FOR = 600.0  # seconds until it is said again that no node has what a run needs
ENDED_WITHIN = 10.0  # seconds that runs which are cancelled are waited for

log = logging.getLogger(__name__)

_held: tuple[str, Callable[[Any, Any], Any], Any] | None = None  # of a worker: what all its items are computed from


@dataclass(frozen=True)
class RayExecutor:
    """Runs on a Ray cluster, which ``pip install 'ebbing[ray]'`` brings the means for.

    Every node needs the same versions of Python, ebbing and torch, the data, and the folders that are written to, under the
    same paths. Runs whose process or node is killed are begun again elsewhere. A Python process is connected to one cluster:
    to the one that it has connected to itself, if it has, else to ``address``, from the first run until it ends.

    Attributes:
        workers: runs at once, at most, >= 1; None for as many as the cluster has room for.
        address: of the cluster, as ``HOST:PORT``, or ``"auto"`` for the one that this machine is a node of. None for that one
            where there is one, or for the one in the environment's ``RAY_ADDRESS``, else Ray is started on this machine alone.
        cpus_per_run: processors that a run is given, a share of one included, >= 0. It has one thread whatever is given.
        gpus_per_run: GPUs likewise, >= 0, a whole number if above 1; 0.25 puts four runs on each. They are kept for a run
            whether it uses them or not: a `Trainer` does by its ``device``.
        retries: how often a run is begun again whose process or node was killed, >= 0.
    """

    workers: int | None = None
    address: str | None = None
    cpus_per_run: float = 1.0
    gpus_per_run: float = 0.0
    retries: int = 3

    def __post_init__(self) -> None:
        """Refuse what cannot be, all problems at once, and a Python without Ray."""
        wrong = []
        if self.workers is not None and self.workers < 1:
            wrong.append(
                f"`workers` must be at least 1, or None for what the cluster has room for, but is {self.workers}"
            )
        if not 0 <= self.cpus_per_run < float("inf"):
            wrong.append(f"`cpus_per_run` must be a number >= 0, but is {self.cpus_per_run}")
        if not 0 <= self.gpus_per_run < float("inf") or (self.gpus_per_run > 1 and self.gpus_per_run % 1):
            wrong.append(f"`gpus_per_run` must lie in [0, 1] or be a whole number, but is {self.gpus_per_run}")
        if self.cpus_per_run == self.gpus_per_run == 0:
            wrong.append("a run must be given something, but `cpus_per_run` and `gpus_per_run` are both 0")
        if self.retries < 0:
            wrong.append(f"`retries` must be >= 0, but is {self.retries}")
        if self.address is not None and self.address.startswith("ray://"):
            wrong.append(
                f"`address` must be that of the cluster itself, but {self.address!r} is Ray Client's. Start ebbing on a node "
                "of the cluster"
            )
        if wrong:
            raise InputError("; ".join(wrong) + ".")
        if importlib.util.find_spec("ray") is None:
            raise InputError("the executor `ray` needs Ray, which is not installed: pip install 'ebbing[ray]'.")

    def __str__(self) -> str:
        """In words.

        Example:
            >>> str(RayExecutor(4))  # doctest: +SKIP
            'by Ray, 4 at once'
        """
        return "by Ray" if self.workers is None else f"by Ray, {self.workers} at once"

    @property
    def at_once(self) -> int:
        """How many runs there may be at once by what is known of the cluster now, >= 1; it is connected to for this."""
        room = self._room(self._connected())
        return max(1, room if self.workers is None else min(self.workers, room))

    def compute(
        self,
        function: Callable[[Any, Item], Result],
        payload: Any,
        items: Sequence[Item],
        *,
        folders: Sequence[Path] = (),
    ) -> Iterator[tuple[Item, Result]]:
        """``(item, function(payload, item))`` for each item, as they are finished.

        Args:
            function: see `ebbing.pool.compute`.
            payload: packed once, kept in Ray's object store, and unpacked once by each worker, which has a copy of its own.
            items: likewise.
            folders: must be on every node: each worker looks for a mark in them before its first run.

        Raises:
            InputError: if something cannot be passed on, no cluster answers, a node differs from this one or does not share a
                folder, or a run was begun 1 + ``retries`` times and lost each time.
        """
        if not items:
            return
        packed = _packed(function, payload)
        ray = self._connected()
        main = b"__main__" in packed
        work = ray.put(np.frombuffer(packed, dtype=np.uint8))  # an array is not copied on its way
        del packed
        flying: dict[Any, Item] = {}
        try:
            with _marked(folders) as marks:
                references = [ray.put(_setting(marks, main=main)), work]
                yield from self._by_a_cluster(ray, references, deque(items), flying, marks, folders)
        finally:
            _cancel(ray, list(flying))

    def _by_a_cluster(
        self,
        ray: Any,
        references: list[Any],
        left: deque[Item],
        flying: dict[Any, Item],
        marks: Sequence[Path],
        folders: Sequence[Path],
    ) -> Iterator[tuple[Item, Any]]:
        """Take items from ``left``, have them computed, and keep in ``flying`` what is under way."""
        name = os.urandom(8).hex()
        here = ray.get_runtime_context().get_node_id()
        run = ray.remote(
            num_cpus=self.cpus_per_run,
            num_gpus=self.gpus_per_run,
            max_calls=1 if self._gpus_change(ray) else 0,  # 0: a process stays for the next run
            max_retries=self.retries,
        )(_run)
        room, kept = _Lately(lambda: self._window(ray), ROOM_FOR), _Lately(lambda: _touch(marks), MARKS_FOR)
        said = _Lately(lambda: self._say_if_none_fits(ray), SAID_FOR)
        while left or flying:
            while left and len(flying) < room():
                with passable():
                    told = pickle.dumps(left[0])
                flying[run.remote(references, name, told)] = left.popleft()
            finished, _ = ray.wait(list(flying), num_returns=1, timeout=ROOM_FOR)
            kept()
            said()
            for reference in finished:
                item = flying.pop(reference)
                yield item, self._came(ray, reference, here, folders)

    def _came(self, ray: Any, reference: Any, here: str, folders: Sequence[Path]) -> Any:
        """What a run gave; what it raised is raised here."""
        try:
            node, done, content = pickle.loads(ray.get(reference))
        except ray.exceptions.RayTaskError as error:  # of Ray's own work around the run, as the run's are told apart
            raise InputError(
                f"every node must be able to import what is run, but one says: {_last_line(error)} Install ebbing and what it "
                "is given on all of them alike."
            ) from error
        except ray.exceptions.RayError as error:
            raise InputError(
                f"a run was begun {1 + self.retries} times and lost each time: {_last_line(error)} What was finished is kept. "
                "Is there memory for as many runs on a node? A run with more `cpus_per_run` leaves room for fewer."
            ) from error
        if node != here:
            _look_again(folders)
        if not done:
            raise content
        return content

    def _connected(self) -> Any:
        """The module of Ray, connected to the cluster."""
        import ray

        if ray.is_initialized():
            return ray
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere for us
        try:
            ray.init(address=self.address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        except ray.exceptions.AuthenticationError as error:
            raise InputError(
                f"the Ray cluster at {self.address or os.environ.get('RAY_ADDRESS') or 'this machine'} must let ebbing in, but "
                f"says: {error.message.strip().rstrip('.')}. Set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN as on its nodes."
            ) from error
        except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
            raise InputError(
                f"a Ray cluster must answer at {self.address or os.environ.get('RAY_ADDRESS') or 'this machine'}, but none "
                f"does: {_last_line(error)} `ray status --address HOST:PORT` shows whether one does."
            ) from error
        return ray

    def _room(self, ray: Any) -> int:
        """How many runs the nodes that are there now have room for, >= 0."""
        per_run = {"CPU": self.cpus_per_run, "GPU": self.gpus_per_run}
        return sum(
            min(int(node["Resources"].get(name, 0.0) / need + 1e-9) for name, need in per_run.items() if need)
            for node in ray.nodes()
            if node["Alive"]
        )

    def _gpus_change(self, ray: Any) -> bool:
        """Whether a process may be given another GPU for its next run: CUDA stays on the first, which others may have then."""
        counts = {node["Resources"].get("GPU", 0.0) for node in ray.nodes() if node["Alive"]} - {0.0}
        return self.gpus_per_run > 0 and counts != {1.0}

    def _say_if_none_fits(self, ray: Any) -> None:
        """Say so where no node has what a run needs: one may join, and otherwise it is waited for in vain."""
        if self._room(ray):
            return
        nodes = (node["Resources"] for node in ray.nodes() if node["Alive"])
        kinds = sorted({(node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in nodes})
        log.warning(
            "no node of the cluster has room for a run of %g CPUs and %g GPUs: they have %s. Waiting for one that has; where "
            "none joins, press Ctrl-C and ask for less.",
            self.cpus_per_run,
            self.gpus_per_run,
            ", ".join(f"{cpus:g} and {gpus:g}" for cpus, gpus in kinds),
        )

    def _window(self, ray: Any) -> int:
        """How many runs Ray is told of: without a limit twice what there is room for, so that a cluster that grows does."""
        return self.workers or max(2, 2 * self._room(ray))


class _Lately:
    """A function whose answer counts for a while."""

    def __init__(self, function: Callable[[], Any], seconds: float) -> None:
        self.function, self.seconds = function, seconds
        self.asked, self.answer = time.monotonic(), function()

    def __call__(self) -> Any:
        if time.monotonic() - self.asked > self.seconds:
            self.asked, self.answer = time.monotonic(), self.function()
        return self.answer


def _cancel(ray: Any, references: list[Any]) -> None:
    """End the runs that nobody waits for any more, and their processes."""
    if not references or not ray.is_initialized():
        return
    for reference in references:
        ray.cancel(reference, force=True)
    ray.wait(references, num_returns=len(references), timeout=ENDED_WITHIN, fetch_local=False)


def _last_line(error: BaseException) -> str:
    """The last line of a message, as a sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__).rstrip(".") + "."


# ---------------------------------------------------------------- what travels


def _packed(function: Callable[..., Any], payload: Any) -> bytes:
    """Function and payload as bytes; storage that several tensors share is in them once."""
    buffer = io.BytesIO()
    with passable():
        torch.save((function, payload), buffer)
    return buffer.getvalue()


def _setting(marks: Sequence[Path], *, main: bool) -> dict[str, Any]:
    """What a worker must find, and be like, before it can unpack anything.

    Args:
        marks: folders that it must see.
        main: whether something is of the script that was started, which the worker must import then.
    """
    data = spawn.get_preparation_data("ebbing") if main else {}
    return {
        "versions": _versions(),
        "folder": os.getcwd(),
        "path": [os.path.abspath(entry) for entry in sys.path],
        "environment": {name: value for name, value in os.environ.items() if name.startswith("EBBING_")},
        "main": {name: value for name, value in data.items() if name.startswith("init_main_from_")},
        "marks": [str(mark) for mark in marks],
    }


def _versions() -> dict[str, str]:
    return {"Python": platform.python_version(), "ebbing": __version__, "torch": torch.__version__}


@contextmanager
def _marked(folders: Sequence[Path]) -> Iterator[list[Path]]:
    """A hidden folder in each folder, for workers to find; what a killed caller leaves is swept away a day later."""
    marks: list[Path] = []
    try:
        for folder in folders:
            mark = Path(os.path.abspath(folder)) / SCRATCH.replace("*", os.urandom(8).hex())
            mark.mkdir(parents=True)
            marks.append(mark)
        yield marks
    finally:
        for mark in marks:
            if mark.exists():
                mark.rmdir()


def _touch(marks: Sequence[Path]) -> None:
    """Say that marks are in use; one that was taken away is made again, as workers may be yet to look for it."""
    for mark in marks:
        mark.mkdir(parents=True, exist_ok=True)
        os.utime(mark)


def _look_again(folders: Sequence[Path]) -> None:
    """Make a network file system see what other machines have written: to open a folder is to ask the server."""
    left = [str(folder) for folder in folders]
    while left:
        folder = left.pop()
        with suppress(OSError), os.scandir(folder) as entries:
            if (
                os.stat(folder).st_nlink != 2
            ):  # 2: no folder within, so that what is there, ever more files, is not read
                left += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]


# ---------------------------------------------------------------- of a worker


def _run(references: list[Any], name: str, told: bytes) -> bytes:
    """Compute an item: the node, whether it was done, and what came of it, pickled.

    Args:
        references: to the setting and to what is packed, in a list: Ray would fetch and unpack them for every run otherwise.
        name: of the work; what is held of another is let go.
        told: the item, pickled.
    """
    import ray

    global _held
    node = ray.get_runtime_context().get_node_id()
    try:
        if _held is None or _held[0] != name:
            _held = None
            setting, packed = ray.get(references)
            _take_up(setting)
            _held = (name, *torch.load(io.BytesIO(packed), weights_only=False))
        result = _held[1](_held[2], pickle.loads(told))
        return pickle.dumps((node, True, result))
    except BaseException as error:
        return pickle.dumps((node, False, _portable(error)))


def _take_up(setting: Mapping[str, Any]) -> None:
    """Be as the caller is.

    Raises:
        InputError: if this node is not like the caller's.
    """
    own, node = _versions(), platform.node()
    wanted = setting["versions"]
    differing = [f"{name} {own[name]} in place of {wanted[name]}" for name in own if own[name] != wanted[name]]
    if differing:
        raise InputError(f"every node must have the versions of the caller, but {node} has {' and '.join(differing)}.")
    os.environ.update(setting["environment"])
    one_thread()
    unseen = [mark for mark in setting["marks"] if not _is_seen(Path(mark))]
    if unseen:
        raise InputError(
            f"what runs write must be seen by all nodes, but {str(Path(unseen[0]).parent)!r} is not the same folder on {node}. "
            "Put it where all nodes share it, under the same path."
        )
    try:
        os.chdir(setting["folder"])
    except OSError as error:
        raise InputError(
            f"the folder that ebbing is called in must be on every node, but {setting['folder']!r} is not on {node}. Call it "
            "in one that all nodes share."
        ) from error
    script = setting["main"].get("init_main_from_path")
    if script is not None and not os.path.exists(script):
        raise InputError(f"the script that is run must be on every node, but {script!r} is not on {node}.")
    there = [entry for entry in setting["path"] if os.path.exists(entry)]
    sys.path[:] = there + [entry for entry in sys.path if entry not in there]
    spawn.prepare(dict(setting["main"]))


def _is_seen(mark: Path) -> bool:
    """Whether a folder is there, or will be at once where a network file system is slow to show it."""
    end = time.monotonic() + SEEN_WITHIN
    while not mark.is_dir():
        if time.monotonic() > end:
            return False
        for folder in (mark.parent.parent, mark.parent):
            with suppress(OSError):
                os.scandir(folder).close()
        time.sleep(0.2)
    return True


def _portable(error: BaseException) -> BaseException:
    """An exception as it can travel, with where it was raised as a note; one that cannot be pickled as a line of text."""
    where = "".join(traceback.format_exception(error))
    try:
        error.add_note(f"\nIn a worker on {platform.node()}:\n{where}")
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(where)
    return error.with_traceback(None)
