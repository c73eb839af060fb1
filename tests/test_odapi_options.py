"""Options of configs of the TF Object Detection API together, from records to metrics: two steps of training on boxes
of several classes, then Open Images' metrics, without resizing."""

from __future__ import annotations

import io

import numpy as np
import pytest

import detection
from tests.helpers import detector_configs, records, small_ssd

LABELS = """
    item { name: "/m/1" id: 1 display_name: "dog" ancestor_ids: 2 }
    item { name: "hound" id: 1 }
    item { name: "/m/2" id: 2 display_name: "pet" }
    item { name: "/m/3" id: 3 display_name: "car" }
"""
REST = """
train_config {{
  batch_size: 2 num_steps: 2 merge_multiple_label_boxes: true summarize_gradients: true
  optimizer {{ momentum_optimizer {{ learning_rate {{ constant_learning_rate {{ learning_rate: 0.001 }} }} }} }}
}}
train_input_reader {{ {reader} }}
eval_config {{
  metrics_set: "oid_V2_detection_metrics" metrics_set: "oid_challenge_detection_metrics"
  metrics_set: "precision_at_recall_detection_metrics" recall_upper_bound: 0.5 force_no_resize: true
}}
eval_input_reader {{ {reader} expand_labels_hierarchy: true }}
"""


@pytest.fixture(scope="module")
def rest(tmp_path_factory: pytest.TempPathFactory) -> str:
    """All of a config but its model."""
    folder = tmp_path_factory.mktemp("records")
    (folder / "map.pbtxt").write_text(LABELS)
    made = [
        records.example(
            boxes=[(0.1, 0.2, 0.5, 0.6), (0.1, 0.2, 0.5, 0.6), (0.4, 0.4, 0.9, 0.9)],
            height=70,
            width=60 + number,
            image__source_id=str(number),
            image__object__class__text=["hound", "/m/3", "dog"],
            image__object__class__label=None,
            image__object__group_of=[0, 0, 1],
            image__class__text=["/m/3"],
            image__class__confidence=[0.0],
        )
        for number in range(4)
    ]
    records.write_shard(folder / "a.record", *made)
    paths = f'label_map_path: "{folder}/map.pbtxt" tf_record_input_reader {{ input_path: "{folder}/a.record" }}'
    return REST.format(reader=paths)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ssd", "faster_rcnn"])
def test_train_and_evaluate(tmp_path, rest, kind):
    two_stage = detector_configs.Settings("faster_rcnn_mobilenet_v1", 64, 64, num_classes=3, depth_multiplier=0.25)
    model = small_ssd.model(64, 64, 5) if kind == "ssd" else detector_configs.faster_rcnn(two_stage)
    (tmp_path / "pipeline.config").write_text(model + rest)
    settings = ["model.ssd.use_confidences_as_targets=true"] if kind == "ssd" else []
    pipeline = detection.load_pipeline(tmp_path / "pipeline.config", settings)
    metrics = detection.run_training(pipeline, tmp_path / "run", seed=1, stream=io.StringIO())
    prefixes = ("OpenImagesV2", "OpenImagesDetectionChallenge")
    for prefix in prefixes:
        assert f"{prefix}_Precision/mAP@0.5IOU" in metrics
        found = {tag.rpartition("/")[2] for tag in metrics if tag.startswith(f"{prefix}_PerformanceByCategory")}
        assert found == {"dog", "pet", "car"}, "each dog is a pet"
    assert "PrecisionAtRecallBoxes_Precision/mAP@0.5IOU@[0.0,0.5]Recall" in metrics
    assert all(np.isfinite(value) for value in metrics.values())
