"""What a config says about training and evaluation, as finished objects: the same for every run of that config.

These descriptions stand below everything that makes them (`builders`) and everything that reads them (`train`,
`evaluate`), so that neither needs the other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from detection.checkpoints.restore import FineTune
from detection.optimizers.rules import OptimizerSettings

DEFAULT_METRICS = "coco_detection_metrics"
# Those that look at group-of marks and labels of whole images.
OPEN_IMAGES_METRICS = frozenset({"oid_V2_detection_metrics", "oid_challenge_detection_metrics"})


@dataclass(frozen=True)
class TrainSettings:
    """What is learnt and how."""

    num_steps: int  # 0: until stopped
    batch_size: int  # images of one step, over all replicas
    optimizer: OptimizerSettings
    clip_norm: float = 0.0  # bound on the gradient's global norm; 0: none
    bias_multiplier: float = 0.0  # factor on the gradients of biases; 0: none
    trained: tuple[str, ...] = ()  # regular expressions, found anywhere in a name; empty: all
    frozen: tuple[str, ...] = ()  # of those, the ones that stay as they are
    regularize: bool = True
    fine_tune: FineTune | None = None
    keep_every_hours: float = 10_000.0
    summarize_gradients: bool = False  # the norm of each variable's clipped gradient is a summary too

    def learns(self, name: str) -> bool:
        """Whether the variable called `name` is trained."""
        chosen = not self.trained or any(re.search(pattern, name) for pattern in self.trained)
        return chosen and not any(re.search(pattern, name) for pattern in self.frozen)


@dataclass(frozen=True)
class Style:
    """What is drawn into a picture, and how much of it."""

    min_score: float = 0.5
    max_boxes: int = 20  # the best ones
    labels: bool = True
    scores: bool = True
    groundtruth_color: str | None = None  # draws the true boxes over the detections too, in this colour


@dataclass(frozen=True)
class EvalSettings:
    """How the detector is evaluated."""

    metrics: tuple[str, ...] = (DEFAULT_METRICS,)  # names of metrics sets
    batch_size: int = 1
    losses: bool = True  # whether the losses are computed on the evaluation input too
    resize: bool = True  # False: images of evaluation keep their size
    ignore_groundtruth: bool = False  # only detect (and export): no metrics, no losses
    # Whether averaged weights are evaluated; whoever holds the averages swaps them in.
    use_moving_averages: bool = False
    interval_seconds: int = 300  # least time between two evaluations while training goes on
    per_category_tags: bool = False
    all_per_category_tags: bool = False
    super_categories: tuple[tuple[str, tuple[str, ...]], ...] = ()  # name, names of its categories
    recall_bounds: tuple[float, float] = (0.0, 1.0)  # what precision_at_recall_detection_metrics looks at
    labelled_only: bool = (
        False  # COCO's metrics leave out detections of classes that the labels of the image do not name
    )
    # There and in Open Images' challenge: an image without labels of its own counts as checked for every class.
    unlabelled_is_checked: bool = True
    num_visualizations: int = 10  # pictures of the first images of each evaluation
    style: Style = field(default_factory=Style)
    visualization_export_dir: str = ""  # pictures go there as PNG files too; empty: nowhere
    name_visualizations_by_image: bool = False  # export-<source id>.png instead of export-<number>.png
    # All detections as a COCO results file, or compact where it ends in .npz (evaluate.stored); empty: nowhere.
    export_path: str = ""
