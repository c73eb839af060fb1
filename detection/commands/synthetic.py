"""Draw a data set of circles, squares, stars and triangles, to try a detector on.

Writes VOC folders, TFRecords, a label map, and pictures without annotations.

Example:
  detection synthetic --output_dir=shapes --num_images=500
"""

from __future__ import annotations

import re
import sys

from detection import cli
from detection.commands.flags import Flags, Given
from detection.errors import ConfigError

ARGUMENTS = ""


def define(flags: Flags) -> None:
    """Adds the command's flags."""
    flags.add_string("output_dir", None, "Output folder.", required=True)
    flags.add_integer("num_images", 500, "Number of training images.", lower_bound=1)
    flags.add_integer("num_val_images", 100, "Number of evaluation images.", lower_bound=0)
    flags.add_integer("num_test_images", 12, "Number of pictures in test_images/, without annotations.", lower_bound=0)
    flags.add_list("size", ["320x240", "360x270", "400x300"], "Sizes of the images, width x height, used in turn.")
    flags.add_integer("seed", 0, "Different seeds give different images.", lower_bound=0)
    flags.add_bool("records", True, "Write TFRecords in addition to VOC folders.")


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    flags = given.flags
    given.refuse_arguments("all arguments are flags, --name=value")
    sizes = tuple(_parse_size(text) for text in flags.size)
    cli.import_tensorflow()
    from detection.data import synthetic_set

    counts = {"train": flags.num_images, "val": flags.num_val_images}
    synthetic_set.make(
        flags.output_dir,
        counts,
        flags.num_test_images,
        sizes,
        flags.seed,
        flags.records,
        out=sys.stdout,
        progress_to=sys.stderr,
    )
    return 0


def _parse_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"\s*(\d+)x(\d+)\s*", text)
    if not match or min(size := (int(match[1]), int(match[2]))) < 64 or max(size) > 4096:
        raise ConfigError(f"--size: {text!r} is not a size from 64x64 to 4096x4096, such as 320x240")
    return size
