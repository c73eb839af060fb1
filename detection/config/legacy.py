"""Reads configs with fields that were renamed, moved, retyped or removed from the schema since 2017.

All readers of configs, in text or binary form, use `read`. Each row of the tables below is one schema change. Text is
edited in place without changing its length, so that lines and columns in later errors are those of the user's file. Any
other unknown field remains an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from google.protobuf import text_format
from google.protobuf.message import Message

from detection.config.scan import Entry, scan
from detection.config.schema import message_name, takes
from detection.protos import eval_pb2, model_pb2, pipeline_pb2

_REMARKS = 10  # maximum per field name
_YES, _NO = ("true", "True", "t", "1"), ("false", "False", "f", "0")

# (message, old field) -> (new field of the same message, {old value: new value})
RENAMED = {
    ("FasterRcnn", "first_stage_only"): ("number_of_stages", dict.fromkeys(_YES, "1") | dict.fromkeys(_NO, "2")),
}
# Fields that were floats and are integers now: `600.0` is read as `600`.
NOW_INTEGER = {
    ("RandomPadImage", "min_image_height"),
    ("RandomPadImage", "min_image_width"),
    ("RandomPadImage", "max_image_height"),
    ("RandomPadImage", "max_image_width"),
    ("RandomResizeMethod", "target_height"),
    ("RandomResizeMethod", "target_width"),
}
# (message, old field) -> (reason, values without effect on the model; None: all)
DROPPED = {
    ("SsdFeatureExtractor", "batch_norm_trainable"): (
        "it was removed from the schema in 2018; use conv_hyperparams.batch_norm.train",
        None,
    ),
    ("InputReader", "prefetch_buffer_size"): (
        "it was removed from the schema in 2018; batches are prefetched by num_prefetch_batches",
        None,
    ),
    ("Ssd", "weight_regression_loss_by_score"): ("it was removed from the schema in 2018", _NO),
}


class Moved(NamedTuple):
    """The new place of a field: `home` is a path from its old message, with `..` for the parent message."""

    home: str
    name: str
    values: dict[str, str] | None = None  # old value -> new value, for values that differ


MOVED = {
    ("Ssd", "min_num_negative_samples"): Moved("loss", "min_num_negative_samples"),
    ("Ssd", "desired_negative_sampling_ratio"): Moved("loss", "desired_negative_sampling_ratio"),
    ("Ssd", "use_expected_classification_loss_under_sampling"): Moved(
        "loss", "expected_loss_weights", dict.fromkeys(_YES, "EXPECTED_SAMPLING") | dict.fromkeys(_NO, "NONE")
    ),
    ("SSDRandomCropPadFixedAspectRatioOperation", "min_padded_size_ratio"): Moved("..", "min_padded_size_ratio"),
    ("SSDRandomCropPadFixedAspectRatioOperation", "max_padded_size_ratio"): Moved("..", "max_padded_size_ratio"),
}
# Types for which the TF Object Detection API always applies conv_hyperparams to the network. Before 2018 no field said
# so; since then the API rejects configs that do not set the field.
MADE_BY_HYPERPARAMS = ("ssd_inception_v2", "ssd_inception_v3")
# (message, number) of dropped fields that binary configs hold.
OLD_NUMBERS = {("SsdFeatureExtractor", 6): "batch_norm_trainable"}
# Removed fields that changed the meaning of a config: an error with the reason.
REMOVED = {
    (
        "Ssd",
        "weight_regression_loss_by_score",
    ): "it was removed from the schema in 2018 and has no successor; remove it",
    ("ConvolutionalBoxPredictor", "mask_head"): "it was removed from the schema in 2018; remove it",
    ("WeightSharedConvolutionalBoxPredictor", "mask_head"): "it was removed from the schema in 2018; remove it",
    (
        "CalibrationConfig",
        "label_function_approximations",
    ): "it was removed from the schema in 2019; use class_id_function_approximations",
    (
        "CalibrationConfig",
        "label_sigmoid_calibrations",
    ): "it was removed from the schema in 2019; use class_id_sigmoid_calibrations",
}
METRICS_SETS = {
    "pascal_voc_metrics": "pascal_voc_detection_metrics",
    "weighted_pascal_voc_metrics": "weighted_pascal_voc_detection_metrics",
    "coco_metrics": "coco_detection_metrics",
    **dict.fromkeys(
        ("open_images_metrics", "open_images_detection_metrics", "open_images_V2_detection_metrics"),
        "oid_V2_detection_metrics",
    ),
    "oid_challenge_object_detection_metrics": "oid_challenge_detection_metrics",
}


class Move(NamedTuple):
    """A field that was blanked out and is set at its new place after the rest is parsed."""

    entry: Entry
    path: str  # of the message that contains it now, from the root
    name: str
    text: str  # `name: value` in the current schema


class Fault(Exception):
    """An old field that cannot be moved, with its offset in the text and the reason."""

    def __init__(self, at: int, reason: str) -> None:
        super().__init__(reason)
        self.at, self.reason = at, reason


Remark = Callable[[int | None, str], None]  # takes the offset in the text (None: no text, or all of it) and a sentence


class Written(NamedTuple):
    """The fields of a text, with the offsets at which they are written."""

    entries: list[Entry]  # all fields; renamed fields have their current names
    moved: list[tuple[Entry, str]]  # each moved field as written, and its current path


def read(written: str | bytes, message: Message, remark: Remark) -> Written:
    """Parses a config of any age into the empty `message`.

    Args:
        written: a text proto, or the bytes of a binary one.
        message: an empty message of the current schema.
        remark: called for each old field that was converted.

    Returns:
        The written fields and their places; empty for a binary config.

    Raises:
        text_format.ParseError, DecodeError: the config is not a valid message.
        Fault: an old and a new field contradict each other.
    """
    moves: list[Move] = []
    entries: list[Entry] = []
    if isinstance(written, bytes):
        message.ParseFromString(written)
        _first_stage_only(message)
    else:
        entries = scan(written, message.DESCRIPTOR).entries
        current, moves, remarks = rewrite(written, entries)
        text_format.Parse(current, message)
        if current != written:
            entries = scan(current, message.DESCRIPTOR).entries
        for at, sentence in remarks:
            remark(at, sentence)
        for move in moves:
            _apply(move, message)
    _rename_metrics(message, lambda sentence: remark(None, sentence))
    _override_hyperparams(message, lambda sentence: remark(None, sentence))
    _rename_fine_tune(message, lambda sentence: remark(None, sentence))
    return Written(entries, [(move.entry, f"{move.path}.{move.name}") for move in moves])


def rewrite(text: str, entries: list[Entry]) -> tuple[str, list[Move], list[tuple[int, str]]]:
    """Converts old fields in the text of a config.

    Returns:
        The text with the same length but without old fields, the moves to apply after parsing, and a remark (offset,
        sentence) on each edit; remarks are limited to the first few of each field.
    """
    moves: dict[tuple[str, str], tuple[Entry, str, str, list[str]]] = {}
    edits = _Edits(text)
    for entry in entries:
        if not entry.end:  # The scan stopped inside this field.
            continue
        key = (message_name(entry.container), entry.name) if entry.container is not None else ("", "")
        value = entry.values[0].text if len(entry.values) == 1 else None
        if key in RENAMED:
            new, values = RENAMED[key]
            if value in values:
                edits.replace(entry.at, entry.at + len(entry.name), new)
                edits.replace(entry.values[0].at, entry.end, values[value])
                edits.remark(entry, f"{entry.name} is called {new} now: read as {new}: {values[value]}")
        elif key in NOW_INTEGER and value is not None and _whole(value):
            edits.replace(entry.values[0].at, entry.end, _whole(value))
        elif key in DROPPED:
            reason, harmless = DROPPED[key]
            if harmless is None or value in harmless:
                edits.replace(entry.at, entry.end, "")
                edits.remark(entry, f"{entry.name} is ignored: {reason}")
        elif key in MOVED:
            moved = MOVED[key]
            written = text[entry.at + len(entry.name) : entry.end]
            if moved.values is not None:
                written = f": {moved.values.get(value or '', value)}"
            edits.replace(entry.at, entry.end, "")
            path = entry.path.rpartition(".")[0] if moved.home == ".." else f"{entry.path}.{moved.home}".lstrip(".")
            if (entry.path, entry.name) not in moves:
                edits.remark(entry, f"{entry.name} of {key[0]} has moved: read as {path}.{moved.name}")
            _, _, _, parts = moves.setdefault((entry.path, entry.name), (entry, path, moved.name, []))
            parts.append(f"{moved.name}{written}")  # A list may be written as several fields.
    return (
        edits.text(),
        [Move(entry, path, name, " ".join(parts)) for entry, path, name, parts in moves.values()],
        edits.remarks,
    )


def _apply(move: Move, message: Message) -> None:
    """Sets a moved field unless its new place is set already."""
    home = message
    for part in move.path.split("."):
        name, _, index = part.rstrip("]").partition("[")
        home = getattr(home, name)[int(index)] if index else getattr(home, name)
    field = home.DESCRIPTOR.fields_by_name[move.name]
    fragment = type(home)()
    try:
        text_format.Parse(move.text, fragment)
    except text_format.ParseError:
        where = message_name(home.DESCRIPTOR)
        raise Fault(move.entry.at, f"{move.name} in {where} takes {takes(field)}, not this") from None
    is_set = len(getattr(home, move.name)) > 0 if field.is_repeated else home.HasField(move.name)
    if not is_set:
        home.MergeFrom(fragment)
    elif getattr(home, move.name) != getattr(fragment, move.name):
        raise Fault(
            move.entry.at,
            f"{move.entry.name} contradicts {move.path}.{move.name}, its current name; keep only the latter",
        )


def _first_stage_only(config: Message) -> None:
    """Old binary configs: field 1 of FasterRcnn was the bool `first_stage_only`.

    True reads as one stage, but false as zero stages instead of two.
    """
    for faster_rcnn in _faster_rcnns(config):
        if faster_rcnn.HasField("number_of_stages") and faster_rcnn.number_of_stages == 0:
            faster_rcnn.number_of_stages = 2


def _rename_metrics(config: Message, remark: Callable[[str], None]) -> None:
    """Renames old values of eval_config.metrics_set in text and binary configs."""
    if isinstance(config, pipeline_pb2.TrainEvalPipelineConfig):
        config = config.eval_config if config.HasField("eval_config") else None
    if not isinstance(config, eval_pb2.EvalConfig):
        return
    for index, name in enumerate(config.metrics_set):
        if name in METRICS_SETS:
            config.metrics_set[index] = METRICS_SETS[name]
            remark(f"metrics_set {name!r} is called {METRICS_SETS[name]!r} now")


def _override_hyperparams(config: Message, remark: Callable[[str], None]) -> None:
    """Sets override_base_feature_extractor_hyperparams, which configs from before 2018 lack, for Inception."""
    model = config.model if isinstance(config, pipeline_pb2.TrainEvalPipelineConfig) else config
    if not isinstance(model, model_pb2.DetectionModel) or model.WhichOneof("model") != "ssd":
        return
    extractor, field = model.ssd.feature_extractor, "override_base_feature_extractor_hyperparams"
    is_old = extractor.type in MADE_BY_HYPERPARAMS and extractor.HasField("conv_hyperparams")
    if is_old and not extractor.HasField(field):
        setattr(extractor, field, True)
        remark(f"model.ssd.feature_extractor.{field} is not set: read as true, as {extractor.type} was built then")


def _rename_fine_tune(config: Message, remark: Callable[[str], None]) -> None:
    """Renames the checkpoint type `fine_tune` of CenterNet configs of 2020 to `detection`.

    It loads the network up to the heads from another CenterNet; the API refuses the old name today and suggests
    `detection`.
    """
    if not isinstance(config, pipeline_pb2.TrainEvalPipelineConfig) or config.model.WhichOneof("model") != "center_net":
        return
    if config.train_config.fine_tune_checkpoint_type == "fine_tune":
        config.train_config.fine_tune_checkpoint_type = "detection"
        remark("train_config.fine_tune_checkpoint_type 'fine_tune' of CenterNet is called 'detection' now")


def gone(container: str, number: int) -> str:
    """Why a removed field of an old binary config can be ignored; "" if it cannot."""
    name = OLD_NUMBERS.get((container, number))
    return f"{name} is ignored: {DROPPED[container, name][0]}" if name else ""


def _faster_rcnns(config: Message) -> list[Message]:
    model = config.model if isinstance(config, pipeline_pb2.TrainEvalPipelineConfig) else config
    return (
        [model.faster_rcnn]
        if isinstance(model, model_pb2.DetectionModel) and model.WhichOneof("model") == "faster_rcnn"
        else []
    )


def _whole(value: str) -> str:
    """`600` for `600.0`; "" if the text is not a whole number, needs no change, or does not fit into the field."""
    try:
        number = float(value)
    except ValueError:
        return ""
    return (
        str(int(number))
        if "." in value and number.is_integer() and abs(number) < 2**32 and len(str(int(number))) <= len(value)
        else ""
    )


class _Edits:
    """Edits of a text that keep its length, and remarks on them."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._characters: list[str] | None = None
        self._counts: Counter[str] = Counter()
        self.remarks: list[tuple[int, str]] = []

    def replace(self, start: int, end: int, new: str) -> None:
        """Replaces text[start:end] by `new`, which must not be longer, and keeps length and line breaks."""
        assert len(new) <= end - start, f"{new!r} is longer than {self._text[start:end]!r}"
        self._characters = self._characters or list(self._text)
        self._characters[start:end] = [
            *new,
            *("\n" if character == "\n" else " " for character in self._text[start + len(new) : end]),
        ]

    def remark(self, entry: Entry, sentence: str) -> None:
        """Adds a remark on an entry, up to a limit per field name."""
        self._counts[entry.name] += 1
        if self._counts[entry.name] <= _REMARKS:
            self.remarks.append((entry.at, sentence))

    def text(self) -> str:
        """The edited text."""
        return "".join(self._characters) if self._characters else self._text
