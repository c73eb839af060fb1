"""A detector whose matcher is the bipartite one, trained and evaluated with one image a batch; some images hold no
object."""

from __future__ import annotations

import math

import pytest

from detection.builders import pipeline as pipelines
from detection.train import main
from detection.train.options import RunOptions
from tests.helpers import detector_configs
from tests.helpers.tiny import write_records

_ARGMAX = "argmax_matcher { matched_threshold: 0.5 unmatched_threshold: 0.5 force_match_for_each_row: true }"
_REST = """
train_config {{
  optimizer {{ rms_prop_optimizer {{ learning_rate {{ constant_learning_rate {{ learning_rate: 0.001 }} }} }} }}
  num_steps: 2
}}
train_input_reader {{ tf_record_input_reader {{ input_path: [{paths}] }} label_map_path: "{labels}" }}
eval_config {{ num_visualizations: 0 }}
eval_input_reader {{ tf_record_input_reader {{ input_path: [{paths}] }} label_map_path: "{labels}" }}
"""


@pytest.mark.slow
def test_trained_and_evaluated_one_image_at_a_time(tmp_path):
    paths = []
    for boxes in (2, 0):
        (tmp_path / f"{boxes}").mkdir()
        paths.append(f'"{write_records(tmp_path / str(boxes), images=3, boxes=boxes)}"')
    labels = tmp_path / "labels.pbtxt"
    labels.write_text("item { id: 1 name: 'a' } item { id: 2 name: 'b' }", encoding="utf-8")
    model = detector_configs.ssd(
        detector_configs.Settings("ssd_mobilenet_v1", 64, 64, num_classes=2, depth_multiplier=0.25)
    )
    assert _ARGMAX in model
    text = model.replace(_ARGMAX, "bipartite_matcher { }") + _REST.format(paths=", ".join(paths), labels=labels)
    config = tmp_path / "bipartite.config"
    config.write_text(text, encoding="utf-8")
    metrics = main.run(
        pipelines.load(config, ["train_config.batch_size=1"]),
        str(tmp_path / "run"),
        options=RunOptions(checkpoint_every=2, log_every=1, seed=1),
        num_replicas=1,
    )
    assert math.isfinite(metrics["Loss/total_loss"]) and metrics["Loss/localization_loss"] > 0
    assert 0 <= metrics["DetectionBoxes_Precision/mAP"] <= 1
