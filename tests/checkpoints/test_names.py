"""A checkpoint of another network than the model's is recognised, refused where it would be used, and the message says
what differs.

Real detectors of pairs of configs that differ in one field: the checkpoint of one is loaded into the other.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from detection import config
from detection.builders import pipeline
from detection.checkpoints import checkpoint_files, loading, names, recognise, restore
from detection.checkpoints.checkpoint_files import Entry
from detection.checkpoints.restore import FineTune
from detection.errors import ConfigError
from detection.protos import pipeline_pb2
from tests.helpers import detector_configs

EXTRACTOR = "model.ssd.feature_extractor"
HYPERPARAMS = f"{EXTRACTOR}.conv_hyperparams"
OVERRIDE = f"{EXTRACTOR}.override_base_feature_extractor_hyperparams=true"
MOBILENET, INCEPTION = "ssd_mobilenet_v1", "ssd_inception_v2"
ANCHORS = "model.ssd.anchor_generator.ssd_anchor_generator"
GAMMA = "BatchNorm/gamma"


def _detector(text: str, *settings: str):
    message = text_format.Parse(text, pipeline_pb2.TrainEvalPipelineConfig())
    detector = pipeline.build(config.override(message, list(settings)), read_label_maps=False).detector()
    return detector


@functools.cache
def _ssd(extractor: str, *settings: str):
    return _detector(
        detector_configs.ssd(detector_configs.Settings(extractor, 64, 64, depth_multiplier=0.05)), *settings
    )


@functools.cache
def _two_stage(meta: str, *settings: str):
    template, _ = detector_configs.TWO_STAGE[meta]
    return _detector(
        template(detector_configs.Settings("faster_rcnn_mobilenet_v1", 64, 64, depth_multiplier=0.05)), *settings
    )


def _shapes(detector, without: str = "") -> dict[str, tuple[int, ...]]:
    return {name.removeprefix(without): tuple(variable.shape) for name, variable in loading.by_name(detector).items()}


def _write(path: Path, detector, **more) -> str:
    values = {name: variable for name, variable in loading.by_name(detector).items() if not names.is_optional(name)}
    checkpoint_files.write(path, {**values, **more, "global_step": np.int64(3)})
    return str(path)


def _entries(shapes) -> dict[str, Entry]:
    return {name: Entry(shape, tf.float32) for name, shape in shapes.items()}


# One field that differs -> (extractor, settings of the checkpoint's config, settings of the model's, what is said).
PAIRS = {
    "inception v2 without gamma": (
        INCEPTION,
        [],
        [f"{HYPERPARAMS}.batch_norm.scale=false"],
        "batch_norm.scale or override_base",
    ),
    "mobilenet without gamma": (
        MOBILENET,
        [],
        [OVERRIDE, f"{HYPERPARAMS}.batch_norm.scale=false"],
        "batch_norm.scale or override_base",
    ),
    "without beta": (
        MOBILENET,
        [],
        [OVERRIDE, f"{HYPERPARAMS}.batch_norm.center=false"],
        "batch_norm.center or override_base",
    ),
    "biases instead of batch norm": (
        MOBILENET,
        [],
        [OVERRIDE, f"{HYPERPARAMS}.batch_norm=none"],
        "has batch norm and the model biases",
    ),
    "fewer maps": (MOBILENET, [], [f"{EXTRACTOR}.num_layers=5", f"{ANCHORS}.num_layers=5"], "num_layers differs"),
    "separable maps": (MOBILENET, [f"{EXTRACTOR}.use_depthwise=true"], [], "use_depthwise differs"),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_weights_without_a_place_are_named_with_the_field_that_differs(tmp_path, pair):
    extractor, theirs, ours, said = PAIRS[pair]
    path, detector = _write(tmp_path / "m", _ssd(extractor, *theirs)), _ssd(extractor, *ours)
    before = [variable.numpy() for variable in detector.variables]
    with pytest.raises(ConfigError) as error:
        loading.load_into(detector, path)
    assert (
        str(error.value).startswith(f"{path}: ")
        and said in str(error.value)
        and "pipeline.config that the checkpoint" in str(error.value)
    )
    for variable, value in zip(detector.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_another_base_network_computes_something_else_and_is_loaded_only_on_request(tmp_path, caplog):
    """The wrong network of two that differ in gamma alone: every variable it wants is there, and its maps are
    others."""
    right, wrong = _ssd(INCEPTION), _ssd(INCEPTION, f"{HYPERPARAMS}.batch_norm.scale=false")
    random = np.random.default_rng(0)
    for name, variable in loading.by_name(right).items():
        if name.endswith(GAMMA):
            variable.assign(random.uniform(0.5, 1.5, variable.shape))
    path = _write(tmp_path / "m", right)
    with pytest.raises(
        ConfigError,
        match=r"FeatureExtractor/InceptionV2/\S+/BatchNorm/gamma and \d+ more have no counterpart .*--allow_unused",
    ):
        loading.load_into(wrong, path)
    assert loading.load_into(wrong, path, allow_unused=True) == 3
    assert "have no counterpart in the model and are ignored" in caplog.text
    images = tf.constant(random.uniform(0, 255, [1, 64, 64, 3]), tf.float32)
    maps = [detector.extractor(detector.extractor.scale(images))[0].numpy() for detector in (right, wrong)]
    assert np.abs(maps[0] - maps[1]).max() > 1e-3 * np.abs(maps[0]).max()


def test_a_variable_that_the_checkpoint_lacks_is_never_left_as_it_is(tmp_path):
    path = _write(tmp_path / "m", _ssd(INCEPTION, f"{HYPERPARAMS}.batch_norm.scale=false"))
    said = r"gamma and \d+ more are not in the checkpoint .*the model's batch norm has gamma, the checkpoint's has none"
    with pytest.raises(ConfigError, match=said):
        loading.load_into(_ssd(INCEPTION), path, allow_unused=True)


def test_what_training_keeps_and_parts_of_other_detectors_are_no_sign(tmp_path):
    kernel = "FeatureExtractor/MobilenetV1/Conv2d_0/weights"
    beside = {
        f"{kernel}/{slot}": np.zeros(1, np.float32)
        for slot in ("Momentum", "RMSProp_1", "Adam_1", "Lamb", "ExponentialMovingAverage")
    }
    mean = "FeatureExtractor/MobilenetV1/Conv2d_0/BatchNorm/moving_mean"
    beside |= {f"{mean}/biased": np.zeros(1, np.float32), f"{mean}/local_step": np.zeros(1, np.float32)}
    beside |= {
        "beta1_power": np.float32(1),
        "train/beta2_power": np.float32(1),
        "generator_7/seed_generator_state": np.zeros(2, np.int64),
    }
    path = _write(tmp_path / "ssd", _ssd(MOBILENET), **beside, **{"Elsewhere/weights": np.zeros(1, np.float32)})
    assert loading.load_into(_ssd(MOBILENET), path) == 3
    faster = _write(tmp_path / "faster", _two_stage("faster_rcnn"))
    assert loading.load_into(_two_stage("fast_rcnn"), faster) == 3  # The proposal network is not its own.
    assert loading.load_into(_two_stage("faster_rcnn", "model.faster_rcnn.number_of_stages=1"), faster) == 3
    stray = {"SecondStageFeatureExtractor/MobilenetV1/Conv2d_14/weights": np.zeros(1, np.float32)}
    with pytest.raises(
        ConfigError, match="Conv2d_14/weights has no counterpart in the model.*has layers that the model does not have"
    ):
        loading.load_into(_two_stage("fast_rcnn"), _write(tmp_path / "more", _two_stage("faster_rcnn"), **stray))


def test_only_averages_are_enough_where_averages_are_asked_for(tmp_path):
    detector = _ssd(MOBILENET)
    average = {
        f"{name}/ExponentialMovingAverage": np.full(variable.shape, 2, np.float32)
        for name, variable in loading.by_name(detector).items()
    }
    checkpoint_files.write(tmp_path / "m", average)
    loading.load_into(detector, tmp_path / "m", moving_averages=True)
    assert detector.trainable_variables[0].numpy().max() == 2


def test_averages_that_are_not_used_are_reported_once(tmp_path, caplog):
    kernel = "FeatureExtractor/MobilenetV1/Conv2d_0/weights"
    shape = loading.by_name(_ssd(MOBILENET))[kernel].shape
    path = _write(
        tmp_path / "m", _ssd(MOBILENET), **{f"{kernel}/ExponentialMovingAverage": np.zeros(shape, np.float32)}
    )
    for _ in range(2):
        loading.load_into(_ssd(MOBILENET), path)
    assert (
        caplog.text.count("moving averages in its checkpoints are not used; set eval_config.use_moving_averages: true")
        == 1
    )


@pytest.mark.parametrize(("kind", "load_all"), [("detection", False), ("detection", True), ("full", False)])
def test_fine_tuning_refuses_batch_norm_without_its_gamma(tmp_path, caplog, kind, load_all):
    path = _write(tmp_path / "m", _ssd(MOBILENET))
    variables = loading.by_name(_ssd(MOBILENET, OVERRIDE, f"{HYPERPARAMS}.batch_norm.scale=false"))
    start = FineTune(path, kind, load_all)
    with pytest.raises(
        ConfigError,
        match=r"Conv2d_0/BatchNorm/gamma.* no counterpart in the model, which uses the kernels .*scale .*--allow_unus",
    ):
        restore.restore(variables, start)
    report = restore.restore(variables, start, allow_unused=True)
    assert report.restored and "BatchNorm/gamma" in caplog.text and "--allow_unused" not in caplog.text


@pytest.mark.parametrize(
    ("settings", "fault", "remark"),
    [
        ([], "", ""),
        (["override"], "", ""),
        (["override", "scale=false"], "MobilenetV1/Conv2d_0/BatchNorm/gamma", ""),
        (["override", "batch_norm=none"], "the checkpoint has batch norm and the model biases", ""),
        (["depth_multiplier=0.25"], "depth_multiplier or min_depth differs", ""),
    ],
)
def test_starting_from_a_classifier(settings, fault, remark):
    """Its head is no sign; a network that is not its own is."""
    written = {
        "override": OVERRIDE,
        "scale=false": f"{HYPERPARAMS}.batch_norm.scale=false",
        "batch_norm=none": f"{HYPERPARAMS}.batch_norm=none",
    }
    shapes = _shapes(_ssd(MOBILENET, *(written.get(setting, f"{EXTRACTOR}.{setting}") for setting in settings)))
    same = {
        name.removeprefix("FeatureExtractor/"): shape
        for name, shape in _shapes(_ssd(MOBILENET)).items()
        if "_Conv2d_" not in name
    }
    found = _entries(
        same
        | {
            "MobilenetV1/Logits/Conv2d_1c_1x1/weights": (1, 1, 8, 9),
            "MobilenetV1/AuxLogits/x/BatchNorm/gamma": (8,),
        }
    )
    start = FineTune("x", "classification")
    compatible = restore.compatibility(shapes, found, start, restore.match(shapes, found, start))
    assert (
        (compatible.fault != "") == (fault != "")
        and fault in compatible.fault
        and (compatible.warning != "") == (remark != "")
    )


def test_starting_from_more_than_the_model_has_is_remarked(tmp_path, caplog):
    """Whole layers, and biases where batch norm takes their place: wanted now and then, so only reported."""
    stray = {"FeatureExtractor/MobilenetV1/Conv2d_14/weights": np.zeros(1, np.float32)}
    path = _write(tmp_path / "m", _ssd(MOBILENET), **stray)
    restore.restore(loading.by_name(_ssd(MOBILENET)), FineTune(path, "detection"))
    assert (
        "Conv2d_14/weights has no counterpart in the model: the checkpoint has layers that the model does not have"
        in caplog.text
    )
    caplog.clear()
    path = _write(tmp_path / "biased", _ssd(MOBILENET, OVERRIDE, f"{HYPERPARAMS}.batch_norm=none"))
    restore.restore(loading.by_name(_ssd(MOBILENET)), FineTune(path, "detection"))
    assert "the checkpoint has biases and the model batch norm" in caplog.text


def test_a_first_stage_alone_leaves_the_rest_of_a_classifier():
    shapes = _shapes(_two_stage("faster_rcnn", "model.faster_rcnn.number_of_stages=1"))
    whole = _shapes(_two_stage("faster_rcnn")).items()
    found = _entries({name.partition("/")[2]: shape for name, shape in whole if "FeatureExtractor" in name})
    start = FineTune("x", "classification")
    assert restore.compatibility(shapes, found, start, restore.match(shapes, found, start)) == ("", "")


def test_the_classifier_of_inception_v2_starts_detectors_without_a_word():
    """Its first layer has biases where all detectors have batch norm, in the reference's graphs too."""
    shapes, start = _shapes(_ssd(INCEPTION)), FineTune("x", "classification")
    inner = {
        name.removeprefix("FeatureExtractor/"): shape
        for name, shape in shapes.items()
        if "/InceptionV2/" in name and "Mixed_5c_" not in name
    }
    stem = "InceptionV2/Conv2d_1a_7x7"
    found = _entries(
        {
            name: shape
            for name, shape in inner.items()
            if not name.endswith(GAMMA) and not name.startswith(f"{stem}/BatchNorm/")
        }
    )
    assert f"{stem}/biases" in recognise.classifier_shapes("inception_v2", 9)
    found |= _entries({f"{stem}/biases": (8,), "InceptionV2/Logits/Conv2d_1c_1x1/biases": (9,)})
    assert restore.compatibility(shapes, found, start, restore.match(shapes, found, start)) == ("", "")


@pytest.mark.parametrize(
    ("left", "missing", "said"),
    [
        (["FeatureExtractor/MobilenetV1/Conv2d_0/weights_quant/max"], [], "quantization-aware training"),
        (
            ["FeatureExtractor/N/c_2_Conv2d_2_3x3_s2_64/weights"],
            ["FeatureExtractor/N/c_2_Conv2d_2_3x3_s2_32/weights"],
            "min_depth differs",
        ),
        (["BoxPredictor_6/ClassPredictor/weights"], [], "num_layers differs"),
        (["FirstStageFeatureExtractor/resnet_v1_101/block3/unit_24/x/weights"], [], "feature_extractor.type"),
        ([], [], ""),
    ],
)
def test_causes_that_names_alone_tell(left, missing, said):
    wanted = ["FeatureExtractor/MobilenetV1/Conv2d_0/weights", "BoxPredictor_0/ClassPredictor/weights", *missing]
    found = [name for name in wanted if name not in missing] + left
    cause = names.likely_cause(wanted, found, left)
    assert said in cause and bool(said) == bool(cause)


@pytest.mark.parametrize(
    ("differ", "said"),
    [
        (
            {
                "FeatureExtractor/MobilenetV1/Conv2d_0/weights": ([3, 8], [3, 16]),
                "BoxPredictor_0/ClassPredictor/biases": ([4], [8]),
            },
            "depth_",
        ),
        (
            {
                "BoxPredictor_0/ClassPredictor/weights": ([3, 8, 20], [3, 8, 32]),
                "BoxPredictor_0/ClassPredictor/biases": ([20], [32]),
            },
            "num_classes",
        ),
        (
            {f"SecondStageBoxPredictor/{part}Predictor/biases": ([5], [8]) for part in ("Class", "BoxEncoding")},
            "num_classes",
        ),
        (
            {
                f"SecondStageBoxPredictor/{part}/biases": ([5], [8])
                for part in ("class_predictions", "refined_locations")
            },
            "num_classes",
        ),
        (
            {f"BoxPredictor_0/{part}Predictor/biases": ([16], [12]) for part in ("BoxEncoding", "Class")},
            "aspect_ratios",
        ),
        ({"FirstStageBoxPredictor/ClassPredictor/biases": ([24], [18])}, "aspect_ratios"),
        ({"BoxPredictor_0/ClassPredictor/weights": ([3, 3, 8, 20], [1, 1, 8, 20])}, "kernel_size"),
        ({"BoxPredictor_0/other": ([3], [4])}, ""),
    ],
)
def test_causes_that_shapes_tell(differ, said):
    found = names.likely_shape_cause(differ)
    assert said in found and bool(said) == bool(found)
