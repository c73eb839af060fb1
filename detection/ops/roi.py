"""Region of interest ops: four ways to crop or pool a region from feature maps for the second stage.

| op | takes | paper |
|---|---|---|
| CropAndResize | bilinear samples, then max pooling | Faster R-CNN in the TF Object Detection API |
| RoiMaxPool | the maximum of each bin of whole cells | Fast R-CNN, section 2.1 |
| PositionSensitiveCrop | bilinear samples, each part from maps of its own | R-FCN in the TF Object Detection API |
| PositionSensitiveAveragePool | the mean of whole cells, likewise | R-FCN, section 2 |

`OneMap` gives the first two the one map of a network, `MultilevelCrop` gives CropAndResize those of a pyramid
(`ops.roi_levels`). All are called as op(features [B, h, w, c], boxes [B, P, 4] in pixels of the padded input,
image_shape (H, W)), return B * P rows image by image, and pass their gradient to the features only. B, P, h and w may
be dynamic; those that are static are static in the result too.
"""

from __future__ import annotations

from detection.ops.roi_crop import CropAndResize
from detection.ops.roi_levels import MultilevelCrop, OneMap
from detection.ops.roi_max_pool import RoiMaxPool
from detection.ops.roi_position_sensitive import PositionSensitiveAveragePool, PositionSensitiveCrop

__all__ = [
    "CropAndResize",
    "MultilevelCrop",
    "OneMap",
    "PositionSensitiveAveragePool",
    "PositionSensitiveCrop",
    "RoiMaxPool",
]
