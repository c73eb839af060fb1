"""Settings of training and evaluation, built from a config and equal for all of its runs.

They have a module of their own so that `builders`, which creates them, and `train` and `evaluate`, which read them, do
not import each other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from detection.checkpoints.restore import FineTune
from detection.optimizers.rules import OptimizerSettings

DEFAULT_METRICS = "coco_detection_metrics"
# Metrics sets that use group-of boxes and image-level labels.
OPEN_IMAGES_METRICS = frozenset({"oid_V2_detection_metrics", "oid_challenge_detection_metrics"})


@dataclass(frozen=True)
class TrainSettings:
    """Settings of training."""

    num_steps: int  # 0: train until stopped
    batch_size: int  # images per step, over all replicas
    optimizer: OptimizerSettings
    clip_norm: float = 0.0  # upper bound of the gradient's global norm; 0: no bound
    bias_multiplier: float = 0.0  # factor on the gradients of biases; 0: none
    trained: tuple[str, ...] = ()  # regular expressions of trained variables, found anywhere in a name; empty: all
    frozen: tuple[str, ...] = ()  # regular expressions of variables that are not trained even if `trained` matches
    regularize: bool = True
    fine_tune: FineTune | None = None
    keep_every_hours: float = 10_000.0
    summarize_gradients: bool = False  # whether to write the norm of each variable's clipped gradient to TensorBoard

    def is_trained(self, name: str) -> bool:
        """Whether the variable with this name is trained."""
        chosen = not self.trained or any(re.search(pattern, name) for pattern in self.trained)
        return chosen and not any(re.search(pattern, name) for pattern in self.frozen)


@dataclass(frozen=True)
class Style:
    """What is drawn into pictures of detections."""

    min_score: float = 0.5
    max_boxes: int = 20  # the boxes with the highest scores
    labels: bool = True
    scores: bool = True
    groundtruth_color: str | None = None  # colour of the groundtruth boxes; None: not drawn


@dataclass(frozen=True)
class EvalSettings:
    """Settings of evaluation."""

    metrics: tuple[str, ...] = (DEFAULT_METRICS,)  # names of metrics sets
    batch_size: int = 1
    losses: bool = True  # whether to compute the losses on the evaluation input
    resize: bool = True  # False: images keep their size
    ignore_groundtruth: bool = False  # only detect (and export): no metrics, no losses
    use_moving_averages: bool = False  # whether to evaluate the moving averages of the weights
    interval_seconds: int = 300  # minimum time between two evaluations during training
    per_category_tags: bool = False
    all_per_category_tags: bool = False
    super_categories: tuple[tuple[str, tuple[str, ...]], ...] = ()  # name, names of its categories
    recall_bounds: tuple[float, float] = (0.0, 1.0)  # range of recall of precision_at_recall_detection_metrics
    # COCO metrics ignore detections of classes that the image-level labels do not name.
    labelled_only: bool = False
    # With labelled_only, and in the Open Images Challenge: an image without image-level labels counts as checked for
    # every class.
    unlabelled_is_checked: bool = True
    num_visualizations: int = 10  # number of images per evaluation of which pictures are written
    style: Style = field(default_factory=Style)
    visualization_export_dir: str = ""  # folder for pictures as PNG files; empty: none
    name_visualizations_by_image: bool = False  # export-<source id>.png instead of export-<number>.png
    # File for all detections: COCO results, or a compact file if it ends in .npz (evaluate.stored); empty: none.
    export_path: str = ""
