"""``python -m ebbing`` is ``ebbing``."""

from ebbing.cli import main

main()
