"""Convert COCO to sharded records, with the flags of the TF Object Detection API's create_coco_tf_record.py.

The files are those of the API: coco_train.record-?????-of-00100, coco_val.record-?????-of-00050,
coco_testdev.record-?????-of-00050. A split whose flags are not given is not converted. Invalid images and boxes are
reported and skipped; existing records are replaced. A label map is written next to the records unless one exists.

Examples:
  create_coco_tf_record.py --train_image_dir=train2017 --train_annotations_file=instances_train2017.json
      --val_image_dir=val2017 --val_annotations_file=instances_val2017.json --output_dir=records
"""

from __future__ import annotations

import os

from absl.flags import FlagValues

from detection.commands import convert
from detection.commands.flags import Flags, Given, refuse_given
from detection.errors import ConfigError

ARGUMENTS = ""
_SHARDS = {"train": 100, "val": 50, "testdev": 50}
_IMAGES = {"train": "train_image_dir", "val": "val_image_dir", "testdev": "test_image_dir"}
_REFUSED = {
    "include_masks": "masks are not supported; leave it out to write boxes",
    "train_keypoint_annotations_file": "keypoints are not supported; leave it out to write boxes",
    "val_keypoint_annotations_file": "keypoints are not supported; leave it out to write boxes",
    "train_densepose_annotations_file": "DensePose is not supported; leave it out to write boxes",
    "val_densepose_annotations_file": "DensePose is not supported; leave it out to write boxes",
}


def define(flags: Flags) -> None:
    """Adds the command's flags."""
    flags.add_bool("include_masks", False, "Not supported.")
    for split, folder in _IMAGES.items():
        flags.add_string(folder, "", f"Images of the {split} split.")
    for split in ("train", "val"):
        flags.add_string(f"{split}_annotations_file", "", f"COCO annotations of the {split} split.")
    flags.add_string("testdev_annotations_file", "", "List of the images of the testdev split, which have no boxes.")
    for name in list(_REFUSED)[1:]:
        flags.add_string(name, "", "Not supported.")
    flags.add_bool("remove_non_person_annotations", False, "Take persons only.")
    flags.add_string("output_dir", "/tmp/", "Where the records go.")


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    flags = given.flags
    given.refuse_arguments("all arguments are flags, --name=value")
    refuse_given(flags, _REFUSED)
    splits = [split for split in _SHARDS if _is_given(flags, split)]
    if not splits:
        raise ConfigError("no split is given; pass --train_image_dir and --train_annotations_file, or those of val")
    for split in splits:
        source = {
            "image_dir": flags[_IMAGES[split]].value,
            "annotations": flags[f"{split}_annotations_file"].value,
            "images_only": split == "testdev",
            "classes": ("person",) if flags.remove_non_person_annotations else (),
        }
        options = {
            "output": os.path.join(flags.output_dir, f"coco_{split}.record"),
            "num_shards": _SHARDS[split],
            "overwrite": True,
        }
        convert.convert("coco", source, options)
    return 0


def _is_given(flags: FlagValues, split: str) -> bool:
    names = _IMAGES[split], f"{split}_annotations_file"
    given = [bool(flags[name].value) for name in names]
    if any(given) and not all(given):
        there, missing = names if given[0] else names[::-1]
        raise ConfigError(f"--{missing} is missing; it is needed with --{there}")
    return all(given)
