"""Chooses a configuration: the most accurate one within limits of time and memory, measured on one machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from detection.errors import ConfigError
from detection.sweep import config_texts
from detection.sweep.frontier import Point, frontier, points
from detection.sweep.quantities import (
    MEAN_AP,
    MEMORY,
    MODEL_MEMORY,
    QUANTITIES,
    TIME,
    Quantity,
    devices,
    milliseconds,
    number,
    of_one_device,
    title,
)
from detection.sweep.results import SweepRow


class Limits(NamedTuple):
    """The requested limits; None is no limit."""

    milliseconds: float | None = None  # median of one image end to end
    mebibytes: float | None = None  # peak memory of the accelerator, or else of the process
    value: Quantity = MEAN_AP  # the quantity to maximise
    model_mebibytes: float | None = None  # peak memory minus that of a process with only TensorFlow loaded

    def used(self) -> list[tuple[Quantity, float]]:
        """The limits that are set, with their quantities."""
        limits = ((TIME, self.milliseconds), (MEMORY, self.mebibytes), (MODEL_MEMORY, self.model_mebibytes))
        return [(quantity, limit) for quantity, limit in limits if limit is not None]

    def excess(self, row: SweepRow) -> float:
        """The largest ratio of a number of the row to its limit.

        The row is within the limits if it is at most 1; it is infinite if a number is missing.
        """
        pairs = [(quantity.read(row), limit) for quantity, limit in self.used()]
        return max((float("inf") if number is None else number / limit for number, limit in pairs), default=0.0)

    def __str__(self) -> str:
        return " and ".join(f"{limit:g} {quantity.unit}" for quantity, limit in self.used()) or "no limit"


class Choice(NamedTuple):
    """The result of `choose`."""

    best: SweepRow
    fitting: int  # number of rows within the limits
    judged: int  # number of rows with a time and the value
    device: str
    faster: Point | None  # the next faster configuration on the frontier
    better: Point | None  # the next more accurate configuration on the frontier


def limits(
    milliseconds: float | None, mebibytes: float | None, value: str, model_mebibytes: float | None = None
) -> Limits:
    """Makes the limits from the values of flags.

    Args:
        milliseconds: --max_ms.
        mebibytes: --max_mib.
        value: --by, the name of an accuracy.
        model_mebibytes: --max_model_mib.

    Raises:
        ConfigError: a limit is not positive, or the value is not an accuracy.
    """
    for flag, limit in (("--max_ms", milliseconds), ("--max_mib", mebibytes), ("--max_model_mib", model_mebibytes)):
        if limit is not None and not limit > 0:
            raise ConfigError(f"{flag}={limit:g}: must be a positive number")
    accuracies = [name for name, quantity in QUANTITIES.items() if not quantity.less_is_better]
    if value not in accuracies:
        raise ConfigError(f"--by={value}: give one of {', '.join(accuracies)}")
    return Limits(milliseconds, mebibytes, QUANTITIES[value], model_mebibytes)


def measured_on(rows: Sequence[SweepRow], device: str, this_device: str, results: str) -> list[SweepRow]:
    """The rows timed on the requested device or, without one, on this machine.

    Rows of other devices are omitted with a warning.

    Args:
        rows: of any devices.
        device: `--device`, a name or a part of one; empty: this machine.
        this_device: name of this machine's device.
        results: the results, as the user named them.

    Raises:
        ConfigError: no row was timed on that device.
    """
    if not devices(rows):
        raise ConfigError(
            f"--results={results}: none of its {len(rows)} rows has times; let `detection sweep` finish, or check the"
            " failed rows"
        )
    if not device and this_device not in devices(rows):
        timed_on = "; ".join(devices(rows))
        raise ConfigError(
            f"--results={results}: timed on {timed_on}, but this machine is {this_device}: run `detection sweep` on"
            " this machine, or give --device=NAME"
        )
    return of_one_device(rows, device or this_device)


def choose(rows: Iterable[SweepRow], limits: Limits) -> Choice:
    """Chooses the best row within the limits; the fastest of equally good ones.

    Args:
        rows: of one device.
        limits: the limits.

    Raises:
        ConfigError: no row has both a time and the value, or none is within the limits; then names the closest one.
    """
    candidates = points(rows, TIME, limits.value)
    if not candidates:
        raise ConfigError(
            f"no row has both a time and {limits.value.label}: only trained and evaluated configurations can be chosen;"
            " see `detection sweep`"
        )
    fitting = [point for point in candidates if limits.excess(point.row) <= 1]
    if not fitting:
        nearest = min((point.row for point in candidates), key=lambda row: (limits.excess(row), row.id))
        numbers = _numbers(nearest, limits)
        raise ConfigError(
            f"none of {len(candidates)} configurations is within {limits}; the closest is {nearest.id} ({numbers});"
            " raise the limit"
        )
    best = min(fitting, key=lambda point: (-point.value, point.cost, point.row.id))
    frontier_points = frontier(candidates)
    faster = [point for point in frontier_points if point.cost < best.cost and point.value < best.value]
    better = [point for point in frontier_points if point.value > best.value]
    return Choice(
        best.row,
        len(fitting),
        len(candidates),
        best.row.device,
        faster[-1] if faster else None,
        better[0] if better else None,
    )


def report(choice: Choice, limits: Limits, results: Sequence[str]) -> str:
    """Formats a choice as text.

    It has the configuration, its numbers, its config, the command that trains it, and its neighbours on the frontier.

    Args:
        choice: the choice.
        limits: the limits.
        results: files or folders that the rows were read from.
    """
    row, accuracy = choice.best, limits.value
    low, high = (number(row.benchmark, "milliseconds", "end_to_end", end) for end in ("low", "high"))
    spread = f" (10 %: {low:.3g}, 90 %: {high:.3g})" if low is not None and high is not None else ""
    lines = [
        (
            f"{choice.fitting} of {choice.judged} configurations are within {limits}, on {choice.device}. The best by"
            f" {accuracy.label}:"
        ),
        "",
    ]
    lines += [title(row), f"  {'id':10}{row.id}"]
    accuracies = [(quantity, quantity.read(row)) for quantity in QUANTITIES.values() if not quantity.less_is_better]
    lines.append(
        f"  {'accuracy':10}"
        + ", ".join(f"{quantity.label} {value:.3f}" for quantity, value in accuracies if value is not None)
    )
    lines.append(f"  {'time':10}{milliseconds(row):.4g} ms an image{spread}")
    costs = [
        (quantity, quantity.read(row))
        for quantity in QUANTITIES.values()
        if quantity.less_is_better and quantity is not TIME
    ]
    lines.append(
        f"  {'costs':10}"
        + ", ".join(
            f"{quantity.label.lower()} {value:,.4g} {quantity.unit}" for quantity, value in costs if value is not None
        )
    )
    config = config_texts.path(row, results)
    if config is not None:
        lines.append(
            f"  {'config':10}{config}" + ("" if config.is_file() else "  (not found: it is where the sweep was run)")
        )
    if (row.train or {}).get("weights_of"):
        lines.append(
            f"  {'weights':10}those of {row.train['weights_of']}, which is trained; this one only has another number of"
            " proposals"
        )
    lines.append(
        f"  {'start':10}{row.command or f'detection train --pipeline_config_path={config or row.id} --model_dir=run'}"
    )
    for words, point in (("less time", choice.faster), ("better", choice.better)):
        if point is not None:
            lines.append(
                f"  {words:10}{title(point.row)}: {point.cost / milliseconds(row):.2f} times the time,"
                f" {point.value - accuracy.read(row):+.3f}"
            )
    return "\n".join(lines)


def _numbers(row: SweepRow, limits: Limits) -> str:
    """The value, time, memory and limited quantities of a row, as text."""
    costs = dict.fromkeys((TIME, MEMORY, *(quantity for quantity, _ in limits.used())))
    numbers = [(quantity, quantity.read(row)) for quantity in costs]
    texts = [f"{value:.4g} {quantity.unit}" for quantity, value in numbers if value is not None]
    return ", ".join([f"{limits.value.label} {limits.value.read(row):.3f}", *texts])
