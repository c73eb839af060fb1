"""The configuration to start from: the most accurate of those that were measured within limits of time and memory, on
one machine.
"""

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
    """What is asked for; None is no limit."""

    milliseconds: float | None = None  # median of one image end to end
    mebibytes: float | None = None  # peak: of the accelerator where there is one, else of the process
    value: Quantity = MEAN_AP  # what should be as high as it can be
    model_mebibytes: float | None = None  # of memory, less what a process takes that has only TensorFlow loaded

    def used(self) -> list[tuple[Quantity, float]]:
        limits = ((TIME, self.milliseconds), (MEMORY, self.mebibytes), (MODEL_MEMORY, self.model_mebibytes))
        return [(quantity, limit) for quantity, limit in limits if limit is not None]

    def excess(self, row: SweepRow) -> float:
        """How far a row is over: the largest of its numbers over their limits; at most 1 fits, infinite where a number
        is missing.
        """
        used = [(quantity.read(row), limit) for quantity, limit in self.used()]
        return max((float("inf") if number is None else number / limit for number, limit in used), default=0.0)

    def __str__(self) -> str:
        return " and ".join(f"{limit:g} {quantity.unit}" for quantity, limit in self.used()) or "no limit"


class Choice(NamedTuple):
    """What `choose` found."""

    best: SweepRow
    fitting: int  # rows within the limits
    judged: int  # rows with a time and the value
    device: str
    faster: Point | None  # the neighbours on the frontier: what less time would cost, what more would buy
    better: Point | None


def limits(
    milliseconds: float | None, mebibytes: float | None, value: str, model_mebibytes: float | None = None
) -> Limits:
    """From flags. Raises ConfigError: a limit that is not positive, a value that is no accuracy."""
    for flag, limit in (("--max_ms", milliseconds), ("--max_mib", mebibytes), ("--max_model_mib", model_mebibytes)):
        if limit is not None and not limit > 0:
            raise ConfigError(f"{flag}={limit:g}: no configuration takes that little; give a positive number")
    accuracies = [name for name, quantity in QUANTITIES.items() if not quantity.less_is_better]
    if value not in accuracies:
        raise ConfigError(f"--by={value}: give one of {', '.join(accuracies)}")
    return Limits(milliseconds, mebibytes, QUANTITIES[value], model_mebibytes)


def measured_on(rows: Sequence[SweepRow], wanted: str, here: str, where: str) -> list[SweepRow]:
    """The rows timed on the device that is asked for or, where none is, on this machine.

    Args:
        wanted: `--device`, a name or a part of one; empty: this machine.
        here: name of this machine's device.
        where: the results, as the user named them.

    Raises:
        ConfigError: no row was timed there. Rows of other devices are left out with a warning.
    """
    if not devices(rows):
        raise ConfigError(
            f"--results={where}: none of its {len(rows)} rows has times; let `detection sweep` finish, or look at the"
            " failed rows"
        )
    if not wanted and here not in devices(rows):
        there = "; ".join(devices(rows))
        raise ConfigError(
            f"--results={where}: timed on {there}; this machine is {here}, with other times: run `detection sweep`"
            " here, or give --device=NAME"
        )
    return of_one_device(rows, wanted or here)


def choose(rows: Iterable[SweepRow], within: Limits) -> Choice:
    """The best row within the limits; of equally good ones the fastest.

    Args:
        rows: of one device.

    Raises:
        ConfigError: nothing has both a time and the value, or nothing fits; then the nearest is named.
    """
    judged = points(rows, TIME, within.value)
    if not judged:
        raise ConfigError(
            f"no row has both a time and {within.value.label}: only trained and evaluated configurations can be chosen;"
            " see `detection sweep`"
        )
    fitting = [point for point in judged if within.excess(point.row) <= 1]
    if not fitting:
        nearest = min((point.row for point in judged), key=lambda row: (within.excess(row), row.id))
        numbers = _numbers(nearest, within)
        raise ConfigError(
            f"none of {len(judged)} configurations fits {within}; the nearest is {nearest.id} ({numbers}): raise the"
            " limit"
        )
    best = min(fitting, key=lambda point: (-point.value, point.cost, point.row.id))
    on = frontier(judged)
    faster = [point for point in on if point.cost < best.cost and point.value < best.value]
    better = [point for point in on if point.value > best.value]
    return Choice(
        best.row,
        len(fitting),
        len(judged),
        best.row.device,
        faster[-1] if faster else None,
        better[0] if better else None,
    )


def report(choice: Choice, within: Limits, results: Sequence[str]) -> str:
    """What a person reads: the configuration, its numbers, its config and the command that trains it, and its
    neighbours on the frontier.
    """
    row, value = choice.best, within.value
    low, high = (number(row.benchmark, "milliseconds", "end_to_end", end) for end in ("low", "high"))
    spread = f" (10 %: {low:.3g}, 90 %: {high:.3g})" if low is not None and high is not None else ""
    lines = [
        (
            f"{choice.fitting} of {choice.judged} configurations fit within {within}, on {choice.device}. The best by"
            f" {value.label}:"
        ),
        "",
    ]
    lines += [title(row), f"  {'id':10}{row.id}"]
    accuracies = [(quantity, quantity.read(row)) for quantity in QUANTITIES.values() if not quantity.less_is_better]
    lines.append(
        f"  {'accuracy':10}"
        + ", ".join(f"{quantity.label} {found:.3f}" for quantity, found in accuracies if found is not None)
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
            f"{quantity.label.lower()} {found:,.4g} {quantity.unit}" for quantity, found in costs if found is not None
        )
    )
    config = config_texts.path(row, results)
    if config is not None:
        lines.append(
            f"  {'config':10}{config}" + ("" if config.is_file() else "  (not there: it lies where the sweep was run)")
        )
    if (row.train or {}).get("weights_of"):
        lines.append(
            f"  {'weights':10}those of {row.train['weights_of']}: that one is trained, this one only reads fewer or"
            " more proposals"
        )
    lines.append(
        f"  {'start':10}{row.command or f'detection train --pipeline_config_path={config or row.id} --model_dir=run'}"
    )
    for words, point in (("less time", choice.faster), ("better", choice.better)):
        if point is not None:
            lines.append(
                f"  {words:10}{title(point.row)}: {point.cost / milliseconds(row):.2f} times the time,"
                f" {point.value - value.read(row):+.3f}"
            )
    return "\n".join(lines)


def _numbers(row: SweepRow, within: Limits) -> str:
    """What there is to choose by, and what is limited."""
    costs = dict.fromkeys((TIME, MEMORY, *(quantity for quantity, _ in within.used())))
    numbers = [(quantity, quantity.read(row)) for quantity in costs]
    said = [f"{found:.4g} {quantity.unit}" for quantity, found in numbers if found is not None]
    return ", ".join([f"{within.value.label} {within.value.read(row):.3f}", *said])
