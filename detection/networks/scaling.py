"""How images are scaled for the networks: each was trained on pixels of its own range, and its checkpoints expect it.

Every function maps float32 [B, H, W, 3], RGB, 0 ... 255, pixel by pixel. Images of more channels are not scaled by
those that know means of three, as in the TF Object Detection API.
"""

from __future__ import annotations

import tensorflow as tf

# Channel means of ImageNet, RGB, as the published ResNet and VGG checkpoints were trained with.
RESNET_MEANS = (123.68, 116.779, 103.939)
VGG_MEANS = (123.68, 116.78, 103.94)
# Of pixels 0 to 1, as the EfficientNets were trained with.
UNIT_MEANS, UNIT_DEVIATIONS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def to_unit_range(images: tf.Tensor) -> tf.Tensor:
    """0 ... 255 -> -1 ... 1, as the Inception and MobileNet families want it."""
    return images * (2.0 / 255.0) - 1.0


def subtract_resnet_means(images: tf.Tensor) -> tf.Tensor:
    """Centred, not scaled, as the ResNets want it."""
    return images - tf.constant(RESNET_MEANS) if _is_rgb(images) else images


def subtract_vgg_means(images: tf.Tensor) -> tf.Tensor:
    """Centred, not scaled, as VGG and the networks of its time want it."""
    return images - tf.constant(VGG_MEANS) if _is_rgb(images) else images


def standardize_imagenet(images: tf.Tensor) -> tf.Tensor:
    """Centred and divided by the standard deviations of ImageNet, as the EfficientNets want it."""
    if not _is_rgb(images):
        return images
    return (images / 255.0 - tf.constant(UNIT_MEANS)) / tf.constant(UNIT_DEVIATIONS)


def subtract_caffe_means(images: tf.Tensor) -> tf.Tensor:
    """Blue, green, red, centred, not scaled, as Keras's ResNet v1 wants it. The first channel becomes the last,
    whatever it was."""
    return tf.reverse(images, [3]) - tf.constant((103.939, 116.779, 123.68))


def _is_rgb(images: tf.Tensor) -> bool:
    return images.shape[-1] in (3, None)
