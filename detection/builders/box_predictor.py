"""Message `BoxPredictor` -> a head."""

from __future__ import annotations

from detection.builders import hyperparams
from detection.heads.dense import DenseHead, PredictorOptions
from detection.protos import box_predictor_pb2


def build_dense(
    message: box_predictor_pb2.BoxPredictor,
    num_anchors: tuple[int, ...],
    num_classes: int,
    freeze_batch_norm: bool = False,
) -> DenseHead:
    """The convolutional box predictor, `num_anchors` a cell of each map, K + 1 logits (background first) an anchor."""
    convolutional = message.convolutional_box_predictor
    clip = convolutional.box_encodings_clip_range
    conv_hyperparams = hyperparams.build(convolutional.conv_hyperparams)
    options = PredictorOptions(
        hyperparams=conv_hyperparams.frozen() if freeze_batch_norm else conv_hyperparams,
        kernel_size=convolutional.kernel_size,
        code_size=convolutional.box_code_size,
        layers_before=convolutional.num_layers_before_predictor,
        min_depth=convolutional.min_depth,
        max_depth=convolutional.max_depth,
        depthwise=convolutional.use_depthwise,
        dropout_keep=convolutional.dropout_keep_probability if convolutional.use_dropout else None,
        sigmoid_scores=convolutional.apply_sigmoid_to_scores,
        class_bias=convolutional.class_prediction_bias_init,
        code_range=(clip.min, clip.max) if convolutional.HasField("box_encodings_clip_range") else None,
    )
    return DenseHead(num_anchors, num_classes + 1, options)
