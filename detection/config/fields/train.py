"""Training: batches, optimiser, learning rate, what to start from."""

from __future__ import annotations

from detection.config.fields.limits import BATCH
from detection.config.fields.row import (
    BELOW_ONE,
    NOT_NEGATIVE,
    ONE_OR_MORE,
    POSITIVE,
    Message,
    all_honoured,
    honoured,
    no_effect,
)

_TUNED = "reading and batching tune themselves"
_SYNCHRONOUS = "replicas are always synchronous"

MESSAGES: dict[str, Message] = {
    "TrainConfig": (
        honoured("batch_size", ONE_OR_MORE, BATCH),
        honoured("data_augmentation_options"),
        no_effect("sync_replicas", _SYNCHRONOUS, stock=True),
        honoured("keep_checkpoint_every_n_hours", NOT_NEGATIVE),
        honoured("optimizer", required=True),
        honoured("gradient_clipping_by_norm", NOT_NEGATIVE),
        honoured("fine_tune_checkpoint"),
        honoured("fine_tune_checkpoint_type", values=("", "classification", "detection", "full")),
        no_effect("fine_tune_checkpoint_version", "the kind of checkpoint is seen from its files", stock=True),
        honoured("from_detection_checkpoint"),
        honoured("load_all_detection_checkpoint_vars"),
        no_effect("run_fine_tune_checkpoint_dummy_computation", "variables exist before a checkpoint is restored"),
        honoured("num_steps"),
        no_effect("startup_delay_steps", _SYNCHRONOUS, stock=True),
        honoured("bias_grad_multiplier", NOT_NEGATIVE),
        honoured("update_trainable_variables"),
        honoured("freeze_variables"),
        no_effect("replicas_to_aggregate", _SYNCHRONOUS, stock=True),
        no_effect("batch_queue_capacity", _TUNED),
        no_effect("num_batch_queue_threads", _TUNED),
        no_effect("prefetch_queue_capacity", _TUNED),
        honoured("merge_multiple_label_boxes"),
        honoured("use_multiclass_scores"),
        honoured("add_regularization_loss"),
        no_effect("max_number_of_boxes", "that of the input readers counts"),
        no_effect("unpad_groundtruth_tensors", "padding has weight 0", stock=True),
        no_effect("retain_original_images", "pictures are drawn in evaluation"),
        no_effect("use_bfloat16", "it was for TPUs; training is in float32"),
        honoured("summarize_gradients"),
    ),
    "Optimizer": (
        *all_honoured("rms_prop_optimizer momentum_optimizer adam_optimizer"),
        honoured("use_moving_average"),
        honoured("moving_average_decay", BELOW_ONE),
    ),
    "RMSPropOptimizer": (
        honoured("learning_rate", required=True),
        honoured("momentum_optimizer_value", BELOW_ONE),
        honoured("decay", BELOW_ONE),
        honoured("epsilon", NOT_NEGATIVE),
    ),
    "MomentumOptimizer": (
        honoured("learning_rate", required=True),
        honoured("momentum_optimizer_value", BELOW_ONE),
    ),
    "AdamOptimizer": (
        honoured("learning_rate", required=True),
        honoured("epsilon", POSITIVE),
    ),
    "LearningRate": (
        *all_honoured(
            "constant_learning_rate exponential_decay_learning_rate manual_step_learning_rate "
            "cosine_decay_learning_rate"
        ),
    ),
    "ConstantLearningRate": (honoured("learning_rate", NOT_NEGATIVE),),
    "ExponentialDecayLearningRate": (
        honoured("initial_learning_rate", NOT_NEGATIVE),
        honoured("decay_steps", ONE_OR_MORE),
        honoured("decay_factor", POSITIVE),
        honoured("staircase"),
        honoured("burnin_learning_rate", NOT_NEGATIVE),
        honoured("burnin_steps"),
        honoured("min_learning_rate", NOT_NEGATIVE),
    ),
    "ManualStepLearningRate": (
        honoured("initial_learning_rate", NOT_NEGATIVE),
        honoured("schedule"),
        honoured("warmup"),
    ),
    "CosineDecayLearningRate": (
        honoured("learning_rate_base", NOT_NEGATIVE),
        honoured("total_steps", ONE_OR_MORE),
        honoured("warmup_learning_rate", NOT_NEGATIVE),
        honoured("warmup_steps"),
        honoured("hold_base_rate_steps"),
    ),
    "ManualStepLearningRate.LearningRateSchedule": (
        honoured("step"),
        honoured("learning_rate", NOT_NEGATIVE),
    ),
}
