#!/usr/bin/env python3
"""Says what a checkpoint holds: whose it is, its arrays by scope, step, averages; and with a config, what of it
training would start from.

    inspect_checkpoint.py --checkpoint=mobilenet_v1_1.0_224.ckpt
    inspect_checkpoint.py --checkpoint=model.ckpt-2000 --pipeline_config_path=my.config --kind=detection
    inspect_checkpoint.py --pipeline_config_path=my.config          # the checkpoint that the config names

Exit code 2 where there is no such checkpoint, it is damaged, or nothing in it fits the config.
"""

from __future__ import annotations

from detection import cli  # Before all else: from here on Ctrl-C is one line.

# isort: split
from absl import flags

from detection.errors import ConfigError

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "checkpoint",
    "",
    "A checkpoint's prefix, one of its files, or a folder. By default the config's fine_tune_checkpoint.",
)
flags.DEFINE_string("pipeline_config_path", "", "The config whose detector would start from it.")
flags.DEFINE_enum(
    "kind", None, ["classification", "detection", "full"], "Instead of the config's fine_tune_checkpoint_type."
)
flags.DEFINE_integer("levels", 2, "Levels of scopes that are shown.", lower_bound=1)
flags.DEFINE_bool("all", False, "Every array on a line of its own.")
flags.DEFINE_multi_string(
    "set", [], "Overrides one field of the config, e.g. --set model.ssd.num_classes=3. May be repeated."
)


def main(argv: list[str]) -> None:
    if argv[1:]:
        raise ConfigError(f"unexpected argument {argv[1]!r}; the checkpoint is a flag, --checkpoint={argv[1]}")
    cli.import_tensorflow()
    from detection.builders import pipeline as pipelines
    from detection.checkpoints import inspect

    request = inspect.Request(FLAGS.checkpoint, FLAGS.kind or "", FLAGS.levels, FLAGS.all)
    path = FLAGS.pipeline_config_path
    inspection = inspect.inspect(request, pipelines.for_inspection(path, FLAGS.set) if path else None)
    print("\n".join(inspection.lines))
    if inspection.fault:
        raise ConfigError(inspection.fault)


if __name__ == "__main__":
    cli.run(main)
