"""Scaling of images to the input range that each network, and so its checkpoints, was trained with.

Every function takes float32 [B, H, W, 3], RGB, 0 to 255, and works elementwise. Images with more channels are not
scaled by functions with channel means, as in the TF Object Detection API.
"""

from __future__ import annotations

import tensorflow as tf

# Channel means of ImageNet, RGB, with which the published ResNet and VGG checkpoints were trained.
RESNET_MEANS = (123.68, 116.779, 103.939)
VGG_MEANS = (123.68, 116.78, 103.94)
# For pixels from 0 to 1, with which the EfficientNets were trained.
UNIT_MEANS, UNIT_DEVIATIONS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def to_unit_range(images: tf.Tensor) -> tf.Tensor:
    """Scales 0 ... 255 to -1 ... 1, for the Inception and MobileNet families."""
    return images * (2.0 / 255.0) - 1.0


def subtract_resnet_means(images: tf.Tensor) -> tf.Tensor:
    """Subtracts the channel means, for the ResNets."""
    return images - tf.constant(RESNET_MEANS) if _is_rgb(images) else images


def subtract_vgg_means(images: tf.Tensor) -> tf.Tensor:
    """Subtracts the channel means, for VGG, CaffeNet and VGG_CNN_M_1024."""
    return images - tf.constant(VGG_MEANS) if _is_rgb(images) else images


def standardize_imagenet(images: tf.Tensor) -> tf.Tensor:
    """Subtracts ImageNet's channel means and divides by its standard deviations, for the EfficientNets."""
    if not _is_rgb(images):
        return images
    return (images / 255.0 - tf.constant(UNIT_MEANS)) / tf.constant(UNIT_DEVIATIONS)


def subtract_caffe_means(images: tf.Tensor) -> tf.Tensor:
    """Reverses the channels to blue, green, red and subtracts their means, for Keras's ResNet v1.

    The channels are reversed whatever their order is.
    """
    return tf.reverse(images, [3]) - tf.constant((103.939, 116.779, 123.68))


def _is_rgb(images: tf.Tensor) -> bool:
    return images.shape[-1] in (3, None)
