"""Message `CenterNet` -> meta_architectures.center_net.CenterNet."""

from __future__ import annotations

from detection.builders import feature_extractor, losses, post_processing
from detection.data.resize import Resizer
from detection.heads.center import CenterHead, CenterHeadOptions
from detection.meta_architectures.center_net import CenterLosses, CenterNet, PeakSettings
from detection.protos import center_net_pb2


def build(message: center_net_pb2.CenterNet, resizer: Resizer) -> CenterNet:
    """A new detector; it works with images of any resizer."""
    extractor = feature_extractor.build_center_net(message.feature_extractor)
    center, box = message.object_center_params, message.object_detection_task
    separable, outputs = message.use_depthwise, extractor.num_outputs
    return CenterNet(
        num_classes=message.num_classes,
        extractor=extractor,
        heads=(
            CenterHead(
                "object_center",
                "object_center",
                message.num_classes,
                outputs,
                _head(center.center_head_params, separable, center.heatmap_bias_init),
            ),
            CenterHead("box_scale", "box.Sscale", 2, outputs, _head(box.scale_head_params, separable)),
            CenterHead("box_offset", "box.Soffset", 2, outputs, _head(box.offset_head_params, separable)),
        ),
        losses=CenterLosses(
            center=losses.classification(center.classification_loss),
            box=losses.localization(box.localization_loss),
            center_weight=center.object_center_loss_weight,
            size_weight=box.task_loss_weight * box.scale_loss_weight,
            offset_weight=box.task_loss_weight * box.offset_loss_weight,
            labelled_only=center.use_labeled_classes,
            overlap=center.min_box_overlap_iou,
        ),
        settings=PeakSettings(
            window=center.peak_max_pool_kernel_size,
            count=center.max_box_predictions,
            nms=post_processing.build(message.post_processing).nms if message.HasField("post_processing") else None,
        ),
    )


def _head(
    message: center_net_pb2.CenterNet.PredictionHeadParams, separable: bool, bias: float = 0.0
) -> CenterHeadOptions:
    """Options of a head; empty lists use the reference's single default value."""
    depths, kernels = tuple(message.num_filters) or (256,), tuple(message.kernel_sizes) or (3,)
    return CenterHeadOptions(depths, kernels, separable, bias)
