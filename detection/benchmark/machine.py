"""What a benchmark says about the machine and the process it ran in."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import tensorflow as tf


def peak_host_mib() -> float:
    """The most memory this process has held so far, TensorFlow itself included."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # Linux counts KiB, macOS bytes.


def peak_device_mib() -> float | None:
    """The most memory TensorFlow has held on the first accelerator; None without one."""
    return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20 if tf.config.list_physical_devices("GPU") else None


def device() -> str:
    """Name of the accelerator, or of the processor and how many cores it has."""
    accelerators = tf.config.list_physical_devices("GPU")
    if accelerators:
        return str(tf.config.experimental.get_device_details(accelerators[0]).get("device_name", "GPU"))
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "CPU")
    return f"{model}, {os.cpu_count()} cores"
