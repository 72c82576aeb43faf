"""A pool of processes, one thread each: the same bits as anywhere with one thread, and no process in another's way."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any, TypeVar

import torch.multiprocessing  # teaches pickle to share tensors instead of copying them

from ebbing.allocator import keep_freed_memory
from ebbing.errors import InputError
from ebbing.parallel import current

Item = TypeVar("Item")
Result = TypeVar("Result")

_payload: Any = None  # of a worker: what all its items are computed from


def compute(
    function: Callable[[Any, Item], Result], payload: Any, items: Sequence[Item], *, workers: int
) -> Iterator[tuple[Item, Result]]:
    """``(item, function(payload, item))`` for each item, as they are finished.

    The workers are started afresh (not forked), run one thread, and end when the caller does, however it ends: on an
    error, on Ctrl-C, or killed. What they should leave behind they write themselves, whole or not at all.

    Args:
        function: importable by name, as ``payload`` and ``items`` must be things that pickle knows.
        payload: passed once to each worker; tensors in it are shared, not copied.
        items: small.
        workers: processes, >= 1.

    Raises:
        InputError: if something cannot be passed to another process, or a worker was killed (out of memory?).
    """
    if workers < 1:
        raise InputError(f"`workers` must be at least 1 process, but is {workers}.")
    if current() is not None:
        raise InputError(
            "either each model is trained by several processes (data_parallel), or each process trains models of its own "
            "(`workers`), but both are asked for. Leave `workers` out."
        )
    if not items:
        return
    _check_picklable(payload)
    context = get_context("spawn")
    ends, ours = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(
        min(workers, len(items)), mp_context=context, initializer=_begin, initargs=(payload, ends)
    )
    try:
        with _ctrl_c_held():  # a worker that is still importing would print a traceback
            waiting = {pool.submit(_call, function, item): item for item in items}
        for done in as_completed(waiting):
            yield waiting[done], done.result()
    except BrokenProcessPool as error:
        raise InputError(
            "a worker process ended before its work was done, perhaps killed for want of memory. What was finished is kept; "
            "use fewer --workers."
        ) from error
    finally:
        ours.close()  # the workers see it and leave, whatever they are at
        ends.close()
        pool.shutdown(wait=True, cancel_futures=True)


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


def _check_picklable(payload: Any) -> None:
    try:
        ForkingPickler.dumps(payload)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InputError(
            f"what is computed in other processes must be importable by name, but: {error}. Define the network, the task and "
            "the data set at the top level of a module, or use no workers."
        ) from error


def _begin(payload: Any, ends: Connection) -> None:
    """Set up a worker."""
    global _payload
    _payload = payload
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller is interrupted as well, and closes the pipe
    threading.Thread(target=_leave_with_caller, args=(ends,), daemon=True).start()
    torch.set_num_threads(1)
    keep_freed_memory()


def _leave_with_caller(ends: Connection) -> None:
    """End this process as soon as the caller closes its end of the pipe or is gone."""
    caller = parent_process()
    wait([ends] if caller is None else [ends, caller.sentinel])
    os._exit(1)


def _call(function: Callable[[Any, Item], Result], item: Item) -> Result:
    return function(_payload, item)
