"""SHA-256 of files, without loading anything that reads them otherwise."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

LARGEST_HEADER = 100 << 20  # bytes, as safetensors itself has it


def file_digest(path: Path) -> str:
    """64 hexadecimal digits of the bytes of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_digest(path: Path) -> str:
    """64 hexadecimal digits of a file of weights, the same for the same header and tensors.

    The header of a file of safetensors is taken with its names in order, since the library writes what is said about the
    tensors in any order; what follows it, byte for byte. Any other file has the digest of its bytes.
    """
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        try:
            header = json.loads(file.read(length)) if length <= LARGEST_HEADER else None
        except ValueError:
            header = None
        if not isinstance(header, dict):
            file.seek(0)
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256(json.dumps([length, header], sort_keys=True).encode())
        while block := file.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()
