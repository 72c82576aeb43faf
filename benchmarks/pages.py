"""Pages that are built from the figures under results/: written, or held against what is there."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from ebbing.files import write_text


def write_or_check(made: Mapping[Path, str]) -> None:
    """Write each page; with --check write nothing, and end with exit code 1 where one is not what it would be."""
    if "--check" not in sys.argv[1:]:
        for path, text in made.items():
            write_text(path, text)
        return
    stale = [path.name for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if stale:
        sys.exit(f"Not what results/ says: {', '.join(stale)}. Run python benchmarks/{Path(sys.argv[0]).name}.")
