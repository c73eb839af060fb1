#!/usr/bin/env python3
"""Draws a data set of circles, squares, stars and triangles: VOC folders, TFRecords, a label map and unseen pictures to
try a detector on.

make_synthetic_dataset.py --output_dir=shapes --num_images=500
"""

from __future__ import annotations

from detection import cli  # Before all else: from here on Ctrl-C is one line.

# isort: split
import re
import sys

from absl import flags

from detection.errors import ConfigError

FLAGS = flags.FLAGS
flags.DEFINE_string("output_dir", None, "Where everything goes.", required=True)
flags.DEFINE_integer("num_images", 500, "Images to train on.", lower_bound=1)
flags.DEFINE_integer("num_val_images", 100, "Images to evaluate on.", lower_bound=0)
flags.DEFINE_integer("num_test_images", 12, "Pictures in test_images/, without annotations.", lower_bound=0)
flags.DEFINE_list("size", ["320x240", "360x270", "400x300"], "Sizes of the images, width x height, taken in turn.")
flags.DEFINE_integer("seed", 0, "Other seeds give other images.", lower_bound=0)
flags.DEFINE_bool("records", True, "Write TFRecords too, not only VOC folders.")


def main(argv: list[str]) -> None:
    if argv[1:]:
        raise ConfigError(f"unexpected argument {argv[1]!r}; everything is given by flags")
    sizes = tuple(_parse_size(text) for text in FLAGS.size)
    cli.import_tensorflow()
    from detection.data import synthetic_set

    counts = {"train": FLAGS.num_images, "val": FLAGS.num_val_images}
    synthetic_set.make(
        FLAGS.output_dir,
        counts,
        FLAGS.num_test_images,
        sizes,
        FLAGS.seed,
        FLAGS.records,
        out=sys.stdout,
        progress_to=sys.stderr,
    )


def _parse_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"\s*(\d+)x(\d+)\s*", text)
    if not match or min(size := (int(match[1]), int(match[2]))) < 64 or max(size) > 4096:
        raise ConfigError(f"--size: {text!r} is not a size from 64x64 to 4096x4096, such as 320x240")
    return size


if __name__ == "__main__":
    cli.run(main)
