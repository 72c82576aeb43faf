"""The paper's experiments (arXiv 2410.22374), cell by cell: what is tried on what, made, kept, and shown as tables."""

from ebbing.paper.grid import PROBLEMS, VARIANTS, Cell, Problem, grid, quick_grid
from ebbing.paper.making import Job, Places, make_cells, prepare
from ebbing.paper.tables import read_cells, tables

__all__ = [
    "PROBLEMS",
    "VARIANTS",
    "Cell",
    "Job",
    "Places",
    "Problem",
    "grid",
    "make_cells",
    "prepare",
    "quick_grid",
    "read_cells",
    "tables",
]
