"""Where the command line prints."""

from rich.console import Console

PIPE_WIDTH = 118  # the comparison table fits; a pipe or a file has no width of its own


def make_console() -> Console:
    """Standard output: as wide as the terminal, and never narrower than the table where it is no terminal."""
    console = Console()
    if not console.is_terminal:
        console.width = max(PIPE_WIDTH, console.width)
    return console
