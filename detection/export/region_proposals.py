"""Uses the region proposal network of a trained detector as a proposal method for Fast R-CNN."""

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
    """Returns the first stage of a trained Faster R-CNN or R-FCN as a method of `proposals.methods`.

    Args:
        pipeline_config: path of the config that the checkpoint was trained with.
        checkpoint: a prefix, a file of a checkpoint, or a folder (its latest checkpoint).
        max_proposals: maximum number of proposals per image; 0 uses that of the config.
        overrides: changes to the config, such as `model.faster_rcnn.first_stage_nms_iou_threshold=0.9`.
        allow_unused: only warn about weights in the checkpoint that the model does not have.

    Raises:
        ConfigError: the message names file and field, or variable.
    """
    prefix = checkpoint_files.locate(checkpoint)
    message = config.prepare(pipeline_config, overrides, check_paths=False)
    if message.model.WhichOneof("model") != "faster_rcnn":
        raise ConfigError(
            f"{pipeline_config}: model.{message.model.WhichOneof('model')} does not propose regions; use a config of"
            " model.faster_rcnn"
        )
    # Proposals do not depend on the second stage.
    changes = ["model.faster_rcnn.number_of_stages=1"]
    changes += [f"model.faster_rcnn.first_stage_max_proposals={max_proposals}"] if max_proposals else []
    pipeline = pipeline_builder.build(config.override(message, changes), read_label_maps=False, source=pipeline_config)
    return from_detector(pipeline.detector(prefix, allow_unused=allow_unused), pipeline.resizer, max_proposals)
