"""Convert KITTI to records, with the flags of the TF Object Detection API's create_kitti_tf_record.py.

The two files are <output_path>_train.tfrecord and <output_path>_val.tfrecord. Invalid images and boxes are reported and
skipped; existing records are replaced.

Examples:
  create_kitti_tf_record.py --data_dir=kitti --output_path=records/kitti --label_map_path=data/kitti_label_map.pbtxt
"""

from __future__ import annotations

from detection.commands import convert, create_pascal_tf_record
from detection.commands.flags import Flags, Given

ARGUMENTS = ""


def define(flags: Flags) -> None:
    """Adds the command's flags."""
    flags.add_string("data_dir", None, "Folder with data_object_image_2/ and training/label_2/.", required=True)
    flags.add_string("output_path", None, "What the names of the two files begin with.", required=True)
    flags.add_list(
        "classes_to_use",
        ["car", "pedestrian", "dontcare"],
        "Classes in lower case; dontcare leaves out objects that overlap a region that nobody annotated.",
    )
    flags.add_string("label_map_path", "data/kitti_label_map.pbtxt", create_pascal_tf_record.LABEL_MAP)
    flags.add_integer(
        "validation_set_size", 500, "The images with numbers below this are for validation.", lower_bound=0
    )


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    flags = given.flags
    given.refuse_arguments("all arguments are flags, --name=value")
    for split, numbers in (
        ("train", (flags.validation_set_size, None)),
        ("val", (None, flags.validation_set_size)),
    ):
        source = {"roots": (flags.data_dir,), "classes": tuple(flags.classes_to_use), "numbers": numbers}
        options = {
            "output": f"{flags.output_path}_{split}.tfrecord",
            "one_file": True,
            "label_map_path": flags.label_map_path,
            "overwrite": True,
        }
        convert.convert("kitti", source, options)
    return 0
