"""Summary of a config for people: one (subject, sentence) per row, including default values."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from detection.config.fields import row_of
from detection.config.fields.row import Use
from detection.config.schema import enum_values, is_message, short
from detection.protos import input_reader_pb2, pipeline_pb2

Row = tuple[str, str]


def model_rows(config: pipeline_pb2.TrainEvalPipelineConfig) -> list[Row]:
    """Rows on the detector, except sizes, which are known only after it is built."""
    kind = config.model.WhichOneof("model") or ""
    model = getattr(config.model, kind)
    if kind == "custom":
        words = " ".join([model.name, *model.parameters])
        return [
            ("model", f"{words}, {_count(model.num_classes, 'class', 'classes')}"),
            ("resizer", chosen(model.image_resizer)),
        ]
    extractor, classes = model.feature_extractor, _count(model.num_classes, "class", "classes")
    return [
        ("model", f"{kind} of {extractor.type}, depth multiplier {short(extractor.depth_multiplier)}, {classes}"),
        ("resizer", chosen(model.image_resizer)),
        *_rows_of(model, kind),
    ]


def _rows_of(model: Message, kind: str) -> list[Row]:
    if kind == "center_net":
        return _center_net_rows(model)
    return _ssd_rows(model) if kind == "ssd" else _two_stage_rows(model, kind)


def _center_net_rows(model: Message) -> list[Row]:
    center, box = model.object_center_params, model.object_detection_task
    losses = [f"{short(center.object_center_loss_weight)} x {chosen(center.classification_loss)}"]
    for part in ("scale", "offset"):
        weight = box.task_loss_weight * getattr(box, f"{part}_loss_weight")
        losses.append(f"{short(weight)} x {chosen(box.localization_loss)} of the {part}")
    window = center.peak_max_pool_kernel_size
    found = f"at most {center.max_box_predictions} peaks an image, each the largest of {window} x {window} cells"
    if model.HasField("post_processing"):
        found += f"; then {_suppression(model.post_processing)}"
    return [("loss", " + ".join(losses)), ("detections", found)]


def _ssd_rows(model: Message) -> list[Row]:
    loss = model.loss
    losses = [f"{short(loss.classification_weight)} x {chosen(loss.classification_loss)}"]
    losses.append(f"{short(loss.localization_weight)} x {_location(loss.localization_loss)}")
    losses += [
        f"{name} ({fields(getattr(loss, name))})"
        for name in ("hard_example_miner", "random_example_sampler")
        if loss.HasField(name)
    ]
    return [("loss", " + ".join(losses)), ("detections", _suppression(model.post_processing))]


def _two_stage_rows(model: Message, kind: str) -> list[Row]:
    given = kind == "fast_rcnn"
    found = (
        f"at most {model.first_stage_max_proposals} an image, IoU up to {short(model.first_stage_nms_iou_threshold)}"
    )
    rows = [("proposals", "given with the images" if given else found)]
    if model.number_of_stages == 1 and not given:
        return [*rows, ("detections", "the proposals")]
    position_sensitive = model.second_stage_box_predictor.HasField("rfcn_box_predictor")
    op = (
        "position-sensitive crop (R-FCN)"
        if position_sensitive
        else "RoI max pooling"
        if model.roi_max_pool
        else "crop and resize"
    )
    named = (
        chosen(model.second_stage_classification_loss)
        if model.HasField("second_stage_classification_loss")
        else "weighted_softmax"
    )
    losses = f"{short(model.second_stage_classification_loss_weight)} x {named} + "
    losses += (
        f"{short(model.second_stage_localization_loss_weight)} x {_location_of(model, 'second_stage')} of the regions"
    )
    if not given:
        losses += (
            f" + {short(model.first_stage_objectness_loss_weight)} x objectness +"
            f" {short(model.first_stage_localization_loss_weight)} x "
        )
        losses += f"{_location_of(model, 'first_stage')} of the proposals"
    mines = model.HasField("hard_example_miner")
    sampled = f"mined ({fields(model.hard_example_miner)})" if mines else f"{model.second_stage_batch_size} an image"
    return [
        *rows,
        (
            "regions",
            f"{op}; {sampled} in training, {short(model.second_stage_balance_fraction)} of them objects at most",
        ),
        ("loss", losses),
        ("detections", _suppression(model.second_stage_post_processing)),
    ]


def _location_of(model: Message, stage: str) -> str:
    """The localisation loss of a stage, and its matcher and box coder where they are not the usual ones."""
    field = f"{stage}_localization_loss"
    loss = _location(getattr(model, field)) if model.HasField(field) else "weighted_smooth_l1"
    others = [
        chosen(getattr(model, f"{stage}_{part}"))
        for part in ("matcher", "box_coder", "similarity_calculator")
        if model.HasField(f"{stage}_{part}")
    ]
    return f"{loss} ({', '.join(others)})" if others else loss


def _location(message: Message) -> str:
    """A localisation loss; the terms of a sum, each with its weight unless that is 1."""
    if message.WhichOneof("localization_loss") != "sum":
        return chosen(message)
    terms = (
        f"{short(term.weight)} {term.WhichOneof('localization_loss')}"
        if term.weight != 1
        else str(term.WhichOneof("localization_loss"))
        for term in message.sum.term
    )
    return f"({' + '.join(terms)})"


def _suppression(message: Message) -> str:
    suppression = message.batch_non_max_suppression
    converter = message.DESCRIPTOR.fields_by_name["score_converter"]
    calibrated = "calibrated " if message.calibration_config.WhichOneof("calibrator") else ""
    overlap = (
        f"overlaps lower scores (sigma {short(suppression.soft_nms_sigma)})"
        if suppression.soft_nms_sigma > 0
        else f"IoU up to {short(suppression.iou_threshold)}"
    )
    return (
        f"{calibrated}{converter.enum_type.values_by_number[message.score_converter].name} scores above"
        f" {short(suppression.score_threshold)}, {overlap}, at most"
        f" {suppression.max_detections_per_class} a class and {suppression.max_total_detections} an image"
    )


def train_rows(config: pipeline_pb2.TrainEvalPipelineConfig) -> list[Row]:
    """Rows on steps, optimizer, schedule, augmentation and initial weights; empty without a train_config."""
    train = config.train_config
    if not config.HasField("train_config"):
        return []
    steps = _count(train.num_steps, "step", "steps") if train.num_steps else "steps without end"
    kind = train.optimizer.WhichOneof("optimizer")
    optimizer = getattr(train.optimizer, kind)
    clip = (
        f", gradients clipped to a norm of {short(train.gradient_clipping_by_norm)}"
        if train.gradient_clipping_by_norm
        else ""
    )
    start = "random weights"
    if train.fine_tune_checkpoint:
        how = train.fine_tune_checkpoint_type or ("detection" if train.from_detection_checkpoint else "classification")
        start = f"{train.fine_tune_checkpoint}, as {how}"
    steps_of_augmentation = [chosen(step) for step in train.data_augmentation_options]
    return [
        ("training", f"{steps} of {_count(train.batch_size, 'image', 'images')}"),
        *_batches(config),
        ("starts from", start),
        ("augmentation", ", ".join(steps_of_augmentation) or "none"),
        ("optimizer", f"{kind} ({fields(optimizer)}){clip}".replace(" ()", "")),
        ("schedule", chosen(optimizer.learning_rate)),
    ]


def _batches(config: pipeline_pb2.TrainEvalPipelineConfig) -> list[Row]:
    """How batches treat images of different sizes; empty if all have one size or batches have one image."""
    resizer = getattr(config.model, config.model.WhichOneof("model") or "").image_resizer
    one_size = resizer.HasField("fixed_shape_resizer") or resizer.keep_aspect_ratio_resizer.pad_to_max_dimension
    said = []
    if config.train_config.batch_size > 1:
        said.append("training pads the images of a batch to the largest of them")
    if config.eval_input_reader and config.eval_config.batch_size > 1:
        said.append("a batch of evaluation holds images of one size, so that its number changes no result")
    return [] if one_size or not said else [("batches", "; ".join(said))]


def data_rows(config: pipeline_pb2.TrainEvalPipelineConfig) -> list[Row]:
    """Rows on files and metrics."""
    rows = []
    if config.HasField("train_input_reader"):
        rows.append(("train data", _reader(config.train_input_reader)))
    rows += [("eval data", _reader(reader)) for reader in config.eval_input_reader]
    if config.eval_input_reader:
        rows.append(("metrics", ", ".join(config.eval_config.metrics_set) or "coco_detection_metrics"))
    return rows


def _reader(reader: input_reader_pb2.InputReader) -> str:
    paths = ", ".join(reader.tf_record_input_reader.input_path) or "no files"
    said = [f"label map {reader.label_map_path}" if reader.label_map_path else "no label map"]
    if (reader.proposals_path or reader.HasField("max_number_of_proposals")) and reader.max_number_of_proposals:
        said.append(
            f"at most {reader.max_number_of_proposals} proposals an image from"
            f" {', '.join(reader.proposals_path) or 'the records'}"
        )
    return f"{paths} ({', '.join(said)})"


def chosen(message: Message) -> str:
    """The chosen member of a message's oneof with its fields: `constant_learning_rate (learning_rate 0.1)`."""
    kind = message.WhichOneof(message.DESCRIPTOR.oneofs[0].name)
    inner = getattr(message, kind) if kind else None
    if not isinstance(inner, Message):
        return kind or "nothing"
    said = fields(inner)
    return f"{kind} ({said})" if said else kind


def fields(message: Message) -> str:
    """`name value, name value` of a message's fields that have an effect.

    Scalars include default values; lists are included if set; repeated messages are counted.
    """
    said = []
    for field in message.DESCRIPTOR.fields:
        said_of = row_of(field)
        if said_of is not None and said_of.use is Use.NO_EFFECT:
            continue
        value = getattr(message, field.name)
        if field.is_repeated:
            items = f"{len(value)} x" if is_message(field) else " ".join(_scalar(field, item) for item in value)
            said += [f"{field.name} {items}"] if len(value) else []
        elif not is_message(field) and (field.has_default_value or message.HasField(field.name)):
            said.append(f"{field.name} {_scalar(field, value)}")
    return ", ".join(said)


def _scalar(field: FieldDescriptor, value: Any) -> str:
    if field.enum_type is not None:
        return next(name for name in enum_values(field) if field.enum_type.values_by_name[name].number == value)
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, str) else short(value)


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
