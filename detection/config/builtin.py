"""Configs, sweep grids and label maps that come with the package, by name: `builtin:ssd_mobilenet_v1_075_bccd`.

They are in the folder configs/, inside an installed package or next to it in a checkout.
"""

from __future__ import annotations

import os
from pathlib import Path

from detection.errors import ConfigError
from detection.tools.suggest import closest

PREFIX = "builtin:"
_PACKAGE = Path(__file__).resolve().parents[1]
_SUFFIXES = (".config", ".pbtxt")


def folder() -> Path:
    """The folder of the files.

    Raises:
        ConfigError: the package was installed without them.
    """
    for path in (_PACKAGE / "configs", _PACKAGE.parent / "configs"):
        if path.is_dir():
            return path
    raise ConfigError(f"{_PACKAGE / 'configs'}: no such folder; install the package again, with its configs")


def files() -> dict[str, Path]:
    """The files by name, sorted: `sweep/paper` for configs/sweep/paper.pbtxt."""
    root = folder()
    found = (path for path in root.rglob("*") if path.suffix in _SUFFIXES)
    return {path.relative_to(root).with_suffix("").as_posix(): path for path in sorted(found)}


def find(name: str) -> Path:
    """The file of a name, with or without extension.

    Raises:
        ConfigError: there is no file of that name.
    """
    known = files()
    stem, ending = os.path.splitext(name)
    path = known.get(name) or (known.get(stem) if ending in _SUFFIXES else None)
    if path is None:
        close = closest(name, known, cutoff=0.4)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ConfigError(f"{PREFIX}{name}: there is no config of that name; {hint}detection config list shows them")
    return path


def locate(path: str | os.PathLike[str]) -> str:
    """`path` itself, or the path of the file if it is `builtin:NAME`."""
    text = os.fsdecode(path)
    return str(find(text.removeprefix(PREFIX))) if text.startswith(PREFIX) else text


def meant_by(path: str) -> str:
    """Returns `; did you mean builtin:NAME?` if a file with the name of `path` comes with the package, otherwise ""."""
    stem, ending = os.path.splitext(os.path.basename(path))
    name = stem if ending in _SUFFIXES else stem + ending
    try:
        return f"; did you mean {PREFIX}{name}?" if name in files() else ""
    except ConfigError:  # They are not installed.
        return ""


def summary(path: Path) -> str:
    """The first line of the comment at the top of a file."""
    with open(path, encoding="utf-8") as stream:
        return stream.readline().lstrip("# ").strip()
