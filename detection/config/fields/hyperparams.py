"""Hyperparameters of layers: regulariser, initialiser, activation, batch norm."""

from __future__ import annotations

from detection.config.fields.row import FRACTION, NOT_NEGATIVE, POSITIVE, Message, all_honoured, honoured

# By name, with what each is by default. What needs arguments (constant) or cannot fill the weights of a convolution
# (identity, stft) is not among them. The first is the example that messages give.
KERAS_INITIALIZERS = (
    *("glorot_uniform", "glorot_normal", "he_normal", "he_uniform", "lecun_normal", "lecun_uniform", "normal", "one"),
    *("ones", "orthogonal", "random_normal", "random_uniform", "truncated_normal", "uniform", "variance_scaling"),
    *("zero", "zeros", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform"),
    *("Ones", "Orthogonal", "OrthogonalInitializer", "RandomNormal", "RandomUniform", "TruncatedNormal"),
    *("VarianceScaling", "Zeros"),
)

MESSAGES: dict[str, Message] = {
    "Hyperparams": (
        honoured("op", values=("CONV", "FC")),
        honoured("regularizer"),
        honoured("initializer"),
        honoured("activation"),
        *all_honoured("batch_norm sync_batch_norm group_norm"),
        honoured("regularize_depthwise"),
        honoured("force_use_bias"),
        honoured("regularize_biases"),
    ),
    "Regularizer": all_honoured("l1_regularizer l2_regularizer"),
    "Initializer": (
        *all_honoured("truncated_normal_initializer variance_scaling_initializer random_normal_initializer"),
        honoured("keras_initializer_by_name", values=KERAS_INITIALIZERS),
    ),
    "GroupNorm": (),
    "BatchNorm": (
        honoured("decay", FRACTION),
        honoured("center"),
        honoured("scale"),
        honoured("epsilon", POSITIVE),
        honoured("train"),
    ),
    "L1Regularizer": (honoured("weight", NOT_NEGATIVE),),
    "L2Regularizer": (honoured("weight", NOT_NEGATIVE),),
    "TruncatedNormalInitializer": (
        honoured("mean"),
        honoured("stddev", NOT_NEGATIVE),
    ),
    "VarianceScalingInitializer": (
        honoured("factor", POSITIVE),
        honoured("uniform"),
        honoured("mode"),
    ),
    "RandomNormalInitializer": (
        honoured("mean"),
        honoured("stddev", NOT_NEGATIVE),
    ),
}
