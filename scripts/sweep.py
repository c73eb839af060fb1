#!/usr/bin/env python3
"""Trains, evaluates and times every configuration of a grid, one row each; or only times them, as they are made.

sweep.py --grid=my.pbtxt --output=swept                      the same command again goes on where it was stopped
sweep.py --grid=configs/sweep/paper.pbtxt --dry_run          lists what it would do
sweep.py --grid=my.pbtxt --output=part1 --shard=1/2          on one machine, 2/2 on another; then
sweep.py merge --output=all part1 part2
"""

from __future__ import annotations

from detection import cli  # Before all else: from here on Ctrl-C is one line.

# isort: split
import dataclasses

from absl import flags

from detection.errors import ConfigError

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "grid",
    None,
    "Grid file: base configs, axes of overrides, how they are trained, evaluated and timed (protos/sweep.proto).",
)
flags.DEFINE_string(
    "output",
    None,
    "Folder of results.jsonl, configs, trainings and logs; a sweep that lies there already is gone on with.",
)
flags.DEFINE_bool("dry_run", False, "Only list the configurations.")
flags.DEFINE_bool("timing_only", False, "Random weights: nothing is trained or evaluated.")
flags.DEFINE_multi_string(
    "only", [], "Only the configurations whose ids fit this pattern, e.g. 'ssd-*'. May be repeated."
)
flags.DEFINE_multi_string(
    "set", [], "Overrides one field of every config, e.g. --set train_config.num_steps=100. May be repeated."
)
flags.DEFINE_string("shard", None, "i/n: the i-th of n parts, for n machines.")
flags.DEFINE_integer("jobs", 1, "Trainings, or exports, at a time; what is timed always runs alone.", lower_bound=1)
flags.DEFINE_float("time_budget", 0, "Seconds after which the sweep stops, to be gone on with; 0: none.", lower_bound=0)
flags.DEFINE_float("memory_gib", 0, "A process that holds more than this fails; 0: no limit.", lower_bound=0)
flags.DEFINE_integer("num_images", None, "Images that count when timing, instead of what the grid says.", lower_bound=1)
flags.DEFINE_integer(
    "max_seconds",
    None,
    "Seconds after which a slow detector has been timed enough, instead of the grid's.",
    lower_bound=0,
)
flags.DEFINE_integer(
    "time_limit",
    None,
    "Seconds that each of training, evaluating and timing may take, instead of the grid's.",
    lower_bound=0,
)
flags.DEFINE_bool("retry_failed", False, "Try again what has failed before.")
flags.DEFINE_bool("mixed_devices", False, "Keep times of different devices in one file.")


def main(argv: list[str]) -> int:
    if argv[1:2] == ["merge"]:
        from detection.sweep import merge

        if not FLAGS.output or FLAGS.grid:
            raise ConfigError("usage: sweep.py merge --output=ALL PART1 PART2 ...")
        rows = merge.merge(argv[2:], FLAGS.output, FLAGS.mixed_devices)
        print(f"{len(rows)} rows, {sum(row.done for row in rows)} of them done, in {FLAGS.output}")
        return 0
    if argv[1:] or not FLAGS.grid or not (FLAGS.output or FLAGS.dry_run):
        raise ConfigError(
            "give --grid=FILE and --output=FOLDER (or --dry_run), and everything else as flags, --name=value"
        )
    from detection.config import sweep_file
    from detection.sweep import grid, listing, run

    changes = {name: FLAGS[name].value for name in ("num_images", "max_seconds", "time_limit", "timing_only")}
    sweep = sweep_file.load(FLAGS.grid).changed(**changes)
    configurations = grid.expand(sweep, FLAGS.set, only=FLAGS.only, timing_only=FLAGS.timing_only)
    if FLAGS.shard:
        configurations = grid.shard(configurations, FLAGS.shard)
    if FLAGS.dry_run:
        print(listing.table(configurations))
        return 0
    names = {field.name for field in dataclasses.fields(run.SweepOptions)}
    rows = run.run(sweep, configurations, FLAGS.output, run.SweepOptions(**{name: FLAGS[name].value for name in names}))
    if rows and not any(row.done for row in rows):
        raise ConfigError(f"none of {len(rows)} configurations could be run; the first, {rows[0].id}: {rows[0].reason}")
    return 0


if __name__ == "__main__":
    cli.run(main)
