"""Builds the serving function of a detector, which is frozen into a SavedModel.

    input -> images uint8 -> resizer -> detector.predict -> detector.postprocess -> the standard outputs
    proposals ------------------------^   (Fast R-CNN only)

| input type | dtype, shape | batch |
|---|---|---|
| image_tensor | uint8 [B, h, w, 3], RGB | any; all images of a batch have one size |
| float_image_tensor | float32 [B, h, w, 3], RGB, 0 to 255 | the same |
| encoded_image_string_tensor | string [B], JPEG, PNG, WebP, BMP, GIF (frame 0) | any; any sizes if resized to one |
| tf_example | string [B], serialized tf.Examples with an image file in image/encoded | the same |

Fast R-CNN takes a second input, `proposals`, float32 [B, P, 4]: normalised ymin, xmin, ymax, xmax of the image as sent,
best first, any P; rows without area are padding (`proposals.serving_input`).

Outputs, all float32: detection_boxes [B, D, 4] (normalised ymin, xmin, ymax, xmax), detection_scores [B, D]
(descending), detection_classes [B, D] (label ids, from 1), num_detections [B], detection_anchor_indices [B, D] (rows of
the raw boxes), detection_multiclass_scores [B, D, K + 1], raw_detection_boxes [B, R, 4], raw_detection_scores
[B, R, K + 1] (background first; K columns for detectors without a background class, such as CenterNet), and, if the
config asks for them, detection_features and cropped_rpn_box_features [B, D, h, w, c]. Rows from num_detections on are
padding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from detection.data.image_decode import decode_in_graph
from detection.data.reading.example_format import parse_example
from detection.data.resize import Resizer
from detection.errors import ConfigError
from detection.export.fold import folded
from detection.export.freeze import FrozenGraph, freeze
from detection.export.serving_checks import checked_images, checked_strings
from detection.pipeline import Detector
from detection.proposals.serving_input import KEY, with_proposals
from detection.types import Detections, ImageBatch

INPUT_TYPES = ("image_tensor", "float_image_tensor", "encoded_image_string_tensor", "tf_example")
STRINGS = INPUT_TYPES[2:]
INPUT_KEYS = ("input_tensor", "inputs")  # TF2's and TF1's exporter
MARKS = "served"
NETWORK_INPUT = f"{MARKS}/network_input"
NETWORK_OUTPUT = f"{MARKS}/network_output"
TRUE_SHAPES = f"{MARKS}/true_shapes"
PROPOSALS = f"{MARKS}/proposals"
UNEQUAL = (
    "this model keeps the aspect ratio, so all images of a batch must have one size after resizing; send others"
    " separately. Sizes:"
)


class ServingInput(NamedTuple):
    """The input of a served model."""

    kind: str = "image_tensor"  # one of INPUT_TYPES
    key: str = "input_tensor"  # name of the argument in the signature
    shape: tuple[int | None, ...] | None = None  # [B, h, w, channels] or [B]; None leaves all sizes variable
    num_proposals: int | None = None  # number of proposals P of Fast R-CNN; None leaves it variable
    channels: int = 3  # of images: red, green, blue and any additional ones

    def spec(self) -> tf.TensorSpec:
        """Returns type and shape of the input of images. Raises ConfigError if the fields are inconsistent."""
        if self.kind not in INPUT_TYPES:
            raise ConfigError(f"--input_type={self.kind}: unknown; one of {', '.join(INPUT_TYPES)}")
        if self.key not in INPUT_KEYS:
            raise ConfigError(f"--input_key={self.key}: unknown; one of {', '.join(INPUT_KEYS)}")
        images = self.kind not in STRINGS
        if not images and self.channels != 3:
            raise ConfigError(
                f"--input_type={self.kind}: an image file has 3 channels, and this detector takes images of"
                f" {self.channels}; use image_tensor or float_image_tensor"
            )
        free: tuple[int | None, ...] = (None, None, None, self.channels) if images else (None,)
        shape = free if self.shape is None else tuple(self.shape)
        fits = (
            len(shape) == len(free)
            and (not images or shape[-1] == self.channels)
            and all(size is None or size > 0 for size in shape)
        )
        if not fits:
            expected = f"batch,height,width,{self.channels}" if images else "batch"
            raise ConfigError(
                f"--input_shape={self.shape}: {self.kind} has the shape {expected}, each above 0, or -1 for any"
            )
        dtype = {"image_tensor": tf.uint8, "float_image_tensor": tf.float32}.get(self.kind, tf.string)
        return tf.TensorSpec(shape, dtype, name=self.key)

    def specs(self, detector: Detector) -> list[tf.TensorSpec]:
        """Returns type and shape of all inputs: the images, and the proposals if the detector takes any.

        Raises:
            ConfigError: the fields are inconsistent.
        """
        images = self.spec()
        if not detector.takes_proposals:
            if self.num_proposals is not None:
                raise ConfigError(
                    f"--num_proposals={self.num_proposals}: this detector does not take proposals; only model.fast_rcnn"
                    " does"
                )
            return [images]
        if self.num_proposals is not None and self.num_proposals < 1:
            raise ConfigError(
                f"--num_proposals={self.num_proposals}: must be at least 1; without the flag any number is accepted"
            )
        return [images, tf.TensorSpec([images.shape[0], self.num_proposals, 4], tf.float32, name=KEY)]

    def keys(self, detector: Detector) -> list[str]:
        """Returns the names of all inputs in the signature."""
        return [spec.name for spec in self.specs(detector)]


def parse_shape(sizes: Sequence[str] | None) -> tuple[int | None, ...] | None:
    """Parses the value of --input_shape, such as `1,480,640,3`; -1 stands for any size. None stays None.

    Raises:
        ConfigError: a size is not a number.
    """
    if not sizes:
        return None
    try:
        return tuple(None if int(size) == -1 else int(size) for size in sizes)
    except ValueError:
        raise ConfigError(
            f"--input_shape={','.join(sizes)}: not numbers; e.g. 1,480,640,3, or -1 for any size"
        ) from None


def serving_graph(detector: Detector, resizer: Resizer, serving_input: ServingInput) -> FrozenGraph:
    """Traces the serving function, folds batch norm and freezes variables.

    Args:
        detector: has its weights; predict and postprocess are traced for inference.
        resizer: resizes images as in training.
        serving_input: the input of the graph.
    """
    specs = serving_input.specs(detector)
    prepare = preparation(specs[0], resizer)
    content = encoded_images if serving_input.kind == "tf_example" else tf.identity

    def serve(value: tf.Tensor, *proposals: tf.Tensor) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        batch = prepare(content(value))
        for given in proposals:  # one, or none
            batch = with_proposals(batch, given)
        predictions = detector.predict(batch, training=False)
        detections = detector.postprocess(predictions, batch.true_shapes)
        marks = {NETWORK_INPUT: predictions.images, TRUE_SHAPES: batch.true_shapes}
        marks |= {f"{NETWORK_OUTPUT}/{name}": tensor for name, tensor in predictions.raw().items()}
        marks |= {PROPOSALS: batch.proposals.boxes} if batch.proposals else {}
        marks |= {f"{MARKS}/{name}": tensor for name, tensor in predictions.stage_border().items()}
        return outputs(detections), marks

    with folded(detector):
        return freeze(tf.function(serve, autograph=False).get_concrete_function(*specs))


def encoded_images(examples: tf.Tensor) -> tf.Tensor:
    """Extracts the image files, string [B], from serialized tf.Examples, string [B]; "" if there is none."""
    features = {"image/encoded": tf.io.FixedLenFeature([], tf.string, "")}
    # TensorFlow's batch parser can crash on damaged records, which must not crash a server.
    return tf.map_fn(lambda example: parse_example(example, features)["image/encoded"], examples)


def outputs(detections: Detections) -> dict[str, tf.Tensor]:
    """Returns detections with the keys, dtypes and class numbers of the TF Object Detection API."""
    rows = tf.shape(detections.scores)[1]
    valid = tf.range(rows)[tf.newaxis] < detections.counts[:, tf.newaxis]
    features = {"detection_features": detections.box_features, "cropped_rpn_box_features": detections.cropped_features}
    return {
        "detection_boxes": detections.boxes,
        "detection_scores": detections.scores,
        # Padding has class 1 (0-based zero plus one), as in the API's exporter.
        "detection_classes": tf.cast(tf.where(valid, detections.classes, 0), tf.float32) + 1.0,
        "num_detections": tf.cast(detections.counts, tf.float32),
        "detection_anchor_indices": tf.cast(detections.rows, tf.float32),
        "detection_multiclass_scores": tf.gather(detections.raw_scores, detections.rows, batch_dims=1),
        "raw_detection_boxes": detections.raw_boxes,
        "raw_detection_scores": detections.raw_scores,
        **{key: tensor for key, tensor in features.items() if tensor is not None},
    }


def preparation(spec: tf.TensorSpec, resizer: Resizer) -> Callable[[tf.Tensor], ImageBatch]:
    """Returns a function that turns the input of `spec` into resized images.

    The function fails with a message for input that is not an image (`serving_checks`).
    """
    if spec.dtype != tf.string:
        return lambda images: resizer.batch(checked_images(images, spec))

    def decoded(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return resizer(decode_in_graph(encoded))

    height, width = resizer.static_shape
    if height and width:

        def prepared(strings: tf.Tensor) -> ImageBatch:
            strings = checked_strings(strings, spec)
            signature = (tf.TensorSpec([height, width, 3], tf.float32), tf.TensorSpec([2], tf.int32))
            return ImageBatch(*tf.map_fn(decoded, strings, fn_output_signature=signature))

        return prepared

    def flat(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        image, true_shape = decoded(encoded)
        return tf.reshape(image, [-1]), tf.shape(image), true_shape

    def prepared_if_equal(strings: tf.Tensor) -> ImageBatch:
        strings = checked_strings(strings, spec)
        sizes = tf.TensorSpec([3], tf.int32), tf.TensorSpec([2], tf.int32)
        flat_images, shapes, true_shapes = tf.map_fn(
            flat, strings, fn_output_signature=(tf.RaggedTensorSpec([None], tf.float32, 0), *sizes)
        )
        equal = tf.debugging.Assert(tf.reduce_all(shapes == shapes[:1]), [UNEQUAL, shapes])
        with tf.control_dependencies([equal]):
            images = tf.reshape(
                flat_images.flat_values, tf.concat([tf.shape(strings), tf.reduce_max(shapes, axis=0)], 0)
            )
        images.set_shape([strings.shape[0], height, width, 3])
        return ImageBatch(images, true_shapes)

    return prepared_if_equal
