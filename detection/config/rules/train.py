"""What must hold between the fields of training and its evaluation."""

from __future__ import annotations

import re
from collections.abc import Iterator

from google.protobuf.message import Message

from detection.config.schema import cut


def patterns(message: Message, path: str) -> Iterator[str]:
    """TrainConfig: variable patterns must be valid regular expressions."""
    for field in ("freeze_variables", "update_trainable_variables"):
        for index, pattern in enumerate(getattr(message, field)):
            try:
                re.compile(pattern)
            except (re.error, RecursionError, OverflowError) as error:
                yield f"{path}.{field}[{index}] ({cut(repr(pattern))}) is not a valid regular expression: {error}"


def moving_averages(message: Message, path: str) -> Iterator[str]:
    """Evaluation can use moving averages only if training keeps them."""
    kept = message.train_config.optimizer.use_moving_average
    if message.HasField("train_config") and message.eval_config.use_moving_averages and not kept:
        yield (
            "train_config.optimizer.use_moving_average is false but eval_config.use_moving_averages is true; make them"
            " agree"
        )


def class_scores(message: Message, path: str) -> Iterator[str]:
    """Scores that are learnt from, or made probabilities of, are read."""
    loaded, used = message.train_input_reader.load_multiclass_scores, message.train_config.use_multiclass_scores
    if used and not loaded:
        yield (
            "train_config.use_multiclass_scores is true and train_input_reader.load_multiclass_scores is not; set the"
            " latter too: the scores are image/object/class/multiclass_scores of the records"
        )
    for index, step in enumerate(message.train_config.data_augmentation_options if not used else ()):
        if step.HasField("convert_class_logits_to_softmax"):
            yield (
                f"train_config.data_augmentation_options[{index}].convert_class_logits_to_softmax changes scores that"
                " are not learnt from; set train_config.use_multiclass_scores and"
                " train_input_reader.load_multiclass_scores, or remove it"
            )


def class_scores_without_effect(message: Message, path: str) -> Iterator[str]:
    """No fault, but maybe not what was meant."""
    if message.train_config.use_multiclass_scores and message.train_config.merge_multiple_label_boxes:
        yield (
            "train_config.use_multiclass_scores has no effect: the classes of a box are those of the boxes that"
            " merge_multiple_label_boxes makes one of, as in the TF Object Detection API"
        )
    readers = [("train_input_reader", message.train_input_reader)]
    readers += [(f"eval_input_reader[{index}]", reader) for index, reader in enumerate(message.eval_input_reader)]
    for place, reader in readers:
        used = message.train_config.use_multiclass_scores and place == "train_input_reader"
        if reader.load_multiclass_scores and not used:
            why = (
                "scores are learnt from in training only"
                if place != "train_input_reader"
                else ("train_config.use_multiclass_scores is not set")
            )
            yield f"{place}.load_multiclass_scores has no effect: {why}"
