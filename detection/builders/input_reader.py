"""Message `InputReader` (with its label map) -> data.reading.options.InputOptions.

Fields on threads, queues and buffers that TensorFlow tunes itself (num_parallel_batches, num_parallel_map_calls,
queue_capacity, min_after_dequeue, prefetch_size) are accepted and have no effect.
"""

from __future__ import annotations

from detection.config import label_map as label_maps
from detection.data.reading.options import DifficultObjects, InputOptions
from detection.proposals.input_sources import FileProposals, RecordProposals
from detection.protos import input_reader_pb2
from detection.types import Category


def build(
    message: input_reader_pb2.InputReader,
    num_classes: int = 0,
    *,
    is_training: bool,
    merge_boxes: bool = False,
    class_scores: int = 0,
    open_images: bool = False,
    path: str | None = None,
    label_map: label_maps.LabelMap | None = None,
) -> InputOptions:
    """Options of an input.

    Args:
        message: one reader of a pipeline config.
        num_classes: number of classes of the model; 0 uses those of the label map.
        is_training: if False, data is read once and in order regardless of shuffling and epochs in the message.
        merge_boxes: whether equal boxes of different classes become one box with several classes.
        class_scores: number of class scores that records have for each box, see `InputOptions.class_scores`.
        open_images: whether to read group-of flags and image-level labels.
        path: path of the message in the config, for errors.
        label_map: an already loaded label map; None reads label_map_path. Without either, the classes are named
            category_1, category_2, ...

    Raises:
        PathError: the label map does not exist.
        DataError: the label map is invalid.
    """
    path = path or ("train_input_reader" if is_training else "eval_input_reader")
    weights = tuple(message.sample_from_datasets_weights)
    if label_map is None and message.label_map_path:
        label_map = label_maps.load(message.label_map_path)
    categories, text_ids, source = _classes(path, num_classes, label_map)
    proposals = _proposals(message, path)
    return InputOptions(
        paths=tuple(message.tf_record_input_reader.input_path),
        field=f"{path}.tf_record_input_reader.input_path",
        weights=weights if is_training else (),
        categories=categories,
        text_ids=text_ids,
        num_classes=num_classes,
        label_source=source,
        ancestors=tuple(label_map.ancestors.items()) if label_map and message.expand_labels_hierarchy else (),
        descendants=tuple(label_map.descendants.items()) if label_map and message.expand_labels_hierarchy else (),
        merge_boxes=merge_boxes,
        class_scores=class_scores,
        sequences=message.input_type == input_reader_pb2.TF_SEQUENCE_EXAMPLE,
        frame_index=message.frame_index if is_training else -1,
        extra_channels=message.num_additional_channels,
        open_images=open_images,
        difficult=_DIFFICULT[message.difficult_objects] if is_training else DifficultObjects.IGNORE,
        max_number_of_boxes=message.max_number_of_boxes,
        proposals=proposals,
        max_number_of_proposals=message.max_number_of_proposals if proposals else 0,
        shuffle=message.shuffle,
        shuffle_buffer_size=message.shuffle_buffer_size,
        filenames_shuffle_buffer_size=message.filenames_shuffle_buffer_size,
        num_epochs=message.num_epochs if is_training else 1,
        sample_1_of_n_examples=max(message.sample_1_of_n_examples, 1),
        num_readers=message.num_readers,
        read_block_length=message.read_block_length,
        num_prefetch_batches=message.num_prefetch_batches,
    )


_DIFFICULT = {
    input_reader_pb2.IGNORE_DIFFICULT: DifficultObjects.IGNORE,
    input_reader_pb2.TRAIN_ON_DIFFICULT: DifficultObjects.TRAIN,
    input_reader_pb2.LEAVE_OUT_DIFFICULT: DifficultObjects.LEAVE_OUT,
}


def _classes(
    path: str, num_classes: int, label_map: label_maps.LabelMap | None
) -> tuple[tuple[Category, ...], tuple[tuple[str, int], ...], str]:
    """The classes, their texts with ids, and a description of their source for messages."""
    if label_map is None:
        source = f"num_classes ({num_classes}), as {path}.label_map_path is not set"
        return label_maps.generated(num_classes), (), source
    source = label_map.path + (f" with num_classes {num_classes}" if 0 < num_classes < label_map.max_id else "")
    return label_map.categories, tuple(label_map.text_ids().items()), source


def _proposals(message: input_reader_pb2.InputReader, path: str) -> RecordProposals | FileProposals | None:
    """The source of proposals, None if the config asks for none; files are opened only when data is read."""
    asked = message.proposals_path or message.HasField("max_number_of_proposals")
    if not asked or not message.max_number_of_proposals:
        return None
    if not message.proposals_path:
        return RecordProposals()
    return FileProposals(tuple(message.proposals_path), f"{path}.proposals_path")
