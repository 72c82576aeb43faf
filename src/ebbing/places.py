"""Where an experiment of many cells keeps its figures, and what is large."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class HasPath(Protocol):
    """A cell, or whatever else has figures of its own."""

    @property
    def path(self) -> str:
        """Where its figures are, below those of all."""


@dataclass(frozen=True)
class Folders:
    """Where the things of an experiment are; each adds places of its own.

    Attributes:
        results: the small files of figures.
        work: weights and what was seen of models; large, and made again where it is missing.
        data_dir: of image files; None searches for them.
        command: what the figures say they were made by.
    """

    results: Path
    work: Path
    data_dir: Path | None = None
    command: str | None = None

    def cell(self, cell: HasPath) -> Path:
        """The figures of a cell."""
        return self.results / cell.path
