"""What must hold between the fields of training and its evaluation."""

from __future__ import annotations

import re
from collections.abc import Iterator

from google.protobuf.message import Message

from detection.config.schema import cut


def patterns(message: Message, path: str) -> Iterator[str]:
    """TrainConfig: variable patterns must be valid regular expressions."""
    for field in ("freeze_variables", "update_trainable_variables"):
        for index, pattern in enumerate(getattr(message, field)):
            try:
                re.compile(pattern)
            except (re.error, RecursionError, OverflowError) as error:
                yield f"{path}.{field}[{index}] ({cut(repr(pattern))}) is not a valid regular expression: {error}"


def moving_averages(message: Message, path: str) -> Iterator[str]:
    """Evaluation can use moving averages only if training keeps them."""
    kept = message.train_config.optimizer.use_moving_average
    if message.HasField("train_config") and message.eval_config.use_moving_averages and not kept:
        yield (
            "train_config.optimizer.use_moving_average is false but eval_config.use_moving_averages is true; make them"
            " agree"
        )
