"""What records of Open Images say beyond boxes: group-of marks, labels of whole images, and the hierarchy of classes.

    image/object/group_of      1: the box is around several objects that touch, and stands for them all
    image/class/text, .../label  classes of which somebody checked whether they are in the image
    image/class/confidence     1: the class is there; 0: it is not

The hierarchy is in the label map (`ancestor_ids`, `descendant_ids`). An object of a class is one of each class above
it too, so its box is repeated with their labels; what is in an image, is there under the names above it as well, and
what is not, is not there under those below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from detection.data.reading.labels import LabelLookup
from detection.data.sample import Sample, box_fields

Related = Sequence[tuple[int, Sequence[int]]]  # label id -> label ids
GROUP_OF = "image/object/group_of"
_TEXT, _LABEL, _CONFIDENCE = "image/class/text", "image/class/label", "image/class/confidence"
FEATURES = {
    GROUP_OF: tf.io.RaggedFeature(tf.int64),
    _TEXT: tf.io.RaggedFeature(tf.string),
    _LABEL: tf.io.RaggedFeature(tf.int64),
    _CONFIDENCE: tf.io.RaggedFeature(tf.float32),
}


class Hierarchy(NamedTuple):
    """Ancestors and descendants of each class, including itself: bool [K, K], rows and columns are 0-based classes."""

    ancestors: np.ndarray
    descendants: np.ndarray

    def expand(self, sample: Sample) -> Sample:
        """The sample with each box once for every class that it is of, in ascending order."""
        places = tf.where(tf.gather(tf.constant(self.ancestors), sample.classes))
        rows = {field: tf.gather(getattr(sample, field), places[:, 0]) for field in box_fields(sample)}
        return sample._replace(**{**rows, "classes": tf.cast(places[:, 1], tf.int32)})


def hierarchy(ancestors: Related, descendants: Related, ids: Sequence[int], size: int) -> Hierarchy:
    """The hierarchy of a label map.

    Args:
        ancestors: label id -> the label ids above it.
        descendants: label id -> the label ids below it.
        ids: those of the run's classes; others are left out.
        size: K, at least the largest of them.
    """

    def related(pairs: Related) -> np.ndarray:
        matrix = np.eye(size, dtype=bool)
        for label, others in pairs:
            for other in others if label in ids else ():
                if other in ids:
                    matrix[label - 1, other - 1] = True
        return matrix

    return Hierarchy(related(ancestors), related(descendants))


class ImageLabelReader(NamedTuple):
    """Reads the labels of whole images."""

    lookup: LabelLookup
    num_classes: int  # K
    hierarchy: Hierarchy | None = None  # None: labels count for their own class only

    def checked(self, features: dict[str, tf.Tensor]) -> tf.Tensor:
        """Returns the classes whose presence in the image was verified, bool [K]."""
        labels = self.lookup(features[_TEXT], features[_LABEL])
        classes = tf.boolean_mask(labels.ids, labels.known) - 1
        labelled = self._marks(classes)
        if self.hierarchy is None:
            return labelled
        confidences = features[_CONFIDENCE]
        has_confidences = tf.size(confidences) == tf.size(labels.ids)
        present = tf.cond(
            has_confidences,
            lambda: tf.boolean_mask(confidences, labels.known) > 0.5,
            lambda: tf.zeros_like(classes, tf.bool),
        )
        absent = has_confidences & ~present
        ancestors = tf.gather(tf.constant(self.hierarchy.ancestors), tf.boolean_mask(classes, present))
        descendants = tf.gather(tf.constant(self.hierarchy.descendants), tf.boolean_mask(classes, absent))
        return labelled | tf.reduce_any(tf.concat([ancestors, descendants], axis=0), axis=0)

    def _marks(self, classes: tf.Tensor) -> tf.Tensor:
        marks = tf.math.unsorted_segment_sum(tf.ones_like(classes), classes, self.num_classes)
        return tf.ensure_shape(marks > 0, [self.num_classes])
