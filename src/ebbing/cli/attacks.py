"""From ``--attack`` to membership attacks."""

from __future__ import annotations

from ebbing.attacks import Attack, with_standard
from ebbing.cli.names import find, made


def attacks_of(words: tuple[str, ...]) -> tuple[Attack, ...]:
    """The attacks that are named, to be reported beside the standard ones.

    Args:
        words: ``pkg.mod:Name``, each.

    Raises:
        InputError: if a word names no attack, or one whose name another has.
    """
    found = tuple(made(find(word, {}, "--attack"), Attack, f"--attack {word!r}") for word in words)
    with_standard(found)
    return found
