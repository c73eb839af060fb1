"""A served SSD MobileNet v1 against what the TF Object Detection API computes with the same weights on the same
images."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from detection import config
from detection.builders import pipeline as pipeline_builder
from detection.export.saved_model import write_saved_model
from detection.export.serving import ServingInput, serving_graph

NAME = "ssd_mobilenet_v1_coco"


@pytest.mark.slow
def test_detections_equal_the_reference_row_by_row(shared, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(shared / "parity"), *sys.path])
    import deterministic

    pipeline = pipeline_builder.build(config.load(shared / "odapi_configs" / f"{NAME}.config"), read_label_maps=False)
    detector = pipeline.detector()
    for variable in detector.variables:
        variable.assign(deterministic.weight(variable.path, tuple(variable.shape)))
    frozen = serving_graph(detector, pipeline.resizer, ServingInput())
    write_saved_model(frozen, ["input_tensor"], pipeline.categories, Path(tmp_path / "saved_model"))
    serve = tf.saved_model.load(str(tmp_path / "saved_model"))
    cases = json.loads((shared / "parity" / "manifest.json").read_text())["models"][NAME]["cases"]
    for case in cases.values():
        images = np.stack([deterministic.image(seed, case["height"], case["width"]) for seed in case["seeds"]])
        served = {key: value.numpy() for key, value in serve(tf.constant(images)).items()}
        expected = np.load(shared / "parity" / case["file"])
        for key in ("detection_boxes", "detection_scores"):
            # Measured: 2e-6. Ten times that still tells every row from its neighbours, so rows are compared in order.
            np.testing.assert_allclose(served[key], expected[key], atol=2e-5, err_msg=key)
        np.testing.assert_array_equal(served["num_detections"], expected["num_detections"])
        np.testing.assert_array_equal(served["detection_classes"], expected["detection_classes"] + 1)
