"""Compress the fully connected layers of a trained detector by truncated SVD (Girshick 2015, section 3.1).

A layer of u x v weights becomes two of u x t and t x v, of its t largest singular values. Writes a config and a
checkpoint, which every other command takes; training from them fine-tunes the compressed layers.

Examples:
  detection compress --pipeline_config_path=fast_rcnn/pipeline.config --trained_checkpoint_dir=fast_rcnn
      --svd=fc6=1024,fc7=256 --output_directory=compressed
  detection compress --pipeline_config_path=fast_rcnn/pipeline.config --trained_checkpoint_dir=fast_rcnn
      --svd=fc6,fc7 --energy=0.9 --output_directory=compressed
"""

from __future__ import annotations

import os

from detection import cli
from detection.commands.flags import Flags, Given, overrides
from detection.errors import ConfigError

ARGUMENTS = ""


def define(flags: Flags) -> None:
    """Adds the command's flags."""
    flags.add_string("pipeline_config_path", None, "Config that the checkpoint was trained with.", required=True)
    flags.add_string("trained_checkpoint_prefix", None, "Checkpoint, e.g. model_dir/model.ckpt-50000.")
    flags.add_string("trained_checkpoint_dir", None, "Folder whose newest checkpoint is taken; instead of a prefix.")
    flags.add_list("svd", None, "Layers and how many singular values to keep: fc6=1024,fc7=256.", required=True)
    flags.add_float(
        "energy",
        None,
        "Of layers without a number: keep the fewest singular values with this share of the sum of squares.",
        lower_bound=0.0,
        upper_bound=1.0,
    )
    flags.add_string("output_directory", None, "Folder for the config and the checkpoint.", required=True)
    flags.add_bool("overwrite", False, "Write into a folder that holds a config already.")
    flags.add_bool("allow_unused_checkpoint_variables", False, "Also take a checkpoint of another network.")
    flags.add_overrides("Overrides one field of the config.")
    flags.require_one_of(["trained_checkpoint_prefix", "trained_checkpoint_dir"])


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    flags = given.flags
    given.refuse_arguments("all arguments are flags, --name=value")
    ranks = _ranks(flags.svd, flags.energy)
    if os.path.exists(os.path.join(flags.output_directory, "pipeline.config")) and not flags.overwrite:
        raise ConfigError(
            f"--output_directory={flags.output_directory}: holds a pipeline.config already; pass --overwrite, or"
            " another folder"
        )
    cli.import_tensorflow()
    from detection.export import compress

    made = compress.compress(
        flags.pipeline_config_path,
        flags.trained_checkpoint_prefix or flags.trained_checkpoint_dir,
        flags.output_directory,
        ranks=ranks,
        energy=flags.energy,
        settings=overrides(flags),
        allow_unused=flags.allow_unused_checkpoint_variables,
    )
    for line in made.lines():
        print(line)
    return 0


def _ranks(texts: list[str], energy: float | None) -> dict[str, int]:
    """Layer -> rank, 0 where the energy decides. Raises ConfigError."""
    ranks: dict[str, int] = {}
    for text in texts:
        name, _, number = text.partition("=")
        if not name or name in ranks:
            raise ConfigError(f"--svd={','.join(texts)}: name each layer once, as in --svd=fc6=1024,fc7=256")
        if number and not (number.isdecimal() and int(number)):
            raise ConfigError(f"--svd={name}={number}: the singular values to keep are a whole number from 1 on")
        if not number and not energy:
            raise ConfigError(f"--svd={name}: say how many singular values to keep, --svd={name}=256, or --energy=0.9")
        ranks[name] = int(number or 0)
    return ranks
