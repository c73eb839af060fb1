"""Names that were probably meant by one that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LONGEST_NAME = 200  # characters; the search takes the square of them


def closest(name: str, known: Iterable[str], most: int = 1, cutoff: float = 0.6) -> list[str]:
    """At most `most` of the known names, the most alike first, in any case; `cutoff` says how alike, from 0 to 1."""
    if len(name) > _LONGEST_NAME:
        return []
    lowered = {item.lower(): item for item in known}
    return [lowered[found] for found in difflib.get_close_matches(name.lower(), lowered, n=most, cutoff=cutoff)]


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """`; did you mean 'x'?`, or nothing where no known name is close."""
    found = closest(name, known, cutoff=cutoff)
    return f"; did you mean {found[0]!r}?" if found else ""
