"""Configs of Girshick's other models and data sets differ from VGG16 on VOC 2007 as the paper describes."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.message import Message

from detection import config

FOLDER = Path(__file__).parents[2] / "configs"
NETWORK = {
    "model.fast_rcnn.feature_extractor.type",
    "model.fast_rcnn.initial_crop_size",
    "train_config.fine_tune_checkpoint",
    "train_config.freeze_variables",
}
SCHEDULE = "train_config.optimizer.momentum_optimizer.learning_rate.manual_step_learning_rate.schedule"
TRAIN = {f"train_input_reader.{field}" for field in ("tf_record_input_reader.input_path", "proposals_path")}
TEST = {f"eval_input_reader.{field}" for field in ("tf_record_input_reader.input_path", "proposals_path")}
SERVER = {"eval_config.ignore_groundtruth", "eval_config.export_path"}
LABELS = {"train_input_reader.label_map_path", "eval_input_reader.label_map_path"}
VARIANTS = {
    "caffenet_voc07": NETWORK,
    "vgg_cnn_m_1024_voc07": NETWORK,
    "vgg16_voc07+12": {"train_config.num_steps"} | TRAIN,
    "vgg16_voc12": TRAIN | TEST | LABELS | SERVER,
    "vgg16_voc07++12": {"train_config.num_steps", SCHEDULE, "eval_input_reader.label_map_path"} | TRAIN | TEST | SERVER,
    "vgg16_coco": {
        *("model.fast_rcnn.num_classes", "train_config.num_steps", SCHEDULE, "eval_config.metrics_set"),
        "train_input_reader.difficult_objects",  # COCO knows none
        *(TRAIN | TEST | LABELS),
    },
}


def leaves(message: Message, path: str = "") -> dict[str, str]:
    """Field path -> value; lists are one value."""
    found: dict[str, str] = {}
    for field, value in message.ListFields():
        name = f"{path}{field.name}"
        single = isinstance(value, Message) or (field.message_type and len(value) == 1 and field.name != "schedule")
        if single:
            found |= leaves(value if isinstance(value, Message) else value[0], f"{name}.")
        else:
            found[name] = str(value)
    return found


@pytest.mark.parametrize("name", VARIANTS)
def test_differences(name):
    base, other = (leaves(config.load(FOLDER / f"fast_rcnn_{which}.config")) for which in ("vgg16_voc07", name))
    assert {field for field in base.keys() | other.keys() if base.get(field) != other.get(field)} == VARIANTS[name]


@pytest.mark.parametrize(
    ("name", "steps", "rates"),
    [
        ("vgg16_voc07+12", 60_000, [(30_000, 1e-4)]),  # 5.3
        ("vgg16_voc12", 40_000, [(30_000, 1e-4)]),
        ("vgg16_voc07++12", 100_000, [(40_000, 1e-4), (80_000, 1e-5)]),  # 5.3: "each 40k iterations"
        ("vgg16_coco", 240_000, [(200_000, 1e-4)]),  # 5.6
    ],
)
def test_schedules(name, steps, rates):
    train = config.load(FOLDER / f"fast_rcnn_{name}.config").train_config
    schedule = train.optimizer.momentum_optimizer.learning_rate.manual_step_learning_rate
    assert train.num_steps == steps
    assert [(row.step, pytest.approx(row.learning_rate)) for row in schedule.schedule] == rates
