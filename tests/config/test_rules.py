"""Conditions between several fields, including eleven faults that an earlier check missed."""

from __future__ import annotations

import pytest

from detection import config
from detection.config.check import examine
from detection.errors import DetectionError

_GRID = "anchor_grid { base_sizes: 64 aspect_ratios: 1 height_stride: 16 width_stride: 16 }"
_INITIALIZER = "initializer { truncated_normal_initializer { } }"
TWO_STAGE = f"""
model={{faster_rcnn {{ num_classes: 3 image_resizer {{ fixed_shape_resizer {{ height: 64 width: 64 }} }}
feature_extractor {{ type: 'faster_rcnn_resnet50' }}
first_stage_anchor_generator {{ grid_anchor_generator {{ scales: 1 aspect_ratios: 1 }} }}
first_stage_box_predictor_conv_hyperparams {{ {_INITIALIZER} }}
initial_crop_size: 14 maxpool_kernel_size: 2 maxpool_stride: 2
second_stage_box_predictor {{ mask_rcnn_box_predictor {{ fc_hyperparams {{ {_INITIALIZER} }} }} }} }} }}
""".replace("\n", " ")
FASTER = "model.faster_rcnn"
EXTRACTOR, GENERATOR = f"{FASTER}.feature_extractor", f"{FASTER}.first_stage_anchor_generator"


def faults(message, *settings: str, training: bool = True) -> list[str]:
    found, _ = examine(config.override(message, settings), training=training)
    return found


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            [f"{GENERATOR}={{ssd_anchor_generator {{ aspect_ratios: 1 }}}}"],
            f"{GENERATOR}.ssd_anchor_generator makes anchors for 6 maps, and regions are proposed on one; use"
            " grid_anchor_generator with height_stride and width_stride 16",
        ),
        (
            [f"{GENERATOR}={{multiscale_anchor_generator {{ aspect_ratios: 1 }}}}"],
            f"{GENERATOR}.multiscale_anchor_generator makes anchors for 5 maps, and regions are proposed on one; use"
            " grid_anchor_generator with height_stride and width_stride 16, or a type with a feature pyramid, such as"
            " faster_rcnn_resnet50_fpn_keras",
        ),
        ([f"{GENERATOR}={{}}"], f"{GENERATOR} is empty; set grid_anchor_generator, multiscale_anchor_generator"),
        (
            [f"{GENERATOR}={{flexible_grid_anchor_generator {{ {_GRID} {_GRID} }}}}"],
            f"{GENERATOR}.flexible_grid_anchor_generator makes anchors for 2 maps, and regions are proposed on one; use"
            " grid_anchor_generator with height_stride and width_stride 16",
        ),
        (
            [f"{EXTRACTOR}.first_stage_features_stride=12", f"{GENERATOR}.grid_anchor_generator.height_stride=12",
             f"{GENERATOR}.grid_anchor_generator.width_stride=12"],
            f"{EXTRACTOR}.first_stage_features_stride (12) is not one that faster_rcnn_resnet50 can have; use 8 or 16",
        ),
        (
            [f"{FASTER}.output_final_box_features=true", f"{FASTER}.number_of_stages=1"],
            f"{FASTER}.output_final_box_features is of the second stage, and number_of_stages is 1; remove it",
        ),
        (
            [f"{EXTRACTOR}.type=faster_rcnn_vgg16", f"{FASTER}.initial_crop_size=12"],
            f"{FASTER}.initial_crop_size (12), maxpool_kernel_size (2) and maxpool_stride (2) make crops of 6 x 6, but"
            " faster_rcnn_vgg16 takes 7 x 7; set 14, 2 and 2",
        ),
        (
            [f"{EXTRACTOR}.type=faster_rcnn_inception_v3", f"{FASTER}.initial_crop_size=4"],
            f"{FASTER}.initial_crop_size (4), maxpool_kernel_size (2) and maxpool_stride (2) make crops of 2 x 2, but"
            " faster_rcnn_inception_v3 takes 3 x 3 or more; the usual values are 14, 2 and 2",
        ),
        (
            [f"{EXTRACTOR}.override_base_feature_extractor_hyperparams=true"],
            f"{EXTRACTOR}.conv_hyperparams is not set, and override_base_feature_extractor_hyperparams is true; add"
            " conv_hyperparams { initializer { ... } }, or remove the latter",
        ),
        (
            [f"{FASTER}.second_stage_box_predictor={{weight_shared_convolutional_box_predictor {{ conv_hyperparams {{"
             f" {_INITIALIZER} }} }} }}"],
            f"{FASTER}.second_stage_box_predictor.weight_shared_convolutional_box_predictor is SSD's; use"
            " mask_rcnn_box_predictor, or rfcn_box_predictor for R-FCN",
        ),
    ],
)  # fmt: skip
def test_two_stages(ssd, settings, expected):
    assert faults(ssd, TWO_STAGE) == []
    assert faults(ssd, TWO_STAGE, *settings) == [expected]


def test_images_that_leave_no_map_of_inception_v3(ssd):
    """75 pixels: its first layers and two later ones have no padding."""
    settings = [
        "model.ssd.feature_extractor={type: 'ssd_inception_v3' override_base_feature_extractor_hyperparams: true"
        f" conv_hyperparams {{ {_INITIALIZER} }} }}",
        "model.ssd.image_resizer.fixed_shape_resizer.height=74",
    ]
    assert faults(ssd, *settings) == [
        "model.ssd.image_resizer.fixed_shape_resizer is 74 x 96; ssd_inception_v3 needs at least 75 x 75"
    ]
    assert faults(ssd, *settings, "model.ssd.image_resizer.fixed_shape_resizer.height=75") == []


def test_sampling_more_regions_than_proposals_is_a_warning(ssd):
    """The API accepts it; inference, hard example mining and a single stage do not sample."""

    def told(*more: str, training: bool = True) -> list[str]:
        found, warnings = examine(config.override(ssd, [TWO_STAGE, *more]), training=training)
        assert not found
        return [line for line in warnings if "second_stage_batch_size" in line]

    asked = f"{FASTER}.second_stage_batch_size=999"
    assert told() == []
    assert told(asked) == [
        f"{FASTER}.second_stage_batch_size (999) exceeds first_stage_max_proposals (300): at most 300 regions are"
        " learnt from, as in the TF Object Detection API, of which second_stage_balance_fraction of 999 may be"
        " objects; set it to 300 unless that is meant"
    ]
    assert told(asked, training=False) == []
    assert told(asked, f"{FASTER}.hard_example_miner={{}}") == []
    assert told(asked, f"{FASTER}.number_of_stages=1") == []


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            [
                "model.ssd.feature_extractor.num_layers=7",
                "model.ssd.anchor_generator.ssd_anchor_generator.num_layers=7",
            ],
            "model.ssd.feature_extractor.num_layers (7) is more than the 6 feature maps that ssd_mobilenet_v1 makes;"
            " set 6 or less",
        ),
        (
            ["model.ssd.anchor_generator={grid_anchor_generator {scales: 1 aspect_ratios: 1}}"],
            "model.ssd.anchor_generator.grid_anchor_generator has anchors for 1 map, and feature_extractor.num_layers"
            " is 6; every map needs its anchors",
        ),
        (
            ["model.ssd.anchor_generator={multiscale_anchor_generator {aspect_ratios: 1}}"],
            "model.ssd.anchor_generator.multiscale_anchor_generator has anchors for 5 maps, and"
            " feature_extractor.num_layers is 6; every map needs its anchors",
        ),
        (
            ["model.ssd.feature_extractor.conv_hyperparams.initializer={keras_initializer_by_name: 'he_norm'}"],
            "model.ssd.feature_extractor.conv_hyperparams.initializer.keras_initializer_by_name ('he_norm') is not"
            " supported; the nearest are ",
        ),
        (
            ["train_input_reader.sample_from_datasets_weights=0"],
            "train_input_reader.sample_from_datasets_weights has only zeros; give at least one path a weight above 0",
        ),
        (
            ["eval_config.groundtruth_box_visualization_color=blakc"],
            "eval_config.groundtruth_box_visualization_color ('blakc') is not a colour; use a name such as 'black' or a"
            " value such as '#00ff80'; did you mean 'black'?",
        ),
        (
            ["eval_config.use_moving_averages=true", "train_config.optimizer.use_moving_average=false"],
            "train_config.optimizer.use_moving_average is false but eval_config.use_moving_averages is true; make them"
            " agree",
        ),
        (
            ["train_config.use_multiclass_scores=true"],
            "train_config.use_multiclass_scores is true and train_input_reader.load_multiclass_scores is not; set",
        ),
        (
            ["train_config.data_augmentation_options+={convert_class_logits_to_softmax {}}"],
            "train_config.data_augmentation_options[2].convert_class_logits_to_softmax changes scores that are not"
            " learnt from; set",
        ),
        (
            ["eval_input_reader[0].difficult_objects=TRAIN_ON_DIFFICULT"],
            "eval_input_reader[0].difficult_objects belongs to train_input_reader; remove it: metrics decide (PASCAL"
            " VOC's leave difficult objects out, COCO's count them)",
        ),
        (
            ["eval_input_reader[0]={}"],
            'eval_input_reader[0] names no data; add tf_record_input_reader { input_path: "..." }',
        ),
        (
            ["train_config.data_augmentation_options+={random_pad_image {max_image_width: 9}}"],
            "train_config.data_augmentation_options[2].random_pad_image.max_image_width is set without"
            " max_image_height; set both, or neither",
        ),
        (
            ["train_config.data_augmentation_options+={remap_labels {original_labels: 1 new_label: 4}}"],
            "train_config.data_augmentation_options[2].remap_labels.new_label (4) is more than model.ssd.num_classes"
            " (3); ids of classes go from 1 to 3",
        ),
        (
            ["train_config.data_augmentation_options+={drop_label_probabilistically {label: 9}}"],
            "train_config.data_augmentation_options[2].drop_label_probabilistically.label (9) is more than"
            " model.ssd.num_classes (3); ids of classes go from 1 to 3",
        ),
        (
            ["train_config.data_augmentation_options+={ssd_random_crop_fixed_aspect_ratio {aspect_ratio: 0}}"],
            "train_config.data_augmentation_options[2].ssd_random_crop_fixed_aspect_ratio.aspect_ratio (0) must be in"
            " [0.01, 100]",
        ),
        (
            ["train_config.data_augmentation_options+={random_black_patches {max_black_patches: 0}}"],
            "train_config.data_augmentation_options[2].random_black_patches.max_black_patches (0) must be at least 1",
        ),
    ],
)
def test_ssd_data_and_training(ssd, settings, expected):
    found = faults(ssd, *settings)
    assert len(found) == 1 and found[0].startswith(expected), found


def test_scores_of_all_classes_that_change_nothing_are_told(ssd):
    both = ["train_config.use_multiclass_scores=true", "train_input_reader.load_multiclass_scores=true"]

    def told(*settings: str) -> list[str]:
        found, warnings = examine(config.override(ssd, settings))
        assert not found
        return [line for line in warnings if "multiclass" in line]

    assert told(*both) == []
    assert len(told(both[1])) == 1 and len(told(*both, "train_config.merge_multiple_label_boxes=true")) == 1
    assert told("eval_input_reader[0].load_multiclass_scores=true") == [
        "eval_input_reader[0].load_multiclass_scores has no effect: scores are learnt from in training only"
    ]


def test_frames_and_context_that_change_nothing_are_told(ssd):
    place = "train_input_reader"
    _, warnings = examine(config.override(ssd, [f"{place}.frame_index=3", f"{place}.load_context_features=true"]))
    assert [line for line in warnings if line.startswith(place)] == [
        f"{place}.load_context_features (true) has no effect: it belongs to faster_rcnn.context_config, which is not"
        " supported",
        f"{place}.frame_index (3) has no effect: it is of input_type TF_SEQUENCE_EXAMPLE",
    ]
    frames = "eval_input_reader[0].input_type=TF_SEQUENCE_EXAMPLE"
    _, warnings = examine(config.override(ssd, [frames, "eval_input_reader[0].frame_index=3"]))
    assert any("eval_input_reader[0].frame_index (3) has no effect: all frames" in line for line in warnings)


@pytest.mark.parametrize("color", ["black", "LightGreen", "#00ff80", "rgb(1, 2, 3)"])
def test_colours(ssd, color):
    assert faults(ssd, f"eval_config.groundtruth_box_visualization_color={color}") == []


@pytest.mark.parametrize("name", ["glorot_uniform", "HeNormal", "zeros"])
def test_initialisers_that_keras_has(ssd, name):
    assert (
        faults(ssd, f"model.ssd.feature_extractor.conv_hyperparams.initializer={{keras_initializer_by_name: '{name}'}}")
        == []
    )


def test_a_schedule_that_ends_early_is_reported_with_other_faults(ssd):
    rate = "train_config.optimizer.rms_prop_optimizer.learning_rate"
    schedule = f"{rate}={{exponential_decay_learning_rate {{decay_steps: 1 decay_factor: 0.1}}}}"
    found = faults(ssd, schedule, "model.ssd.num_classes=0")
    assert [line.split(" ")[0] for line in found] == [
        "model.ssd.num_classes",
        f"{rate}.exponential_decay_learning_rate.decay_steps",
    ]


def test_a_check_raises_all_of_them(ssd):
    with pytest.raises(DetectionError) as error:
        config.check(config.override(ssd, [TWO_STAGE, f"{FASTER}.number_of_stages=3", "eval_input_reader={}"]), "c")
    assert len([line for line in error.value.lines() if "number_of_stages" in line or "names no data" in line]) == 2


def test_a_missing_plugin_does_not_hide_other_faults(ssd):
    """Unknown names may be the plugin's and are not reported; other faults are."""
    settings = ["plugins=no_such_package", "model.ssd.feature_extractor.type=theirs", "model.ssd.num_classes=0"]
    with pytest.raises(DetectionError) as error:
        config.check(config.override(ssd, settings), "my.config", check_paths=False)
    first, *others = error.value.lines()
    assert "no_such_package" in first and others == ["my.config: model.ssd.num_classes (0) must be at least 1"]
