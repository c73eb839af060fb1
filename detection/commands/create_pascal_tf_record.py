"""Convert PASCAL VOC to a record file, with the flags of the TF Object Detection API's create_pascal_tf_record.py.

`detection convert` reads more layouts and writes shards. Invalid images and boxes are reported and skipped; existing
records are replaced.

Examples:
  create_pascal_tf_record.py --data_dir=VOCdevkit --year=VOC2012 --set=train --output_path=pascal_train.record
      --label_map_path=data/pascal_label_map.pbtxt
"""

from __future__ import annotations

import os

from detection.commands import convert
from detection.commands.flags import Flags, Given
from detection.errors import ConfigError

ARGUMENTS = ""
LABEL_MAP = "Read if it exists, otherwise made, classes by alphabet."


def define(flags: Flags) -> None:
    """Adds the command's flags."""
    flags.add_string("data_dir", None, "VOCdevkit folder, which holds VOC2007 and VOC2012.", required=True)
    flags.add_enum("set", "train", ["train", "val", "trainval", "test"], "Split: ImageSets/Main/<set>.txt.")
    flags.add_string("annotations_dir", "Annotations", "Folder of annotations, in that of the year.")
    flags.add_enum("year", "VOC2007", ["VOC2007", "VOC2012", "merged"], "Folder to convert; merged for both.")
    flags.add_string("output_path", None, "The file of records.", required=True)
    flags.add_string("label_map_path", "data/pascal_label_map.pbtxt", LABEL_MAP)
    flags.add_bool("ignore_difficult_instances", False, "Skip objects marked as difficult.")


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    flags = given.flags
    given.refuse_arguments("all arguments are flags, --name=value")
    roots = convert.voc_roots(flags.data_dir, flags.year)
    source = {"roots": roots, "subset": flags.set}
    if flags.annotations_dir != "Annotations":
        if len(roots) > 1:
            raise ConfigError(
                f"--annotations_dir={flags.annotations_dir}: can be given for one --year only; convert each by itself"
            )
        source["annotations"] = os.path.join(roots[0], flags.annotations_dir)
    options = {
        "output": flags.output_path,
        "one_file": True,
        "label_map_path": flags.label_map_path,
        "ignore_difficult": flags.ignore_difficult_instances,
        "overwrite": True,
    }
    return convert.convert("voc", source, options)
