"""Expands a grid file to its configurations: id, pipeline config, weights, and the key of what is run.

The configurations are the product of the axes, in order; an axis applies if its conditions hold and one of its values
is allowed. Configurations that differ only on axes with `shares_weights` form a group: the config with the first value
on each of those axes is trained, and the whole group is measured with its weights.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence

from detection import config as config_files
from detection.config import sweep_facts
from detection.config.sweep_file import BASE, Axis, Base, Setting, SweepFile, Value
from detection.errors import ConfigError

RANDOM, TRAINED = "random", "trained"
_VERSION = 1  # of the content of a row: changing it changes every key
_Point = tuple[tuple[str, str], ...]  # (axis, name of its value), the axes that apply, in order; `base` first


@dataclasses.dataclass(frozen=True)
class Configuration:
    """One configuration of a grid, which gives one row."""

    id: str
    key: str  # sha256 of everything that its row depends on, except the machine
    group: str  # sha256 of everything that its weights depend on: equal for all that share them
    axes: Mapping[str, str]
    text: str  # the pipeline config
    trained_id: str  # id of the configuration whose config is trained
    trained_text: str  # that config
    weights: str  # RANDOM, TRAINED, or a checkpoint
    facts: sweep_facts.Facts
    refused: str = ""  # why its config is invalid, one line; empty if it is valid

    @property
    def model_name(self) -> str:
        """Folder of the training; a training of the same id with other settings has another folder."""
        return f"{self.trained_id}.{self.group[:8]}"


def expand(
    sweep: SweepFile, settings: Sequence[str] = (), *, only: Sequence[str] = (), timing_only: bool = False
) -> list[Configuration]:
    """All configurations of a grid, group by group.

    Args:
        sweep: the grid file.
        settings: `path=value` overrides for every configuration, applied after those of the grid.
        only: patterns of ids, `*-mobilenet_v1-*`; other configurations are omitted. Empty: all.
        timing_only: use random weights, so that nothing is trained.

    Raises:
        ConfigError: an override does not fit its config, a pattern matches no id, or a base has no weights.
    """
    configs = _Configs(sweep, settings)
    by_id: dict[str, Configuration] = {}
    for base in sweep.bases:
        for point in _points(sweep.axes, ((BASE, base.name),)):
            if not any(all(condition.holds(dict(point)) for condition in rule) for rule in sweep.leave_out):
                # Ids are unique: at the first axis on which two points differ, both have a value, and names contain no
                # '-'.
                configuration = _configuration(sweep, configs, base, point, timing_only)
                by_id[configuration.id] = configuration
    selected = [
        configuration
        for configuration in by_id.values()
        if not only or any(fnmatch.fnmatchcase(configuration.id, pattern) for pattern in only)
    ]
    for pattern in only:
        if not fnmatch.filter(by_id, pattern):
            raise ConfigError(
                f"--only={pattern}: matches none of {len(by_id)} ids, such as {next(iter(by_id), 'none')}"
            )
    return [configuration for members in groups(_without_duplicates(selected)) for configuration in members]


def groups(configurations: Iterable[Configuration]) -> list[list[Configuration]]:
    """Groups the configurations that share weights, in order of first appearance."""
    by_group: dict[str, list[Configuration]] = {}
    for configuration in configurations:
        by_group.setdefault(configuration.group, []).append(configuration)
    return list(by_group.values())


def shard(configurations: Sequence[Configuration], part: str) -> list[Configuration]:
    """Part `i/n` of a grid, i from 1, for running a sweep on n machines.

    A part has whole groups, so that weights are shared within it. Groups are assigned in the order of their hashes: in
    the order of the grid, every second one might have the larger resolution.

    Args:
        configurations: all configurations of the grid.
        part: `i/n`.

    Raises:
        ConfigError: `part` is not of that form.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", part)
    number, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= number <= count:
        raise ConfigError(f"--shard={part}: expected part/parts, for example 1/4 to 4/4")
    selected = {
        members[0].group
        for members in sorted(groups(configurations), key=lambda members: members[0].group)[number - 1 :: count]
    }
    return [configuration for configuration in configurations if configuration.group in selected]


def _without_duplicates(configurations: Iterable[Configuration]) -> list[Configuration]:
    """Removes configurations that differ from an earlier one only in their names."""
    by_key: dict[str, Configuration] = {}
    for configuration in configurations:
        by_key.setdefault(configuration.key, configuration)
    return list(by_key.values())


def _points(axes: Sequence[Axis], point: _Point) -> list[_Point]:
    if not axes:
        return [point]
    values = _available(axes[0], point)
    steps = [(*point, (axes[0].name, value.name)) for value in values] or [point]
    return [complete for step in steps for complete in _points(axes[1:], step)]


def _available(axis: Axis, point: _Point) -> list[Value]:
    names = dict(point)
    if not all(condition.holds(names) for condition in axis.when):
        return []
    return [value for value in axis.values if all(condition.holds(names) for condition in value.when)]


def _trained_point(axes: Sequence[Axis], point: _Point) -> _Point:
    """The point that is trained for `point`: it has the first value on each axis whose values share weights."""
    names, trained = dict(point), point[:1]
    for axis in axes:
        values = _available(axis, trained)
        if axis.shares_weights and values:
            trained += ((axis.name, values[0].name),)
        elif axis.name in names and any(value.name == names[axis.name] for value in values):
            trained += ((axis.name, names[axis.name]),)
    return trained


def _id(axes: Sequence[Axis], point: _Point) -> str:
    prefixes = {axis.name: axis.prefix for axis in axes}
    return "-".join(prefixes.get(axis, "") + value for axis, value in point)


class _Configs:
    """Configs of points, each made from the config of its prefix by the overrides of the last value."""

    def __init__(self, sweep: SweepFile, settings: Sequence[str]) -> None:
        self._sweep, self._settings = sweep, settings
        self._values = {(axis.name, value.name): value for axis in sweep.axes for value in axis.values}
        self._cache: dict[_Point, object] = {}

    def of(self, point: _Point):
        """The config of a complete point. Raises ConfigError if an override does not fit."""
        return config_files.override(self._config_of_prefix(point), self._settings)

    def _config_of_prefix(self, point: _Point):
        if point not in self._cache:
            self._cache[point] = self._make(point)
        return self._cache[point]

    def _make(self, point: _Point):
        if len(point) == 1:
            base = next(base for base in self._sweep.bases if base.name == point[0][1])
            return _override(config_files.load(base.config), (*base.settings, *self._sweep.settings))
        names = dict(point[:-1])
        fitting = [
            override
            for override in self._values[point[-1]].overrides
            if all(condition.holds(names) for condition in override.when)
        ]
        return _override(
            self._config_of_prefix(point[:-1]), [setting for override in fitting for setting in override.settings]
        )


def _override(message, settings: Iterable[Setting]):
    for setting in settings:
        message = config_files.override(message, [setting.text], flag=f"{setting.place}: set:")
    return message


def _configuration(sweep: SweepFile, configs: _Configs, base: Base, point: _Point, timing_only: bool) -> Configuration:
    message, trained_point = configs.of(point), _trained_point(sweep.axes, point)
    trained_message = message if trained_point == point else configs.of(trained_point)
    text, trained_text = config_files.to_text(message), config_files.to_text(trained_message)
    weights, id_ = _weights(sweep, base, point, timing_only), _id(sweep.axes, point)
    training = dataclasses.asdict(sweep.training) if weights == TRAINED else None
    # Time limits of stages and the interval of checkpoints do not change a row.
    training_fields = {
        "weights": weights,
        "seed": training and training["seed"],
        "deterministic": training and training["deterministic"],
    }
    measured_fields = {
        "config": text,
        "evaluation": sweep.evaluation is not None and weights != RANDOM,
        "benchmark": sweep.benchmark and {**dataclasses.asdict(sweep.benchmark), "time_limit": 0},
    }
    group = _hash({**training_fields, "config": trained_text})
    return Configuration(
        id=id_,
        key=_hash({"version": _VERSION, "group": group, **measured_fields}),
        group=group,
        axes=dict(point),
        text=text,
        trained_id=_id(sweep.axes, trained_point),
        trained_text=trained_text,
        weights=weights,
        facts=sweep_facts.facts(message),
        refused=_refusal(message, id_) or _refusal(trained_message, id_, training=weights == TRAINED),
    )


def _weights(sweep: SweepFile, base: Base, point: _Point, timing_only: bool) -> str:
    if timing_only:
        return RANDOM
    if base.checkpoint:
        try:
            return base.checkpoint.format_map(dict(point))
        except (KeyError, ValueError, IndexError) as error:
            raise ConfigError(
                f"{base.place}: checkpoint ('{base.checkpoint}'): {error} is not an axis of {_id(sweep.axes, point)}"
            ) from None
    if sweep.training is None:
        raise ConfigError(
            f"{sweep.path}: base '{base.name}' has no weights; add training {{}}, give it a checkpoint, or use"
            " --timing_only"
        )
    return TRAINED


def _refusal(message, source: str, training: bool = False) -> str:
    try:
        config_files.check(message, source, check_paths=False, training=training)
    except ConfigError as error:
        return str(error)
    return ""


def _hash(values: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
