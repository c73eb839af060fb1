"""Configs with several independent problems: all are reported at once, each with file, line and field."""

from __future__ import annotations

import re

import pytest

from detection import config
from detection.errors import DetectionError


def report(tmp_path, text: str, *settings: str, check_paths: bool = False) -> list[str]:
    """The problems of a file, without its name."""
    path = tmp_path / "my.config"
    path.write_text(text)
    with pytest.raises(DetectionError) as error:
        config.prepare(path, settings, check_paths=check_paths, training=True)
    return [line.replace(f"{tmp_path}/", "") for line in error.value.lines()]


def line_of(text: str, word: str) -> int:
    return text[: text.index(word)].count("\n") + 1


def edited(text: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert text.count(old) >= 1, old
        text = text.replace(old, new, 1)
    return text


def test_values_in_every_part(tmp_path, config_text):
    text = edited(
        config_text,
        ("num_classes: 3", "num_classes: 0"),
        ("iou_threshold: 0.99", "iou_threshold: 1.5"),
        ("batch_size: 4", "batch_size: 4\n  gradient_clipping_by_norm: -1"),
        ("decay_steps: 800", "decay_steps: 0"),
        ("random_horizontal_flip {}", "random_horizontal_flip { probability: 2 }"),
        ('"coco_detection_metrics"', '"coco_detection_metric"'),
    )
    found = report(tmp_path, text)
    assert sorted(line.split(": ")[0] for line in found) == sorted(
        f"my.config:{line_of(text, word)}"
        for word in (
            "num_classes: 0",
            "iou_threshold: 1.5",
            "gradient_clipping",
            "decay_steps: 0",
            "probability: 2",
            "coco_detection_metric",
        )
    )
    assert found[0] == (
        f"my.config:{line_of(text, 'coco_detection_metric')}: eval_config.metrics_set ('coco_detection_metric') is not"
        " supported; use one of coco_detection_metrics, pascal_voc_detection_metrics,"
        " weighted_pascal_voc_detection_metrics, precision_at_recall_detection_metrics, oid_V2_detection_metrics,"
        " oid_challenge_detection_metrics, confusion_detection_metrics; did you mean 'coco_detection_metrics'?"
    )


def test_syntax_first_and_then_what_can_still_be_read(tmp_path, config_text):
    text = edited(
        config_text,
        ("num_classes: 3", "num_clases: 3"),
        ("force_match_for_each_row: true", "force_match_for_each_row: yes"),
        ("batch_size: 4", "batch_size: 0"),
        ("shuffle: false", "shuffle: false shufle: true"),
        ("iou_threshold: 0.6", "iou_threshold: 6"),
    )
    assert [re.sub(r" \(allowed.*|; .*", "", line) for line in report(tmp_path, text)] == [
        f"my.config:{line_of(text, 'num_clases')}:5: unknown field 'num_clases' in Ssd",
        f"my.config:{line_of(text, 'each_row')}:58: force_match_for_each_row in ArgMaxMatcher takes true or false,"
        " not yes",
        f"my.config:{line_of(text, 'shufle')}:18: unknown field 'shufle' in InputReader",
        f"my.config:{line_of(text, 'iou_threshold: 6')}: model.ssd.post_processing.batch_non_max_suppression"
        ".iou_threshold (6) must be in [0, 1]",
        f"my.config:{line_of(text, 'batch_size: 0')}: train_config.batch_size (0) must be at least 1",
    ]


def test_missing_fields_are_reported_at_their_message(tmp_path, config_text):
    text = edited(
        config_text,
        ("matcher { argmax_matcher { force_match_for_each_row: true } }", ""),
        ("weighted_smooth_l1 {}", ""),
        ("metrics_set:", "groundtruth_box_visualization_color: 'purpel' metrics_set:"),
        ('tf_record_input_reader { input_path: "val.record" }', ""),
    )
    found = report(tmp_path, text)
    assert [re.sub(r"; .*", "", line) for line in found] == [
        f"my.config:{line_of(text, 'eval_input_reader')}: eval_input_reader[0] names no data",
        f"my.config:{line_of(text, 'ssd {')}: model.ssd.matcher is not set",
        f"my.config:{line_of(text, 'localization_loss')}: model.ssd.loss.localization_loss is empty",
        f"my.config:{line_of(text, 'purpel')}: eval_config.groundtruth_box_visualization_color ('purpel') is"
        f" not a colour",
    ]


def test_coupled_fields_and_paths(tmp_path, config_text, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = edited(
        config_text,
        ("num_steps: 100", "num_steps: 100\n  freeze_variables: '('"),
        (
            "initial_learning_rate: 0.004 decay_steps: 800 decay_factor:\n        0.95",
            "decay_steps: 1 decay_factor: 0.1",
        ),
        ("{ force_match", "{ unmatched_threshold: 0.7 force_match"),
        ('"train.record"', '"C:\\\\data\\\\train.record"'),
    )
    found = report(tmp_path, text, check_paths=True)
    starts = [re.sub(r" \(.*|: there.*|; .*", "", line) for line in found]
    assert starts[:3] == [
        f"my.config:{line_of(text, 'unmatched')}: model.ssd.matcher.argmax_matcher.unmatched_threshold",
        f"my.config:{line_of(text, 'freeze')}: train_config.freeze_variables[0]",
        f"my.config:{line_of(text, 'decay_steps')}: train_config.optimizer.rms_prop_optimizer.learning_rate"
        ".exponential_decay_learning_rate.decay_steps",
    ]
    assert "not with backslashes" in found[3] and found[3].startswith(f"my.config:{line_of(text, 'train.record')}: ")
    assert [line.split(": ")[1].split(" ")[0] for line in found[4:]] == [
        "train_input_reader.label_map_path",
        "eval_input_reader[0].tf_record_input_reader.input_path",
        "eval_input_reader[0].label_map_path",
    ]


def test_what_is_missing_beside_a_syntax_error(tmp_path, config_text):
    """A message whose own fields could all be read lacks what it lacks, whatever is wrong inside its messages."""
    text = edited(
        config_text,
        ("num_classes: 3", ""),
        ("matcher { argmax_matcher { force_match_for_each_row: true } }", "matcher { argmax_matchr { } }"),
        ("similarity_calculator { iou_similarity {} }", ""),
        ("localization_loss { weighted_smooth_l1 {} }", "localisation_loss { weighted_smooth_l1 {} }"),
    )
    assert [re.sub(r" in .*|; .*", "", line) for line in report(tmp_path, text)] == [
        f"my.config:{line_of(text, 'argmax_matchr')}:15: unknown field 'argmax_matchr'",
        f"my.config:{line_of(text, 'localisation')}:7: unknown field 'localisation_loss'",
        f"my.config:{line_of(text, 'ssd {')}: model.ssd.similarity_calculator is not set",
        f"my.config:{line_of(text, 'ssd {')}: model.ssd.num_classes (0) must be at least 1",
    ]


def test_flags_are_named_where_they_set_the_field(tmp_path, config_text):
    text = edited(config_text, ("batch_size: 4", "batch_size: 0"))
    found = report(tmp_path, text, "model.ssd.num_classes=0", "learning_rate=-1", "train_config.num_steps=7")
    rate = "train_config.optimizer.rms_prop_optimizer.learning_rate.exponential_decay_learning_rate"
    assert found == [
        "my.config, --set model.ssd.num_classes=0: model.ssd.num_classes (0) must be at least 1",
        f"my.config:{line_of(text, 'batch_size: 0')}: train_config.batch_size (0) must be at least 1",
        f"my.config, --set learning_rate=-1: {rate}.initial_learning_rate (-1) must be at least 0",
    ]


def test_a_flag_that_appends_is_named_for_what_it_appended(tmp_path, config_text):
    """Not the last flag for all of them, and not for what the file has."""
    text = edited(config_text, ("random_horizontal_flip {}", "random_horizontal_flip { probability: 2 }"))
    options = "train_config.data_augmentation_options"
    flags = [
        f"{options}+={{random_image_scale {{min_scale_ratio: 2 max_scale_ratio: 1}}}}",
        f"{options}+={{}}",
        "model.ssd.similarity_calculator={}",  # What it leaves out is missing because of it.
    ]
    found = [line.split(" must ")[0].split(" is ")[0] for line in report(tmp_path, text, *flags)]
    assert found == [
        f"my.config, --set {flags[2]}: model.ssd.similarity_calculator",
        f"my.config:{line_of(text, 'probability')}: {options}[0].random_horizontal_flip.probability (2)",
        f"my.config, --set {flags[0]}: {options}[2].random_image_scale.min_scale_ratio (2)",
        f"my.config, --set {flags[1]}: {options}[3]",
    ]


def test_all_faulty_flags_at_once(tmp_path, config_text):
    found = report(tmp_path, config_text, "model.ssd.num_clases=1", "nonsense", "train_config.batch_size=0")
    assert [line.split(": ")[0] for line in found] == [
        "--set model.ssd.num_clases=1",
        "--set nonsense",
        "my.config, --set train_config.batch_size=0",
    ]


def test_old_names_have_lines_too(tmp_path):
    """A moved field is reported at its line; a renamed field with its current name."""
    text = """model { faster_rcnn {
      first_stage_only: true
      num_classes: 0
      first_stage_max_proposals: 0
    } }
    train_config { optimizer { momentum_optimizer { learning_rate { constant_learning_rate { } } } }
      data_augmentation_options { ssd_random_crop_pad_fixed_aspect_ratio { operations {
        min_aspect_ratio: 1 max_aspect_ratio: 1 min_area: 1 max_area: 1
        min_padded_size_ratio: -1 } } } }
    """
    found = report(tmp_path, text)
    assert "my.config:3: model.faster_rcnn.num_classes (0) must be at least 1" in found
    assert "my.config:4: model.faster_rcnn.first_stage_max_proposals (0) must be at least 1" in found
    moved = [line for line in found if "min_padded_size_ratio" in line]
    assert moved and all(line.startswith("my.config:9: ") for line in moved)
