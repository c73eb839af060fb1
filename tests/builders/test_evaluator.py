"""EvalConfig -> EvalSettings -> evaluators."""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from detection.builders import evaluator
from detection.evaluate.coco import CocoEvaluator
from detection.evaluate.metrics import METRICS_SETS, evaluators
from detection.evaluate.voc import PascalVocEvaluator
from detection.protos import eval_pb2
from detection.settings import EvalSettings, Style
from detection.types import Category

CATEGORIES = (Category(1, "cat"), Category(2, "dog"))


def build(text: str = "") -> EvalSettings:
    return evaluator.build(text_format.Parse(text, eval_pb2.EvalConfig()))


def test_an_empty_config_gives_the_defaults():
    assert build() == EvalSettings()
    assert [type(made) for made in evaluators(build(), CATEGORIES)] == [CocoEvaluator]


def test_every_field_is_used():
    settings = build("""
        metrics_set: "coco_detection_metrics" metrics_set: "pascal_voc_detection_metrics" metrics_set:
          "pascal_voc_detection_metrics"
        batch_size: 4 use_dummy_loss_in_eval: true use_moving_averages: true eval_interval_secs: 60
        include_metrics_per_category: true all_metrics_per_category: true
        super_categories { key: "pet" value: "cat, dog" }
        num_visualizations: 3 min_score_threshold: 0.25 max_num_boxes_to_visualize: 7 skip_scores: true skip_labels:
          true
        visualize_groundtruth_boxes: true groundtruth_box_visualization_color: "LightGreen"
        recall_lower_bound: 0.25 recall_upper_bound: 0.75 image_classes_field_map_empty_to_ones: false
        visualization_export_dir: "pictures" keep_image_id_for_visualization_export: true export_path: "found.json"
        """)
    assert settings == EvalSettings(
        metrics=("coco_detection_metrics", "pascal_voc_detection_metrics"),
        batch_size=4,
        losses=False,
        use_moving_averages=True,
        interval_seconds=60,
        per_category_tags=True,
        all_per_category_tags=True,
        super_categories=(("pet", ("cat", "dog")),),
        recall_bounds=(0.25, 0.75),
        unlabelled_is_checked=False,
        num_visualizations=3,
        style=Style(min_score=0.25, max_boxes=7, labels=False, scores=False, groundtruth_color="LightGreen"),
        visualization_export_dir="pictures",
        name_visualizations_by_image=True,
        export_path="found.json",
    )
    assert [type(made) for made in evaluators(settings, CATEGORIES)] == [CocoEvaluator, PascalVocEvaluator]
    assert hash(settings)


@pytest.mark.parametrize("name", METRICS_SETS)
def test_every_metrics_set_can_be_made(name):
    (made,) = evaluators(build(f'metrics_set: "{name}"'), CATEGORIES)
    assert made.result()


def test_no_groundtruth_no_metrics_and_no_originals_no_pictures():
    assert evaluators(build("ignore_groundtruth: true"), CATEGORIES) == ()
    assert build("retain_original_images: false").num_visualizations == 0
