"""Every kind of error in a text config, with place, problem and fix on one line."""

from __future__ import annotations

import pytest

from detection.config import text
from detection.errors import ConfigError
from detection.protos import pipeline_pb2


def fault(content: str) -> str:
    with pytest.raises(ConfigError) as error:
        text.parse(content, pipeline_pb2.TrainEvalPipelineConfig(), "my.config")
    assert "\n" not in str(error.value)
    return error.value.lines()[0]


def test_unknown_field():
    assert (
        fault("model {\n  ssd {\n    num_clases: 3\n  }\n}")
        == "my.config:3:5: unknown field 'num_clases' in Ssd; did you mean 'num_classes'?"
    )


def test_field_of_another_message():
    assert (
        fault("model {\n\n ssd { num_steps: 3 } }")
        == "my.config:3:8: unknown field 'num_steps' in Ssd; 'num_steps' belongs to train_config"
    )


def test_field_without_a_similar_name():
    message = fault("model { ssd { box_coder { xyz {} } } }")
    assert (
        message == "my.config:1:27: unknown field 'xyz' in BoxCoder; "
        "its fields are faster_rcnn_box_coder, mean_stddev_box_coder, square_box_coder, keypoint_box_coder, "
        "corner_box_coder, center_sqrt_box_coder"
    )


def test_enum():
    content = "model { ssd { post_processing {\n  score_converter: %s\n} } }"
    assert (
        fault(content % "SIGMOD")
        == "my.config:2:20: score_converter in PostProcessing has no value SIGMOD; did you mean 'SIGMOID'? (allowed:"
        " IDENTITY, SIGMOID, SOFTMAX)"
    )
    assert (
        fault(content % "7")
        == "my.config:2:20: score_converter in PostProcessing has no value 7 (allowed: IDENTITY, SIGMOID, SOFTMAX)"
    )
    assert "write SIGMOID without quotes" in fault(content % "'SIGMOID'")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("model { ssd { num_classes: three } }", "1:28: num_classes in Ssd takes a whole number, not three"),
        ("model { ssd { num_classes: 3.0 } }", "1:28: num_classes in Ssd takes a whole number, not 3.0"),
        (
            "model { ssd { num_classes: 2147483648 } }",
            "1:28: num_classes in Ssd takes a whole number from -2147483648 to 2147483647, not 2147483648",
        ),
        (
            "train_config { batch_size: -1 }",
            "1:28: batch_size in TrainConfig takes a whole number from 0 to 4294967295, not -1",
        ),
        (
            "train_config { gradient_clipping_by_norm: 'a' }",
            "1:43: gradient_clipping_by_norm in TrainConfig takes a number, not 'a'",
        ),
        ("train_config { sync_replicas: yes }", "1:31: sync_replicas in TrainConfig takes true or false, not yes"),
        (
            "eval_config { export_path: a }",
            "1:28: export_path in EvalConfig takes a quoted string, not a; write export_path: 'a'",
        ),
        ("model { ssd: 3 }", "1:14: ssd in DetectionModel takes a block, ssd { ... } (message Ssd), not 3"),
        (
            "model { ssd { num_classes { } } }",
            "1:27: num_classes in Ssd takes a whole number, not a block; write num_classes: ...",
        ),
        ("model { ssd { num_classes: [1, 2] } }", "1:15: num_classes in Ssd takes one value, not a list"),
        ("model { ssd { num_classes: } }", "1:15: num_classes in Ssd takes a whole number, and has no value"),
        (
            "eval_config { super_categories { key: 3 } }",
            "1:39: key in EvalConfig.SuperCategoriesEntry takes a quoted string, not 3; write key: '3'",
        ),
    ],
)
def test_type(content, expected):
    assert fault(content) == f"my.config:{expected}"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            "model { ssd {\n num_classes: 3\n num_classes: 4 } }",
            "3:2: num_classes is given twice in Ssd; keep one of the two",
        ),
        ("model { ssd { }\n ssd { } }", "2:2: ssd is given twice in DetectionModel; keep one of the two"),
        (
            "model { ssd { }\n faster_rcnn { } }",
            "2:2: DetectionModel holds either ssd or faster_rcnn, not both; keep one of the two",
        ),
    ],
)
def test_given_twice(content, expected):
    assert fault(content) == f"my.config:{expected}"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("model {\n  ssd {\n    num_classes: 3\n", "2:3: ssd { is never closed; add the missing '}'"),
        ("model { } }", "1:11: expected a field name, found '}'"),
        ("model < ssd { } }", "1:17: expected a field name, found '}'"),
        ("model { ssd { num_classes 3 } }", "1:15: ':' is missing after num_classes in Ssd"),
        (
            "train_config { fine_tune_checkpoint: 'a\n}",
            "1:38: a string is not closed on its line; add the missing quote",
        ),
        ('{"model": {}}', "1:1: expected a field name, found '{'"),
        (
            "[lstm.model] { }",
            "1:1: TrainEvalPipelineConfig has no extensions here; remove what belongs to another project",
        ),
    ],
)
def test_syntax(content, expected):
    assert fault(content) == f"my.config:{expected}"


def test_strings_that_are_not_utf8():
    assert fault(r"train_config { fine_tune_checkpoint: '\xff' }").startswith("my.config:1:45: couldn't parse string")
    assert fault(r"train_config { fine_tune_checkpoint: '\ud800' }").startswith("my.config:1:38: ")


def test_everything_the_text_form_allows():
    content = """model <ssd {num_classes: 0x3, feature_extractor { type: 'a' "b" # c }
      }; anchor_generator { ssd_anchor_generator { scales: [.5, 1.f, 1e-1] height_stride: 07 } } } >
      train_config { data_augmentation_options: [{random_horizontal_flip {}}, <ssd_random_crop <operations {}
        operations {clip_boxes: f}>>]
      freeze_variables: ["a", 'b'] sync_replicas: 1 }"""
    config = text.parse(content, pipeline_pb2.TrainEvalPipelineConfig(), "my.config")
    assert config.model.ssd.num_classes == 3 and config.model.ssd.feature_extractor.type == "ab"
    assert list(config.model.ssd.anchor_generator.ssd_anchor_generator.height_stride) == [7]
    assert [step.WhichOneof("preprocessing_step") for step in config.train_config.data_augmentation_options] == [
        "random_horizontal_flip",
        "ssd_random_crop",
    ]
    assert len(config.train_config.data_augmentation_options[1].ssd_random_crop.operations) == 2
    assert config.train_config.sync_replicas and list(config.train_config.freeze_variables) == ["a", "b"]


def test_without_positions():
    with pytest.raises(ConfigError, match=r"^--set x: unknown field"):
        text.parse("modl {}", pipeline_pb2.TrainEvalPipelineConfig(), "--set x", positions=False)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("model { ssd { num_classes: 3 // boats\n } }", "1:30: // is not valid here; comments begin with #"),
        (
            "train_input_reader { label_map_path: \u201cmap.pbtxt\u201d }",
            "1:38: \u201c is not valid here; put strings between straight quotes, \" or '",
        ),
        (
            'train_input_reader { label_map_path: "C:\\Users\\map.pbtxt" }',
            "1:38: a backslash in this string starts an escape sequence such as \\U; write / between folders, or \\\\",
        ),
        (
            "train_config { data_augmentation_options {\n random_horizontal_flip { }\n random_rotation90 { } } }",
            (
                "3:2: PreprocessingStep holds either random_horizontal_flip or random_rotation90, not both; give each"
                " its own data_augmentation_options { }"
            ),
        ),
    ],
)
def test_common_mistakes(content, expected):
    assert fault(content) == f"my.config:{expected}"
