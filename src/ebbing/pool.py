"""Many runs that do not need each other: where they go, and a pool of processes of one thread each on this machine.

One thread each gives the same bits as anywhere with one thread, and no process is in another's way.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from multiprocessing.synchronize import Semaphore
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

import threadpoolctl
import torch.multiprocessing  # teaches pickle to share tensors instead of copying them

from ebbing.allocator import keep_freed_memory
from ebbing.errors import InputError
from ebbing.parallel import current

Item = TypeVar("Item")
Result = TypeVar("Result")

RETRIES = 3  # how often runs are begun again that lost their process, and nothing was finished in between

log = logging.getLogger(__name__)

_payload: Any = None  # of a worker: what all its items are computed from


class Executor(Protocol):
    """Where many runs go that do not need each other; each has one thread of torch and of the libraries of linear algebra.

    The same seeds give the same bits on the same hardware, whichever executor and however many workers.
    """

    @property
    def at_once(self) -> int:
        """How many runs there may be at once, >= 1: what the time that is left is told by."""

    def compute(
        self,
        function: Callable[[Any, Item], Result],
        payload: Any,
        items: Sequence[Item],
        *,
        folders: Sequence[Path] = (),
    ) -> Iterator[tuple[Item, Result]]:
        """``(item, function(payload, item))`` for each item, as they are finished; see `compute`."""


Workers: TypeAlias = int | Executor


def executor_of(workers: Workers) -> Executor:
    """The executor that is meant: a number is that of processes on this machine."""
    return LocalExecutor(workers) if isinstance(workers, int) else workers


def compute(
    function: Callable[[Any, Item], Result],
    payload: Any,
    items: Sequence[Item],
    *,
    workers: Workers,
    folders: Sequence[Path] = (),
) -> Iterator[tuple[Item, Result]]:
    """``(item, function(payload, item))`` for each item, as they are finished.

    No more results are held than there are runs at once. What workers should leave behind they write themselves, whole or not
    at all: whoever is killed, what was finished stays.

    Args:
        function: importable by name, as ``payload`` and ``items`` must be things that pickle knows.
        payload: passed once to each worker, never with the items.
        items: small.
        workers: where the runs go: a number of processes on this machine, or an executor.
        folders: where the runs write what others read. An executor on several machines refuses those that are not shared.

    Raises:
        InputError: if something cannot be passed to another process, workers cannot start, or they were killed again and again
            (out of memory?).
    """
    if current() is not None:
        raise InputError(
            "either each model is trained by several processes (data_parallel), or each process trains models of its own "
            "(`workers`), but both are asked for. Leave `workers` out."
        )
    return executor_of(workers).compute(function, payload, items, folders=folders)


@dataclass(frozen=True)
class LocalExecutor:
    """Processes on this machine.

    They are started afresh (not forked), and end when the caller does, however it ends: on an error, on Ctrl-C, or killed.
    If one of them is killed, the runs that were under way are begun again in new ones.

    Attributes:
        workers: processes, >= 1.
    """

    workers: int = 1

    def __post_init__(self) -> None:
        """Refuse no workers."""
        if self.workers < 1:
            raise InputError(f"`workers` must be at least 1 process, but is {self.workers}.")

    def __str__(self) -> str:
        """In words.

        Example:
            >>> str(LocalExecutor(2))
            'in 2 processes'
        """
        return f"in {self.workers} process{'es' * (self.workers > 1)}"

    @property
    def at_once(self) -> int:
        """How many runs there are at once."""
        return self.workers

    def compute(
        self,
        function: Callable[[Any, Item], Result],
        payload: Any,
        items: Sequence[Item],
        *,
        folders: Sequence[Path] = (),
    ) -> Iterator[tuple[Item, Result]]:
        """``(item, function(payload, item))`` for each item, as they are finished; tensors of the payload are shared.

        Args:
            function: see `ebbing.pool.compute`.
            payload: likewise.
            items: likewise.
            folders: not looked at: one machine shares them with itself.

        Raises:
            InputError: if something cannot be passed on, processes cannot start, or they were killed 4 times with nothing
                finished in between.
        """
        if not items:
            return
        _check_picklable(payload)
        left, lost = deque(items), 0
        while left:
            try:
                for done in self._by_a_pool(function, payload, left):
                    lost = 0
                    yield done
            except BrokenProcessPool as error:
                lost += 1
                if lost > RETRIES:
                    raise InputError(
                        f"worker processes ended {lost} times before their work was done, perhaps killed for want of memory. "
                        "What was finished is kept; use fewer --workers."
                    ) from error
                log.warning("a worker process was killed; what was under way is begun again.")

    def _by_a_pool(
        self, function: Callable[[Any, Item], Result], payload: Any, left: deque[Item]
    ) -> Iterator[tuple[Item, Result]]:
        """Take items from ``left`` and compute them; what is not finished when the pool breaks is put back there.

        Raises:
            BrokenProcessPool: if a process ended before its work was done.
            InputError: if one ended before any was ready to work.
        """
        context = get_context("spawn")
        ends, ours = context.Pipe(duplex=False)
        ready = context.Semaphore(0)  # raised by each process that has started; who is killed leaves it whole
        pool = ProcessPoolExecutor(
            min(self.workers, len(left)), mp_context=context, initializer=_begin, initargs=(payload, ends, ready)
        )
        processes = pool._processes  # it forgets them when it is shut down
        flying: dict[Future[Result], Item] = {}
        try:
            while left or flying:
                self._submit(pool, function, left, flying)
                broken = None
                for future in wait(flying, return_when=FIRST_COMPLETED).done:
                    item = flying.pop(future)
                    if isinstance(future.exception(), BrokenProcessPool):
                        left.appendleft(item)
                        broken = future.exception()
                    else:
                        yield item, future.result()
                if broken is not None:
                    raise broken
        except BrokenProcessPool as error:
            left.extendleft(flying.values())
            if ready.acquire(block=False):
                raise
            ours.close()
            pool.shutdown()  # all have an exit code then
            raise _not_started([process.exitcode for process in processes.values()]) from error
        finally:
            ours.close()  # the workers see it and leave, whatever they are at
            ends.close()
            pool.shutdown(wait=True, cancel_futures=True)

    def _submit(
        self,
        pool: ProcessPoolExecutor,
        function: Callable[[Any, Item], Result],
        left: deque[Item],
        flying: dict[Future[Result], Item],
    ) -> None:
        """Keep one item ready for each worker beside the one that it is at."""
        with _ctrl_c_held():  # a worker that is still importing would print a traceback
            while left and len(flying) < 2 * self.workers:
                try:
                    future = pool.submit(_call, function, left[0])
                except BrokenProcessPool:
                    if not flying:
                        raise
                    return  # those that are under way say so, too
                flying[future] = left.popleft()


@contextmanager
def _ctrl_c_held() -> Iterator[None]:
    """SIGINT waits until the end here, and for good in the processes that are started meanwhile."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    came: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))  # where another thread meets it
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # what a new process inherits
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
        if came:
            signal.raise_signal(signal.SIGINT)


@contextmanager
def passable() -> Iterator[None]:
    """Say what pickle complains of as an error of the user's.

    Raises:
        InputError: if something within cannot be pickled.
    """
    try:
        yield
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InputError(
            f"what is computed in other processes must be importable by name, but: {error}. Define the network, the task and "
            "the data set at the top level of a module, or use no workers."
        ) from error


def _check_picklable(payload: Any) -> None:
    with passable():
        ForkingPickler.dumps(payload)


def one_thread() -> None:
    """Set up the process of a worker: one thread of torch, and of libraries of linear algebra, loaded or to be loaded."""
    torch.set_num_threads(1)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    threadpoolctl.threadpool_limits(1)
    keep_freed_memory()


def _not_started(codes: Sequence[int | None]) -> InputError:
    """What to say of processes that ended before any was ready; the others of their pool are terminated with the first."""
    own = [code for code in codes if code != -signal.SIGTERM] or codes
    return InputError(
        f"worker processes must be able to start, but one ended with exit code {own[0]} before it took up any work. Usual "
        "causes: the script that was started, which workers import, has work of its own at the top level; put that under "
        '`if __name__ == "__main__":`. Or the worker was killed for want of memory (exit code -9); use fewer `workers`. '
        "Whatever else stopped it, it has printed above. What was finished is kept."
    )


def _begin(payload: Any, ends: Connection, ready: Semaphore) -> None:
    """Set up a worker."""
    global _payload
    _payload = payload
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller is interrupted as well, and closes the pipe
    threading.Thread(target=_leave_with_caller, args=(ends,), daemon=True).start()
    one_thread()
    ready.release()


def _leave_with_caller(ends: Connection) -> None:
    """End this process as soon as the caller closes its end of the pipe or is gone."""
    caller = parent_process()
    connection.wait([ends] if caller is None else [ends, caller.sentinel])
    os._exit(1)


def _call(function: Callable[[Any, Item], Result], item: Item) -> Result:
    return function(_payload, item)
