"""List the content of a checkpoint: its network, arrays by scope, step and moving averages.

With a config, also show which variables training would load from it. Exit code 2 if there is no such checkpoint, it is
damaged, or nothing in it fits the config.

Examples:
  detection inspect --checkpoint=mobilenet_v1_1.0_224.ckpt
  detection inspect --checkpoint=model.ckpt-2000 --pipeline_config_path=my.config --kind=detection
  detection inspect --pipeline_config_path=my.config         the checkpoint that the config names
"""

from __future__ import annotations

from detection import cli
from detection.commands.flags import Flags, Given, overrides
from detection.errors import ConfigError

ARGUMENTS = ""


def define(flags: Flags) -> None:
    """Adds the command's flags."""
    flags.add_string(
        "checkpoint",
        "",
        "A checkpoint's prefix, one of its files, or a folder. By default the config's fine_tune_checkpoint.",
    )
    flags.add_string("pipeline_config_path", "", "Config whose detector would be initialised from the checkpoint.")
    flags.add_enum(
        "kind", None, ["classification", "detection", "full"], "Overrides the config's fine_tune_checkpoint_type."
    )
    flags.add_integer("levels", 2, "Number of scope levels to show.", lower_bound=1)
    flags.add_bool("all", False, "List every array on a line of its own.")
    flags.add_overrides("Overrides one field of the config, e.g. --set model.ssd.num_classes=3.")


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    flags = given.flags
    given.refuse_arguments(f"the checkpoint is a flag, --checkpoint={' '.join(given.arguments[:1])}")
    cli.import_tensorflow()
    from detection.builders import pipeline as pipelines
    from detection.checkpoints import inspect

    request = inspect.Request(flags.checkpoint, flags.kind or "", flags.levels, flags.all)
    path = flags.pipeline_config_path
    inspection = inspect.inspect(request, pipelines.for_inspection(path, overrides(flags)) if path else None)
    print("\n".join(inspection.lines))
    if inspection.fault:
        raise ConfigError(inspection.fault)
    return 0
