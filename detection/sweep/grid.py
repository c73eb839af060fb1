"""A grid file -> its configurations: what each is called, its pipeline config, whose weights it uses, and the key of
what is run.

The axes multiply, in order; an axis applies where its conditions hold and one of its values may be used. Configurations
that differ only on axes with `shares_weights` are one group: the config with the first value on each of those axes is
trained, and all of the group are measured with its weights.
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
_VERSION = 1  # of what a row holds: a change of it makes every key another one
_Point = tuple[tuple[str, str], ...]  # (axis, name of its value), the axes that apply, in order; `base` first


@dataclasses.dataclass(frozen=True)
class Configuration:
    """One row to be."""

    id: str
    key: str  # sha256 of everything that its row depends on but the machine
    group: str  # sha256 of what its weights depend on: equal for all that share them
    axes: Mapping[str, str]
    text: str  # the pipeline config
    trained_id: str  # id of the configuration whose config is trained
    trained_text: str  # that config
    weights: str  # RANDOM, TRAINED, or the checkpoint to take
    facts: sweep_facts.Facts
    refused: str = ""  # why it cannot be built, one line; empty where nothing is known against it

    @property
    def model_name(self) -> str:
        """Folder of the training: another training of the same id goes elsewhere."""
        return f"{self.trained_id}.{self.group[:8]}"


def expand(
    sweep: SweepFile, settings: Sequence[str] = (), *, only: Sequence[str] = (), timing_only: bool = False
) -> list[Configuration]:
    """All configurations of a grid, a group's behind each other.

    Args:
        sweep: the grid file.
        settings: `path=value` for every configuration, over all that the grid says.
        only: patterns of ids, `*-mobilenet_v1-*`; others are left out. None: all.
        timing_only: weights are random, so nothing is trained.

    Raises:
        ConfigError: an override does not fit its config, a pattern fits none, or there is nothing to take weights from.
    """
    configs = _Configs(sweep, settings)
    found: dict[str, Configuration] = {}
    for base in sweep.bases:
        for point in _points(sweep.axes, ((BASE, base.name),)):
            if not any(all(condition.holds(dict(point)) for condition in rule) for rule in sweep.leave_out):
                # No two ids are the same: at the first axis where two points part, both have a value, and '-' is in no
                # name.
                one = _configuration(sweep, configs, base, point, timing_only)
                found[one.id] = one
    wanted = [
        one for one in found.values() if not only or any(fnmatch.fnmatchcase(one.id, pattern) for pattern in only)
    ]
    for pattern in only:
        if not fnmatch.filter(found, pattern):
            raise ConfigError(f"--only={pattern}: fits none of {len(found)} ids, such as {next(iter(found), 'none')}")
    return [one for members in groups(_once(wanted)) for one in members]


def groups(configurations: Iterable[Configuration]) -> list[list[Configuration]]:
    """Those that share weights together, in the order in which they first appear."""
    found: dict[str, list[Configuration]] = {}
    for one in configurations:
        found.setdefault(one.group, []).append(one)
    return list(found.values())


def shard(configurations: Sequence[Configuration], part: str) -> list[Configuration]:
    """Part `i/n` of a grid, i from 1: whole groups, so that weights are shared within a part; the parts together are
    the grid.

    Groups are dealt out in the order of their hashes: in that of the grid, every other one may be of the larger
    resolution.

    Raises:
        ConfigError: `part` is not of that form.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", part)
    number, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= number <= count:
        raise ConfigError(f"--shard={part}: expected part/parts, from 1/4 to 4/4 say")
    dealt = {
        members[0].group
        for members in sorted(groups(configurations), key=lambda members: members[0].group)[number - 1 :: count]
    }
    return [one for one in configurations if one.group in dealt]


def _once(configurations: Iterable[Configuration]) -> list[Configuration]:
    """Of configurations that are the same but for their names the first."""
    found: dict[str, Configuration] = {}
    for one in configurations:
        found.setdefault(one.key, one)
    return list(found.values())


def _points(axes: Sequence[Axis], point: _Point) -> list[_Point]:
    if not axes:
        return [point]
    values = _available(axes[0], point)
    steps = [(*point, (axes[0].name, value.name)) for value in values] or [point]
    return [whole for step in steps for whole in _points(axes[1:], step)]


def _available(axis: Axis, point: _Point) -> list[Value]:
    names = dict(point)
    if not all(condition.holds(names) for condition in axis.when):
        return []
    return [value for value in axis.values if all(condition.holds(names) for condition in value.when)]


def _trained_point(axes: Sequence[Axis], point: _Point) -> _Point:
    """The same, with the first value on each axis whose values share weights."""
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
    """Configs of points, each made from that of the point before it by the overrides of one value."""

    def __init__(self, sweep: SweepFile, settings: Sequence[str]) -> None:
        self._sweep, self._settings = sweep, settings
        self._values = {(axis.name, value.name): value for axis in sweep.axes for value in axis.values}
        self._made: dict[_Point, object] = {}

    def of(self, point: _Point):
        """The message of a whole point. Raises ConfigError where an override does not fit."""
        return config_files.override(self._made_of(point), self._settings)

    def _made_of(self, point: _Point):
        if point not in self._made:
            self._made[point] = self._make(point)
        return self._made[point]

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
        return _override(self._made_of(point[:-1]), [setting for override in fitting for setting in override.settings])


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
    # How long a stage may take, and how often a training saves, change no row.
    learnt = {
        "weights": weights,
        "seed": training and training["seed"],
        "deterministic": training and training["deterministic"],
    }
    measured = {
        "config": text,
        "evaluation": sweep.evaluation is not None and weights != RANDOM,
        "benchmark": sweep.benchmark and {**dataclasses.asdict(sweep.benchmark), "time_limit": 0},
    }
    group = _hash({**learnt, "config": trained_text})
    return Configuration(
        id=id_,
        key=_hash({"version": _VERSION, "group": group, **measured}),
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
                f"{base.place}: checkpoint ('{base.checkpoint}'): {error} is no axis of {_id(sweep.axes, point)}"
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
