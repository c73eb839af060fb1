"""Text of `--help`: all commands by group, or one command with its examples and flags."""

from __future__ import annotations

import inspect
import shutil
import textwrap
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from absl import flags as absl_flags

from detection.commands import catalogue
from detection.commands.flags import Flags, process_flags

_MOST_COLUMNS = 100
_ABOUT = "Object detection: from annotated images to a served detector."
_EXAMPLES = """\
  detection convert --voc_dir=VOCdevkit/VOC2007 --set=trainval --output=data/train.record
  detection config copy ssd_mobilenet_v1_075_bccd my.config
  detection check my.config
  detection train --pipeline_config_path=my.config --model_dir=run
  detection export --pipeline_config_path=run/pipeline.config --trained_checkpoint_dir=run --output_directory=exported
  detection detect --saved_model=exported photos/"""


def overview(version: str) -> str:
    """Text of `detection --help`: one line per command, by group."""
    lines = [f"detection {version}", _ABOUT, "", "usage: detection COMMAND [--flag=value ...]"]
    groups = list(dict.fromkeys(entry.group for entry in catalogue.COMMANDS))
    for group in groups:
        lines += ["", f"{group}:"]
        lines += [f"  {entry.name:12}{entry.summary}" for entry in catalogue.COMMANDS if entry.group == group]
    lines += ["", "Examples:", _EXAMPLES, "", "detection COMMAND --help explains a command and lists its flags."]
    return "\n".join(lines) + "\n"


def of_command(program: str, module: ModuleType, flags: Flags, *, full: bool = False) -> str:
    """Help of one command: usage, description, examples and flags.

    Args:
        program: the program as called.
        module: the command's module.
        flags: its flags.
        full: whether to list the flags that every command has.
    """
    usage = f"usage: {program} [--flag=value ...] {module.ARGUMENTS}".rstrip()
    parts = [usage, inspect.cleandoc(module.__doc__ or ""), "Flags:\n" + _table(flags.own(), flags)]
    if full:
        parts.append("Flags of every command:\n" + _table(process_flags().values(), flags))
        parts.append("--flagfile=FILE reads flags from a file, a line each.")
    else:
        parts.append("--helpfull lists the flags of every command too: logging, profiling, debugging.")
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _table(rows: Iterable[absl_flags.Flag[Any]], flags: Flags) -> str:
    return "\n".join(_row(flag, flags.texts.get(flag.name, flag.help), flag.name in flags.required) for flag in rows)


def _row(flag: absl_flags.Flag[Any], text: str, required: bool) -> str:
    width = min(shutil.get_terminal_size((_MOST_COLUMNS, 24)).columns, _MOST_COLUMNS)
    notes = ["required"] if required else []
    if flag.default not in (None, "", [], False):
        default = ",".join(flag.default) if isinstance(flag.default, list) else flag.default
        notes.append(f"default: {'yes' if default is True else default}")
    if isinstance(flag, absl_flags.MultiFlag):
        notes.append("may be repeated")
    if notes:
        text = f"{text} ({'; '.join(notes)})"
    name = f"--[no]{flag.name}" if flag.boolean else f"--{flag.name}={_placeholder(flag)}"
    indent = " " * 6
    return f"  {name}\n{textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent)}"


def _placeholder(flag: absl_flags.Flag[Any]) -> str:
    if isinstance(flag.parser, absl_flags.EnumParser):
        return "|".join(flag.parser.enum_values)
    if isinstance(flag.parser, absl_flags.ListParser):
        return "A,B"
    if isinstance(flag.parser, absl_flags.IntegerParser | absl_flags.FloatParser):
        return "NUMBER"
    return "VALUE"
