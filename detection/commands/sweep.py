"""Train, evaluate and time every configuration of a grid, one row each; or only time them with random weights.

The same command again continues a sweep that was stopped.

Examples:
  detection sweep --grid=my.pbtxt --output=swept
  detection sweep --grid=builtin:sweep/paper --dry_run            list the configurations
  detection sweep --grid=my.pbtxt --output=part1 --shard=1/2      on one machine, 2/2 on another; then
  detection sweep merge --output=all part1 part2
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from detection.commands.flags import Flags, Given, overrides
from detection.errors import ConfigError

ARGUMENTS = "[merge PART...]"


def define(flags: Flags) -> None:
    """Adds the command's flags."""
    flags.add_string(
        "grid",
        None,
        "Grid file: base configs, axes of overrides, how they are trained, evaluated and timed (protos/sweep.proto).",
    )
    flags.add_string(
        "output",
        None,
        "Folder for results.jsonl, configs, trainings and logs; an existing sweep in it is resumed.",
    )
    flags.add_bool("dry_run", False, "Only list the configurations.")
    flags.add_bool("timing_only", False, "Random weights: nothing is trained or evaluated.")
    flags.add_multi_string("only", "Only configurations whose ids match this pattern, e.g. 'ssd-*'.")
    flags.add_overrides("Overrides one field of every config, e.g. --set train_config.num_steps=100.")
    flags.add_string("shard", None, "i/n: run part i of n, to use n machines.")
    flags.add_integer("jobs", 1, "Parallel trainings or exports; timing always runs alone.", lower_bound=1)
    flags.add_float(
        "time_budget", 0, "Seconds after which the sweep stops, to be resumed later; 0: no limit.", lower_bound=0
    )
    flags.add_float(
        "memory_gib", 0, "Memory limit of each process, which fails if it uses more; 0: no limit.", lower_bound=0
    )
    flags.add_integer("num_images", None, "Number of timed images; overrides the grid's.", lower_bound=1)
    flags.add_integer(
        "max_seconds",
        None,
        "Maximum seconds of timing per detector; overrides the grid's.",
        lower_bound=0,
    )
    flags.add_integer(
        "time_limit",
        None,
        "Time limit in seconds for each of training, evaluation and timing; overrides the grid's.",
        lower_bound=0,
    )
    flags.add_bool("retry_failed", False, "Retry configurations that failed before.")
    flags.add_bool("mixed_devices", False, "Keep times of different devices in one file.")


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    flags = given.flags
    if given.arguments[:1] == ["merge"]:
        from detection.sweep import merge

        if not flags.output or flags.grid:
            raise ConfigError(f"usage: {given.program} merge --output=ALL PART1 PART2 ...")
        rows = merge.merge(given.arguments[1:], flags.output, flags.mixed_devices)
        print(f"{len(rows)} rows, {sum(row.done for row in rows)} of them done, in {flags.output}")
        return 0
    if given.arguments or not flags.grid or not (flags.output or flags.dry_run):
        raise ConfigError(
            "give --grid=FILE and --output=FOLDER (or --dry_run), and everything else as flags, --name=value"
        )
    from detection.config import sweep_file
    from detection.sweep import grid, listing
    from detection.sweep import run as sweep_run

    changes: dict[str, Any] = {
        name: flags[name].value for name in ("num_images", "max_seconds", "time_limit", "timing_only")
    }
    sweep = sweep_file.load(flags.grid).changed(**changes)
    configurations = grid.expand(sweep, overrides(flags), only=flags.only, timing_only=flags.timing_only)
    if flags.shard:
        configurations = grid.shard(configurations, flags.shard)
    if flags.dry_run:
        print(listing.table(configurations))
        return 0
    if os.name == "nt":
        raise ConfigError("a sweep stops its processes by signals, which Windows lacks; run it on Linux or macOS")
    names = {field.name for field in dataclasses.fields(sweep_run.SweepOptions)}
    options: dict[str, Any] = {name: flags[name].value for name in names}
    rows = sweep_run.run(sweep, configurations, flags.output, sweep_run.SweepOptions(**options))
    if rows and not any(row.done for row in rows):
        raise ConfigError(f"none of {len(rows)} configurations could be run; the first, {rows[0].id}: {rows[0].reason}")
    return 0
