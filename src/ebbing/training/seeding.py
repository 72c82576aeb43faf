"""The one way to seed: what is drawn inside depends on the seed alone, and disturbs nothing outside."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[torch.Generator]:
    """A generator for the data order, and torch's global generators set by ``seed`` inside and restored after.

    Initialisation and dropout draw from the global generators; the caller's own draws are not disturbed.
    """
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        generator = torch.Generator()
        generator.manual_seed(int(torch.randint(2**62, (1,))))
        yield generator


def stream(seed: int, purpose: str) -> int:
    """A seed of its own for a purpose, in [0, 2^62): what is drawn by it has nothing to do with what ``seed`` drew.

    Unlearning with the seed that the original was trained with must not draw the original's own initialisation again.
    """
    digest = hashlib.blake2b(f"{purpose}/{seed}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 2
