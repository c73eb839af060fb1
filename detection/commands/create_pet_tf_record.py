"""Convert the Oxford-IIIT pets to records, with the flags of the TF Object Detection API's create_pet_tf_record.py.

Split and files are those of the API: pet_faces_train.record-?????-of-00010 and pet_faces_val.record-?????-of-00010.
Invalid images and boxes are reported and skipped; existing records are replaced.

Examples:
  create_pet_tf_record.py --data_dir=pets --output_dir=records --label_map_path=data/pet_label_map.pbtxt
"""

from __future__ import annotations

import os

from detection.commands import convert, create_pascal_tf_record
from detection.commands.flags import Flags, Given, refuse_given

ARGUMENTS = ""
_MASKS = "boxes around whole bodies come from masks, which are not supported; leave it out for boxes around heads"
_REFUSED = {"faces_only": _MASKS, "mask_type": "masks are not supported; leave it out to write boxes"}


def define(flags: Flags) -> None:
    """Adds the command's flags."""
    flags.add_string("data_dir", None, "Folder with images/ and annotations/.", required=True)
    flags.add_string("output_dir", None, "Where the records go.", required=True)
    flags.add_string("label_map_path", "data/pet_label_map.pbtxt", create_pascal_tf_record.LABEL_MAP)
    flags.add_bool("faces_only", True, "Boxes around heads; false is not supported.")
    flags.add_string("mask_type", "png", "Not supported.")
    flags.add_integer("num_shards", 10, "Number of record files of each split.", lower_bound=1, upper_bound=99999)


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    flags = given.flags
    given.refuse_arguments("all arguments are flags, --name=value")
    refuse_given(flags, _REFUSED)
    for split in ("train", "val"):
        options = {
            "output": os.path.join(flags.output_dir, f"pet_faces_{split}.record"),
            "num_shards": flags.num_shards,
            "label_map_path": flags.label_map_path,
            "overwrite": True,
        }
        convert.convert("pet", {"roots": (flags.data_dir,), "subset": split}, options)
    return 0
