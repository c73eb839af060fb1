"""Cells of tutorials that change a pipeline config."""

from __future__ import annotations

import pytest

import detection.odapi  # noqa: F401
from detection import config
from detection.errors import ConfigError
from tests.helpers import exports

from google.protobuf import text_format  # isort: skip
from object_detection.protos import pipeline_pb2  # isort: skip
from object_detection.utils import config_util  # isort: skip


@pytest.fixture
def pipeline_config_path(tmp_path) -> str:
    (tmp_path / "pipeline.config").write_text(exports.CONFIG)
    return str(tmp_path / "pipeline.config")


def test_parts_and_back(pipeline_config_path, tmp_path):
    configs = config_util.get_configs_from_pipeline_file(pipeline_config_path)
    model_config, train_config = configs["model"], configs["train_config"]
    assert (
        model_config.WhichOneof("model") == "ssd" and configs["eval_input_config"] is configs["eval_input_configs"][0]
    )
    train_config.batch_size = 3
    config_util.save_pipeline_config(config_util.create_pipeline_proto_from_configs(configs), str(tmp_path / "out"))
    saved = config.load(tmp_path / "out" / "pipeline.config")
    assert saved.train_config.batch_size == 3 and saved.model == config.load(pipeline_config_path).model
    assert saved.eval_input_reader == config.load(pipeline_config_path).eval_input_reader


def test_the_cell_that_edits_a_config_by_its_proto(pipeline_config_path):
    pipeline_config = pipeline_pb2.TrainEvalPipelineConfig()
    with open(pipeline_config_path) as f:
        text_format.Merge(f.read(), pipeline_config)
    pipeline_config.model.ssd.num_classes = 1
    pipeline_config.train_config.fine_tune_checkpoint_type = "detection"
    pipeline_config.train_input_reader.tf_record_input_reader.input_path[:] = ["train.record"]
    with open(pipeline_config_path, "w") as f:
        f.write(text_format.MessageToString(pipeline_config))
    configs = config_util.get_configs_from_pipeline_file(pipeline_config_path)
    assert configs["train_input_config"].tf_record_input_reader.input_path == ["train.record"]


def test_external_parameters(pipeline_config_path):
    configs = config_util.get_configs_from_pipeline_file(pipeline_config_path)
    model_config = configs["model"]
    changes = {"train_steps": 7, "batch_size": 2, "label_map_path": "a.pbtxt", "model.ssd.num_classes": 5}
    changed = config_util.merge_external_params_with_configs(configs, None, kwargs_dict={**changes, "eval_steps": None})
    assert changed is configs and model_config.ssd.num_classes == 5
    assert (configs["train_config"].num_steps, configs["train_config"].batch_size) == (7, 2)
    assert configs["train_input_config"].label_map_path == configs["eval_input_config"].label_map_path == "a.pbtxt"
    assert config_util.get_number_of_classes(model_config) == 5
    with pytest.raises(ConfigError, match="kwargs_dict no_such_field=1"):
        config_util.merge_external_params_with_configs(configs, None, kwargs_dict={"no_such_field": 1})
    with pytest.raises(ConfigError, match="hparams: belong to TensorFlow 1"):
        config_util.merge_external_params_with_configs(configs, object())


def test_overrides_and_sizes(pipeline_config_path):
    override = "model { ssd { image_resizer { fixed_shape_resizer { height: 64 width: 96 } } } }"
    configs = config_util.get_configs_from_pipeline_file(pipeline_config_path, config_override=override)
    resizer = config_util.get_image_resizer_config(configs["model"])
    assert config_util.get_spatial_image_size(resizer) == [64, 96]
