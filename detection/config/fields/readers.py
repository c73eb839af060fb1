"""Input readers: records, label maps, proposals."""

from __future__ import annotations

from detection.config.fields.limits import DRAWN, ROWS
from detection.config.fields.row import (
    NOT_NEGATIVE,
    ONE_OR_MORE,
    Limit,
    Message,
    all_honoured,
    honoured,
    no_effect,
    refused,
)

_TUNED = "reading and batching tune themselves"
_BOXES = "only boxes are read, as only boxes are predicted"
_KEYPOINTS = "it belongs to keypoints, which are not predicted"
_CONTEXT = "it belongs to faster_rcnn.context_config, which is not supported"

MESSAGES: dict[str, Message] = {
    "InputReader": (
        no_effect("name", "readers are called by their position"),
        honoured("label_map_path"),
        honoured("shuffle"),
        honoured("shuffle_buffer_size", ONE_OR_MORE, Limit(10_000_000, "memory for so many records is taken at once")),
        honoured(
            "filenames_shuffle_buffer_size", ONE_OR_MORE, Limit(10_000_000, "memory for so many names is taken at once")
        ),
        honoured("num_epochs"),
        honoured("sample_1_of_n_examples", ONE_OR_MORE),
        honoured("num_readers", ONE_OR_MORE, Limit(10_000, "each is an open file with a buffer of 1 MiB")),
        no_effect("num_parallel_batches", _TUNED),
        honoured("num_prefetch_batches", limit=Limit(1_000, "all of them are in memory together")),
        no_effect("queue_capacity", _TUNED),
        no_effect("min_after_dequeue", _TUNED),
        honoured("read_block_length", ONE_OR_MORE),
        no_effect("prefetch_size", _TUNED),
        no_effect("num_parallel_map_calls", _TUNED),
        no_effect("drop_remainder", "training repeats its data for ever, evaluation uses all of it"),
        honoured(
            "num_additional_channels", NOT_NEGATIVE, Limit(253, "every pixel of every image has so many more numbers")
        ),
        no_effect("num_keypoints", _BOXES),
        no_effect("keypoint_type_weight", _KEYPOINTS),
        honoured("max_number_of_boxes", ONE_OR_MORE, ROWS),
        honoured("load_multiclass_scores"),
        no_effect("load_context_features", _CONTEXT),
        no_effect("load_context_image_ids", _CONTEXT),
        no_effect("load_instance_masks", _BOXES),
        no_effect("mask_type", _BOXES),
        no_effect("load_dense_pose", _BOXES),
        no_effect("load_track_id", _BOXES),
        no_effect("load_keypoint_depth_features", _KEYPOINTS),
        no_effect(
            "use_display_name",
            "texts are looked up as name and as display_name, and classes are shown by display_name where there is one",
        ),
        no_effect("include_source_id", "source ids are always read"),
        honoured("input_type", values=("TF_EXAMPLE", "INPUT_DEFAULT", "TF_SEQUENCE_EXAMPLE")),
        honoured("frame_index"),
        no_effect("use_keypoint_label_map", _KEYPOINTS),
        *all_honoured("tf_record_input_reader"),
        refused("external_input_reader", "use tf_record_input_reader"),
        honoured("sample_from_datasets_weights", NOT_NEGATIVE),
        honoured("expand_labels_hierarchy"),
        honoured("proposals_path"),
        honoured("max_number_of_proposals", NOT_NEGATIVE, DRAWN),
        honoured("difficult_objects"),
    ),
    "TFRecordInputReader": (honoured("input_path"),),
}
