"""``ebbing bank``: retrained models and originals trained by a pool, listed, verified and pruned."""

from __future__ import annotations

import shutil
import time
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.markup import escape
from rich.table import Table

from ebbing import __version__
from ebbing.cli.executing import at_once
from ebbing.cli.run import Options, build_study
from ebbing.cli.screen import make_console, print_line
from ebbing.cli.waiting import RECENT, awaited, said
from ebbing.errors import InputError
from ebbing.files import SCRATCH, STALE
from ebbing.store import Entry, ModelStore, Trained, kept, time_left, train_many
from ebbing.study import ORACLE_SEEDS


def train(options: Options, *, originals: int) -> None:
    """Train retrained models and originals of one request into ``models/`` of the output folder.

    Args:
        options: what is trained on what, and where; without workers here, some together where the options say so.
        originals: how many.

    Raises:
        InputError: if an option cannot be used.
    """
    console = make_console()
    study, trainer = build_study(options)
    request, started = study.request, time.perf_counter()
    parts = [
        (role, data, range(first, first + count))
        for role, data, first, count in (
            ("retrained", request.for_training("retain"), study.seed + ORACLE_SEEDS, options.oracles),
            ("original", request.for_training("everything"), study.seed, originals),
        )
        if count
    ]
    there = [
        kept(trainer, data, seeds, store=study.store, threads=None if options.workers is None else 1)
        for _, data, seeds in parts
    ]
    known = deque((seconds for part in there for seconds in part), maxlen=RECENT)
    runs = at_once(options.workers)
    missing = sum(len(seeds) for _, _, seeds in parts) - sum(map(len, there))
    if missing:
        wait = said(time_left(known, missing, workers=runs)) or "how long it takes is known when the first is there"
        print_line(console, f"{missing} to train, {sum(map(len, there))} are there: {wait}.")
    told: Counter[str] = Counter()
    with awaited(console) as begin:
        for (role, data, seeds), found in zip(parts, there, strict=True):
            done = begin(f"{len(seeds)} {role}", len(seeds), there=len(found), known=known, workers=runs)
            trained: Trained
            for _, trained in train_many(trainer, data, seeds, store=study.store, workers=options.workers):
                told["found" if trained.reused else "trained"] += 1
                done(None if trained.reused else trained.seconds)
                if trained.seconds is not None and not trained.reused:
                    known.append(trained.seconds)
    seconds = time.perf_counter() - started
    speed = f", {60 * told['trained'] / seconds:.1f} a minute" if told["trained"] else ""
    print_line(console, f"{told['trained']} trained{speed}, {told['found']} found again in {study.store.directory}")


def _store(directory: Path) -> ModelStore:
    """The store in a folder, or in ``models/`` of it."""
    found = directory / "models" if (directory / "models").is_dir() else directory
    if not found.is_dir():
        raise InputError(f"a bank must be a folder of stored models, but {str(directory)!r} is none.")
    return ModelStore(found)


def show_entries(directory: Path) -> None:
    """A table of what is there, one line for each training or method."""
    console, store = make_console(), _store(directory)
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for entry in store.entries():
        facts = entry.facts or {}
        role = facts.get("role", "unreadable")
        what = facts.get("method") or facts.get("network", "")
        groups.setdefault((role, what, facts.get("records", ""), facts.get("data", "")[:8]), []).append(entry)
    table = Table("", "what", "records", "data", "models", "seeds", "seconds each")
    for (role, what, records, data), entries in groups.items():
        known = [e.facts for e in entries if e.facts]
        seconds = [float(f["seconds"]) for f in known if "seconds" in f]
        each = f"{sum(seconds) / len(seconds):.1f}" if seconds else ""
        seeds = _ranges([int(f["seed"]) for f in known if f.get("seed", "").isdecimal()])
        table.add_row(*map(escape, (role, what, records, data, str(len(entries)), seeds, each)))
    console.print(table)
    print_line(console, f"{sum(map(len, groups.values()))} models in {store.directory}")


def _ranges(seeds: Sequence[int]) -> str:
    """Whole numbers as ranges.

    Example:
        >>> _ranges([3, 1, 2, 7])
        '1-3, 7'
    """
    parts: list[list[int]] = []
    for seed in sorted(set(seeds)):
        if parts and seed == parts[-1][-1] + 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    return ", ".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)


def verify(directory: Path) -> int:
    """Read every model and compare its digest; 2 if one is not what was written."""
    console, store = make_console(), _store(directory)
    entries = store.entries()
    torn = [entry.key for entry in entries if not store.is_sound(entry.key)]
    for key in torn:
        print_line(console, f"{store.path(key)}: not what was written; `ebbing bank prune` takes it away.")
    print_line(console, f"{len(entries) - len(torn)} of {len(entries)} models are sound.")
    return 2 if torn else 0


def prune(directory: Path, *, dry_run: bool) -> None:
    """Take away what can never be used again: torn models, those of other versions, and what killed writers left."""
    console, store = make_console(), _store(directory)
    reasons: Counter[str] = Counter()
    for entry in store.entries():
        facts = entry.facts or {}
        if not store.is_sound(entry.key):
            reason = "torn"
        elif (facts.get("ebbing"), facts.get("torch")) != (__version__, torch.__version__):
            reason = "of another version of ebbing or torch"
        else:
            continue
        reasons[reason] += 1
        if not dry_run:
            store.remove(entry.key)
    for path in store.directory.glob(SCRATCH):
        if time.time() - path.stat().st_mtime > STALE:
            reasons["abandoned while written"] += 1
            if not dry_run:
                shutil.rmtree(path, ignore_errors=True)
    done = "would be taken away" if dry_run else "taken away"
    told = "; ".join(f"{n} {reason}" for reason, n in reasons.items()) or "nothing"
    print_line(console, f"{told} {done} in {store.directory}")
