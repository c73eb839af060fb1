"""The proposals of a trained detector, to be kept as a file for Fast R-CNN."""

from __future__ import annotations

from collections.abc import Sequence

from detection import config
from detection.builders import pipeline as pipeline_builder
from detection.checkpoints import checkpoint_files
from detection.errors import ConfigError
from detection.proposals.methods import Method
from detection.proposals.rpn import from_detector


def region_proposal_network(
    pipeline_config: str,
    checkpoint: str,
    max_proposals: int = 0,
    overrides: Sequence[str] = (),
    *,
    allow_unused: bool = False,
) -> Method:
    """The first stage of a trained Faster R-CNN or R-FCN as a method of `proposals.methods`.

    Args:
        pipeline_config: path of the config that the checkpoint was trained with.
        checkpoint: a prefix, a file of a checkpoint, or a folder (its latest checkpoint).
        max_proposals: of an image; 0 for as many as the config says.
        overrides: `model.faster_rcnn.first_stage_nms_iou_threshold=0.9`, as the trainer's --set.
        allow_unused: only warn of weights in the checkpoint that the config's model has no place for.

    Raises:
        ConfigError: naming file and field, or variable.
    """
    prefix = checkpoint_files.locate(checkpoint)
    message = config.prepare(pipeline_config, overrides, check_paths=False)
    if message.model.WhichOneof("model") != "faster_rcnn":
        raise ConfigError(
            f"{pipeline_config}: model.{message.model.WhichOneof('model')} proposes no regions; use a config of"
            " model.faster_rcnn"
        )
    # The second stage has nothing to say about where the first looks.
    changes = ["model.faster_rcnn.number_of_stages=1"]
    changes += [f"model.faster_rcnn.first_stage_max_proposals={max_proposals}"] if max_proposals else []
    pipeline = pipeline_builder.build(config.override(message, changes), read_label_maps=False, source=pipeline_config)
    return from_detector(pipeline.detector(prefix, allow_unused=allow_unused), pipeline.resizer, max_proposals)
