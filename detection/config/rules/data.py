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


def channels(message: Message, path: str) -> Iterator[str]:
    """Images of more channels than three: all that are read alike, and only where nothing asks for three."""
    readers = [("train_input_reader", message.train_input_reader)]
    readers += [(f"eval_input_reader[{index}]", reader) for index, reader in enumerate(message.eval_input_reader)]
    counts = {
        place: reader.num_additional_channels
        for place, reader in readers
        if reader.WhichOneof("input_reader") or reader.num_additional_channels
    }
    first, *others = counts.items() or [("", 0)]
    for place, count in others:
        if count != first[1]:
            yield (
                f"{place}.num_additional_channels ({count}) differs from that of {first[0]} ({first[1]}); one network"
                " sees the images of both: make them agree"
            )
    if not any(counts.values()):
        return
    place, kind = max(counts, key=counts.__getitem__), message.model.WhichOneof("model")
    asked = f"{place}.num_additional_channels ({counts[place]})"
    if kind in ("center_net", "custom"):
        yield f"{asked} is for model.ssd, model.faster_rcnn and model.fast_rcnn; remove it"
        return
    resizer = getattr(message.model, kind).image_resizer if kind else None
    chosen = resizer.WhichOneof("image_resizer_oneof") if resizer is not None else None
    settings = getattr(resizer, chosen) if chosen else None
    if getattr(settings, "convert_to_grayscale", False):
        yield f"{asked} does not go with {chosen}.convert_to_grayscale, which takes three channels; remove one of them"
    if getattr(settings, "per_channel_pad_value", ()):
        yield f"{asked} does not go with {chosen}.per_channel_pad_value, which has three values; remove one of them"
    for index, step in enumerate(message.train_config.data_augmentation_options):
        if step.HasField("autoaugment_image"):
            yield (
                f"{asked} does not go with train_config.data_augmentation_options[{index}].autoaugment_image, whose"
                " operations are of three channels; remove one of them"
            )


def frame_without_effect(message: Message, path: str) -> Iterator[str]:
    """InputReader: only sequences have frames, and only training takes one of each."""
    kind = message.DESCRIPTOR.fields_by_name["input_type"].enum_type.values_by_number[message.input_type].name
    if message.frame_index < 0:
        return
    if kind != "TF_SEQUENCE_EXAMPLE":
        yield f"{path}.frame_index ({message.frame_index}) has no effect: it is of input_type TF_SEQUENCE_EXAMPLE"
    elif not path.startswith("train"):
        yield f"{path}.frame_index ({message.frame_index}) has no effect: all frames are evaluated, as in the API"
