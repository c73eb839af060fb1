"""Conditions between several fields.

Each rule is a function that takes a message and its path and yields sentences that begin with the path of a field.
Conditions on a single field are in the table (`config.fields`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from google.protobuf.message import Message

from detection.config.rules import (
    anchors,
    augmentation,
    boxes,
    center_net,
    data,
    evaluation,
    schedules,
    sizes,
    ssd,
    train,
    two_stage,
)

Rule = Callable[[Message, str], Iterator[str]]

# Message -> rules that must hold to build anything from it.
RULES: dict[str, tuple[Rule, ...]] = {
    "TrainEvalPipelineConfig": (
        *(
            data.evaluation_data,
            data.proposals,
            data.channels,
            train.moving_averages,
            augmentation.classes,
            train.class_scores,
        ),
    ),
    "Ssd": (ssd.ssd,),
    "FasterRcnn": (two_stage.two_stage,),
    "CenterNet": (center_net.center_net,),
    "ClassificationLoss": (center_net.heat_map_loss,),
    "RfcnBoxPredictor": (two_stage.rfcn,),
    "Loss": (boxes.loss,),
    "LocalizationLossSum": (boxes.loss_sum,),
    "WeightSharedConvolutionalBoxPredictor": (ssd.weight_shared,),
    "ArgMaxMatcher": (boxes.argmax_matcher,),
    "SsdAnchorGenerator": (anchors.ssd,),
    "GridAnchorGenerator": (anchors.not_empty("scales", "aspect_ratios"),),
    "FlexibleGridAnchorGenerator": (anchors.not_empty("anchor_grid", example="{ ... }"),),
    "AnchorGrid": (anchors.grid,),
    "MultiscaleAnchorGenerator": (anchors.not_empty("aspect_ratios"),),
    "BatchNonMaxSuppression": (boxes.non_max_suppression,),
    "XYPairs": (boxes.curve,),
    "ClassIdFunctionApproximations": (boxes.calibrated_classes,),
    "RandomPadImage": (augmentation.pad_image,),
    "ManualStepLearningRate": (schedules.manual_steps,),
    "CosineDecayLearningRate": (schedules.cosine,),
    "TrainConfig": (train.patterns,),
    "InputReader": (data.input_reader,),
    "EvalConfig": (evaluation.pictures,),
}
# Rules for training only; they do not keep a trained detector from being evaluated or exported.
TRAINING: dict[str, tuple[Rule, ...]] = {
    "TrainConfig": (schedules.ends_early,),
}
# Limits on sizes that result from several fields.
SIZES: dict[str, tuple[Rule, ...]] = {
    "TrainEvalPipelineConfig": (sizes.batches,),
    "Ssd": (sizes.ssd,),
    "FasterRcnn": (sizes.two_stage,),
    "CenterNet": (sizes.center_net,),
    "ImageResizer": (sizes.resizer,),
    "ResizeImage": (sizes.canvas(("new_height", "new_width")),),
    "RandomResizeMethod": (sizes.canvas(("target_height", "target_width")),),
    "RandomPadImage": (sizes.canvas(("min_image_height", "min_image_width"), ("max_image_height", "max_image_width")),),
    "RandomAbsolutePadImage": (sizes.canvas(("max_height_padding", "max_width_padding")),),
}
# Warnings about valid settings that may not be intended.
REMARKS: dict[str, tuple[Rule, ...]] = {
    "TrainEvalPipelineConfig": (train.class_scores_without_effect,),
    "FasterRcnn": (two_stage.anchors_off_their_cells,),
    "InputReader": (data.frame_without_effect,),
    "FasterRcnnFeatureExtractor": (two_stage.hyperparams_without_effect,),
    "SsdFeatureExtractor": (ssd.without_effect,),
    "CenterNet": (center_net.converter_without_effect,),
    "CenterNetFeatureExtractor": (center_net.without_effect,),
}
TRAINING_REMARKS: dict[str, tuple[Rule, ...]] = {
    "FasterRcnn": (two_stage.sampled,),
    "TrainConfig": (schedules.never_reached,),
}


def of(rules: dict[str, tuple[Rule, ...]], name: str, message: Message, path: str) -> Iterator[str]:
    """Sentences of all rules for a message of type `name`."""
    for rule in rules.get(name, ()):
        yield from rule(message, path)
