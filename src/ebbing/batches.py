"""Reading data sets in batches: where they are held as tensors, or can give many records at once; else by a DataLoader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset, default_collate

from ebbing.errors import InputError
from ebbing.resident import kept_at

GATHERED = 16  # batches


class NamedTensors(Dataset[dict[str, Tensor]]):
    """Records that are dicts of tensors, held together as one tensor for each name: tokens, their mask and labels, say.

    Record i is ``{name: tensors[name][i]}``. Batches are gathered where the tensors are held, as those of a `TensorDataset`.

    Args:
        tensors: by name, each of shape (n, ...), with the same n; ``labels`` among them where there are labels.

    Raises:
        InputError: if there is none, or if they are of different lengths.
    """

    def __init__(self, **tensors: Tensor) -> None:
        lengths = {name: len(tensor) for name, tensor in tensors.items()}
        if len(set(lengths.values())) != 1:
            raise InputError(f"named tensors must be at least one and have one length, but have {lengths}.")
        last = {name: tensor for name, tensor in tensors.items() if name == "labels"}
        self.tensors = {name: tensor for name, tensor in tensors.items() if name != "labels"} | last

    def __len__(self) -> int:
        """Number of records."""
        return len(next(iter(self.tensors.values())))

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """One record."""
        return {name: tensor[index] for name, tensor in self.tensors.items()}


class Gathering(Dataset[Any]):
    """Records that lie somewhere else and are read many at a time, such as in a file that does not fit in memory.

    A subclass gives `gather`, ``labels`` and a length; batches of it and of any nesting of `Subset` around it are then single
    readings. It must be something that pickle knows, and better pickles where the records lie than what they hold.

    Attributes:
        labels: (n, ...) of all records, as `gather` gives them.
    """

    labels: Tensor

    def gather(self, positions: Tensor) -> tuple[Tensor, ...] | dict[str, Tensor]:
        """The records at (m,) int64 positions in [0, n), in that order: (m, ...) for each of their parts, labels last."""
        raise NotImplementedError

    def __len__(self) -> int:
        """Number of records."""
        return len(self.labels)

    def __getitem__(self, index: int) -> Any:
        """One record."""
        n = len(self)
        if not -n <= index < n:
            raise IndexError(f"there are {n} records, from 0 on, but record {index} is asked for")
        parts = self.gather(torch.tensor([index % n]))
        return (
            {name: part[0] for name, part in parts.items()} if isinstance(parts, dict) else tuple(p[0] for p in parts)
        )


def size(dataset: Dataset[Any]) -> int:
    """Number of records of a map-style data set.

    Raises:
        InputError: if the data set has no length (an iterable one cannot be asked for record number i).
    """
    try:
        return len(dataset)  # type: ignore[arg-type]
    except TypeError:
        raise InputError(
            f"a data set must have a length and be indexed by position, but {type(dataset).__name__} has no "
            "length. Wrap it in a map-style torch.utils.data.Dataset."
        ) from None


def held(dataset: Dataset[Any]) -> tuple[tuple[Tensor, ...], Tensor | None] | None:
    """The tensors behind a data set and the positions it shows of them, where it is held as tensors.

    Returns:
        ``(tensors, positions)`` for a `TensorDataset`, `NamedTensors` or any nesting of `Subset` around one, with
        ``positions`` (n,) int64 or None for all, and labels the last of the tensors; None for any other data set.
    """
    if type(dataset) is TensorDataset:
        return dataset.tensors, None
    if type(dataset) is NamedTensors:
        return tuple(dataset.tensors.values()), None
    if type(dataset) is Subset:
        below = held(dataset.dataset)
        if below is None:
            return None
        positions = _positions(dataset)
        tensors, inner = below
        return tensors, positions if inner is None else inner[positions]
    return None


def gathered(dataset: Dataset[Any]) -> tuple[Gathering, Tensor] | None:
    """The data set that gives many records at once, and (n,) int64 positions shown of it; None for any other data set."""
    if isinstance(dataset, Gathering):
        return dataset, torch.arange(len(dataset))
    if type(dataset) is Subset:
        below = gathered(dataset.dataset)
        return None if below is None else (below[0], below[1][_positions(dataset)])
    return None


def part_of(dataset: Dataset[Any], positions: Tensor) -> Subset[Any]:
    """A subset that remembers its (n,) int64 positions as a tensor: to list a million of them for every pass takes time."""
    part = Subset(dataset, positions.tolist())
    part.ebbing_positions = positions  # type: ignore[attr-defined]
    return part


def _positions(subset: Subset[Any]) -> Tensor:
    """(n,) int64 the positions of a subset."""
    known = getattr(subset, "ebbing_positions", None)
    return known if isinstance(known, Tensor) else torch.as_tensor(subset.indices, dtype=torch.int64)


def names_of(dataset: Dataset[Any]) -> tuple[str, ...] | None:
    """The names of the tensors that `held` gives, None where they have none."""
    while type(dataset) is Subset:
        dataset = dataset.dataset
    return tuple(dataset.tensors) if type(dataset) is NamedTensors else None


def evenly(dataset: Dataset[Any], n: int) -> Dataset[Any]:
    """At most ``n`` records of a data set, evenly spaced, the same at every call."""
    total = size(dataset)
    if total <= n:
        return dataset
    return Subset(dataset, torch.linspace(0, total - 1, n, dtype=torch.float64).long().tolist())


def spans(n: int, batch_size: int) -> list[tuple[int, int]]:
    """Where batches of ``n`` records start and stop; a last batch of one is joined to the one before.

    Batch normalisation cannot train on a single example.

    Example:
        >>> spans(7, 3), spans(8, 3)
        ([(0, 3), (3, 7)], [(0, 3), (3, 6), (6, 8)])
    """
    stops = [*range(batch_size, n, batch_size), n]
    if batch_size > 1 and n > batch_size and n % batch_size == 1:
        del stops[-2]
    return list(zip([0, *stops[:-1]], stops, strict=True))


def iterate(
    dataset: Dataset[Any],
    *,
    batch_size: int,
    order: Tensor | None = None,
    cuts: Sequence[tuple[int, int]] | None = None,
    at: torch.device | None = None,
) -> Iterator[Any]:
    """Batches of a data set, see `spans`; the last one is possibly smaller.

    Args:
        dataset: map-style data set.
        batch_size: records per batch, >= 1.
        order: (m,) int64 positions to visit in this order; all of them in their own order if None.
        cuts: where batches start and stop, one after the other, in place of those of ``batch_size``.
        at: the device that they are read for: what is held as tensors is kept there, see `ebbing.resident`.

    Yields:
        A tuple of tensors where the data set is held as tensors, a dict of them where they have names, what its `gather`
        gives where it has one, else what torch's default collation makes.

    Raises:
        InputError: if records cannot be put together.
    """
    source = held(dataset)
    elsewhere = gathered(dataset) if source is None else None
    if elsewhere is not None:
        there, places = elsewhere
        places = places if order is None else places[order]
        for start, stop in cuts or spans(len(places), batch_size):
            yield there.gather(places[start:stop])
        return
    if source is None:
        records = dataset if order is None else Subset(dataset, order.tolist())
        # a generator of its own: without one the loader draws from the global one
        batches = [range(start, stop) for start, stop in cuts or spans(size(records), batch_size)]
        yield from DataLoader(records, batch_sampler=batches, collate_fn=_collated, generator=torch.Generator())  # type: ignore[arg-type]
        return
    tensors, positions = source
    tensors = kept_at(tensors, at)
    names = names_of(dataset)
    if order is not None:
        positions = order if positions is None else positions[order]
    n = len(tensors[0]) if positions is None else len(positions)
    cuts = cuts or spans(n, batch_size)
    if positions is None:
        for start, stop in cuts:
            yield _batch(names, [t[start:stop] for t in tensors])
        return
    for first in range(0, len(cuts), GATHERED):  # one gathering for many batches costs fewer calls, and little memory
        some = cuts[first : first + GATHERED]
        base = some[0][0]
        index = positions[base : some[-1][1]]
        rows = [t.index_select(0, index.to(t.device)) for t in tensors]
        for start, stop in some:
            yield _batch(names, [t[start - base : stop - base] for t in rows])


def _collated(records: list[Any]) -> Any:
    """Records as a batch, by torch's default collation; what that cannot or would not put together is refused."""
    texts = isinstance(records[0], Mapping) and isinstance(records[0].get("input_ids"), (list, tuple))
    reason = "the tokens of a text are a list" if texts else ""
    if not texts:
        try:
            return default_collate(records)
        except (RuntimeError, TypeError) as error:
            reason = str(error).partition("\n")[0].rstrip(".")
    raise InputError(
        f"the parts of records must be numbers, or tensors or arrays of one shape, to be put into a batch, but: {reason}. Fill "
        "texts up to one length; ebbing.data.tensors_of_columns does it for a data set of the datasets library."
    )


def _batch(names: tuple[str, ...] | None, parts: list[Tensor]) -> tuple[Tensor, ...] | dict[str, Tensor]:
    """The parts of a batch in the form of the data set's records."""
    return tuple(parts) if names is None else dict(zip(names, parts, strict=True))


def epoch_orders(n: int, *, examples: int, generator: torch.Generator) -> Iterator[Tensor]:
    """One random order of ``n`` positions for each epoch, the last cut short, ``examples`` positions altogether."""
    left = examples
    while left > 0:
        order = torch.randperm(n, generator=generator)[:left]
        left -= len(order)
        yield order
