"""Finds the file that a name in an annotation refers to.

Names come from other machines: with another extension, case or folder, as Windows paths or URLs, with another Unicode
normalisation of accents. Names are compared by their last part (equal; equal apart from case, normalisation and
%-escapes; equal apart from the extension) and by the folders before it, of which one name may have more than the other.
The file that matches at least as well as every other in both respects is chosen. If there is none, the name is
ambiguous.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from urllib.parse import unquote

from detection.data.convert.source import IMAGE_EXTENSIONS, normal, stem

_ANY = None  # any folder
_EXACT, _ALIKE, _OTHER_EXTENSION, _STEM_ALIKE = 4, 3, 2, 1


class FileFinder:
    """Finds files of a folder by names from annotations."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)
        self._found: dict[tuple[str, ...], tuple[str, ...]] = {}

    def find(self, text: str) -> tuple[str, ...]:
        """The files that `text`, a name or path, may refer to: none, one, or several if it is ambiguous."""
        parts = tuple(_parts(text))
        if parts not in self._found:
            self._found[parts] = self._search(parts) if parts else ()
        return self._found[parts]

    def _search(self, parts: tuple[str, ...]) -> tuple[str, ...]:
        # A path refers to files in a folder of that name or without a folder; other folders may have the same files.
        parents = (comparable(parts[-2]), "") if len(parts) > 1 else (_ANY,)
        matches = (self._index.get((key, parent), ()) for key in _keys(parts[-1]) for parent in parents)
        by_score: dict[tuple[int, float], list[str]] = {}
        for name in dict.fromkeys(name for names in matches for name in names):
            by_score.setdefault(_match_quality(parts, name), []).append(name)
        best = [score for score in by_score if score[0] and not any(_is_better(other, score) for other in by_score)]
        return tuple(name for score in best for name in by_score[score])

    @functools.cached_property
    def _index(self) -> dict[tuple[str, str | None], list[str]]:
        """Files by the possible keys of their last part, and by the folder before it."""
        index: dict[tuple[str, str | None], list[str]] = {}
        for name in self._names:
            parts = _parts(name)
            for key in dict.fromkeys(_keys(parts[-1])) if parts else ():
                for parent in (comparable(parts[-2]) if len(parts) > 1 else "", _ANY):
                    index.setdefault((key, parent), []).append(name)
        return index


def _keys(last: str) -> tuple[str, str]:
    """The lookup keys of a last part: with and without its extension."""
    key = comparable(last)
    return key, _without_extension(key)


def comparable(name: str) -> str:
    """A name without differences between machines: case, Unicode normalisation, %-escapes, spaces."""
    return " ".join(normal(unquote(name, errors="surrogateescape")).split()).casefold()


def _parts(text: str) -> list[str]:
    path = text.strip()
    scheme, separator, rest = path.partition("://")
    if separator and scheme.isalnum():
        path = rest.partition("?")[0].partition("#")[0]
    parts = [part for part in normal(path).split("/") if part not in ("", ".")]
    return [] if ".." in parts else parts  # The base of such a relative path is unknown.


def _without_extension(last: str) -> str:
    """The name without the extension of an image or annotation; other dots belong to the name."""
    return stem(last) if last.lower().endswith((*IMAGE_EXTENSIONS, ".xml")) else last


def _match_quality(parts: Sequence[str], name: str) -> tuple[int, float]:
    """How well the last part matches, and how many folders match."""
    own_parts = _parts(name)
    if parts[-1] == own_parts[-1]:
        quality = _EXACT
    elif comparable(parts[-1]) == comparable(own_parts[-1]):
        quality = _ALIKE
    elif _without_extension(parts[-1]) == _without_extension(own_parts[-1]):
        quality = _OTHER_EXTENSION
    else:
        quality = (
            _STEM_ALIKE
            if _without_extension(comparable(parts[-1])) == _without_extension(comparable(own_parts[-1]))
            else 0
        )
    folders, own_folders = [comparable(part) for part in parts[:-1]], [comparable(part) for part in own_parts[:-1]]
    common = min(len(folders), len(own_folders))
    if common and folders[-common:] != own_folders[-common:]:
        return 0, 0  # a file of the same name in another folder
    return quality, common + (0.5 if len(folders) == len(own_folders) else 0)  # The whole path agrees.


def _is_better(first: tuple[int, float], second: tuple[int, float]) -> bool:
    """Whether a match is at least as good in both respects and better in one."""
    return first != second and first[0] >= second[0] and first[1] >= second[1]
