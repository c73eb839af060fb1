"""List, show or copy the configs, sweep grids and label maps that come with the package.

Commands that take a config or a grid accept `builtin:NAME` for these files.

Examples:
  detection config list
  detection config show ssd_mobilenet_v1_075_bccd
  detection config copy ssd_mobilenet_v1_075_bccd my.config
  detection check --no_paths builtin:ssd_mobilenet_v1_075_bccd
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable

from detection.commands.flags import Flags, Given
from detection.errors import ConfigError
from detection.files import write_text

ARGUMENTS = "list | show NAME | copy NAME [FILE]"
_USAGE = {"list": "list", "show": "show NAME", "copy": "copy NAME [FILE]"}


def define(flags: Flags) -> None:
    """Adds the command's flags."""
    flags.add_bool("overwrite", False, "With copy: replace a file that exists.")


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    actions: dict[str, Callable[[Given, list[str]], None]] = {"list": _list, "show": _show, "copy": _copy}
    verb, *rest = given.arguments or ["list"]
    if verb not in actions:
        raise ConfigError(f"unknown argument {verb!r}; usage: {given.program} {ARGUMENTS}")
    needed = _USAGE[verb].split()[1:]
    if not len([word for word in needed if word.isalpha()]) <= len(rest) <= len(needed):
        raise ConfigError(f"usage: {given.program} {_USAGE[verb]}")
    actions[verb](given, rest)
    return 0


def _list(given: Given, _: list[str]) -> None:
    from detection.config import builtin

    files = builtin.files()
    width = max(map(len, files))
    for name, path in files.items():
        print(f"{name:{width}}  {textwrap.shorten(builtin.summary(path), 80, placeholder='...')}")


def _show(given: Given, arguments: list[str]) -> None:
    from detection.config import builtin

    print(builtin.find(arguments[0].removeprefix(builtin.PREFIX)).read_text(encoding="utf-8"), end="")


def _copy(given: Given, arguments: list[str]) -> None:
    from detection.config import builtin

    source = builtin.find(arguments[0].removeprefix(builtin.PREFIX))
    target = arguments[1] if len(arguments) == 2 else source.name
    if os.path.isdir(target):
        target = os.path.join(target, source.name)
    if os.path.exists(target) and not given.flags.overwrite:
        raise ConfigError(f"{target}: exists already; give another name, or --overwrite to replace it")
    write_text(target, source.read_text(encoding="utf-8"))
    print(target)
