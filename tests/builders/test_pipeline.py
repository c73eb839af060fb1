"""Building a `Pipeline` from a config."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format

from detection import config
from detection.builders import model, pipeline
from detection.errors import ConfigError
from detection.meta_architectures.ssd import FilledPadding, NoPadding
from detection.protos import model_pb2, pipeline_pb2
from detection.types import Category

CONFIG = Path(__file__).resolve().parents[1] / "goldens" / "ssd_tiny.config"
READERS = """
train_input_reader {{ tf_record_input_reader {{ input_path: "{folder}/a.record-*" }} label_map_path:
  "{folder}/map.pbtxt" }}
eval_input_reader {{ tf_record_input_reader {{ input_path: "{folder}/b.record-*" }} label_map_path:
  "{folder}/map.pbtxt" }}
eval_input_reader {{ tf_record_input_reader {{ input_path: "{folder}/c.record-*" }} }}
eval_config {{ use_moving_averages: true metrics_set: "pascal_voc_detection_metrics" }}
train_config {{
  batch_size: 2
  data_augmentation_options {{ random_horizontal_flip {{}} }}
  data_augmentation_options {{ ssd_random_crop {{}} }}
  optimizer {{ adam_optimizer {{ learning_rate {{ constant_learning_rate {{}} }} }} }}
}}
"""


def _message(extra: str = "") -> pipeline_pb2.TrainEvalPipelineConfig:
    return text_format.Parse(CONFIG.read_text() + extra, pipeline_pb2.TrainEvalPipelineConfig())


def test_everything_a_config_describes(tmp_path: Path) -> None:
    (tmp_path / "map.pbtxt").write_text('item { name: "cat" id: 1 } item { name: "dog" id: 3 }')
    built = pipeline.build(_message(READERS.format(folder=tmp_path)))
    assert [tuple(category) for category in built.categories] == [(1, "cat", ""), (3, "dog", "")]
    assert built.train.batch_size == 2 and built.train.optimizer.moving_average_decay == pytest.approx(0.9999)
    assert len(built.augmentations) == 2
    assert built.train_input.paths == (f"{tmp_path}/a.record-*",)
    assert built.eval_input is built.eval_inputs[0] and built.eval_inputs[1].paths == (f"{tmp_path}/c.record-*",)
    assert built.evaluate.metrics == ("pascal_voc_detection_metrics",)
    assert built.resizer.static_shape == (64, 80)
    assert text_format.Parse(built.text, pipeline_pb2.TrainEvalPipelineConfig()) == _message(
        READERS.format(folder=tmp_path)
    )


def test_evaluation_uses_the_names_of_its_own_label_map(tmp_path: Path) -> None:
    """An evaluation input may have its own label map; exports use that of training."""
    (tmp_path / "map.pbtxt").write_text('item { name: "/m/1" id: 1 display_name: "cat" } item { name: "/m/3" id: 3 }')
    (tmp_path / "own.pbtxt").write_text('item { name: "chat" id: 1 } item { name: "rat" id: 9 }')
    message = _message(READERS.format(folder=tmp_path))
    built = pipeline.build(message)
    assert built.eval_categories == built.categories == (Category(1, "/m/1", "cat"), Category(3, "/m/3"))
    message.eval_input_reader[0].label_map_path = str(tmp_path / "own.pbtxt")
    built = pipeline.build(message)
    assert (
        built.eval_categories == (Category(1, "chat"),) and built.categories[0].shown == "cat"
    )  # The model has 4 classes.


def test_readers_read_what_metrics_and_training_ask_for(tmp_path: Path) -> None:
    (tmp_path / "map.pbtxt").write_text('item { name: "cat" id: 1 ancestor_ids: 2 } item { name: "pet" id: 2 }')
    message = _message(READERS.format(folder=tmp_path))
    built = pipeline.build(message)
    assert not built.eval_input.open_images and not built.train_input.merge_boxes and not built.eval_input.ancestors
    message.eval_config.metrics_set.append("oid_challenge_detection_metrics")
    message.train_config.merge_multiple_label_boxes = message.eval_input_reader[0].expand_labels_hierarchy = True
    built = pipeline.build(message)
    assert built.eval_input.open_images and not built.eval_input.merge_boxes and not built.train_input.open_images
    assert built.train_input.merge_boxes and built.eval_input.ancestors == ((1, (2,)),)
    assert not built.train_input.ancestors


def test_a_config_of_a_model_alone() -> None:
    built = pipeline.build(_message())
    assert built.train is None and built.train_input is None and built.eval_input is None and built.augmentations == ()
    assert [category.id for category in built.categories] == [1, 2, 3, 4]


def test_label_maps_need_not_be_read(tmp_path: Path) -> None:
    message = _message(READERS.format(folder=tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="map.pbtxt: cannot read the label map"):
        pipeline.build(message)
    assert len(pipeline.build(message, read_label_maps=False).categories) == 4
    assert message.train_input_reader.label_map_path  # the caller's message stays as it was


def test_every_call_makes_a_new_detector() -> None:
    built = pipeline.build(_message())
    first, second = built.make_detector(), built.make_detector()
    first.build_weights()
    assert first.variables and not second.variables


def test_other_models_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"model\.experimental_model is not supported yet; use one of: model\.ssd"):
        model.kind(model_pb2.DetectionModel(experimental_model={}))
    with pytest.raises(ConfigError, match="model is empty"):
        model.kind(model_pb2.DetectionModel())


@pytest.mark.parametrize(("layers", "anchor_layers", "made"), [(3, 4, 3), (7, 7, 6)])
def test_maps_and_anchors_must_agree(layers: int, anchor_layers: int, made: int) -> None:
    message = _message()
    message.model.ssd.feature_extractor.num_layers = layers
    message.model.ssd.anchor_generator.ssd_anchor_generator.num_layers = anchor_layers
    words = (
        rf"\(ssd_mobilenet_v1\) makes {made} feature maps, but .*ssd_anchor_generator has anchors for {anchor_layers};"
    )
    with pytest.raises(ConfigError, match=words):
        pipeline.build(message).make_detector()


def test_images_of_varying_size_are_padded_with_zeros_after_scaling() -> None:
    message = _message()
    message.model.ssd.image_resizer.ClearField("fixed_shape_resizer")
    message.model.ssd.image_resizer.keep_aspect_ratio_resizer.SetInParent()
    assert pipeline.build(message).make_detector().padding == FilledPadding((0.0, 0.0, 0.0))
    assert isinstance(pipeline.build(_message()).make_detector().padding, NoPadding)


@pytest.mark.parametrize("path", sorted((CONFIG.parents[2] / "configs").glob("*.config")), ids=lambda path: path.stem)
def test_shipped_configs_build(path: Path) -> None:
    message = config.load(path)
    assert config.check(message, str(path), check_paths=False) == []
    detector = pipeline.build(message, read_label_maps=False).detector()
    assert len(detector.variables) > 20  # CaffeNet, without batch norm, has the fewest
