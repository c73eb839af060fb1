"""Print the completion script of a shell, for commands, flags and the values of flags.

Examples:
  source <(detection completion bash)                                      in ~/.bashrc
  detection completion zsh > ~/.zfunc/_detection                           a folder of fpath
  detection completion fish > ~/.config/fish/completions/detection.fish
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from absl import flags as absl_flags

from detection.commands import catalogue
from detection.commands.flags import Flags, Given
from detection.errors import ConfigError

ARGUMENTS = "bash|zsh|fish"


class _Flag(NamedTuple):
    name: str
    text: str
    takes_value: bool
    values: tuple[str, ...]


class _Command(NamedTuple):
    name: str
    text: str
    flags: tuple[_Flag, ...]


def define(flags: Flags) -> None:
    """Adds no flags."""


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    writers: dict[str, Callable[[list[_Command]], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
    if len(given.arguments) != 1 or given.arguments[0] not in writers:
        raise ConfigError(f"usage: {given.program} {ARGUMENTS}")
    print(writers[given.arguments[0]](_commands()), end="")
    return 0


def _commands() -> list[_Command]:
    commands = []
    for entry in catalogue.COMMANDS:
        flags = Flags()
        entry.module().define(flags)
        found = []
        for flag in flags.own():
            values = tuple(flag.parser.enum_values) if isinstance(flag.parser, absl_flags.EnumParser) else ()
            found.append(_Flag(flag.name, flags.texts[flag.name], not flag.boolean, values))
            if flag.boolean:
                found.append(_Flag(f"no{flag.name}", f"Not: {flags.texts[flag.name]}", False, ()))
        found.append(_Flag("help", "explain the command", False, ()))
        commands.append(_Command(entry.name, entry.summary, tuple(found)))
    return commands


_BASH = """\
# bash completion of `detection`
_detection() {
  local word="${COMP_WORDS[COMP_CWORD]}" flag="" flags="" values=""
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "COMMANDS --help --version" -- "$word"))
    return
  fi
  # bash breaks --flag=value into three words.
  if [ "$word" = "=" ]; then
    flag="${COMP_WORDS[COMP_CWORD-1]}" word=""
  elif [ "${COMP_WORDS[COMP_CWORD-1]}" = "=" ]; then
    flag="${COMP_WORDS[COMP_CWORD-2]}"
  fi
  case "${COMP_WORDS[1]}" in
CASES
  esac
  if [ -n "$flag" ]; then
    case "${COMP_WORDS[1]} $flag" in
VALUES
    esac
    if [ -n "$values" ]; then
      COMPREPLY=($(compgen -W "$values" -- "$word"))
    else
      compopt -o filenames 2>/dev/null
      COMPREPLY=($(compgen -f -- "$word"))
    fi
  elif [ "${word#-}" != "$word" ]; then
    COMPREPLY=($(compgen -W "$flags" -- "$word"))
    case "${COMPREPLY[0]}" in *=) compopt -o nospace 2>/dev/null ;; esac
  else
    compopt -o filenames 2>/dev/null
    COMPREPLY=($(compgen -f -- "$word"))
  fi
}
complete -F _detection detection
"""


def _bash(commands: list[_Command]) -> str:
    flags = {
        command.name: " ".join(f"--{flag.name}{'=' if flag.takes_value else ''}" for flag in command.flags)
        for command in commands
    }
    cases = [f'    {name}) flags="{words}" ;;' for name, words in flags.items()]
    values = [
        f'      "{command.name} --{flag.name}") values="{" ".join(flag.values)}" ;;'
        for command in commands
        for flag in command.flags
        if flag.values
    ]
    script = _BASH.replace("COMMANDS", " ".join(command.name for command in commands))
    return script.replace("CASES", "\n".join(cases)).replace("VALUES", "\n".join(values))


def _zsh(commands: list[_Command]) -> str:
    lines = ["#compdef detection", "", "_detection() {", "  local -a commands=("]
    lines += [f"    {_quoted(f'{command.name}:{command.text}')}" for command in commands]
    lines += ["  )", "  if (( CURRENT == 2 )); then", "    _describe command commands", "    return", "  fi"]
    lines += ["  case $words[2] in"]
    for command in commands:
        lines.append(f"    {command.name})")
        lines.append("      _arguments \\")
        lines += [f"        {_quoted(_zsh_flag(flag))} \\" for flag in command.flags]
        lines += ["        '*:file:_files'", "      ;;"]
    lines += ["  esac", "}", "", 'if [ "$funcstack[1]" = _detection ]; then', '  _detection "$@"', "else"]
    lines += ["  compdef _detection detection", "fi"]
    return "\n".join(lines) + "\n"


def _zsh_flag(flag: _Flag) -> str:
    text = flag.text.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")
    if not flag.takes_value:
        return f"--{flag.name}[{text}]"
    values = f"({' '.join(flag.values)})" if flag.values else "_files"
    return f"*--{flag.name}=[{text}]:{flag.name}:{values}"


def _fish(commands: list[_Command]) -> str:
    names = " ".join(command.name for command in commands)
    lines = ["# fish completion of `detection`"]
    for command in commands:
        begin = f"complete -c detection -n 'not __fish_seen_subcommand_from {names}'"
        lines.append(f"{begin} -f -a {command.name} -d {_quoted(command.text)}")
        for flag in command.flags:
            value = f" -r -f -a {_quoted(' '.join(flag.values))}" if flag.values else " -r -F" * flag.takes_value
            lines.append(
                f"complete -c detection -n '__fish_seen_subcommand_from {command.name}' -l {flag.name}{value}"
                f" -d {_quoted(flag.text)}"
            )
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Quotes text with single quotes, for all three shells."""
    return "'" + text.replace("'", "'\\''") + "'"
