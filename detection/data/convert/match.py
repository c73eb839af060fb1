"""Which file of a folder a name in an annotation means.

Names come from other machines: with another extension, case or folder, as Windows paths or URLs, with accents composed
otherwise. A name is compared by its last part (equal; equal but for case, composition and %-escapes; equal but for the
extension) and by the folders before it, of which one side may name more than the other. The file that is at least as
good as every other in both is meant. Where none is, several may be, and nobody guesses which.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from urllib.parse import unquote

from detection.data.convert.source import IMAGE_EXTENSIONS, normal, stem

_ANY = None  # any folder
_EXACT, _ALIKE, _OTHER_EXTENSION, _STEM_ALIKE = 4, 3, 2, 1


class FileFinder:
    """The files of a folder, to be found by whatever others call them."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)
        self._found: dict[tuple[str, ...], tuple[str, ...]] = {}

    def find(self, text: str) -> tuple[str, ...]:
        """The files that `text`, a name or a path, may mean: none, the one meant, or several among which nothing
        decides.
        """
        parts = tuple(_parts(text))
        if parts not in self._found:
            self._found[parts] = self._search(parts) if parts else ()
        return self._found[parts]

    def _search(self, parts: tuple[str, ...]) -> tuple[str, ...]:
        # A path means files of the same folder or of none; thousands of other folders may hold a 1.jpg each.
        parents = (alike(parts[-2]), "") if len(parts) > 1 else (_ANY,)
        found = (self._index.get((key, parent), ()) for key in _keys(parts[-1]) for parent in parents)
        by_score: dict[tuple[int, float], list[str]] = {}
        for name in dict.fromkeys(name for names in found for name in names):
            by_score.setdefault(_likeness(parts, name), []).append(name)
        best = [score for score in by_score if score[0] and not any(_beats(other, score) for other in by_score)]
        return tuple(name for score in best for name in by_score[score])

    @functools.cached_property
    def _index(self) -> dict[tuple[str, str | None], list[str]]:
        """Files by what their last part may be called, and by the folder before it."""
        index: dict[tuple[str, str | None], list[str]] = {}
        for name in self._names:
            parts = _parts(name)
            for key in dict.fromkeys(_keys(parts[-1])) if parts else ():
                for parent in (alike(parts[-2]) if len(parts) > 1 else "", _ANY):
                    index.setdefault((key, parent), []).append(name)
        return index


def _keys(last: str) -> tuple[str, str]:
    """What to look a last part up by: itself, and itself without an extension."""
    key = alike(last)
    return key, _bare(key)


def alike(name: str) -> str:
    """A name without what differs between machines: case, composition, %-escapes, kind and number of blanks."""
    return " ".join(normal(unquote(name, errors="surrogateescape")).split()).casefold()


def _parts(text: str) -> list[str]:
    path = text.strip()
    scheme, separator, rest = path.partition("://")
    if separator and scheme.isalnum():
        path = rest.partition("?")[0].partition("#")[0]
    parts = [part for part in normal(path).split("/") if part not in ("", ".")]
    return [] if ".." in parts else parts  # Nobody knows where that leads from.


def _bare(last: str) -> str:
    """Without the extension of an image or annotation; other points belong to the name."""
    return stem(last) if last.lower().endswith((*IMAGE_EXTENSIONS, ".xml")) else last


def _likeness(parts: Sequence[str], name: str) -> tuple[int, float]:
    """How well the last part agrees, and how many folders do."""
    own = _parts(name)
    if parts[-1] == own[-1]:
        last = _EXACT
    elif alike(parts[-1]) == alike(own[-1]):
        last = _ALIKE
    elif _bare(parts[-1]) == _bare(own[-1]):
        last = _OTHER_EXTENSION
    else:
        last = _STEM_ALIKE if _bare(alike(parts[-1])) == _bare(alike(own[-1])) else 0
    before, own_before = [alike(part) for part in parts[:-1]], [alike(part) for part in own[:-1]]
    common = min(len(before), len(own_before))
    if common and before[-common:] != own_before[-common:]:
        return 0, 0  # a file of the same name in another folder
    return last, common + (0.5 if len(before) == len(own_before) else 0)  # The whole path agrees.


def _beats(one: tuple[int, float], other: tuple[int, float]) -> bool:
    """Whether a likeness is at least as good in both respects, and better in one."""
    return one != other and one[0] >= other[0] and one[1] >= other[1]
