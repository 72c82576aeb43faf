"""The one way to seed: what is drawn inside depends on the seed alone, and disturbs nothing outside."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"  # without it products of matrices on CUDA may differ from run to run


@contextmanager
def seeded(seed: int) -> Iterator[torch.Generator]:
    """A generator for the data order, and torch's global generators set by ``seed`` inside and restored after.

    Initialisation and dropout draw from the global generators; the caller's own draws are not disturbed. On CUDA torch's
    deterministic algorithms are used inside, so that a seed gives the same bits there as well; where an operation has none,
    torch warns and takes what there is, as it does for fused attention. After ``torch.use_deterministic_algorithms(True)``
    attention is deterministic as well, and an operation that has no such algorithm is refused by torch.
    """
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices), _deterministic(bool(devices)):
        torch.manual_seed(seed)
        generator = torch.Generator()
        generator.manual_seed(int(torch.randint(2**62, (1,))))
        yield generator


@contextmanager
def _deterministic(on: bool) -> Iterator[None]:
    """Torch's deterministic algorithms inside, and its setting as it was afterwards."""
    if on:
        os.environ.setdefault(WORKSPACE, ":4096:8")  # read when the first product is made
    if not on or torch.are_deterministic_algorithms_enabled():
        yield
        return
    searched = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False  # it would choose algorithms by the clock
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.benchmark = searched


def stream(seed: int, purpose: str) -> int:
    """A seed of its own for a purpose, in [0, 2^62): what is drawn by it has nothing to do with what ``seed`` drew.

    Unlearning with the seed that the original was trained with must not draw the original's own initialisation again.
    """
    digest = hashlib.blake2b(f"{purpose}/{seed}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 2
