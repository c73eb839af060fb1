#!/usr/bin/env python3
"""Measures an exported detector, end to end against its network alone and part by part; or how long a train step waits for its input.

    benchmark.py --saved_model=exported [--images=photos --batch=4 --json=times.json]
    benchmark.py --pipeline_config_path=my.config [--train_steps=100 --set train_config.batch_size=8]
"""

from __future__ import annotations

from absl import flags

from detection import cli
from detection.errors import ConfigError

FLAGS = flags.FLAGS
flags.DEFINE_string("saved_model", None, "Folder that export_saved_model.py wrote.")
flags.DEFINE_list("images", [], "Image files, folders or patterns to run it on; by default noise of --image_size.")
flags.DEFINE_list("image_size", ["480", "640"], "Height and width of the noise.")
flags.DEFINE_integer("batch", 1, "Images at a time.", lower_bound=1)
flags.DEFINE_integer("warmup", 10, "Rounds before the clock runs.", lower_bound=1)
flags.DEFINE_integer("runs", 100, "Rounds that count.", lower_bound=1)
flags.DEFINE_string("pipeline_config_path", None, "Instead of --saved_model: measures training by this config.")
flags.DEFINE_integer("train_steps", 50, "Steps of that, after --warmup.", lower_bound=1)
flags.DEFINE_multi_string("set", [], "Overrides one field of that config, e.g. --set train_config.batch_size=8.")
flags.DEFINE_string("json", None, "File to write the numbers to.")


def main(argv: list[str]) -> None:
    if argv[1:] or bool(FLAGS.saved_model) == bool(FLAGS.pipeline_config_path):
        raise ConfigError("give either --saved_model=FOLDER or --pipeline_config_path=FILE, and everything else as flags, --name=value")
    cli.import_tensorflow()
    from detection.benchmark import report, training

    if FLAGS.saved_model:
        options = report.Options(tuple(FLAGS.images), report.parse_size(FLAGS.image_size), FLAGS.batch, FLAGS.warmup, FLAGS.runs)
        measured = report.benchmark(FLAGS.saved_model, options)
    else:
        measured = training.benchmark(FLAGS.pipeline_config_path, FLAGS.set, FLAGS.warmup, FLAGS.train_steps)
    print(measured.table())
    if FLAGS.json:
        report.save(measured.to_json(), FLAGS.json)


if __name__ == "__main__":
    cli.run(main)
