"""Reads a sweep grid (protos/sweep.proto) into a checked description of the sweep with its base configs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from detection.config import builtin, text
from detection.config.scan import scan
from detection.errors import ConfigError
from detection.files import read_bytes
from detection.protos import sweep_pb2
from detection.tools.suggest import did_you_mean

BASE = "base"
_NAME = re.compile(r"[A-Za-z0-9_.]+")  # '-' separates the names in an id


@dataclass(frozen=True)
class Condition:
    """Is met if the value of `axis` is in `any_of` (unless that is empty) and not in `none_of`."""

    axis: str
    any_of: tuple[str, ...] = ()
    none_of: tuple[str, ...] = ()

    def holds(self, values: dict[str, str]) -> bool:
        """Whether a configuration with these values of the axes meets the condition."""
        value = values.get(self.axis)
        return (not self.any_of or value in self.any_of) and value not in self.none_of


@dataclass(frozen=True)
class Setting:
    """One override and its place: `grid.config:12:9`."""

    text: str
    place: str


@dataclass(frozen=True)
class Override:
    """Settings for configurations that meet all conditions."""

    when: tuple[Condition, ...]
    settings: tuple[Setting, ...]


@dataclass(frozen=True)
class Value:
    """One value of an axis, and the settings that it stands for."""

    name: str
    when: tuple[Condition, ...]
    overrides: tuple[Override, ...]


@dataclass(frozen=True)
class Axis:
    """One varied property. `prefix` precedes its values in ids."""

    name: str
    prefix: str
    when: tuple[Condition, ...]
    shares_weights: bool
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Base:
    """A config that the grid varies."""

    name: str
    config: Path
    settings: tuple[Setting, ...]
    checkpoint: str
    place: str


@dataclass(frozen=True)
class Training:
    """How configurations are trained; time limits in seconds, 0 for none."""

    seed: int = 1
    checkpoint_every: int = 200
    deterministic: bool = False
    time_limit: int = 0


@dataclass(frozen=True)
class Benchmark:
    """How configurations are timed."""

    images: tuple[str, ...] = ()
    num_images: int = 100
    warmup: int = 10
    max_seconds: int = 0
    time_limit: int = 0


@dataclass(frozen=True)
class Evaluation:
    """How configurations are evaluated."""

    time_limit: int = 0


@dataclass(frozen=True)
class SweepFile:
    """A grid file. Parts that it does not have are None."""

    path: Path
    bases: tuple[Base, ...]
    axes: tuple[Axis, ...]
    settings: tuple[Setting, ...]
    leave_out: tuple[tuple[Condition, ...], ...]
    training: Training | None
    evaluation: Evaluation | None
    benchmark: Benchmark | None

    def changed(
        self,
        *,
        num_images: int | None = None,
        max_seconds: int | None = None,
        time_limit: int | None = None,
        timing_only: bool = False,
    ) -> SweepFile:
        """A copy with the settings of the command line.

        Raises:
            ConfigError: a timing option is given, or only timing is requested, but the grid has no benchmark.
        """
        timed: dict[str, Any] = {
            name: value
            for name, value in (("num_images", num_images), ("max_seconds", max_seconds))
            if value is not None
        }
        if self.benchmark is None and (timing_only or timed):
            flag = "--timing_only" if timing_only else "--" + "=".join(map(str, next(iter(timed.items()))))
            raise ConfigError(f"{flag}: {self.path} has no benchmark to run; add benchmark {{}} to it")
        limit: dict[str, Any] = {} if time_limit is None else {"time_limit": time_limit}
        return replace(
            self,
            training=self.training and replace(self.training, **limit),
            evaluation=self.evaluation and replace(self.evaluation, **limit),
            benchmark=self.benchmark and replace(self.benchmark, **timed, **limit),
        )


def load(path: str | os.PathLike[str]) -> SweepFile:
    """Reads a grid file; `builtin:NAME` is one that comes with the package.

    Raises:
        ConfigError: `file:line:column: problem; fix`. Overrides are checked against the configs only when they are
            applied.
    """
    path = Path(builtin.locate(path))
    try:
        written = read_bytes(path).decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(
            f"--grid={path}: cannot be read: {error.strerror or error}; give a grid file such as"
            " configs/sweep/paper.pbtxt"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"--grid={path}: byte {error.start} is not UTF-8; save the grid as UTF-8 text") from None
    message = text.parse(written, sweep_pb2.Sweep(), os.fspath(path))
    return _Reader(path, written).read(message)


class _Reader:
    """Converts the message to the types above; errors name their place."""

    def __init__(self, path: Path, written: str) -> None:
        self._path, self._written = path, written
        self._entries = scan(written, sweep_pb2.Sweep.DESCRIPTOR).entries
        self._known: dict[str, list[str]] = {}  # axis -> names of its values, as far as read

    def read(self, message: sweep_pb2.Sweep) -> SweepFile:
        if not message.bases:
            raise ConfigError(
                f"{self._path}: bases is empty; name at least one, bases {{ name: 'ssd' config: 'ssd.config' }}"
            )
        bases = tuple(self._base(base, f"bases[{index}]") for index, base in enumerate(message.bases))
        self._known[BASE] = self._distinct([base.name for base in bases], "bases")
        axes = tuple(self._axis(axis, f"axes[{index}]") for index, axis in enumerate(message.axes))
        return SweepFile(
            path=self._path,
            bases=bases,
            axes=axes,
            settings=self._settings(message.set, ""),
            leave_out=tuple(
                self._exclusion(item.when, f"leave_out[{index}]") for index, item in enumerate(message.leave_out)
            ),
            training=self._training(message.training) if message.HasField("training") else None,
            evaluation=(
                Evaluation(self._at_least(message.evaluation, "time_limit_seconds", "evaluation"))
                if message.HasField("evaluation")
                else None
            ),
            benchmark=self._benchmark(message.benchmark) if message.HasField("benchmark") else None,
        )

    def place(self, path: str, field: str, index: int = 0) -> str:
        """`file:line:column` of a value of a field, or of the block that lacks the field."""
        block, found = path, []
        for entry in self._entries:
            if (entry.path, entry.name) == (path, field):
                found += [token.at for token in entry.values] or [entry.at]
        while not found and block:
            outer, _, last = block.rpartition(".")
            name, _, number = last.rstrip("]").partition("[")
            here = [entry.at for entry in self._entries if (entry.path, entry.name) == (outer, name)]
            found, index, block = here, int(number or 0), outer
        at = found[min(index, len(found) - 1)] if found else 0
        line = self._written.count("\n", 0, at)
        return f"{self._path}:{line + 1}:{at - (self._written.rfind(chr(10), 0, at) + 1) + 1}"

    def _fail(self, path: str, field: str, reason: str, index: int = 0) -> ConfigError:
        return ConfigError(f"{self.place(path, field, index)}: {path + '.' if path else ''}{field} {reason}")

    def _base(self, message: sweep_pb2.SweepBase, path: str) -> Base:
        if not message.config:
            raise self._fail(path, "config", "is missing; name a pipeline config, beside this file")
        config = self._path.parent / message.config
        if not config.is_file():
            raise self._fail(
                path, "config", f"('{message.config}'): no such file in {self._path.parent}; check its name"
            )
        return Base(
            self._name(message, path),
            config,
            self._settings(message.set, path),
            message.checkpoint,
            self.place(path, "checkpoint"),
        )

    def _axis(self, message: sweep_pb2.SweepAxis, path: str) -> Axis:
        name = self._name(message, path)
        if name in self._known:
            raise self._fail(path, "name", f"('{name}') is the name of an earlier axis; choose another")
        if message.prefix and not _NAME.fullmatch(message.prefix):
            raise self._fail(
                path, "prefix", f"('{message.prefix}') becomes part of ids; use letters, digits, '_' and '.' only"
            )
        if not message.values:
            raise self._fail(path, "values", f"is empty; give '{name}' values, or remove it")
        when = self._conditions(message.when, path)
        values = tuple(self._value(value, f"{path}.values[{index}]") for index, value in enumerate(message.values))
        self._known[name] = self._distinct([value.name for value in values], f"{path}.values")
        return Axis(name, message.prefix, when, message.shares_weights, values)

    def _value(self, message: sweep_pb2.SweepValue, path: str) -> Value:
        always = Override((), self._settings(message.set, path))
        overrides = [
            Override(
                self._conditions(item.when, f"{path}.override[{index}]"),
                self._settings(item.set, f"{path}.override[{index}]"),
            )
            for index, item in enumerate(message.override)
        ]
        return Value(self._name(message, path), self._conditions(message.when, path), (always, *overrides))

    def _exclusion(self, when: Iterable[sweep_pb2.SweepCondition], path: str) -> tuple[Condition, ...]:
        if not when:
            raise self._fail(
                path, "when", "is empty, which leaves nothing of the grid; say which combinations are left out"
            )
        return self._conditions(when, path)

    def _conditions(self, messages: Iterable[sweep_pb2.SweepCondition], path: str) -> tuple[Condition, ...]:
        return tuple(self._condition(message, f"{path}.when[{index}]") for index, message in enumerate(messages))

    def _condition(self, message: sweep_pb2.SweepCondition, path: str) -> Condition:
        if message.axis not in self._known:
            hint = did_you_mean(message.axis, self._known) or f"; before it come {', '.join(self._known)}"
            raise self._fail(path, "axis", f"('{message.axis}') is not an earlier axis{hint}")
        for field in ("any_of", "none_of"):
            for index, value in enumerate(getattr(message, field)):
                known = self._known[message.axis]
                if value not in known:
                    hint = did_you_mean(value, known) or f"; it has {', '.join(known)}"
                    raise self._fail(path, field, f"('{value}') is not a value of '{message.axis}'{hint}", index)
        if not message.any_of and not message.none_of:
            raise self._fail(path, "any_of", "and none_of are both missing; list values of the axis in one of them")
        return Condition(message.axis, tuple(message.any_of), tuple(message.none_of))

    def _settings(self, written: Sequence[str], path: str) -> tuple[Setting, ...]:
        return tuple(Setting(setting, self.place(path, "set", index)) for index, setting in enumerate(written))

    def _name(self, message: sweep_pb2.SweepBase | sweep_pb2.SweepAxis | sweep_pb2.SweepValue, path: str) -> str:
        if not _NAME.fullmatch(message.name):
            reason = (
                f"('{message.name}') becomes part of ids; use letters, digits, '_' and '.' only"
                if message.name
                else "is missing; give it one"
            )
            raise self._fail(path, "name", reason)
        return message.name

    def _distinct(self, names: list[str], path: str) -> list[str]:
        for index, name in enumerate(names):
            if name in names[:index]:
                raise self._fail(f"{path}[{index}]", "name", f"('{name}') is given twice; names must be unique")
        return names

    def _training(self, message: sweep_pb2.SweepTraining) -> Training:
        every = self._at_least(message, "checkpoint_every_n", "training", 1)
        return Training(
            message.seed, every, message.deterministic, self._at_least(message, "time_limit_seconds", "training")
        )

    def _benchmark(self, message: sweep_pb2.SweepBenchmark) -> Benchmark:
        numbers = [self._at_least(message, field, "benchmark", 1) for field in ("num_images", "warmup")]
        seconds = [self._at_least(message, field, "benchmark") for field in ("max_seconds", "time_limit_seconds")]
        return Benchmark(tuple(message.images), *numbers, *seconds)

    def _at_least(self, message: object, field: str, path: str, least: int = 0) -> int:
        value = getattr(message, field)
        if value < least:
            raise self._fail(path, field, f"({value}) must be at least {least}")
        return value
