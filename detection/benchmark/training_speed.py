"""Measures the training speed of a config and the time that steps wait for input; writes no files."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

import detection
from detection.benchmark import machine
from detection.benchmark.timing import Timing, summary
from detection.data.reading.input import train_dataset
from detection.data.reading.iteration import iterate
from detection.errors import ConfigError
from detection.train import strategies
from detection.train.feed import Feed
from detection.train.state import TrainState
from detection.train.step import TrainStep


@dataclasses.dataclass(frozen=True)
class TrainingSpeed:
    """The speed of consecutive steps, after a warm-up."""

    pipeline_config: str
    batch_size: int
    step: Timing  # milliseconds, including the wait for input
    wait_share: float  # fraction of the time spent waiting for input
    images_per_second: float
    traces: int  # 1: the step was not compiled again
    peak_host_mib: float
    peak_device_mib: float | None
    device: str
    tensorflow: str

    def to_json(self) -> str:
        """All fields as a JSON object."""
        return json.dumps({**dataclasses.asdict(self), "step": self.step._asdict()}, indent=2) + "\n"

    def table(self) -> str:
        """The result as text."""
        device = "" if self.peak_device_mib is None else f", device {self.peak_device_mib:.0f} MiB"
        return "\n".join(
            [
                f"{self.pipeline_config}: batch {self.batch_size}, on {self.device}, TensorFlow {self.tensorflow}",
                (
                    f"train step         {self.step.median:.1f} ms (10 % {self.step.low:.1f}, 90 %"
                    f" {self.step.high:.1f}; {self.step.runs} steps)"
                ),
                f"waits for input    {100 * self.wait_share:.2f} % of the time",
                f"images/s           {self.images_per_second:.2f}",
                f"memory             peak {self.peak_host_mib:.0f} MiB{device}",
            ]
        )


def benchmark(pipeline_config: str, overrides: Sequence[str], warmup: int, steps: int) -> TrainingSpeed:
    """Runs `warmup` + `steps` training steps from new weights.

    Args:
        pipeline_config: path of the config.
        overrides: `path=value`.
        warmup: steps that are not measured; at least 1.
        steps: steps that are measured.

    Raises:
        ConfigError, DataError: as in training.
    """
    pipeline = detection.load_pipeline(pipeline_config, overrides)
    if pipeline.train is None or pipeline.train_input is None:
        raise ConfigError(
            f"{pipeline_config}: has no train_config or no train_input_reader; measuring training needs both"
        )
    settings, strategy = pipeline.train, strategies.choose()
    strategies.check_batch(settings.batch_size, strategy)
    with strategy.scope():
        state = TrainState(pipeline.detector(), settings.optimizer, settings.is_trained)
    dataset = train_dataset(
        pipeline.train_input, pipeline.augmentations, pipeline.resizer, settings.batch_size, seed=None
    )
    if strategy.num_replicas_in_sync > 1:
        dataset = strategy.experimental_distribute_dataset(dataset)
    feed = Feed(iterate(dataset, pipeline.train_input))
    step = TrainStep(state, settings, strategy, dataset.element_spec)
    for _ in range(max(1, warmup)):  # The first one compiles.
        result = step(feed.next())
    float(result.values[0])  # Waits for an accelerator.
    times = np.empty(steps)
    feed.restart_clock()
    for number in range(steps):
        start = time.perf_counter()
        result = step(feed.next())
        float(result.values[0])
        times[number] = (time.perf_counter() - start) * 1e3
    speed = feed.speed()
    return TrainingSpeed(
        pipeline_config=pipeline_config,
        batch_size=settings.batch_size,
        step=summary(times),
        wait_share=speed.wait_share,
        images_per_second=speed.steps_per_second * settings.batch_size,
        traces=step.traces,
        peak_host_mib=machine.peak_host_mib(),
        peak_device_mib=machine.peak_device_mib(),
        device=machine.device(),
        tensorflow=tf.__version__,
    )
