"""Lists the files below a folder, following links without duplicates; used by conversion, detection and proposals."""

from __future__ import annotations

import os

from absl import logging

from detection.errors import printable

# Folders with copies and thumbnails of other programs, apart from hidden ones (.ipynb_checkpoints, .thumbnails).
_NO_DATA_FOLDERS = ("__macosx", "@eadir", "$recycle.bin")
_APPLE_DOUBLE = b"\x00\x05\x16\x07"


def files_below(folder: str | os.PathLike[str], extensions: tuple[str, ...], every_name: bool = False) -> list[str]:
    """Lists the files below a folder that have one of the extensions.

    Links are followed, but every folder is entered once and every file listed once: under its own name if that is below
    `folder`, otherwise under the first link's name. A folder that cannot be listed is skipped with a warning. Hidden
    folders and files of other programs (`__MACOSX`, `@eaDir`, macOS's `._a.jpg`) are omitted.

    Args:
        folder: the folder.
        extensions: in lower case; they match any case.
        every_name: list every name of a file, and also broken links and pipes, to find all names that should be files.

    Returns:
        Relative names with /, sorted.
    """
    root = os.fspath(folder)
    visited = {os.path.realpath(root)}
    files: dict[str, str] = {}  # real path -> name
    links: list[tuple[str, os.DirEntry]] = []
    pending = [""]
    while pending or links:
        if pending:
            prefix = pending.pop()
        else:  # Links come last, so that a folder's own name takes precedence over links to it.
            prefix, entry = links.pop(0)
            real_path = os.path.realpath(entry.path)
            if not _is_folder(entry):
                files.setdefault(prefix if every_name else real_path, prefix)
                continue
            if real_path in visited:
                continue
            visited.add(real_path)
        real_folder = os.path.realpath(os.path.join(root, prefix))
        for entry in _entries(os.path.join(root, prefix)):
            name = f"{prefix}/{entry.name}" if prefix else entry.name
            is_folder = _is_folder(entry)
            if _is_foreign(entry, is_folder):
                continue
            if not is_folder and not (entry.name.lower().endswith(extensions) and (every_name or _is_file(entry))):
                continue
            if entry.is_symlink():
                links.append((name, entry))
            elif not is_folder:
                files.setdefault(name if every_name else os.path.join(real_folder, entry.name), name)
            elif os.path.join(real_folder, entry.name) not in visited:
                visited.add(os.path.join(real_folder, entry.name))
                pending.append(name)
        links.sort(key=lambda link: link[0])
    return sorted(files.values())


def _entries(folder: str) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        logging.warning("%s: cannot be listed (%s); its files are skipped", printable(folder), error.strerror or error)
        return []


def _is_foreign(entry: os.DirEntry, is_folder: bool) -> bool:
    if is_folder:
        return entry.name.startswith(".") or entry.name.lower() in _NO_DATA_FOLDERS
    if not entry.name.startswith("._") or not _is_file(entry):
        return False
    try:  # AppleDouble files store attributes of another file on file systems and in archives without such attributes.
        with open(entry.path, "rb") as stream:
            return stream.read(len(_APPLE_DOUBLE)) == _APPLE_DOUBLE
    except OSError:
        return False


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A link to itself.
        return False


def _is_file(entry: os.DirEntry) -> bool:
    """Whether it is a regular file; reading a pipe or device may block forever."""
    try:
        return entry.is_file()
    except OSError:
        return False
