"""What must hold between the fields of input readers."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import Message


def input_reader(message: Message, path: str) -> Iterator[str]:
    """InputReader: needs data, and valid weights."""
    weights, paths = message.sample_from_datasets_weights, len(message.tf_record_input_reader.input_path)
    if message.HasField("tf_record_input_reader") and not paths:
        yield f'{path}.tf_record_input_reader.input_path is not set; add tf_record_input_reader {{ input_path: "..." }}'
    if message.expand_labels_hierarchy and not message.label_map_path:
        yield (
            f"{path}.expand_labels_hierarchy is true and {path}.label_map_path is not set; the hierarchy is in the"
            " label map, as ancestor_ids and descendant_ids"
        )
    if weights and len(weights) != paths:
        yield (
            f"{path}.sample_from_datasets_weights has {len(weights)} values for {paths} of"
            " tf_record_input_reader.input_path; give one a path"
        )
    if weights and not any(weights):
        yield f"{path}.sample_from_datasets_weights has only zeros; give at least one path a weight above 0"


def evaluation_data(message: Message, path: str) -> Iterator[str]:
    """Every evaluation reader in the config needs data."""
    for index, reader in enumerate(message.eval_input_reader):
        if reader.WhichOneof("input_reader") is None:
            yield f'eval_input_reader[{index}] names no data; add tf_record_input_reader {{ input_path: "..." }}'
        if reader.difficult_objects:
            yield (
                f"eval_input_reader[{index}].difficult_objects belongs to train_input_reader; remove it: metrics decide"
                " (PASCAL VOC's leave difficult objects out, COCO's count them)"
            )


def proposals(message: Message, path: str) -> Iterator[str]:
    """Fast R-CNN needs proposals in its data."""
    if message.model.WhichOneof("model") != "fast_rcnn":
        return
    readers = [("train_input_reader", message.train_input_reader)]
    readers += [(f"eval_input_reader[{index}]", reader) for index, reader in enumerate(message.eval_input_reader)]
    drawn = (
        0 if message.model.fast_rcnn.HasField("hard_example_miner") else message.model.fast_rcnn.second_stage_batch_size
    )
    for place, reader in readers:
        most, asked = (
            reader.max_number_of_proposals,
            reader.proposals_path or reader.HasField("max_number_of_proposals"),
        )
        if reader.WhichOneof("input_reader") and not (asked and most):
            yield (
                f"{place} gives no proposals to model.fast_rcnn; set its proposals_path, or max_number_of_proposals"
                " where the records hold them"
            )
        elif asked and place == "train_input_reader" and most < drawn:
            yield (
                f"{place}.max_number_of_proposals ({most}) is less than model.fast_rcnn.second_stage_batch_size"
                f" ({drawn}), drawn from them"
            )
