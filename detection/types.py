"""The structures of tensors that modules pass to each other.

Shape legend, used in all docstrings and comments:

    B images in a batch       H, W padded input, pixels       A anchors        P proposals
    M padded groundtruth      D detections (padded)           R raw boxes      K foreground classes

Inside the package a box is float32 `[ymin, xmin, ymax, xmax]` in pixels of the resized, padded input. Normalised boxes
([0, 1] of the true, unpadded image) exist only in records and in `Detections`; `ops.boxes.to_pixels` and
`ops.boxes.to_normalised` convert. Classes are 0-based foreground indices (label id - 1); logits have K + 1 columns with
the background at column 0, of an SSD with `add_background_class: false` only the K. Padding is `weight == 0`, never a
magic class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

# Only annotations use TensorFlow, so commands without tensors (config checks, dataset conversion) start quickly.
if TYPE_CHECKING:
    import tensorflow as tf

MAX_PIXELS = 100_000_000  # of an image; a larger one would take more than 300 MB decoded


class Proposals(NamedTuple):
    """Regions that may hold an object, by descending score, zero padded."""

    boxes: tf.Tensor  # float32 [B, P, 4], pixels, inside the true image
    scores: tf.Tensor  # float32 [B, P]
    counts: tf.Tensor  # int32 [B], rows that are not padding


class ImageBatch(NamedTuple):
    """Resized images, padded at the bottom and right to a common size."""

    images: tf.Tensor  # float32 [B, H, W, 3], RGB, 0 to 255
    true_shapes: tf.Tensor  # int32 [B, 2], height and width before padding, pixels
    proposals: Proposals | tuple[()] = ()  # given with the images (Fast R-CNN); empty where the detector finds its own


def is_given(field: tf.Tensor | tuple[()]) -> bool:
    """Whether an optional field of a structure has a value.

    An empty field is `()`, or a tensor without rows, which `()` becomes when a structure is copied field by field.
    """
    return not isinstance(field, tuple) and len(field.shape) > 1


class Groundtruth(NamedTuple):
    """The labelled boxes of a batch. Rows with weight 0 are padding or ignored boxes, which do not affect the loss."""

    boxes: tf.Tensor  # float32 [B, M, 4], pixels; zeros in padding
    classes: tf.Tensor  # int32 [B, M], 0-based; 0 in padding
    weights: tf.Tensor  # float32 [B, M], 0 for padding and for ignored (crowd, difficult) boxes
    counts: tf.Tensor  # int32 [B], rows that are not padding, ignored ones included
    is_crowd: tf.Tensor  # bool [B, M]
    difficult: tf.Tensor  # bool [B, M]
    areas: tf.Tensor  # float32 [B, M], pixels² of the original image (COCO's size classes)
    # float32 [B, M, K], 1 for each class of a box that may have several, or a score for each, of the background too if
    # there are K + 1; empty where a box has one
    class_sets: tf.Tensor | tuple[()] = ()
    # Open Images labels, empty unless a metric needs them. group_of: bool [B, M], a box around several touching objects
    group_of: tf.Tensor | tuple[()] = ()
    # bool [B, K], classes that the image-level labels say are present or absent
    checked: tf.Tensor | tuple[()] = ()


class ImageInfo(NamedTuple):
    """Origin of the images of a batch; not an input of the network."""

    source_ids: tf.Tensor  # string [B]
    original_shapes: tf.Tensor  # int32 [B, 2], height and width of the decoded image, pixels


class Example(NamedTuple):
    """One element of an input pipeline."""

    batch: ImageBatch
    groundtruth: Groundtruth
    info: ImageInfo


class Targets(NamedTuple):
    """Groundtruth assigned to anchors (or to proposals, which are anchors of the second stage)."""

    box_codes: tf.Tensor  # float32 [B, A, code], encoded groundtruth (code: 4, square boxes 3); 0 where not matched
    box_weights: tf.Tensor  # float32 [B, A], 0 where not matched
    classes: tf.Tensor  # float32 [B, A, K + 1], one-hot, background first
    class_weights: tf.Tensor  # float32 [B, A], 0 where ignored
    matches: tf.Tensor  # int32 [B, A], groundtruth row, -1 unmatched, -2 ignored


class DensePredictions(NamedTuple):
    """Output of a dense (anchor-wise) detector."""

    box_codes: tf.Tensor  # float32 [B, A, code]
    class_logits: tf.Tensor  # float32 [B, A, K + 1]
    anchors: tf.Tensor  # float32 [A, 4], pixels
    feature_maps: tuple[tf.Tensor, ...]  # float32 [B, h, w, c] each
    images: tf.Tensor  # float32 [B, H, W, 3], as scaled for the network

    def raw(self) -> dict[str, tf.Tensor]:
        """Inputs of postprocessing, by name."""
        return {"box_codes": self.box_codes, "class_logits": self.class_logits, "anchors": self.anchors}

    def stage_border(self) -> dict[str, tf.Tensor]:
        """Empty, since there is one stage."""
        return {}


class RegionPredictions(NamedTuple):
    """Output of a two-stage detector."""

    images: tf.Tensor  # float32 [B, H, W, 3], as scaled for the network
    feature_maps: tuple[tf.Tensor, ...]  # one map or a pyramid's, from which regions are cropped; float32 [B, h, w, c]
    rpn: DensePredictions | tuple[()]  # output of the region proposal network, K = 1; empty if proposals are given
    proposals: Proposals  # the classified proposals
    targets: Targets | tuple[()]  # targets of the proposals; empty without groundtruth
    # Relative to the proposals, float32 [B, P, K, 4], or [B, P, 1, 4] if all classes share a box.
    box_codes: tf.Tensor
    class_logits: tf.Tensor  # float32 [B, P, K + 1]

    def raw(self) -> dict[str, tf.Tensor]:
        """Inputs of postprocessing, by name."""
        proposals = {f"proposal_{field}": tensor for field, tensor in self.proposals._asdict().items()}
        return {"box_codes": self.box_codes, "class_logits": self.class_logits, **proposals}

    def stage_border(self) -> dict[str, tf.Tensor]:
        """Tensors passed from the first stage to the second, by name."""
        return {
            **{f"features/{number}": features for number, features in enumerate(self.feature_maps)},
            "proposal_boxes": self.proposals.boxes,
        }


class CenterPredictions(NamedTuple):
    """Output of a detector that finds objects as points, on maps of stride 4.

    An extractor with several outputs gives one map of each kind per output. All of them are trained; only the last ones
    are used for detection.
    """

    center_logits: tuple[tf.Tensor, ...]  # float32 [B, h, w, K] each
    sizes: tuple[tf.Tensor, ...]  # float32 [B, h, w, 2] each, height and width of the box, cells
    offsets: tuple[tf.Tensor, ...]  # float32 [B, h, w, 2] each, y and x of its centre from the cell's corner, cells
    true_shapes: tf.Tensor  # int32 [B, 2], height and width before padding, pixels
    feature_maps: tuple[tf.Tensor, ...]  # float32 [B, h, w, c] each
    images: tf.Tensor  # float32 [B, H, W, 3], as scaled for the network

    def raw(self) -> dict[str, tf.Tensor]:
        """Inputs of postprocessing, by name."""
        return {"center_logits": self.center_logits[-1], "sizes": self.sizes[-1], "offsets": self.offsets[-1]}

    def stage_border(self) -> dict[str, tf.Tensor]:
        """Empty, since there is one stage."""
        return {}


class Detections(NamedTuple):
    """Final boxes, by descending score, zero padded, and the raw ones before suppression."""

    boxes: tf.Tensor  # float32 [B, D, 4], normalised to the true image
    scores: tf.Tensor  # float32 [B, D]
    classes: tf.Tensor  # int32 [B, D], 0-based
    counts: tf.Tensor  # int32 [B], valid rows
    raw_boxes: tf.Tensor  # float32 [B, R, 4], normalised to the true image
    raw_scores: tf.Tensor  # float32 [B, R, K + 1], background first; [B, R, K] of detectors without background
    rows: tf.Tensor | None = None  # int32 [B, D], index of the raw box of each detection; 0 in padding
    # Features of each detection, float32 [B, D, h, w, c], if the config asks for them: of the second stage's network,
    # and of the crops that are its input.
    box_features: tf.Tensor | None = None
    cropped_features: tf.Tensor | None = None


class Category(NamedTuple):
    """One entry of a label map."""

    id: int  # 1-based label id as in records
    name: str  # name in records, for example "/m/0bt9lr"
    display_name: str = ""  # name for people, for example "dog"; "" if the label map has none

    @property
    def shown(self) -> str:
        """Name in metrics, tables, pictures and results: display_name if set, as in the TF Object Detection API."""
        return self.display_name or self.name
