"""Settings of one training run, as given on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from detection.errors import ConfigError

OBJECT = "object"
FORMATS = ("name", OBJECT)


@dataclass(frozen=True)
class RunOptions:
    """Settings of one run that come from the command line and do not change the trained model (apart from the seed)."""

    checkpoint_every: int = 1000  # steps
    # steps; 0: at checkpoints, no sooner than eval_interval_secs after the last one. The last step is always evaluated
    evaluate_every: int = 0
    keep_checkpoints: int = 5
    checkpoint_format: str = "name"  # or OBJECT: by the keys of the TF2 API; read either way
    log_every: int = 100  # steps between lines of summaries
    progress_seconds: float = 10.0  # between progress lines if the output is not a terminal
    max_nonfinite_steps: int = 5  # in a row; then the run stops
    best_metric: str | None = None  # None: the first mAP that evaluation reports
    stop_after: int = 0  # evaluations without a better metric; 0: never stop early
    allow_config_change: bool = False
    allow_unused_checkpoint_variables: bool = False  # fine-tune from the checkpoint of another network too
    skip_bad_records: bool = False  # skip records that cannot be used, instead of stopping at the first
    max_bad_records: int = 100  # that may be skipped in one input; more are an error
    seed: int | None = None
    summaries: bool = True

    def __post_init__(self) -> None:
        """Raises ConfigError for what is no form of checkpoint."""
        if self.checkpoint_format not in FORMATS:
            raise ConfigError(f"checkpoint_format ({self.checkpoint_format!r}): one of {', '.join(FORMATS)}")


class NamedOptions(TypedDict, total=False):
    """The fields of RunOptions as keyword arguments (`detection.run_training` documents them)."""

    checkpoint_every: int
    evaluate_every: int
    keep_checkpoints: int
    checkpoint_format: str
    log_every: int
    progress_seconds: float
    max_nonfinite_steps: int
    best_metric: str | None
    stop_after: int
    allow_config_change: bool
    allow_unused_checkpoint_variables: bool
    skip_bad_records: bool
    max_bad_records: int
    seed: int | None
    summaries: bool
