"""Detectors with the methods of the TF Object Detection API.

These are preprocess, predict, postprocess, provide_groundtruth and loss:

    detection_model = model_builder.build(model_config=configs["model"], is_training=False)
    tf.compat.v2.train.Checkpoint(model=detection_model).restore("ckpt-0").expect_partial()
    image, shapes = detection_model.preprocess(images)
    detections = detection_model.postprocess(detection_model.predict(image, shapes), shapes)

The parts that appear in object-based checkpoints are attributes of the model (`_feature_extractor`, `_box_predictor`
and nested ones), so that `tf.train.Checkpoint` restores and saves all of it or parts of it.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from absl import logging

from detection import config
from detection.builders import image_resizer, model
from detection.data.resize import Resizer
from detection.errors import ConfigError
from detection.export.serving import outputs
from detection.odapi.builders import variable_names
from detection.odapi.builders.attributes import by_attribute
from detection.odapi.builders.groundtruth import Given
from detection.pipeline import Detector
from detection.protos import model_pb2, pipeline_pb2
from detection.types import ImageBatch

_ROOT = "model/"
_STRUCTURE = "structure"  # key of the detector's own predictions in the result of `predict`
_RENAMED = {"box_codes": "box_encodings", "class_logits": "class_predictions_with_background"}


def build(model_config: model_pb2.DetectionModel, is_training: bool, add_summaries: bool = True) -> DetectionModel:
    """Builds a detector with all its variables.

    Args:
        model_config: the model of a pipeline config; checked here.
        is_training: whether batch norm uses batch statistics, and regions are sampled for the loss.
        add_summaries: has no effect, since no summaries are written.

    Raises:
        ConfigError: the config is invalid, or something in it is not supported.
    """
    whole = pipeline_pb2.TrainEvalPipelineConfig(model=model_config)
    for warning in config.check(whole, "model_config", check_paths=False, training=False):
        logging.warning("%s", warning)
    resizer = image_resizer.build(model.settings(model_config).image_resizer)
    detector = model.build(model_config, resizer)
    if detector.takes_proposals:
        raise ConfigError("model_config: Fast R-CNN needs proposals as input, which these methods do not take")
    detector.build_weights()
    kind = TrackableDetectionModel if detector.object_keys() else DetectionModel
    return kind(_Parts(detector, resizer, is_training))


class _Parts:
    """The parts of a model, in an object whose attributes TensorFlow does not track."""

    def __init__(self, detector: Detector, resizer: Resizer, is_training: bool) -> None:
        self.detector, self.resizer, self.is_training = detector, resizer, is_training
        self.groundtruth: Given | None = None


class DetectionModel:
    """A detector with the methods of the API.

    Models without keys in object-based checkpoints are not tf.Modules, so that `tf.train.Checkpoint` rejects them.
    """

    def __init__(self, parts: _Parts) -> None:
        self._parts = parts

    @property
    def num_classes(self) -> int:
        """Foreground classes K."""
        return self._parts.detector.num_classes

    @property
    def trainable_variables(self) -> list[Any]:
        """The trainable variables; those of heads are named as in the TF Object Detection API."""
        return variable_names.renamed(self._parts.detector).trainable_variables

    @property
    def variables(self) -> list[Any]:
        """All variables."""
        return variable_names.renamed(self._parts.detector).variables

    def preprocess(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Resizes images.

        Args:
            inputs: [B, h, w, 3] of any numeric type, 0 to 255.

        Returns:
            float32 [B, H, W, 3], still 0 to 255 (`predict` scales them); and int32 [B, 3], sizes without padding.
        """
        batch = self._parts.resizer.batch(tf.convert_to_tensor(inputs))
        channels = tf.fill([tf.shape(batch.true_shapes)[0], 1], 3)
        return batch.images, tf.concat([batch.true_shapes, channels], axis=1)

    def predict(self, preprocessed_inputs: tf.Tensor, true_image_shapes: tf.Tensor) -> dict[str, Any]:
        """Runs the network.

        Args:
            preprocessed_inputs: float32 [B, H, W, 3], as `preprocess` returns them.
            true_image_shapes: int32 [B, 3], sizes without padding.

        Returns:
            The predictions that `loss` and `postprocess` take.
        """
        parts = self._parts
        batch = ImageBatch(tf.convert_to_tensor(preprocessed_inputs), _sides(true_image_shapes))
        truth = parts.groundtruth.padded(batch.images) if parts.is_training and parts.groundtruth else None
        predictions = parts.detector.predict(batch, truth, training=parts.is_training)
        raw = {_RENAMED.get(key, key): value for key, value in predictions.raw().items()}
        raw |= {"preprocessed_inputs": batch.images, "feature_maps": list(predictions.feature_maps)}
        return {**raw, _STRUCTURE: predictions}

    def postprocess(self, prediction_dict: dict[str, Any], true_image_shapes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Converts predictions to detections.

        Args:
            prediction_dict: as `predict` returns it.
            true_image_shapes: int32 [B, 3], sizes without padding.

        Returns:
            float32: detection_boxes [B, D, 4], normalised, detection_scores [B, D], detection_classes [B, D], 0-based,
            num_detections [B], and the raw boxes and scores.
        """
        detections = self._parts.detector.postprocess(prediction_dict[_STRUCTURE], _sides(true_image_shapes))
        found = outputs(detections)
        return {**found, "detection_classes": found["detection_classes"] - 1.0}

    def provide_groundtruth(
        self,
        groundtruth_boxes_list: list[tf.Tensor],
        groundtruth_classes_list: list[tf.Tensor],
        groundtruth_weights_list: list[tf.Tensor] | None = None,
        groundtruth_is_crowd_list: list[tf.Tensor] | None = None,
        **others: object,
    ) -> None:
        """Sets the groundtruth for the next `predict` and `loss`, one tensor per image.

        Args:
            groundtruth_boxes_list: float32 [n, 4], normalised to the preprocessed image.
            groundtruth_classes_list: float32 [n, K], one-hot.
            groundtruth_weights_list: float32 [n].
            groundtruth_is_crowd_list: bool [n].
            **others: not supported; must be None.

        Raises:
            ConfigError: one of `others` is not None.
        """
        for name, value in others.items():
            if value is not None:
                raise ConfigError(f"provide_groundtruth: {name} is not supported; detectors here predict boxes only")
        self._parts.groundtruth = Given(
            groundtruth_boxes_list, groundtruth_classes_list, groundtruth_weights_list, groundtruth_is_crowd_list
        )

    def loss(self, prediction_dict: dict[str, Any], true_image_shapes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns weighted losses by name, scalars, without the regularisation loss.

        Args:
            prediction_dict: as `predict` returns it.
            true_image_shapes: not used.

        Raises:
            ConfigError: there is no groundtruth.
        """
        parts = self._parts
        if parts.groundtruth is None:
            raise ConfigError("loss: there is no groundtruth; call provide_groundtruth first")
        predictions = prediction_dict[_STRUCTURE]
        return parts.detector.loss(predictions, parts.groundtruth.padded(predictions.images))

    def regularization_losses(self) -> list[tf.Tensor]:
        """Returns a list with one entry, the sum of all regularisation losses."""
        return [self._parts.detector.regularization_loss()]

    def updates(self) -> list[tf.Operation]:
        """Returns an empty list, since batch norm updates its moving averages itself."""
        return []


class TrackableDetectionModel(DetectionModel, tf.Module):
    """A model that `tf.train.Checkpoint` restores and saves with the keys of the TF Object Detection API."""

    def __init__(self, parts: _Parts) -> None:
        tf.Module.__init__(self)
        DetectionModel.__init__(self, parts)
        keys = {key.removeprefix(_ROOT): variable.value for key, variable in parts.detector.object_keys().items()}
        for name, part in by_attribute(keys).items():
            setattr(self, name, part)

    def restore_from_objects(self, fine_tune_checkpoint_type: str = "detection") -> dict[str, Any]:
        """Returns the arguments of `tf.train.Checkpoint` for a kind of fine-tuning: `detection` or `full`.

        Raises:
            ConfigError: another kind.
        """
        if fine_tune_checkpoint_type == "full":
            return {"model": self}
        if fine_tune_checkpoint_type != "detection":
            raise ConfigError(
                f"fine_tune_checkpoint_type={fine_tune_checkpoint_type!r}: one of 'detection', 'full'; to start"
                " from a classifier, train with fine_tune_checkpoint in the config"
            )
        return {"model": tf.train.Checkpoint(_feature_extractor=self._feature_extractor)}


def _sides(true_image_shapes: tf.Tensor) -> tf.Tensor:
    return tf.cast(true_image_shapes, tf.int32)[:, :2]
