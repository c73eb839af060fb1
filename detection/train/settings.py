"""What the training loop is told, as finished objects: the config's part and the command line's part."""

from __future__ import annotations

import re
from dataclasses import dataclass

from detection.checkpoints.restore import FineTune
from detection.train.optimizers import OptimizerSettings


@dataclass(frozen=True)
class TrainSettings:
    """What is learnt and how; the same for every run of one config."""

    num_steps: int  # 0: until stopped
    batch_size: int  # images of one step, over all replicas
    optimizer: OptimizerSettings
    clip_norm: float = 0.0  # bound on the gradient's global norm; 0: none
    bias_multiplier: float = 0.0  # factor on the gradients of biases; 0: none
    trained: tuple[str, ...] = ()  # regular expressions, found anywhere in a name; empty: all
    frozen: tuple[str, ...] = ()  # of those, the ones that stay as they are
    regularize: bool = True
    fine_tune: FineTune | None = None
    keep_every_hours: float = 10_000.0

    def learns(self, name: str) -> bool:
        """Whether the variable called `name` is trained."""
        chosen = not self.trained or any(re.search(pattern, name) for pattern in self.trained)
        return chosen and not any(re.search(pattern, name) for pattern in self.frozen)


@dataclass(frozen=True)
class RunOptions:
    """How one run goes: what comes from the command line and does not change what is learnt."""

    checkpoint_every: int = 1000  # steps
    # steps; 0: at checkpoints, no sooner than eval_interval_secs after the last one. The last step is always evaluated
    evaluate_every: int = 0
    keep_checkpoints: int = 5
    log_every: int = 100  # steps between lines of summaries
    progress_seconds: float = 10.0  # between progress lines where the output is no terminal
    max_nonfinite_steps: int = 5  # in a row; then the run stops
    best_metric: str | None = None  # None: the first mAP that evaluation reports
    stop_after: int = 0  # evaluations without a better metric; 0: never stop early
    allow_config_change: bool = False
    allow_unused_checkpoint_variables: bool = False  # fine-tune from the checkpoint of another network too
    skip_bad_records: bool = False  # leave out records that cannot be used, instead of stopping at the first
    max_bad_records: int = 100  # that are left out, of one input; more are an error
    seed: int | None = None
    summaries: bool = True
    config_path: str | None = None  # the file that the pipeline was read from
