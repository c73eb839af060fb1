"""Convert annotated images to sharded TFRecords and report invalid images and boxes.

Formats are PASCAL VOC, COCO, KITTI, Open Images and Oxford-IIIT pets.

Examples:
  detection convert --voc_dir=VOCdevkit/VOC2007 --set=trainval --output=data/trainval.record
      --label_map_path=data/label_map.pbtxt
  detection convert --image_dir=images --annotation_dir=xml --split=train_ids.txt --output=data/train.record
  detection convert --format=coco --annotation_file=instances_val2017.json --image_dir=val2017 --output=data/val.record
  detection convert --format=kitti --data_dir=kitti --classes=car,pedestrian,dontcare --output=data/kitti.record
  detection convert --format=oid --annotation_file=train-annotations-bbox.csv --image_dir=train --output=data/oid.record
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from absl.flags import FlagValues

from detection import cli
from detection.commands.flags import Flags, Given
from detection.errors import ConfigError
from detection.types import MAX_PIXELS

ARGUMENTS = ""


def define(flags: Flags) -> None:
    """Adds the command's flags."""
    flags.add_enum("format", "voc", ["voc", "coco", "kitti", "oid", "pet"], "Format of the annotations.")
    flags.add_multi_string(
        "voc_dir",
        "Folder with JPEGImages, Annotations and ImageSets/Main, or with images and XML files together.",
    )
    flags.add_string("image_dir", "", "Folder of images, if they are elsewhere.")
    flags.add_string("annotation_dir", "", "Folder of VOC annotations (.xml), if they are elsewhere.")
    flags.add_string("annotation_file", "", "COCO annotations (.json), or boxes of Open Images (.csv).")
    flags.add_string("image_labels_file", "", "Open Images: image-level labels (.csv).")
    flags.add_string(
        "set",
        "",
        "Split of a VOC folder, such as train: ImageSets/Main/<set>.txt; of the pets: train or val. Default: all"
        " images.",
    )
    flags.add_string("split", "", "File with the names of the images to convert, one per line; instead of --set.")
    flags.add_string("exclude", "", "COCO: file with the images to leave out, one per line, by id or file name.")
    flags.add_bool(
        "images_only", False, "COCO: also take a file that has no annotations, as those of the test sets do not."
    )
    flags.add_list("classes", [], "Convert only objects of these classes. Default: all.")
    flags.add_string(
        "data_dir",
        "",
        "Root of a KITTI or pets folder; or a VOCdevkit folder, with --year, as an alternative to --voc_dir.",
    )
    flags.add_enum(
        "year", "VOC2007", ["VOC2007", "VOC2012", "merged"], "Folder of --data_dir to convert; merged for both."
    )
    _define_output(flags)


def _define_output(flags: Flags) -> None:
    """Adds the flags of what is written, and of what becomes of faults."""
    flags.add_string(
        "output",
        None,
        "Records go to <output>-00000-of-00010 and so on, with <output>.manifest.json and <output>.report.json.",
    )
    flags.add_string("output_path", None, "The same as --output.")
    flags.add_integer(
        "num_shards", 0, "Number of record files; 0: one per 128 MiB of images.", lower_bound=0, upper_bound=99999
    )
    flags.add_string(
        "label_map_path",
        "",
        "Label map; created with the classes in alphabetical order if it does not exist."
        " Default: label_map.pbtxt next to --output.",
    )
    flags.add_enum(
        "on_bad",
        "skip",
        ["skip", "fail", "fix"],
        "Invalid images and boxes: skip them; fail after checking all; or fix them if possible.",
    )
    flags.add_float(
        "max_bad_percent",
        50.0,
        "Write nothing if a larger percentage of images or boxes is invalid, boxes of invalid images included.",
        lower_bound=0.0,
        upper_bound=100.0,
    )
    flags.add_bool("ignore_difficult_instances", False, "Skip objects marked as difficult.")
    flags.add_integer(
        "max_image_pixels", MAX_PIXELS, "Maximum size of an image in pixels; larger images are invalid.", lower_bound=1
    )
    flags.add_bool("overwrite", False, "Replace existing records.")
    flags.add_integer("workers", 0, "Number of threads; 0: one per core.", lower_bound=0)


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    flags = given.flags
    given.refuse_arguments("all arguments are flags, --name=value")
    output = flags.output or flags.output_path
    if not output:
        raise ConfigError("--output is missing; give the path of the records, such as data/train.record")
    if output.endswith(("/", os.sep)):
        raise ConfigError(
            f"--output={output}: names a folder; add the beginning of the file names, such as {output}train.record"
        )
    _check_annotations(flags)
    roots: tuple[str, ...] = tuple(flags.voc_dir)
    if flags.data_dir:
        roots += voc_roots(flags.data_dir, flags.year) if flags.format == "voc" else (flags.data_dir,)
    options = {
        "output": output,
        "num_shards": flags.num_shards,
        "label_map_path": flags.label_map_path,
        "on_bad": flags.on_bad,
        "ignore_difficult": flags.ignore_difficult_instances,
        "max_image_pixels": flags.max_image_pixels,
        "max_bad_percent": flags.max_bad_percent,
        "overwrite": flags.overwrite,
        "workers": flags.workers,
    }
    source = {
        "roots": roots,
        "image_dir": flags.image_dir,
        "annotations": flags.annotation_dir or flags.annotation_file,
        "subset": flags.set,
        "split_file": flags.split,
        "exclude_file": flags.exclude,
        "images_only": flags.images_only,
        "image_labels": flags.image_labels_file,
        "classes": tuple(flags.classes),
    }
    return convert(flags.format, source, options)


def convert(kind: str, source: Mapping[str, object], options: Mapping[str, object]) -> int:
    """Converts one data set.

    Args:
        kind: a key of `convert.FORMATS`.
        source: fields of `convert.source.Source`.
        options: fields of `convert.conversion.ConversionOptions`.
    """
    cli.import_tensorflow()
    from detection.data.convert import FORMATS, conversion
    from detection.data.convert.source import Source

    settings = conversion.ConversionOptions(**options)  # type: ignore[arg-type]
    reader = FORMATS[kind](Source(**source))  # type: ignore[arg-type]
    conversion.convert(reader, settings, out=sys.stdout, progress_to=sys.stderr)
    return 0


def voc_roots(data_dir: str, year: str) -> tuple[str, ...]:
    """The folders of a VOCdevkit; `merged` stands for both years."""
    years = ("VOC2007", "VOC2012") if year == "merged" else (year,)
    return tuple(os.path.join(data_dir, each) for each in years)


def _check_annotations(flags: FlagValues) -> None:
    if flags.image_labels_file and flags.format != "oid":
        raise ConfigError(
            f"--image_labels_file={flags.image_labels_file}: applies only to Open Images; pass --format=oid"
        )
    for name in ("exclude", "images_only"):
        if flags[name].value and flags.format != "coco":
            raise ConfigError(f"--{name}: applies only to COCO files; pass --format=coco, or remove it")
    if flags.format == "voc" and flags.annotation_file and not os.path.isdir(flags.annotation_file):
        raise ConfigError(
            f"--annotation_file={flags.annotation_file}: VOC annotations are a folder of .xml files; pass --format=coco"
            " for a COCO file, or --annotation_dir"
        )
    if (
        flags.format == "coco"
        and flags.annotation_dir
        and not flags.annotation_file
        and not os.path.isfile(flags.annotation_dir)
    ):
        raise ConfigError(
            f"--annotation_dir={flags.annotation_dir}: COCO annotations are one .json file; pass --annotation_file"
        )
