#!/usr/bin/env python3
"""Turns annotated images (PASCAL VOC or COCO) into sharded TFRecords, with a report of what was found and what was
wrong.

create_tf_record.py --voc_dir=VOCdevkit/VOC2007 --set=trainval --output=data/trainval.record
--label_map_path=data/label_map.pbtxt create_tf_record.py --image_dir=images --annotation_dir=xml --split=train_ids.txt
--output=data/train.record create_tf_record.py --format=coco --annotation_file=instances_val2017.json
--image_dir=val2017 --output=data/val.record
"""

from __future__ import annotations

from detection import cli  # Before all else: from here on Ctrl-C is one line.

# isort: split
import os
import sys

from absl import flags

from detection.errors import ConfigError
from detection.types import MAX_PIXELS

FLAGS = flags.FLAGS
flags.DEFINE_enum("format", "voc", ["voc", "coco"], "What the annotations are.")
flags.DEFINE_multi_string(
    "voc_dir",
    [],
    "Folder with JPEGImages, Annotations, ImageSets/Main, or with images and XML side by side; may be repeated.",
)
flags.DEFINE_string("image_dir", "", "Folder of images, where they lie elsewhere.")
flags.DEFINE_string("annotation_dir", "", "Folder of VOC annotations (.xml), where they lie elsewhere.")
flags.DEFINE_string("annotation_file", "", "COCO annotations (.json).")
flags.DEFINE_string("set", "", "Split of a VOC folder, such as train: ImageSets/Main/<set>.txt. Default: all images.")
flags.DEFINE_string("split", "", "File of the image names to take, one a line, instead of --set.")
flags.DEFINE_string("data_dir", "", "VOCdevkit folder; with --year, another way to say --voc_dir.")
flags.DEFINE_enum(
    "year", "VOC2007", ["VOC2007", "VOC2012", "merged"], "Folder of --data_dir to convert; merged for both."
)
flags.DEFINE_string(
    "output",
    None,
    "Records are written to <output>-00000-of-00010 and so on, with <output>.manifest.json and <output>.report.json.",
)
flags.DEFINE_string("output_path", None, "The same as --output.")
flags.DEFINE_integer(
    "num_shards", 0, "Number of record files; 0 for one every 128 MiB of images.", lower_bound=0, upper_bound=99999
)
flags.DEFINE_string(
    "label_map_path",
    "",
    "Read if it exists, otherwise made, classes by alphabet. Default: label_map.pbtxt beside --output.",
)
flags.DEFINE_enum(
    "on_bad",
    "skip",
    ["skip", "fail", "fix"],
    "Bad images and boxes: leave out; check all, but write nothing; or repair what can be.",
)
flags.DEFINE_float(
    "max_bad_percent",
    50.0,
    "Write nothing if more of the images or boxes (those of bad images too) are bad.",
    lower_bound=0.0,
    upper_bound=100.0,
)
flags.DEFINE_bool("ignore_difficult_instances", False, "Leave out objects marked difficult.")
flags.DEFINE_integer("max_image_pixels", MAX_PIXELS, "Larger images are bad.", lower_bound=1)
flags.DEFINE_bool("overwrite", False, "Replace records that exist.")
flags.DEFINE_integer("workers", 0, "Threads; 0 for one a core.", lower_bound=0)


def main(argv: list[str]) -> None:
    if argv[1:]:
        raise ConfigError(f"unexpected argument {argv[1]!r}; everything is given by flags")
    output = FLAGS.output or FLAGS.output_path
    if not output:
        raise ConfigError("--output is missing; give the path of the records, such as data/train.record")
    if output.endswith(("/", os.sep)):
        raise ConfigError(
            f"--output={output}: names a folder; give the beginning of the files' names too, such as"
            f" {output}train.record"
        )
    if FLAGS.format == "voc" and FLAGS.annotation_file and not os.path.isdir(FLAGS.annotation_file):
        raise ConfigError(
            f"--annotation_file={FLAGS.annotation_file}: VOC annotations are a folder of .xml files; pass --format=coco"
            " for a COCO file, or --annotation_dir"
        )
    if (
        FLAGS.format == "coco"
        and FLAGS.annotation_dir
        and not FLAGS.annotation_file
        and not os.path.isfile(FLAGS.annotation_dir)
    ):
        raise ConfigError(
            f"--annotation_dir={FLAGS.annotation_dir}: COCO annotations are one .json file; pass --annotation_file"
        )
    cli.import_tensorflow()
    from detection.data.convert import FORMATS, conversion
    from detection.data.convert.source import Source

    years = ["VOC2007", "VOC2012"] if FLAGS.year == "merged" else [FLAGS.year]
    roots = (*FLAGS.voc_dir, *(os.path.join(FLAGS.data_dir, year) for year in years if FLAGS.data_dir))
    source = Source(roots, FLAGS.image_dir, FLAGS.annotation_dir or FLAGS.annotation_file, FLAGS.set, FLAGS.split)
    options = conversion.ConversionOptions(
        output=output,
        num_shards=FLAGS.num_shards,
        label_map_path=FLAGS.label_map_path,
        on_bad=FLAGS.on_bad,
        ignore_difficult=FLAGS.ignore_difficult_instances,
        max_image_pixels=FLAGS.max_image_pixels,
        max_bad_percent=FLAGS.max_bad_percent,
        overwrite=FLAGS.overwrite,
        workers=FLAGS.workers,
    )
    conversion.convert(FORMATS[FLAGS.format](source), options, out=sys.stdout, progress_to=sys.stderr)


if __name__ == "__main__":
    cli.run(main)
