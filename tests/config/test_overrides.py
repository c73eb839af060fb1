"""`--set path=value`: each form and its errors."""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from detection import config
from detection.errors import ConfigError
from detection.protos import pipeline_pb2


def fault(message, *settings: str) -> str:
    before = message.SerializeToString(deterministic=True)
    with pytest.raises(ConfigError) as error:
        config.override(message, settings)
    assert "\n" not in str(error.value)
    assert message.SerializeToString(deterministic=True) == before
    return str(error.value)


def test_returns_a_copy(ssd):
    changed = config.override(ssd, ["model.ssd.num_classes=7"])
    assert (changed.model.ssd.num_classes, ssd.model.ssd.num_classes) == (7, 3)
    changed.model.ssd.num_classes = 3
    assert changed == ssd == config.override(ssd, [])


def test_scalars(ssd):
    changed = config.override(
        ssd,
        [
            "model.ssd.normalize_loss_by_num_matches=false",
            " model.ssd.negative_class_weight = 1e-3 ",
            "model.ssd.post_processing.score_converter=SOFTMAX",
            "train_config.fine_tune_checkpoint=weights/a b=c.ckpt",
            "train_config.fine_tune_checkpoint_type='det' \"ection\"",
            "eval_config.export_path=",
            "train_config.num_steps=10_000",
        ],
    )
    assert changed.model.ssd.normalize_loss_by_num_matches is False
    assert changed.model.ssd.negative_class_weight == pytest.approx(1e-3)
    assert changed.model.ssd.post_processing.score_converter == 2
    assert changed.train_config.fine_tune_checkpoint == "weights/a b=c.ckpt"
    assert (
        changed.train_config.fine_tune_checkpoint_type == "'det' \"ection\""
    )  # Not closed by the quote it begins with: taken as it is.
    assert changed.eval_config.HasField("export_path") and changed.train_config.num_steps == 10000


def test_lists(ssd):
    ratios = "model.ssd.anchor_generator.ssd_anchor_generator.aspect_ratios"
    path = "train_input_reader.tf_record_input_reader.input_path"

    def ratios_of(*settings: str) -> list[float]:
        return list(config.override(ssd, settings).model.ssd.anchor_generator.ssd_anchor_generator.aspect_ratios)

    def paths_of(*settings: str) -> list[str]:
        return list(config.override(ssd, settings).train_input_reader.tf_record_input_reader.input_path)

    assert ratios_of(f"{ratios}=[3, 4.5]") == [3, 4.5]
    assert ratios_of(f"{ratios}=3") == [3]
    assert ratios_of(f"{ratios}=[]") == []
    assert ratios_of(f"{ratios}+=3") == [1, 2, 0.5, 3]
    assert ratios_of(f"{ratios}+=[3,4]", f"{ratios}[0]=7", f"{ratios}[-1]=8") == [7, 2, 0.5, 3, 8]
    assert paths_of(f"{path}=a,b*.record-?????-of-00010") == ["a,b*.record-?????-of-00010"]
    assert paths_of(f'{path}=[a, \'b, "c\', "d"]') == ["a", 'b, "c', "d"]
    assert paths_of(f"{path}[0]=x", f"{path}+=y") == ["x", "y"]


def test_messages(ssd):
    changed = config.override(
        ssd,
        [
            "train_config.optimizer.momentum_optimizer={learning_rate {constant_learning_rate {learning_rate: 0.5}}}",
            "train_config.optimizer.momentum_optimizer.momentum_optimizer_value=0.5",
            "model.ssd.loss.hard_example_miner=none",
            "model.ssd.similarity_calculator.ioa_similarity={}",
            "train_config.data_augmentation_options+={random_vertical_flip {probability: 0.25}}",
            "train_config.data_augmentation_options[0]={random_rotation90 {}}",
            "eval_input_reader.label_map_path=other.pbtxt",  # The only element needs no index.
            "eval_config.super_categories[animal.big]=cow,horse",
        ],
    )
    optimizer = changed.train_config.optimizer
    assert (
        optimizer.WhichOneof("optimizer") == "momentum_optimizer"
        and optimizer.momentum_optimizer.momentum_optimizer_value == 0.5
    )
    assert optimizer.momentum_optimizer.learning_rate.constant_learning_rate.learning_rate == 0.5
    assert not changed.model.ssd.loss.HasField("hard_example_miner")
    assert changed.model.ssd.similarity_calculator.WhichOneof("region_similarity") == "ioa_similarity"
    steps = [step.WhichOneof("preprocessing_step") for step in changed.train_config.data_augmentation_options]
    assert steps == ["random_rotation90", "ssd_random_crop", "random_vertical_flip"]
    assert [reader.label_map_path for reader in changed.eval_input_reader] == ["other.pbtxt"]
    assert dict(changed.eval_config.super_categories) == {"animal.big": "cow,horse"}
    assert (
        len(config.override(ssd, ["train_config.data_augmentation_options=[]"]).train_config.data_augmentation_options)
        == 0
    )
    two = config.override(ssd, ["train_config.data_augmentation_options=[{random_rotation90 {}}, {rgb_to_gray {}}]"])
    assert len(two.train_config.data_augmentation_options) == 2


def test_missing_messages_are_created():
    changed = config.override(
        pipeline_pb2.TrainEvalPipelineConfig(),
        ["model.ssd.num_classes=2", "eval_input_reader.tf_record_input_reader.input_path+=a"],
    )
    expected = "model { ssd { num_classes: 2 } } eval_input_reader { tf_record_input_reader { input_path: 'a' } }"
    assert changed == text_format.Parse(expected, pipeline_pb2.TrainEvalPipelineConfig())


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("model.ssd.num_clases=3", "unknown field 'num_clases' in Ssd; did you mean 'num_classes'?"),
        ("modl.ssd.num_classes=3", "unknown field 'modl' in TrainEvalPipelineConfig; did you mean 'model'?"),
        ("model.ssd.num_classes=three", "num_classes in Ssd takes a whole number, not three"),
        ("model.ssd.num_classes=3 num_steps: 4", "num_classes in Ssd takes a whole number, not 3 num_steps: 4"),
        ("model.ssd.num_classes=", "num_classes in Ssd takes a whole number, not nothing"),
        ("train_config.batch_size=-1", "batch_size in TrainConfig takes a whole number from 0 to 4294967295, not -1"),
        (
            "model.ssd.post_processing.score_converter=SIGMOD",
            (
                "score_converter in PostProcessing has no value SIGMOD; did you mean 'SIGMOID'? (allowed: IDENTITY,"
                " SIGMOID, SOFTMAX)"
            ),
        ),
        ("model.ssd.num_classes", "expected path=value, as in model.ssd.num_classes=3"),
        ("=3", "expected path=value, as in model.ssd.num_classes=3"),
        ("model..num_classes=3", "'' is not a field name; a path is written like model.ssd.num_classes"),
        ("model.ssd.num_classes+=3", "+= appends to a list, and num_classes is not a list; use ="),
        ("model.ssd.num_classes.x=3", "num_classes holds no fields: it takes a whole number"),
        ("model.ssd.num_classes[0]=3", "num_classes is not a list; write it without [0]"),
        ("model.ssd[0].num_classes=3", "ssd is a single message; write it without [0]"),
        ("eval_input_reader[1].shuffle=true", "eval_input_reader has 1 element, so there is no [1]; += appends one"),
        ("eval_input_reader[a].shuffle=true", "[a] of eval_input_reader is not an index; write a whole number"),
        (
            "train_config.data_augmentation_options.random_horizontal_flip.probability=1",
            "data_augmentation_options has 2 elements; say which, as in data_augmentation_options[0]",
        ),
        (
            "model.faster_rcnn.num_classes=3",
            "the config has ssd where this names faster_rcnn; to replace it, first set faster_rcnn={...} as a whole",
        ),
        (
            "model.ssd.matcher={argmax_macher {}}",
            "unknown field 'argmax_macher' in Matcher; did you mean 'argmax_matcher'?",
        ),
        (
            "model.ssd.matcher=argmax_matcher",
            (
                "matcher takes a block, matcher { ... } (message Matcher), not argmax_matcher; write matcher={...}, or"
                " matcher=none to remove it"
            ),
        ),
        (
            "model.ssd.matcher={} num_classes: 3",
            "matcher takes a block, matcher { ... } (message Matcher), but more text follows; use one setting"
            " per field",
        ),
        (
            "eval_config.super_categories=cat",
            "super_categories is a map; set one entry, as in super_categories[key]=value",
        ),
        ("batch_sise=3", "unknown setting 'batch_sise'; did you mean 'batch_size'?"),
        (
            "shuffle=true",
            "shuffle may mean train_input_reader.shuffle, eval_input_reader[0].shuffle; write the full path",
        ),
        ("momentum=1", "unknown setting 'momentum'; did you mean 'momentum_optimizer'?"),
    ],
)
def test_faults(ssd, setting, expected):
    assert fault(ssd, setting) == f"--set {setting}: {expected}"


def test_errors_name_the_flag(ssd):
    with pytest.raises(ConfigError, match="^--config_override x=1: "):
        config.override(ssd, ["x=1"], flag="--config_override")


def test_the_beginning_of_a_path_can_be_omitted(ssd):
    changed = config.override(ssd, ["num_steps=5", "rms_prop_optimizer.epsilon=0.5"])
    assert changed.train_config.num_steps == 5 and changed.train_config.optimizer.rms_prop_optimizer.epsilon == 0.5
    assert "may mean model.ssd.post_processing.batch_non_max_suppression.iou_threshold, model.ssd.loss" in fault(
        ssd, "iou_threshold=0.7"
    )
    assert (
        config.override(ssd, ["fixed_shape_resizer.height=64"]).model.ssd.image_resizer.fixed_shape_resizer.height == 64
    )


def test_text_in_quotes_that_cannot_be_parsed_names_the_setting(ssd):
    field = "train_config.fine_tune_checkpoint"
    for value in (r"'\377'", r"'\x'"):
        assert fault(ssd, f"{field}={value}").startswith(f"--set {field}={value}")
