"""One model on several processes: each reads its share of every batch, and all end with the same weights (Accelerate)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Dataset, Subset

from ebbing.batches import iterate, size, spans
from ebbing.errors import InputError
from ebbing.fsdp import (
    VERSION_1,
    Layout,
    is_laid_out,
    laid_out,
    layout_of,
    not_heeded,
    refuse,
    told_to_shard,
    whole_when_loaded,
)

Cuts = list[tuple[int, int]]

# what Accelerate leaves on a model for its precision
PREPARED = ("forward", "_original_forward", "_is_accelerate_prepared")


@dataclass(frozen=True)
class Ranks:
    """The processes that share the work on one model.

    Attributes:
        rank: number of this one, in [0, size).
        size: how many there are, >= 2.
        accelerator: `accelerate.Accelerator`, which wraps the model and carries the gradients.
        layout: how the parameters of a model that runs lie in parts on the processes; None where each has them all.
    """

    rank: int
    size: int
    accelerator: Any
    layout: Layout | None = None

    @contextmanager
    def wrapped(self, model: nn.Module) -> Iterator[nn.Module]:
        """A model whose backward pass averages gradients over all processes.

        Without a layout the parameters are the model's own. With one they are others inside, and the model itself is changed.

        Raises:
            InputError: if a model that stays whole does not lie where its process computes.
        """
        if self.layout is not None:
            with self.in_parts(model, trained=True):
                yield model
            return
        own = self.accelerator.device.type
        elsewhere = next((p.device.type for p in model.parameters() if p.device.type != own), None)
        if elsewhere is not None:
            raise InputError(
                f"a model that each process has whole must lie on its device, {own}, but lies on {elsewhere}. Make it there: "
                f'Trainer(..., device="{own}") and model.to("{own}") take that of the process.'
            )
        held: list[Any] = getattr(
            self.accelerator, "_models", []
        )  # accelerate keeps what it has prepared: they would add up
        before = len(held)
        own_forward = {name: vars(model)[name] for name in PREPARED if name in vars(model)}
        found: nn.Module = self.accelerator.prepare_model(model, device_placement=False)
        try:
            yield found
        finally:
            del held[before:]
            for name in PREPARED:
                vars(model).pop(name, None)
            vars(model).update(own_forward)

    def settle(self, whole: nn.Module) -> None:
        """Finish the gradients of a wrapped model after a backward pass that did not reach all parameters.

        `DistributedDataParallel` averages none before it has all. What no loss reached on this process counts as 0; what none
        reached on any process has no gradient, so that optimizers leave it alone as they do on one process.
        """
        if not isinstance(whole, DistributedDataParallel) or whole.find_unused_parameters or whole.static_graph:
            return  # nothing waits for others, or it looks for such parameters itself
        trained = [p for p in whole.parameters() if p.requires_grad]
        idle = [p.grad is None for p in trained]
        unreached = [p for p, rests in zip(trained, idle, strict=True) if rests]
        if unreached:
            torch.autograd.backward(unreached, [torch.zeros_like(p) for p in unreached])
        (processes,) = total([torch.tensor(idle, dtype=torch.float64)])
        for parameter, resting in zip(trained, processes.tolist(), strict=True):
            if resting == self.size:
                parameter.grad = None

    @contextmanager
    def in_parts(self, model: nn.Module, *, trained: bool) -> Iterator[None]:
        """Inside, each process holds a part of every parameter; nothing is other without a layout."""
        if self.layout is None:
            yield
            return
        if not is_laid_out(model):
            refuse(model, kinds=self.layout.kinds)
            agreed(_in_short(model), what="the weights of a model whose parameters are to lie in parts on processes")
        with laid_out(model, self.layout, trained=trained):
            yield

    def share(self, n: int) -> range:
        """Which of n records or rows are this process's: n // size or one more, one after the other.

        Example:
            >>> [list(Ranks(rank, 2, None).share(5)) for rank in (0, 1)]
            [[0, 1], [2, 3, 4]]
        """
        return range(self.rank * n // self.size, (self.rank + 1) * n // self.size)


_current: ContextVar[Ranks | None] = ContextVar("ranks", default=None)


def current() -> Ranks | None:
    """The processes that share the work here; None where there is one."""
    return _current.get()


def in_parts() -> bool:
    """Whether models that run lie in parts on several processes here."""
    ranks = current()
    return ranks is not None and ranks.layout is not None


@contextmanager
def data_parallel(accelerator: Any = None, *, sharded: bool = False) -> Iterator[bool]:
    """Inside, every process that `accelerate launch` started takes its share of each batch of a training.

    A step is that of a single process with the same batch: losses and gradients are means over the whole batch, however it was
    shared out, so that weights agree to rounding (1e-5 is tested) where nothing is drawn in the forward pass. Dropout draws by
    a seed of its own on each process. Statistics of units, accuracies and observations are added up as sums and counts.
    Everything else, such as the choice of batches, the decay and an audit, each process does alike. Some methods read forgotten
    records beside each batch: every process reads them all, and they are counted as often.

    Every process must make the same calls, with the same data and seeds. Models and stores are those of one process: weights
    that were written here are read there, and the other way round; a store must lie where all processes can read it. On GPUs
    a whole model must lie on that of its process, which ``device="cuda"`` is. Batch normalisation sees its own share alone:
    take `torch.nn.SyncBatchNorm` on GPUs, or a norm that does not look at batches.

    With ``sharded``, or under ``accelerate launch --use_fsdp --fsdp_version 2``, the parameters of a transformer lie in parts
    on the processes while it is trained, observed or read by a ranking, with their gradients and the states of the optimizer
    (PyTorch's FSDP2): a block is gathered when it runs, and let go. Before and after that the model is whole and plain, in
    memory of each process: leave it on the processor (``device="cpu"``), and it runs on Accelerate's device. Decay acts on the
    whole model there: one product a weight, the same on every process, so that nothing has to be sent and the factors are
    exact. So do the search for units, rankings and methods that take gradients of single weights (`WeightImportance`, `SalUn`,
    `MSG`), and the teachers of methods that ask one. A model without blocks is gathered as one.

    Args:
        accelerator: yours, where there is one, with its precision and its plugins; by default a plain one. A precision of bf16
            holds for a model that stays whole while it is trained, and not for what is measured.
        sharded: whether parameters lie in parts on the processes, also where Accelerate was not told.

    Yields:
        Whether this is the process that should print and write: True on exactly one.

    Raises:
        InputError: if accelerate is not installed, or its precision or its FSDP plugin asks for what is not done here.

    Example:
        >>> import ebbing as eb
        >>> with eb.data_parallel() as first:  # with one process, nothing is other than outside
        ...     first
        True
    """
    if accelerator is None:
        try:
            from accelerate import Accelerator
        except ImportError as error:
            raise InputError(
                "several processes share a model by means of accelerate, which is not installed. Install it: pip install "
                "'ebbing[parallel]'."
            ) from error
        if (
            told_to_shard() and os.environ.get("FSDP_VERSION", "2") != "2"
        ):  # without GPUs, Accelerate fails in other words
            raise not_heeded([VERSION_1])
        accelerator = Accelerator(cpu=not torch.accelerator.is_available())
    processes = accelerator.num_processes
    layout = layout_of(accelerator, sharded=sharded) if processes > 1 else None
    if processes > 1 and layout is None and accelerator.mixed_precision not in ("no", "bf16"):
        raise InputError(
            "the precision in which several processes train a model that each has whole must be bf16 or none, but is "
            f"{accelerator.mixed_precision}. Leave it out, and take the task eb.MixedPrecision() for bf16."
        )
    ranks = Ranks(accelerator.process_index, processes, accelerator, layout) if processes > 1 else None
    token = _current.set(ranks)
    try:
        with whole_when_loaded() if layout is not None else nullcontext():
            yield accelerator.is_main_process
            wait()
    finally:
        _current.reset(token)


def _in_short(model: nn.Module) -> str:
    """A name for the weights of a model: the same for the same bits."""
    sums = torch.stack([p.detach().double().sum().cpu() for p in model.parameters()])
    return hashlib.blake2b(sums.numpy().tobytes(), digest_size=6).hexdigest()


@contextmanager
def shared_out(model: nn.Module) -> Iterator[nn.Module]:
    """The model to run forward and backward: wrapped where several processes share the work, else the model itself."""
    ranks = current()
    with nullcontext(model) if ranks is None else ranks.wrapped(model) as whole:
        yield whole


@contextmanager
def read_in_parts(model: nn.Module) -> Iterator[None]:
    """Inside, a model that is run but not trained lies in parts where that is asked for; all must run it equally often."""
    ranks = current()
    with nullcontext() if ranks is None else ranks.in_parts(model, trained=False):
        yield


def wait() -> None:
    """Until every process is here."""
    ranks = current()
    if ranks is not None:
        ranks.accelerator.wait_for_everyone()


def writes() -> bool:
    """Whether this process should write what all of them have."""
    ranks = current()
    return ranks is None or ranks.rank == 0


def total(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Sums over all processes of tensors that each has its part of; the tensors themselves where there is one process."""
    ranks, found = current(), list(tensors)
    if ranks is None:
        return found
    moved = [tensor.detach().to(ranks.accelerator.device, copy=True) for tensor in found]
    for tensor in moved:
        distributed.all_reduce(tensor)
    return [tensor.to(given.device) for tensor, given in zip(moved, found, strict=True)]


def joined(rows: Sequence[np.ndarray]) -> np.ndarray:
    """The rows of all processes one after the other, in the order of `Ranks.share`.

    Args:
        rows: those of this process, (m, ...) for each of its batches; none where it had no share.
    """
    ranks = current()
    if ranks is None:
        return np.concatenate(rows)
    parts: list[Any] = [None] * ranks.size
    distributed.all_gather_object(parts, list(rows))
    return np.concatenate([row for part in parts for row in part])


def agreed(value: object, *, what: str) -> None:
    """Refuse to go on where processes have not the same, as they would then wait for one another for ever.

    Raises:
        InputError: on every process, if they differ.
    """
    ranks = current()
    if ranks is None:
        return
    found: list[Any] = [None] * ranks.size
    distributed.all_gather_object(found, value)
    if any(other != found[0] for other in found):
        raise InputError(f"{what} must be the same on every process, but the {ranks.size} have {found}.")


def batches_of_share(
    dataset: Dataset[Any], *, batch_size: int, reader: nn.Module | None = None
) -> Iterator[tuple[Any, bool]]:
    """Batches of the records that this process reads for a statistic, and whether they count.

    Those that count are together the data set. Where models lie in parts all processes must run them equally often: one that is
    through before others reads a record again, which does not count.

    Args:
        dataset: map-style.
        batch_size: records per batch.
        reader: the model that reads them; they are kept on its device where they are held as tensors.
    """
    at = None if reader is None else next((p.device for p in reader.parameters()), None)
    ranks, n = current(), size(dataset)
    mine = range(n) if ranks is None else ranks.share(n)
    if mine:
        for batch in iterate(dataset if ranks is None else Subset(dataset, mine), batch_size=batch_size, at=at):
            yield batch, True
    if ranks is not None and ranks.layout is not None:
        most, own = (len(spans(part, batch_size)) if part else 0 for part in (-(-n // ranks.size), len(mine)))
        for _ in range(most - own):
            yield next(iter(iterate(Subset(dataset, range(1)), batch_size=1))), False


def whole_batches_of_share(dataset: Dataset[Any], *, batch_size: int) -> Iterator[Any]:
    """Every so many-th batch of a data set, for what depends on how batches are made up; together they are all."""
    ranks = current()
    if ranks is None:
        yield from iterate(dataset, batch_size=batch_size)
        return
    mine = spans(size(dataset), batch_size)[ranks.rank :: ranks.size]
    if mine:
        stops = np.cumsum([stop - start for start, stop in mine]).tolist()
        order = torch.cat([torch.arange(start, stop) for start, stop in mine])
        yield from iterate(
            dataset, batch_size=batch_size, order=order, cuts=list(zip([0, *stops], stops, strict=False))
        )


def share_of_batches(order: Tensor, cuts: Cuts) -> tuple[Tensor, Cuts, Sequence[bool]]:
    """This process's part of each batch of an order.

    Args:
        order: (m,) positions.
        cuts: where batches start and stop in it.

    Returns:
        The positions that are read here, where the parts start and stop in them, and whether each part counts: where a batch
        has fewer records than there are processes, one is read that does not, so that all processes do the same steps.
    """
    ranks = current()
    if ranks is None:
        return order, cuts, [True] * len(cuts)
    rows, parts, counts, place = [], [], [], 0
    for start, stop in cuts:
        mine = ranks.share(stop - start)
        counts.append(len(mine) > 0)
        chosen = order[start + mine.start : start + mine.stop] if mine else order[start : start + 1]
        rows.append(chosen)
        parts.append((place, place + len(chosen)))
        place += len(chosen)
    return torch.cat(rows), parts, counts


@contextmanager
def own_draws(seed: int) -> Iterator[None]:
    """Inside, torch's global generators draw by a seed of this process's own; outside they go on as if nothing were drawn."""
    ranks = current()
    if ranks is None:
        yield
        return
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        if ranks.rank:
            torch.manual_seed(seed)
        yield
