"""Builder of augmentations: every supported step runs, others are refused."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from detection import registry
from detection.builders import preprocessor
from detection.data.augment import color, crop, flip, pad, rows
from detection.data.sample import BOX_FIELDS, Sample, SampleProposals
from detection.protos import preprocessor_pb2

# Steps whose defaults are no complete setting.
NEEDED = {
    "normalize_image": "original_minval: 0 original_maxval: 255",
    "subtract_channel_mean": "means: [1, 2, 3]",
    "random_resize_method": "target_height: 9 target_width: 8",
    "resize_image": "new_height: 9 new_width: 8",
    "random_absolute_pad_image": "max_height_padding: 4 max_width_padding: 5",
    "drop_label_probabilistically": "label: 1",
    "remap_labels": "original_labels: [1, 2] new_label: 3",
    "custom": "name: 'test_preprocessor_as_it_is'",
}
registry.augmentation("test_preprocessor_as_it_is")(lambda: lambda sample, seed: sample)
UNSUPPORTED = {"scale_boxes_to_pixel_coordinates"}


ALONE = ("custom", "convert_class_logits_to_softmax")  # the latter needs what other samples lack


def build(text: str):
    return preprocessor.build(text_format.Parse(text, preprocessor_pb2.PreprocessingStep()))


def all_steps() -> list[str]:
    return [field.name for field in preprocessor_pb2.PreprocessingStep.DESCRIPTOR.fields]


def test_a_padding_of_0_pixels_stands_for_1():
    """`random_absolute_pad_image {}`, as in published configs, is no error."""
    step = preprocessor_pb2.PreprocessingStep(random_absolute_pad_image={})
    built = preprocessor.build(step)
    assert (built.keywords["max_height_padding"], built.keywords["max_width_padding"]) == (1, 1)


def test_supported_steps_are_known():
    assert set(preprocessor.SUPPORTED) == set(all_steps()) - UNSUPPORTED


@pytest.mark.parametrize("with_proposals", [False, True])
@pytest.mark.parametrize("step", [step for step in preprocessor.SUPPORTED if step not in ALONE])
def test_every_step_runs_in_a_graph(step, with_proposals):
    operation = build(f"{step} {{ {NEEDED.get(step, '')} }}")
    image = tf.constant(np.random.default_rng(0).integers(0, 256, [40, 50, 3], dtype=np.uint8))
    flags, boxes = tf.constant([False, False]), tf.constant([[0.1, 0.1, 0.5, 0.5], [0.3, 0.2, 0.9, 0.8]])
    proposals = SampleProposals(boxes, tf.constant([0.9, 0.4])) if with_proposals else ()
    sample = Sample(image, boxes, tf.constant([0, 1]), tf.ones([2]), flags, flags, tf.ones([2]), proposals)
    free = tf.nest.map_structure(
        lambda field: tf.TensorSpec(
            [None] * (field.shape.rank - 1) + [field.shape[-1]] if field.shape.rank > 1 else [None], field.dtype
        ),
        sample,
    )
    run = tf.function(operation, autograph=False, input_signature=[free, tf.TensorSpec([2], tf.int64)])
    for number in range(3):
        after = run(sample, tf.constant([number, 1], tf.int64))
        assert after.image.shape[2] == 3 and after.boxes.shape[1] == 4
        assert len({len(getattr(after, field)) for field in BOX_FIELDS}) == 1 and np.isfinite(after.image.numpy()).all()
        assert bool(after.proposals) == with_proposals
        if with_proposals:
            _check_proposals(after, moves_labels_alone=step == "random_jitter_boxes")


def _check_proposals(after: Sample, moves_labels_alone: bool) -> None:
    """Proposals equal to the boxes stay equal, unless the labels move and the image does not."""
    boxes, scores = (field.numpy() for field in after.proposals)
    assert len(boxes) == len(scores) and (np.diff(scores) <= 0).all() and (boxes >= 0).all() and (boxes <= 1).all()
    if not moves_labels_alone:
        assert all(np.abs(boxes - box).max(axis=1).min() < 1e-5 for box in after.boxes.numpy())


@pytest.mark.parametrize(
    ("text", "function", "keywords"),
    [
        ("random_horizontal_flip {}", flip.random_horizontal_flip, {"probability": 0.5}),
        ("random_adjust_hue { max_delta: 0.25 }", color.random_adjust_hue, {"max_delta": 0.25}),
        ("random_distort_color { color_ordering: 1 }", color.random_distort_color, {"color_ordering": 1}),
        ("ssd_random_crop {}", crop.ssd_random_crop, {"crops": crop.SSD_CROPS}),
        (
            (
                "ssd_random_crop { operations { min_object_covered: 0.5 min_aspect_ratio: 0.5 max_aspect_ratio: 2"
                " min_area: 0.25 max_area: 1 } }"
            ),
            crop.ssd_random_crop,
            {"crops": (crop.Crop(0.5, (0.5, 2.0), (0.25, 1.0), 0.0, True, 0.0),)},
        ),
        (
            "random_crop_image {}",
            crop.random_crop_image,
            {"settings": crop.Crop(1.0, (0.75, pytest.approx(1.33)), (pytest.approx(0.1), 1.0), pytest.approx(0.3))},
        ),
        ("ssd_random_crop_pad {}", pad.ssd_random_crop_pad, {"operations": pad.SSD_CROP_PADS}),
        (
            "random_pad_image { min_image_height: 3 min_image_width: 4 pad_color: [1, 2, 3] }",
            pad.random_pad_image,
            {"min_image_size": (3, 4), "max_image_size": None, "pad_color": (1.0, 2.0, 3.0)},
        ),
        (
            "random_jitter_boxes { ratio: 0.25 jitter_mode: SHRINK }",
            rows.random_jitter_boxes,
            {"ratio": 0.25, "mode": rows.Jitter.SHRINK},
        ),
    ],
)
def test_fields_arrive(text, function, keywords):
    built = build(text)
    assert built.func is function and built.keywords == keywords
