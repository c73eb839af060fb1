"""The error for exhausted memory, which names the fields of the batch size and the image size."""

from __future__ import annotations

import tensorflow as tf

from detection.errors import ConfigError
from detection.train.run_dir import flatten

_RESIZER = ".image_resizer."


def out_of_memory(
    when: str, field: str, batch_size: int, config_text: str, error: tf.errors.ResourceExhaustedError
) -> ConfigError:
    """Makes the error to show for exhausted memory.

    Args:
      when: what was running, e.g. `step 7`.
      field: path of the field that sets the batch size.
      batch_size: its value, images.
      config_text: the config as run, in which the resizer is looked up; empty for a pipeline made in Python.
      error: TensorFlow's error; its line about the allocation is shown, or else its first line.
    """
    lines = str(error).splitlines() or [""]
    reason = next((line for line in lines if "OOM" in line or "xhausted" in line), lines[0])[:150]
    return ConfigError(
        f"{when}: out of memory with {field} {batch_size}; lower it, or the sizes of {_resizer(config_text)} ({reason})"
    )


def _resizer(config_text: str) -> str:
    """Path of the resizer's message, with its fields and their values."""
    fields = {path: value for path, value in flatten(config_text).items() if _RESIZER in path}
    if not fields:
        return "the image_resizer"
    parent, _, after = next(iter(fields)).partition(_RESIZER)
    path = f"{parent}{_RESIZER}{after.partition('.')[0]}"
    values = [f"{name.removeprefix(path)[1:]} {value}" for name, value in fields.items() if name.startswith(f"{path}.")]
    return f"{path} ({', '.join(values) or 'at its defaults'})"
