"""The command line: parse, call, print. Importing it loads neither torch nor the library."""

from ebbing.cli.entry import main

__all__ = ["main"]
