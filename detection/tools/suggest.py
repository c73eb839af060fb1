"""Suggestions for a misspelt name: the known names most similar to it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LONGEST_NAME = 200  # characters; the time of the search grows with the square of the length


def closest(name: str, known: Iterable[str], limit: int = 1, cutoff: float = 0.6) -> list[str]:
    """At most `limit` known names similar to `name`, the most similar first; upper and lower case are equal.

    Args:
        name: the name that was not found.
        known: the names that exist.
        limit: at most this many are returned.
        cutoff: least similarity, from 0 to 1, as in `difflib.get_close_matches`.
    """
    if len(name) > _LONGEST_NAME:
        return []
    lowered = {item.lower(): item for item in known}
    return [lowered[match] for match in difflib.get_close_matches(name.lower(), lowered, n=limit, cutoff=cutoff)]


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """`; did you mean 'x'?` to append to an error message, or an empty string if no known name is close."""
    matches = closest(name, known, cutoff=cutoff)
    return f"; did you mean {matches[0]!r}?" if matches else ""
