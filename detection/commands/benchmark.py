"""Measure the speed and memory of detectors, end to end and part by part.

The detectors are exported models or built from configs. With --train_steps, measure instead how long training steps
wait for their input.

Examples:
  detection benchmark --saved_model=exported --images=photos --batch=4 --json=times.json
  detection benchmark --pipeline_config_path=my.config --checkpoint=run
      --set model.faster_rcnn.first_stage_max_proposals=50
  detection benchmark --pipeline_config_path=a.config --pipeline_config_path=b.config --shorter_side=300
      --images=photos --runs=500 --results=rows.jsonl
  detection benchmark --results=rows.jsonl                               show the existing rows as a table
  detection benchmark --pipeline_config_path=my.config --train_steps=100     training
"""

from __future__ import annotations

from detection import cli
from detection.commands.flags import Flags, Given, overrides
from detection.errors import ConfigError

ARGUMENTS = ""


def define(flags: Flags) -> None:
    """Adds the command's flags."""
    flags.add_multi_string("saved_model", "Folder written by `detection export`; repeat for more rows.")
    flags.add_multi_string(
        "pipeline_config_path", "Config to build, serve and measure without training; repeat for more rows."
    )
    flags.add_multi_string(
        "checkpoint",
        "Checkpoint, or folder whose newest is used, for each config; without it, weights are random.",
    )
    flags.add_overrides(
        "Overrides one field of the configs, e.g. --set model.faster_rcnn.first_stage_max_proposals=50."
    )
    flags.add_list(
        "max_proposals", [], "Numbers of first-stage proposals of the configs, e.g. 10,50,300: one row each."
    )
    flags.add_integer(
        "proposals",
        300,
        "Proposals per image for Fast R-CNN, which takes them as input; computing them is not timed.",
        lower_bound=1,
    )
    flags.add_list("images", [], "Image files, folders or patterns to run on; by default noise of --image_size.")
    flags.add_list("image_size", ["480", "640"], "Height and width of the noise.")
    flags.add_integer(
        "shorter_side",
        None,
        "Scales images to this shorter side in pixels and crops the central square.",
        lower_bound=1,
    )
    flags.add_integer("batch", 1, "Images per batch.", lower_bound=1)
    flags.add_integer("warmup", 10, "Runs before timing starts.", lower_bound=1)
    flags.add_integer("runs", 100, "Timed runs; at most this many of --images are read.", lower_bound=1)
    flags.add_string("json", None, "File to write the row to, or the list of rows.")
    flags.add_string(
        "results", None, "File to which rows are appended, one per line; the table also shows earlier rows."
    )
    flags.add_bool("allow_mixed_devices", False, "Shows rows of different devices in one table.")
    flags.add_bool(
        "allow_unused_checkpoint_variables", False, "Also accept checkpoints of another network than the config's."
    )
    flags.add_integer(
        "train_steps",
        None,
        "Measures this many training steps of a single config instead, after --warmup.",
        lower_bound=1,
    )


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    flags = given.flags
    if given.arguments or not (flags.saved_model or flags.pipeline_config_path or flags.results):
        raise ConfigError(
            "give --saved_model=FOLDER or --pipeline_config_path=FILE, and everything else as flags, --name=value"
        )
    if flags.train_steps and (flags.saved_model or flags.checkpoint or len(flags.pipeline_config_path) != 1):
        raise ConfigError(
            f"--train_steps={flags.train_steps}: measures training by one --pipeline_config_path, with new weights and"
            " nothing else"
        )
    cli.import_tensorflow()
    from detection.benchmark import inputs, report, run, training_speed

    if flags.train_steps:
        measured = training_speed.benchmark(
            flags.pipeline_config_path[0], overrides(flags), flags.warmup, flags.train_steps
        )
        print(measured.table())
        if flags.json:
            report.save(measured.to_json(), flags.json)
        return 0
    options = inputs.BenchmarkOptions(
        images=tuple(flags.images),
        image_size=inputs.parse_size(flags.image_size),
        shorter_side=flags.shorter_side,
        batch=flags.batch,
        warmup=flags.warmup,
        runs=flags.runs,
        proposals=flags.proposals,
        overrides=tuple(overrides(flags)),
        allow_unused=flags.allow_unused_checkpoint_variables,
    )
    targets = run.targets(flags.saved_model, flags.pipeline_config_path, flags.checkpoint, flags.max_proposals)
    return run.run(run.BenchmarkRequest(targets, options, flags.json, flags.results, flags.allow_mixed_devices), print)
