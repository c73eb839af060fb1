"""Expands file patterns in paths, in the same way for every reader of paths.

Readers are the config check, training, evaluation, proposals, images, record validation and ensembles.

A part of a path that names an existing file or folder is taken literally, whatever characters it contains:
`data[1]/train.record` is no pattern if a folder `data[1]` exists. In every other part `*` matches any characters, `?`
one character, `[ab]` one of these characters and `[!ab]` one other character; `**` as a whole part matches any number
of folders. No wildcard matches a dot at the beginning of a name. `~` and `$HOME` are not expanded. Paths such as
`gs://...` are expanded by TensorFlow.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Iterator

_CURLY = str.maketrans(
    {"“": "", "”": "", "„": "", "‘": "", "’": "", "‚": "", "«": "", "»": ""}
)  # as word processors write quotes


def is_remote(path: str) -> bool:
    """Whether the path is a URL such as gs://... or hdfs://..., which only TensorFlow can read."""
    return "://" in path


def expand(pattern: str) -> list[str]:
    """Existing files and folders that match a pattern, sorted.

    Raises:
        tf.errors.OpError: a remote pattern cannot be listed.
    """
    if is_remote(pattern):
        import tensorflow as tf

        return sorted([pattern] if tf.io.gfile.exists(pattern) else tf.io.gfile.glob(pattern))
    if "\0" in pattern or not pattern:
        return []
    if os.path.lexists(pattern):
        return [pattern]
    root = pattern[: len(pattern) - len(pattern.lstrip("/"))]
    return sorted(dict.fromkeys(_below(root, [part for part in pattern[len(root) :].split("/") if part])))


# Characters that a text config reads from \train, \new, \records ... in a Windows path.
_ESCAPES = str.maketrans({"\a": "/a", "\b": "/b", "\f": "/f", "\n": "/n", "\r": "/r", "\t": "/t", "\v": "/v"})


def hint(pattern: str, field: str = "") -> str:
    """How to fix a pattern that matches no file.

    Args:
        pattern: as written.
        field: the config field it was written in, or "".
    """
    if not pattern.strip():
        return "the path is empty; name the file"
    if is_remote(pattern):
        return "is the name right?"
    if "PATH_TO_BE_CONFIGURED" in pattern:
        return (
            f"replace PATH_TO_BE_CONFIGURED in the file, or use --set {field}=..."
            if field
            else "replace PATH_TO_BE_CONFIGURED"
        )
    escaped = pattern.rstrip().translate(_ESCAPES)
    if escaped != pattern.rstrip():
        written = escaped.replace("\\", "/")
        return (
            f"a backslash in the path was read as an escape sequence, such as \\t for a tab; write {written!r}, with /"
            " between folders"
        )
    straight, forward, bare = pattern.translate(_CURLY), pattern.replace("\\", "/"), pattern.strip()
    if straight != pattern:
        return f"the path contains curly quotes; write {straight!r}, with straight quotes around it"
    if bare != pattern:
        return f"the path begins or ends with whitespace; write {bare!r}"
    if pattern.startswith("~") or "$" in pattern:
        whole = os.path.expandvars(os.path.expanduser(pattern))
        if whole != pattern:
            return f"~ and $VARIABLES are not expanded in paths; write {whole!r}"
    if forward != pattern:
        return (
            f"separate folders with /, not with backslashes; {'did you mean' if expand(forward) else 'write'}"
            f" {forward!r}" + "?" * bool(expand(forward))
        )
    pieces = [piece.strip() for piece in pattern.split(",")]
    if len(pieces) > 1 and all(piece and expand(piece) for piece in pieces):
        return f"these are several paths in one value; write each as a value of its own: {', '.join(map(repr, pieces))}"
    folder = os.path.dirname(pattern) or "."
    if not expand(folder):
        return f"there is no folder {folder!r}" + ("" if os.path.isabs(folder) else f" in {os.getcwd()!r}")
    return "is the name right?" if os.path.isabs(pattern) else f"is the name right, from {os.getcwd()!r}?"


def _below(base: str, parts: list[str]) -> Iterator[str]:
    """Existing paths that match `parts` below the folder `base` (empty: the working directory), unsorted."""
    if not parts:
        yield base
        return
    part, rest = parts[0], parts[1:]
    literal = os.path.join(base, part)
    if os.path.lexists(literal):
        yield from _below(literal, rest) if not rest or os.path.isdir(literal) else ()
    elif part == "**":
        for folder in _folders(base):
            yield from _below(folder, rest) if rest else _entries(folder, "*")
    elif glob.has_magic(part):
        for found in _entries(base, part):
            if not rest or os.path.isdir(found):
                yield from _below(found, rest)


def _entries(folder: str, pattern: str) -> Iterator[str]:
    """Entries of a folder whose names match a pattern; none if the folder cannot be listed."""
    matches = re.compile(fnmatch.translate(pattern)).match
    try:
        names = os.listdir(folder or ".")
    except OSError:
        return
    for name in names:
        if matches(name) and (not name.startswith(".") or pattern.startswith(".")):
            yield os.path.join(folder, name)


def _folders(base: str) -> Iterator[str]:
    """`base` and all folders below it, each once even if several links lead to it."""
    seen: set[tuple[int, int]] = set()
    waiting = [base]
    while waiting:
        folder = waiting.pop()
        try:
            status = os.stat(folder or ".")
        except OSError:
            continue
        if (status.st_dev, status.st_ino) not in seen:
            seen.add((status.st_dev, status.st_ino))
            yield folder
            waiting += [found for found in _entries(folder, "*") if os.path.isdir(found)]
