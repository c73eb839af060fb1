"""Differences between a config and the one saved next to the checkpoint that it is used with."""

from __future__ import annotations

import pytest

from detection import config
from detection.config import beside

EXTRACTOR = "model.ssd.feature_extractor"
HYPERPARAMS = f"{EXTRACTOR}.conv_hyperparams"
ANCHORS = "model.ssd.anchor_generator.ssd_anchor_generator"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (f"{EXTRACTOR}.use_explicit_padding=true", f"{EXTRACTOR}.use_explicit_padding (false there, true here)"),
        (f"{EXTRACTOR}.pad_to_multiple=32", f"{EXTRACTOR}.pad_to_multiple (1 there, 32 here)"),
        (f"{HYPERPARAMS}.activation=SWISH", f"{HYPERPARAMS}.activation (RELU_6 there, SWISH here)"),
        (f"{HYPERPARAMS}.batch_norm.epsilon=0.5", "batch_norm.epsilon ("),
        (f"{ANCHORS}.min_scale=0.3", f"{ANCHORS}.min_scale ("),
        (f"{ANCHORS}.aspect_ratios=[7.0]", f"{ANCHORS}.aspect_ratios (not the same list)"),
        (
            "model.ssd.box_coder={ mean_stddev_box_coder {} }",
            "model.ssd.box_coder.mean_stddev_box_coder (not set there, set here)",
        ),
    ],
)
def test_fields_that_change_what_weights_compute_are_named(ssd, tmp_path, setting, said):
    config.save(ssd, tmp_path / "pipeline.config")
    changed = config.override(ssd, [setting])
    message = beside.differences(tmp_path / "model.ckpt-5", config.to_text(changed))
    assert (
        message.startswith(f"{tmp_path / 'pipeline.config'} next to the checkpoint differs in fields")
        and said in message
    )
    assert said in beside.differences(tmp_path / "best" / "model.ckpt-5", config.to_text(changed))  # one folder below


@pytest.mark.parametrize(
    "setting",
    [
        f"{EXTRACTOR}.use_explicit_padding=false",  # the default, written out
        f"{HYPERPARAMS}.batch_norm.decay=0.5",
        f"{HYPERPARAMS}.regularizer={{ l2_regularizer {{ weight: 3 }} }}",
        "model.ssd.post_processing.batch_non_max_suppression.score_threshold=0.4",
        "model.ssd.num_classes=90",  # the shapes tell
    ],
)
def test_training_only_fields_are_not_reported(ssd, tmp_path, setting):
    config.save(ssd, tmp_path / "pipeline.config")
    assert beside.differences(tmp_path / "model.ckpt-5", config.to_text(config.override(ssd, [setting]))) == ""


def test_the_config_of_the_run_counts_before_one_that_was_edited(ssd, tmp_path):
    config.save(ssd, tmp_path / ".as_run.config")
    changed = config.override(ssd, [f"{EXTRACTOR}.use_explicit_padding=true"])
    config.save(changed, tmp_path / "pipeline.config")
    assert "(false there, true here)" in beside.differences(tmp_path / "model.ckpt-5", config.to_text(changed))


@pytest.mark.parametrize("text", [None, "no config", "model { faster_rcnn { num_classes: 3 } }", "train_config {}"])
def test_without_a_config_there_are_no_differences(ssd, tmp_path, text):
    if text is not None:
        (tmp_path / "pipeline.config").write_text(text)
    assert beside.differences(tmp_path / "model.ckpt-5", config.to_text(ssd)) == ""
