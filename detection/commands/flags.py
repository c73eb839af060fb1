"""The flags of one command: absl flags, separate from those of other commands and of the process."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from absl import app as _app
from absl import flags as absl_flags
from absl import logging as _logging

from detection.errors import ConfigError
from detection.tools.suggest import closest

# absl's flags on logging, debugging and profiling. Their Flag objects change the process (such as the level of its
# logger), so commands share them instead of having their own.
_PROCESS_MODULES = (_logging.__name__, _app.__name__)
_HELP_FLAGS = {"help": "?", "helpshort": "h", "helpfull": None, "helpxml": None}


def process_flags() -> dict[str, absl_flags.Flag[Any]]:
    """The absl flags that every command has, by name: --verbosity, --pdb, --only_check_args and so on."""
    by_module = absl_flags.FLAGS.flags_by_module_dict()
    return {flag.name: flag for module in _PROCESS_MODULES for flag in by_module.get(module, ()) if _shown(flag.name)}


def _shown(name: str) -> bool:
    return name not in _HELP_FLAGS and name != "only_check_flags"


class Given(NamedTuple):
    """The arguments of a call of a command."""

    program: str  # as called: "detection check", or "check_config.py"
    argv: tuple[str, ...]  # all arguments of the program, as given
    flags: absl_flags.FlagValues
    arguments: list[str]  # arguments that are not flags

    def refuse_arguments(self, fix: str) -> None:
        """Raises ConfigError if there are arguments that are not flags; `fix` says what to write instead."""
        if self.arguments:
            raise ConfigError(f"unexpected argument {self.arguments[0]!r}; {fix}")


class HelpRequested(Exception):
    """Raised if --help or a similar flag is given."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class _HelpFlag(absl_flags.BooleanFlag):
    """Stops parsing, so that --help works without the required flags."""

    def parse(self, argument: Any) -> None:
        if self._parse(argument):
            raise HelpRequested(self.name)


def overrides(values: absl_flags.FlagValues) -> list[str]:
    """The config overrides given by `--set` and `--plugin`, as `path=value`."""
    return [*values.set, *(f"plugins+={name}" for name in values.plugin)]


def refuse_given(values: absl_flags.FlagValues, reasons: Mapping[str, str]) -> None:
    """Raises ConfigError for the first unsupported flag that has another value than its default.

    Args:
        values: the parsed flags.
        reasons: flag -> why it is not supported, and what to do instead.
    """
    for name, reason in reasons.items():
        flag = values[name]
        if flag.present and flag.value != flag.default:
            raise ConfigError(f"--{name}: {reason}")


class Flags:
    """The flags of a command, in the order of `--help`."""

    def __init__(self) -> None:
        self.values = absl_flags.FlagValues()
        self.required: list[str] = []
        self._one_of: list[tuple[str, ...]] = []
        self.texts: dict[str, str] = {}  # help texts as given, since absl extends those of some flags

    def own(self) -> Iterator[absl_flags.Flag[Any]]:
        """The flags of the command, without those that every command has."""
        return (self.values[name] for name in self.texts)

    def add_string(self, name: str, default: str | None, text: str, *, required: bool = False) -> None:
        """Adds a string flag."""
        absl_flags.DEFINE_string(name, default, text, flag_values=self.values)
        self._note(name, text, required)

    def add_integer(
        self,
        name: str,
        default: int | None,
        text: str,
        *,
        lower_bound: int | None = None,
        upper_bound: int | None = None,
    ) -> None:
        """Adds an integer flag."""
        absl_flags.DEFINE_integer(name, default, text, lower_bound, upper_bound, flag_values=self.values)
        self._note(name, text)

    def add_float(
        self,
        name: str,
        default: float | None,
        text: str,
        *,
        lower_bound: float | None = None,
        upper_bound: float | None = None,
    ) -> None:
        """Adds a float flag."""
        absl_flags.DEFINE_float(name, default, text, lower_bound, upper_bound, flag_values=self.values)
        self._note(name, text)

    def add_bool(self, name: str, default: bool, text: str) -> None:
        """Adds a boolean flag, `--name` and `--noname`."""
        absl_flags.DEFINE_bool(name, default, text, flag_values=self.values)
        self._note(name, text)

    def add_enum(self, name: str, default: str | None, values: Sequence[str], text: str) -> None:
        """Adds a flag that takes one of `values`."""
        absl_flags.DEFINE_enum(name, default, list(values), text, flag_values=self.values)
        self._note(name, text)

    def add_list(self, name: str, default: Sequence[str] | None, text: str, *, required: bool = False) -> None:
        """Adds a flag that takes values separated by commas."""
        default_list = None if default is None else list(default)
        absl_flags.DEFINE_list(name, default_list, text, flag_values=self.values)
        self._note(name, text, required)

    def add_multi_string(self, name: str, text: str) -> None:
        """Adds a flag that may be repeated; its values may contain commas."""
        absl_flags.DEFINE_multi_string(name, [], text, flag_values=self.values)
        self._note(name, text)

    def add_overrides(self, text: str) -> None:
        """Adds `--set` and `--plugin`, see `overrides`."""
        self.add_multi_string("set", text)
        self.add_multi_string("plugin", "Imports a package that registers custom parts, e.g. --plugin=my_parts.")

    def add_alias(self, name: str, original: str) -> None:
        """Adds another name of a flag, which `--help` does not show."""
        absl_flags.DEFINE_alias(name, original, flag_values=self.values)

    def require_one_of(self, names: Sequence[str]) -> None:
        """Requires that exactly one of these flags is given."""
        self._one_of.append(tuple(names))

    def parse(self, program: str, argv: Sequence[str]) -> Given:
        """Parses command-line arguments; flags and other arguments may be mixed.

        Raises:
            HelpRequested: --help is given.
            ConfigError: a flag is unknown or its value is invalid.
        """
        for name, short in _HELP_FLAGS.items():
            absl_flags.DEFINE_flag(_HelpFlag(name, False, "show this help", short_name=short), self.values)
        for name, flag in process_flags().items():
            self.values[name] = flag
        try:
            rest = self.values([program, *argv])
        except absl_flags.UnrecognizedFlagError as error:
            raise ConfigError(self._unknown(error.flagname)) from None
        except (absl_flags.Error, ValueError) as error:
            text = re.sub(r"\('Non-boolean argument.*'\)", "give true or false", " ".join(str(error).split()))
            raise ConfigError(f"{text}; --help lists the flags") from None
        self._check_presence()
        return Given(program, tuple(argv), self.values, rest[1:])

    def _check_presence(self) -> None:
        missing = [f"--{name}" for name in self.required if self.values[name].value is None]
        if missing:
            are = "is" if len(missing) == 1 else "are"
            raise ConfigError(f"{' and '.join(missing)} {are} required; --help lists the flags")
        for names in self._one_of:
            if sum(self.values[name].value is not None for name in names) != 1:
                raise ConfigError(f"give either {' or '.join(f'--{name}' for name in names)}; --help lists the flags")

    def _unknown(self, name: str) -> str:
        known = [*self.texts, *(f"no{flag.name}" for flag in self.own() if flag.boolean), *_HELP_FLAGS]
        close = closest(name, known)
        hint = f"; did you mean --{close[0]}?" if close else ";"
        return f"unknown flag --{name}{hint} --help lists the flags"

    def _note(self, name: str, text: str, required: bool = False) -> None:
        self.texts[name] = text
        if required:
            self.required.append(name)
