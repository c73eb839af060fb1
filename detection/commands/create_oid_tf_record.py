"""Convert Open Images to sharded records, with the flags of the TF Object Detection API's create_oid_tf_record.py.

Classes that are not in the label map are skipped. Invalid images and boxes are reported and skipped; existing records
are replaced.

Examples:
  create_oid_tf_record.py --input_box_annotations_csv=train-annotations-bbox.csv --input_images_directory=train
      --input_label_map=data/oid_object_detection_challenge_500_label_map.pbtxt
      --output_tf_record_path_prefix=records/train.tfrecord --num_shards=100
"""

from __future__ import annotations

from detection import cli
from detection.commands import convert
from detection.commands.flags import Flags, Given

ARGUMENTS = ""


def define(flags: Flags) -> None:
    """Adds the command's flags."""
    flags.add_string("input_box_annotations_csv", None, "Boxes.", required=True)
    flags.add_string("input_images_directory", None, "Folder of the images, <id>.jpg.", required=True)
    flags.add_string("input_image_label_annotations_csv", "", "Classes of whole images.")
    flags.add_string("input_label_map", None, "Label map with the names of the files: /m/01g317.", required=True)
    flags.add_string(
        "output_tf_record_path_prefix",
        None,
        "Records go to <prefix>-00000-of-00100 and so on.",
        required=True,
    )
    flags.add_integer("num_shards", 100, "Number of record files.", lower_bound=1, upper_bound=99999)
    # Name of the flag before image labels were supported.
    flags.add_alias("input_annotations_csv", "input_box_annotations_csv")


def run(given: Given) -> int:
    """Runs the command; returns the exit code."""
    flags = given.flags
    given.refuse_arguments("all arguments are flags, --name=value")
    cli.import_tensorflow()
    from detection.config import label_map

    source = {
        "image_dir": flags.input_images_directory,
        "annotations": flags.input_box_annotations_csv,
        "image_labels": flags.input_image_label_annotations_csv,
        "classes": tuple(label_map.load(flags.input_label_map).text_ids()),
    }
    options = {
        "output": flags.output_tf_record_path_prefix,
        "num_shards": flags.num_shards,
        "label_map_path": flags.input_label_map,
        "overwrite": True,
    }
    return convert.convert("oid", source, options)
