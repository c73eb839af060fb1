"""The files below a folder, found once however links lead to them: the one listing behind conversion, detection,
proposals and benchmarks.
"""

from __future__ import annotations

import os

from absl import logging

from detection.errors import printable

# Folders of copies and thumbnails that other programs leave, beside hidden ones (.ipynb_checkpoints, .thumbnails).
_NO_DATA_FOLDERS = ("__macosx", "@eadir", "$recycle.bin")
_APPLE_DOUBLE = b"\x00\x05\x16\x07"


def files_below(folder: str | os.PathLike[str], extensions: tuple[str, ...], every_name: bool = False) -> list[str]:
    """Relative names, with /, of the files whose names end like one of `extensions` (lower case; any case matches),
    sorted.

    Links are followed, but a folder is entered once and a file named once, whatever leads to it: under its own name if
    that lies below `folder`, otherwise under the first link's by name. A folder that cannot be listed is left out with
    a warning. Hidden folders, and what other programs put beside data (`__MACOSX`, `@eaDir`, macOS's `._a.jpg`), are no
    part of it. With `every_name` a file is named as often as there are names for it in the folders entered, and so are
    links that lead nowhere, and pipes: where a name means that there should be something.
    """
    root = os.fspath(folder)
    seen = {os.path.realpath(root)}
    files: dict[str, str] = {}  # real path -> name
    links: list[tuple[str, os.DirEntry]] = []
    waiting = [""]
    while waiting or links:
        if waiting:
            below = waiting.pop()
        else:  # Links come last, so that a folder's own name goes before those of links to it.
            below, entry = links.pop(0)
            real = os.path.realpath(entry.path)
            if not _is_folder(entry):
                files.setdefault(below if every_name else real, below)
                continue
            if real in seen:
                continue
            seen.add(real)
        real_folder = os.path.realpath(os.path.join(root, below))
        for entry in _entries(os.path.join(root, below)):
            name = f"{below}/{entry.name}" if below else entry.name
            is_folder = _is_folder(entry)
            if _is_by_other_programs(entry, is_folder):
                continue
            if not is_folder and not (entry.name.lower().endswith(extensions) and (every_name or _is_file(entry))):
                continue
            if entry.is_symlink():
                links.append((name, entry))
            elif not is_folder:
                files.setdefault(name if every_name else os.path.join(real_folder, entry.name), name)
            elif os.path.join(real_folder, entry.name) not in seen:
                seen.add(os.path.join(real_folder, entry.name))
                waiting.append(name)
        links.sort(key=lambda link: link[0])
    return sorted(files.values())


def _entries(folder: str) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        logging.warning(
            "%s: cannot be listed (%s); what it holds is left out", printable(folder), error.strerror or error
        )
        return []


def _is_by_other_programs(entry: os.DirEntry, is_folder: bool) -> bool:
    if is_folder:
        return entry.name.startswith(".") or entry.name.lower() in _NO_DATA_FOLDERS
    if not entry.name.startswith("._") or not _is_file(entry):
        return False
    try:  # Attributes of the file of the other name, where a file system or an archive has no place for them.
        with open(entry.path, "rb") as stream:
            return stream.read(len(_APPLE_DOUBLE)) == _APPLE_DOUBLE
    except OSError:
        return False


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A link that leads to itself.
        return False


def _is_file(entry: os.DirEntry) -> bool:
    """Not so for pipes and devices, which can be waited at for ever."""
    try:
        return entry.is_file()
    except OSError:
        return False
