"""The ImageNet classifiers by name, and the scopes that identify the network of a checkpoint."""

from __future__ import annotations

from detection.errors import ConfigError
from detection.networks import (
    caffenet,
    efficientnet,
    inception_resnet_v2,
    inception_v1,
    inception_v2,
    inception_v3,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    resnet_v1,
    vgg,
    vgg_cnn_m,
)
from detection.networks.classifier import ClassifierSpec
from detection.tools.suggest import did_you_mean

CLASSIFIERS: dict[str, ClassifierSpec] = {
    "caffenet": caffenet.CLASSIFIERS["caffenet"],
    **efficientnet.CLASSIFIERS,
    "inception_resnet_v2": inception_resnet_v2.CLASSIFIERS["inception_resnet_v2"],
    "inception_v1": inception_v1.CLASSIFIERS["inception_v1"],
    "inception_v2": inception_v2.CLASSIFIERS["inception_v2"],
    "inception_v3": inception_v3.CLASSIFIERS["inception_v3"],
    "mobilenet_edgetpu": mobilenet_v3.CLASSIFIERS["mobilenet_edgetpu"],
    "mobilenet_v1": mobilenet_v1.CLASSIFIERS["mobilenet_v1"],
    "mobilenet_v2": mobilenet_v2.CLASSIFIERS["mobilenet_v2"],
    "mobilenet_v3_large": mobilenet_v3.CLASSIFIERS["mobilenet_v3_large"],
    "mobilenet_v3_small": mobilenet_v3.CLASSIFIERS["mobilenet_v3_small"],
    "resnet_v1_50": resnet_v1.CLASSIFIERS["resnet_v1_50"],
    "resnet_v1_101": resnet_v1.CLASSIFIERS["resnet_v1_101"],
    "resnet_v1_152": resnet_v1.CLASSIFIERS["resnet_v1_152"],
    "vgg_16": vgg.CLASSIFIERS["vgg_16"],
    "vgg_cnn_m_1024": vgg_cnn_m.CLASSIFIERS["vgg_cnn_m_1024"],
}
# Scope of each network's variables in a checkpoint. It identifies the network, together with the network's layers
# where two networks share a scope.
SCOPES: dict[str, str] = {
    "caffenet": "caffenet",
    **{name: name for name in efficientnet.CLASSIFIERS},
    "inception_resnet_v2": "InceptionResnetV2",
    "inception_v1": "InceptionV1",
    "inception_v2": "InceptionV2",
    "inception_v3": "InceptionV3",
    "mobilenet_edgetpu": "MobilenetEdgeTPU",
    "mobilenet_v1": "MobilenetV1",
    "mobilenet_v2": "MobilenetV2",
    "mobilenet_v3_large": "MobilenetV3",
    "mobilenet_v3_small": "MobilenetV3",
    "resnet_v1_50": "resnet_v1_50",
    "resnet_v1_101": "resnet_v1_101",
    "resnet_v1_152": "resnet_v1_152",
    "vgg_16": "vgg_16",
    "vgg_cnn_m_1024": "vgg_cnn_m_1024",
}


def find(name: str) -> ClassifierSpec:
    """Returns the classifier called `name`.

    Raises:
        ConfigError: there is no such classifier; the message has all names and the most similar one.
    """
    if name not in CLASSIFIERS:
        hint = did_you_mean(name, CLASSIFIERS)
        raise ConfigError(f"there is no network {name!r}{hint} (there are: {', '.join(CLASSIFIERS)})")
    return CLASSIFIERS[name]
