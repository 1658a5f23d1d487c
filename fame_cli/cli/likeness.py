"""The words most like a word that nobody knows, for the hints of errors."""

import difflib
from collections.abc import Iterable

__all__ = ["alike"]


def alike(word: str, known: Iterable[str], most: int = 1) -> list[str]:
    """Return up to `most` of the known words, the likest first; [] if none is near."""
    return difflib.get_close_matches(word, list(known), n=most)
