"""How a path that may be a pattern is read: by this one function, whoever reads it (the check of a config, training,
evaluation, proposals, images, records to validate, models of an ensemble), so that what one of them finds the others
find too.

A part of a path that names an existing file or folder is that file or folder, whatever characters it holds:
`data[1]/train.record` is no pattern where there is a folder called `data[1]`. In every other part `*` stands for any
characters, `?` for one, `[ab]` for one of these, `[!ab]` for one that is none of these; `**`, as a whole part, for any
folders, however deep. None of them stands for a dot at the beginning of a name. `~` and `$HOME` are what a shell
replaces; here they are characters like any other. What begins like `gs://` is left to TensorFlow.
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
    """gs://..., hdfs://...: only TensorFlow can look there."""
    return "://" in path


def expand(pattern: str) -> list[str]:
    """Files and folders that a pattern names, sorted; empty where there are none.

    Raises:
        tf.errors.OpError: from TensorFlow, where a remote pattern cannot be listed.
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


# What a text config makes of \train, \new, \data\records ... in a path of Windows.
_ESCAPES = str.maketrans({"\a": "/a", "\b": "/b", "\f": "/f", "\n": "/n", "\r": "/r", "\t": "/t", "\v": "/v"})


def hint(pattern: str, field: str = "") -> str:
    """What to do about a local pattern that names nothing; `field` is where it was written."""
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
        return f"a backslash in it began a code, such as \\t for a tab; separate folders by /: {written!r}"
    straight, forward, bare = pattern.translate(_CURLY), pattern.replace("\\", "/"), pattern.strip()
    if straight != pattern:
        return f"the path holds curly quotes; write {straight!r}, with straight quotes around it"
    if bare != pattern:
        return f"the path begins or ends with blanks; write {bare!r}"
    if pattern.startswith("~") or "$" in pattern:
        whole = os.path.expandvars(os.path.expanduser(pattern))
        if whole != pattern:
            return f"~ and $VARIABLES are not replaced in paths; write {whole!r}"
    if forward != pattern:
        return (
            f"folders are separated by /, not by backslashes; {'did you mean' if expand(forward) else 'write'}"
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
    """What `parts` name below the folder `base` (empty: the working directory), unsorted."""
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
    """Entries of a folder whose names match; a folder that cannot be listed has none."""
    matches = re.compile(fnmatch.translate(pattern)).match
    try:
        names = os.listdir(folder or ".")
    except OSError:
        return
    for name in names:
        if matches(name) and (not name.startswith(".") or pattern.startswith(".")):
            yield os.path.join(folder, name)


def _folders(base: str) -> Iterator[str]:
    """`base` and all folders below it, each once, however many links lead to it."""
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
