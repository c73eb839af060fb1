from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from detection import config
from detection.builders import feature_extractor, pipeline
from detection.checkpoints import checkpoint_files, loading, recognise, restore
from detection.checkpoints.checkpoint_files import Entry
from detection.checkpoints.names import is_optional
from detection.checkpoints.restore import FineTune, Match, source_name
from detection.errors import ConfigError
from detection.feature_extractors.two_stage import TwoStageExtractorOptions
from tests.helpers.tiny import make_detector

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "ssd_mobilenet_v1_050_synthetic.config"
_CONV = "FeatureExtractor/TinyNet/Conv2d_0/weights"


def _variables() -> dict:
    return loading.by_name(make_detector())


def _write(path, **change) -> str:
    """A checkpoint of a detector whose every value is 9; `change` gives {suffix of a name: replacement or None}."""
    values = {
        name: np.full(variable.shape, 9, variable.dtype)
        for name, variable in _variables().items()
        if not is_optional(name)
    }
    values |= {
        "global_step": np.int64(4),
        f"{_CONV}/Momentum": np.zeros(1, np.float32),
        "Elsewhere/weights": np.zeros(2, np.float32),
    }
    for suffix, value in change.items():
        name = next(name for name in values if name.endswith(suffix))
        values.pop(name) if value is None else values.update({name: value})
    checkpoint_files.write(path, values)
    return str(path)


def test_detection_restores_the_extractor_only(tmp_path):
    variables = _variables()
    report = restore.restore(variables, FineTune(_write(tmp_path / "m"), "detection"))
    assert set(report.restored) == {
        name for name in variables if name.startswith("FeatureExtractor/") and not is_optional(name)
    }
    assert report.left_out == ("BoxPredictor_0/biases", "BoxPredictor_0/weights")
    assert report.unexpected == ("BoxPredictor_0/biases", "BoxPredictor_0/weights", "Elsewhere/weights")
    assert not report.missing and not report.mismatched
    assert variables[_CONV].numpy().max() == 9 and variables["BoxPredictor_0/biases"].numpy().max() == 0


@pytest.mark.parametrize("start", [("detection", True), ("full", False)])
def test_everything_of_matching_name(tmp_path, start):
    variables = _variables()
    report = restore.restore(variables, FineTune(_write(tmp_path / "m"), *start))
    assert not report.left_out and variables["BoxPredictor_0/biases"].numpy().min() == 9


def test_another_shape_or_a_missing_name_keeps_the_initial_value_and_is_reported(tmp_path, caplog):
    variables = _variables()
    before = variables["BoxPredictor_0/weights"].numpy()
    path = _write(
        tmp_path / "m", **{"BoxPredictor_0/weights": np.zeros((4, 3), np.float32), "BoxPredictor_0/biases": None}
    )
    report = restore.restore(variables, FineTune(path, "full"))
    assert report.mismatched == ("BoxPredictor_0/weights",) and report.missing == ("BoxPredictor_0/biases",)
    np.testing.assert_array_equal(variables["BoxPredictor_0/weights"].numpy(), before)
    assert (
        "1 variable has a different shape in the checkpoint and keeps its initial value: BoxPredictor_0/weights"
        in caplog.text
    )
    assert "different shape in the checkpoint, e.g. BoxPredictor_0/weights" in report.table()


def test_classification_strips_the_scope(tmp_path):
    path = tmp_path / "slim"
    checkpoint_files.write(
        path,
        {
            "TinyNet/Conv2d_0/weights": np.full((3, 3, 3, 4), 2, np.float32),
            "TinyNet/Logits/weights": np.zeros(3, np.float32),
        },
    )
    variables = _variables()
    report = restore.restore(variables, FineTune(str(path), "classification"))
    assert report.restored == (_CONV,) and variables[_CONV].numpy().max() == 2
    assert len(report.missing) == 4 and report.unexpected == ("TinyNet/Logits/weights",)


def test_names_of_every_kind():
    assert (
        source_name("FirstStageFeatureExtractor/resnet_v1_101/conv1/weights", "classification")
        == "resnet_v1_101/conv1/weights"
    )
    assert (
        source_name("SecondStageFeatureExtractor/resnet_v1_101/block4/x", "classification") == "resnet_v1_101/block4/x"
    )
    second = "SecondStageFeatureExtractor/InceptionResnetV2/Repeat/block8_1/x"
    assert source_name(second, "classification") == "InceptionResnetV2/Repeat_2/block8_1/x"
    assert source_name(second, "detection") == second
    first = "FirstStageFeatureExtractor/InceptionResnetV2/Repeat/block35_1/x"
    assert source_name(first, "classification") == "InceptionResnetV2/Repeat/block35_1/x"
    for kind in ("classification", "detection"):
        assert source_name("Conv/weights", kind) is None
    assert (
        source_name("Conv/weights", "full") == source_name("Conv/weights", "detection", load_all=True) == "Conv/weights"
    )


def test_nothing_matched_hints_at_the_other_kind(tmp_path):
    path = tmp_path / "slim"
    checkpoint_files.write(path, {"TinyNet/Conv2d_0/weights": np.zeros((3, 3, 3, 4), np.float32)})
    with pytest.raises(
        ConfigError, match=r"slim: no variable matches as 'detection'.*fine_tune_checkpoint_type: 'classification'"
    ):
        restore.restore(_variables(), FineTune(str(path), "detection"))
    with pytest.raises(ConfigError, match="fine_tune_checkpoint_type: 'detection'"):
        restore.restore(_variables(), FineTune(_write(tmp_path / "m"), "classification"))


def test_nothing_matched_names_the_closest(tmp_path):
    path = tmp_path / "m"
    checkpoint_files.write(path, {"TinyNetV2/Conv2d_0/weights": np.zeros(1, np.float32)})
    with pytest.raises(
        ConfigError, match=r"looked for e\.g\. TinyNet/Conv2d_0/\w+.*closest names are TinyNetV2/Conv2d_0/weights"
    ):
        restore.restore(_variables(), FineTune(str(path), "classification"))
    checkpoint_files.write(path, {_CONV: np.zeros(1, np.float32)})
    with pytest.raises(
        ConfigError,
        match=r"different shape, e\.g\. FeatureExtractor/TinyNet/Conv2d_0/weights is \[1\] there and \[3, 3, 3, 4\]",
    ):
        restore.restore(_variables(), FineTune(str(path), "full"))


def test_wrong_kind_wrong_path_and_object_based(tmp_path):
    with pytest.raises(
        ConfigError, match="fine_tune_checkpoint_type: 'ful' is not one of classification, detection, full"
    ):
        restore.restore(_variables(), FineTune("x", "ful"))
    with pytest.raises(ConfigError, match="nowhere/model.ckpt: no such checkpoint"):
        restore.restore(_variables(), FineTune(str(tmp_path / "nowhere" / "model.ckpt"), "full"))
    prefix = tf.train.Checkpoint(x=tf.Variable(1.0)).write(str(tmp_path / "ckpt-0"))
    with pytest.raises(ConfigError, match="object-based"):
        restore.restore(_variables(), FineTune(prefix, "full"))


def test_what_only_training_needs_is_neither_restored_nor_unexpected(tmp_path):
    path = tmp_path / "zoo"
    beside = {
        f"{_CONV}/{name}": np.zeros((3, 3, 3, 4), np.float32)
        for name in ("ExponentialMovingAverage", "RMSProp", "RMSProp_1", "Adam", "Adam_1")
    }
    beside |= {"global_step": np.int64(7), "beta1_power": np.float32(0.9), "vgg_16/mean_rgb": np.zeros(3, np.float32)}
    checkpoint_files.write(
        path,
        {_CONV: np.full((3, 3, 3, 4), 2, np.float32), **beside, "Nobody/weights/Momentum": np.zeros(1, np.float32)},
    )
    variables = _variables()
    report = restore.restore(variables, FineTune(str(path), "full"))
    assert report.restored == (_CONV,) and variables[_CONV].numpy().max() == 2  # the value itself, not its average
    assert report.unexpected == ("Nobody/weights/Momentum",)  # of no weight that is there


_FC = {"fc6/weights": (7, 7, 3, 16), "fc6/biases": (16,), "fc7/weights": (1, 1, 16, 16), "fc7/biases": (16,)}
_THIN = {"fc6/weights": (3, 3, 3, 4), "fc6/biases": (4,), "fc7/weights": (1, 1, 4, 4), "fc7/biases": (4,)}


def _vgg(path: Path) -> str:
    shapes = {"conv1/conv1_1/biases": (2,), **_FC}
    checkpoint_files.write(
        path,
        {
            f"vgg_16/{name}": np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
            for name, shape in shapes.items()
        },
    )
    return str(path)


def test_ssd_over_vgg_starts_from_the_thinned_fully_connected_layers(tmp_path):
    start = FineTune(_vgg(tmp_path / "vgg_16.ckpt"), "classification")
    variables = {
        f"FeatureExtractor/vgg_16/{name}": tf.Variable(tf.zeros(shape))
        for name, shape in {"conv1/conv1_1/biases": (2,), **_THIN}.items()
    }
    report = restore.restore(variables, start)
    assert report.adapted == tuple(f"FeatureExtractor/vgg_16/{name}" for name in sorted(_THIN)) and report.restored[
        0
    ].endswith("conv1_1/biases")
    assert not report.mismatched and not report.unexpected and "adapted, from a different shape" in report.table()
    values = checkpoint_files.read(start.path)
    kernel = variables["FeatureExtractor/vgg_16/fc6/weights"].numpy()
    np.testing.assert_array_equal(kernel, values["vgg_16/fc6/weights"][::3, ::3, :, ::4])
    np.testing.assert_array_equal(
        variables["FeatureExtractor/vgg_16/fc7/weights"].numpy(), values["vgg_16/fc7/weights"][:, :, ::4, ::4]
    )


@pytest.mark.parametrize(("batch_norm", "taken", "adapted"), [(False, 26, 4), (True, 13, 2)])
def test_ssd_vgg16_takes_all_of_the_published_classifier_but_its_head(batch_norm, taken, adapted):
    """Thirteen convolutions, fc6 and fc7; a config that gives the network batch norm has no place for its biases."""
    fields = {
        "type": "ssd_vgg16",
        "depth_multiplier": 1,
        "override_base_feature_extractor_hyperparams": str(batch_norm).lower(),
    }
    message = config.prepare(
        CONFIG, [f"model.ssd.feature_extractor.{field}={value}" for field, value in fields.items()], check_paths=False
    )
    detector = pipeline.build(message, read_label_maps=False).detector()
    shapes = {name: tuple(variable.shape) for name, variable in loading.by_name(detector).items()}
    found = {name: Entry(shape, tf.float32) for name, shape in recognise.classifier_shapes("vgg_16", 1000).items()}
    report = restore.match(shapes, found, FineTune("x", "classification")).report
    assert len(report.restored) == taken and len(report.adapted) == adapted and not report.mismatched
    assert all(
        "l2_norm" in name or "fc7_" in name or (batch_norm and "/BatchNorm/" in name) for name in report.missing
    ), report.missing
    assert set(report.unexpected) == {
        name for name in found if "/fc8/" in name or (batch_norm and name.endswith("/biases"))
    }


@pytest.mark.parametrize(
    ("scope", "kind", "change"),
    [
        ("SecondStageFeatureExtractor", "classification", {}),  # crops go through the layers as they were trained
        ("FeatureExtractor", "detection", {}),  # a detector has them thinned already
        ("FeatureExtractor", "classification", {"fc6/weights": (3, 3, 2, 4)}),  # a thinner network altogether
        ("FeatureExtractor", "classification", {"fc7/biases": (32,)}),
    ],
)
def test_nothing_else_is_made_to_fit(scope, kind, change):
    found = {
        f"{'' if kind == 'classification' else f'{scope}/'}vgg_16/{name}": Entry(shape, tf.float32)
        for name, shape in _FC.items()
    }
    shapes = {f"{scope}/vgg_16/{name}": shape for name, shape in {**_THIN, **change}.items()}
    report = restore.match(shapes, found, FineTune("x", kind)).report
    assert report.mismatched == tuple(sorted(shapes)) and not report.restored and not report.adapted


@pytest.mark.parametrize(
    ("kind", "network"),
    [
        ("faster_rcnn_resnet50", "resnet_v1_50"),
        pytest.param("faster_rcnn_inception_resnet_v2", "inception_resnet_v2", marks=pytest.mark.slow),
    ],
)
def test_a_classifier_of_ours_fills_both_stages(kind, network):
    """Also the block that the first stage only carries, and the repeats that the second stage counts anew."""
    extractor = feature_extractor.TWO_STAGE_EXTRACTORS[kind](TwoStageExtractorOptions())
    with tf.Graph().as_default():  # Shapes are all that is asked for.
        extractor.tail(extractor.body(tf.zeros([1, 128, 128, 3])))
    shapes = {
        variable.path: tuple(variable.shape) for part in (extractor.body, extractor.tail) for variable in part.variables
    }
    found = {name: Entry(shape, tf.float32) for name, shape in recognise.classifier_shapes(network, 5).items()}
    sources, report = restore.match(shapes, found, FineTune("x", "classification"))
    assert set(report.restored) == set(shapes) and all("ogits/" in name for name in report.unexpected)
    if network == "resnet_v1_50":
        fourth = "resnet_v1_50/block4/unit_1/bottleneck_v1/conv1/weights"
        assert (
            sources[f"FirstStageFeatureExtractor/{fourth}"]
            == sources[f"SecondStageFeatureExtractor/{fourth}"]
            == fourth
        )
    else:
        assert (
            sources["SecondStageFeatureExtractor/InceptionResnetV2/Repeat/block8_9/Conv2d_1x1/biases"]
            == "InceptionResnetV2/Repeat_2/block8_9/Conv2d_1x1/biases"
        )


def _listed(shared: Path, model: str) -> dict[str, Entry]:
    """The arrays of a published checkpoint."""
    with open(shared / f"reference/odapi_vars/{model}.tsv", encoding="utf-8") as lines:
        return {
            name: Entry(tuple(json.loads(shape)), tf.as_dtype(kind))
            for name, shape, kind in csv.reader(lines, delimiter="\t")
        }


def _extractor_part(names) -> set[str]:
    return {name for name in names if name.startswith(restore.EXTRACTOR_SCOPES)}


def _check_rows(matched: Match, shapes: dict, found: dict[str, Entry], kind: str) -> None:
    """Everything that both have is restored, and what is not restored has a reason."""
    report = matched.report
    assert not report.mismatched and not report.adapted
    assert set(report.restored) == {name for name in shapes if source_name(name, kind) in found}
    assert {*report.restored, *report.missing, *report.left_out} == set(shapes)
    unused = {
        name
        for name in found
        if name not in matched.sources.values() and not name.endswith(("global_step", "/mean_rgb"))
    }
    assert set(report.unexpected) == unused
    if kind == "detection":
        assert not report.missing and not _extractor_part(unused)
    else:  # Published classifiers lack what detectors add: gamma, a normalised stem, the layers behind the network.
        assert all("/BatchNorm/" in name or "_Conv2d_" in name for name in report.missing), report.missing
        assert all(
            "Logits/" in name or "/logits/" in name or name == "InceptionV2/Conv2d_1a_7x7/biases" for name in unused
        ), unused


_SSD = {
    "ssd_mobilenet_v1_coco": "SLIM_mobilenet_v1",
    "ssd_inception_v2_coco": "SLIM_inception_v2",
    "ssd_inception_v3_pets": "SLIM_inception_v3",
    "ssd_mobilenet_v2_coco": "SLIM_mobilenet_v2",
}


@pytest.mark.parametrize("model", _SSD)
def test_published_checkpoints_restore_every_row_of_an_ssd(shared, tmp_path, model):
    """Files with the names and shapes of the lists, each array filled with its own number, into the detector of the
    sample config."""
    kind = model.rpartition("_")[0]
    path = shared / f"odapi_configs/{model}.config"
    settings = [] if path.exists() else [f"model.ssd.feature_extractor.type={kind}"]
    message = config.prepare(
        path if path.exists() else shared / "odapi_configs/ssd_inception_v2_coco.config", settings, check_paths=False
    )
    detector = pipeline.build(message, read_label_maps=False).detector()
    variables = {name: variable for name, variable in loading.by_name(detector).items() if not is_optional(name)}
    shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
    for source, kind in ((_SSD[model], "classification"), (model, "detection")):
        found = _listed(shared, source)
        numbers = {name: number for number, name in enumerate(found, start=1)}
        checkpoint_files.write(
            tmp_path / source, {name: np.full(entry.shape, numbers[name], np.float32) for name, entry in found.items()}
        )
        start = FineTune(str(tmp_path / source), kind)
        report = restore.restore(variables, start)
        matched = restore.match(shapes, found, start)
        assert report == matched.report
        _check_rows(matched, shapes, found, kind)
        assert all(variables[name].numpy().flat[-1] == numbers[there] for name, there in matched.sources.items())


_TWO_STAGE = {
    "faster_rcnn_inception_v2_coco": ("SLIM_inception_v2", "CKPT_faster_rcnn_inception_v2_coco_2018_01_28"),
    "faster_rcnn_resnet101_coco": ("SLIM_resnet_v1_101", "faster_rcnn_resnet101_coco"),
    "rfcn_resnet101_coco": ("SLIM_resnet_v1_101", "rfcn_resnet101_coco"),
    "faster_rcnn_inception_resnet_v2_atrous_coco": (
        "SLIM_inception_resnet_v2",
        "faster_rcnn_inception_resnet_v2_atrous_coco",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("model", _TWO_STAGE)
def test_published_checkpoints_restore_every_row_of_a_two_stage_detector(shared, model):
    """The detector of the sample config; `Repeat_2` and the block that is only carried are among the rows."""
    message = config.prepare(shared / f"odapi_configs/{model}.config", check_paths=False)
    detector = pipeline.build(message, read_label_maps=False).detector()
    shapes = {
        name: tuple(variable.shape) for name, variable in loading.by_name(detector).items() if not is_optional(name)
    }
    classifier, zoo = _TWO_STAGE[model]
    for source, kind in ((classifier, "classification"), (zoo, "detection")):
        found = {
            **_listed(shared, source),
            "global_step": Entry((), tf.int64),
            f"{classifier.removeprefix('SLIM_')}/mean_rgb": Entry((3,), tf.float32),
        }
        _check_rows(restore.match(shapes, found, FineTune("x", kind)), shapes, found, kind)
    everything = restore.match(shapes, found, FineTune("x", "detection", load_all=True)).report
    assert set(everything.restored) == set(shapes) and not everything.unexpected


def test_a_published_classifier_fits_the_names_of_a_detector(shared):
    path = shared / "weights/mobilenet_v1_0.75_224/model.ckpt"
    found = checkpoint_files.entries(path)
    variables = {
        f"FeatureExtractor/{name}": tf.Variable(tf.zeros(entry.shape))
        for name, entry in found.items()
        if "/Logits/" not in name
    }
    report = restore.restore(variables, FineTune(str(path), "classification"))
    assert len(report.restored) == 135 and not report.missing and len(report.unexpected) == 2
    np.testing.assert_array_equal(
        variables["FeatureExtractor/MobilenetV1/Conv2d_0/weights"].numpy(),
        checkpoint_files.read(path)["MobilenetV1/Conv2d_0/weights"],
    )
