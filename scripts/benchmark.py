#!/usr/bin/env python3
"""Measures detectors end to end and part by part, exported ones or as configs describe them; or how long a train step
waits for its input.

benchmark.py --saved_model=exported [--images=photos --batch=4 --json=times.json]
benchmark.py --pipeline_config_path=my.config [--checkpoint=run --set model.faster_rcnn.first_stage_max_proposals=50]
benchmark.py --shorter_side=300 --images=photos --runs=500 --results=rows.jsonl --pipeline_config_path=a.config
    --pipeline_config_path=b.config
benchmark.py --results=rows.jsonl                                       the rows that are there, as a table
benchmark.py --pipeline_config_path=my.config --train_steps=100         training
"""

from __future__ import annotations

from detection import cli  # Before all else: from here on Ctrl-C is one line.

# isort: split
from absl import flags

from detection.errors import ConfigError

FLAGS = flags.FLAGS
flags.DEFINE_multi_string("saved_model", [], "Folder that export_saved_model.py wrote; again for another row.")
flags.DEFINE_multi_string(
    "pipeline_config_path", [], "Config that is built, served and measured without training; again for another row."
)
flags.DEFINE_multi_string(
    "checkpoint",
    [],
    "Checkpoint, or folder whose latest is taken, for each of the configs; without, weights are random.",
)
flags.DEFINE_multi_string(
    "set", [], "Overrides one field of the configs, e.g. --set model.faster_rcnn.first_stage_max_proposals=50."
)
flags.DEFINE_list("max_proposals", [], "Proposals of the first stage of the configs, e.g. 10,50,300: a row for each.")
flags.DEFINE_integer(
    "proposals",
    300,
    "Proposals an image for detectors that are given them (Fast R-CNN); their making is not timed.",
    lower_bound=1,
)
flags.DEFINE_list("images", [], "Image files, folders or patterns to run on; by default noise of --image_size.")
flags.DEFINE_list("image_size", ["480", "640"], "Height and width of the noise.")
flags.DEFINE_integer(
    "shorter_side",
    None,
    "Scales images until the shorter side has so many pixels and crops the middle square.",
    lower_bound=1,
)
flags.DEFINE_integer("batch", 1, "Images at a time.", lower_bound=1)
flags.DEFINE_integer("warmup", 10, "Rounds before the clock runs.", lower_bound=1)
flags.DEFINE_integer("runs", 100, "Rounds that count; of --images no more are read.", lower_bound=1)
flags.DEFINE_string("json", None, "File to write the row to, or the list of rows.")
flags.DEFINE_string("results", None, "File to which rows are added, a line each; the table shows those before, too.")
flags.DEFINE_bool("allow_mixed_devices", False, "Shows rows of different devices in one table.")
flags.DEFINE_bool(
    "allow_unused_checkpoint_variables", False, "Take checkpoints of another network than the config's too."
)
flags.DEFINE_integer(
    "train_steps", None, "Measures so many steps of training by the one config instead, after --warmup.", lower_bound=1
)


def main(argv: list[str]) -> int:
    if argv[1:] or not (FLAGS.saved_model or FLAGS.pipeline_config_path or FLAGS.results):
        raise ConfigError(
            "give --saved_model=FOLDER or --pipeline_config_path=FILE, and everything else as flags, --name=value"
        )
    if FLAGS.train_steps and (FLAGS.saved_model or FLAGS.checkpoint or len(FLAGS.pipeline_config_path) != 1):
        raise ConfigError(
            f"--train_steps={FLAGS.train_steps}: measures training by one --pipeline_config_path, with new weights and"
            " nothing else"
        )
    cli.import_tensorflow()
    from detection.benchmark import inputs, report, run, training_speed

    if FLAGS.train_steps:
        measured = training_speed.benchmark(FLAGS.pipeline_config_path[0], FLAGS.set, FLAGS.warmup, FLAGS.train_steps)
        print(measured.table())
        if FLAGS.json:
            report.save(measured.to_json(), FLAGS.json)
        return 0
    options = inputs.BenchmarkOptions(
        images=tuple(FLAGS.images),
        image_size=inputs.parse_size(FLAGS.image_size),
        shorter_side=FLAGS.shorter_side,
        batch=FLAGS.batch,
        warmup=FLAGS.warmup,
        runs=FLAGS.runs,
        proposals=FLAGS.proposals,
        overrides=tuple(FLAGS.set),
        allow_unused=FLAGS.allow_unused_checkpoint_variables,
    )
    targets = run.targets(FLAGS.saved_model, FLAGS.pipeline_config_path, FLAGS.checkpoint, FLAGS.max_proposals)
    return run.run(run.BenchmarkRequest(targets, options, FLAGS.json, FLAGS.results, FLAGS.allow_mixed_devices), print)


if __name__ == "__main__":
    cli.run(main)
