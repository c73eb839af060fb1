"""What a benchmark says about the machine and the process it ran in."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from pathlib import Path

import tensorflow as tf

from detection.errors import ConfigError

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc(5): the peak of resident memory begins anew


def has_accelerator() -> bool:
    """Whether TensorFlow computes on one, and so returns before the work is done."""
    return bool(tf.config.list_physical_devices("GPU"))


def wait() -> None:
    """Returns when everything that was asked of accelerators is done; on a processor everything is by then."""
    if has_accelerator():
        tf.test.experimental.sync_devices()


def peak_host_mib() -> float:
    """The most memory this process has held so far, or since `forget_peaks`, TensorFlow itself included.

    Raises:
        ConfigError: the system does not say.
    """
    if (peak := _status("VmHWM")) is not None:
        return peak
    try:
        import resource
    except ImportError:  # Windows
        raise ConfigError("this system does not say how much memory a process has held; Linux and macOS do") from None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # Linux counts KiB, macOS bytes.


def held_host_mib() -> float | None:
    """The memory that this process holds now, once it has given back what is not in use; None where the system does not
    say (Linux does).
    """
    _give_back()
    return _status("VmRSS")


def _status(name: str) -> float | None:
    """MiB of a line of proc(5) about this process."""
    lines = _STATUS.read_text(encoding="utf-8").splitlines() if _STATUS.exists() else []
    return next((int(line.split()[1]) / 2**10 for line in lines if line.startswith(f"{name}:")), None)


def _give_back() -> None:
    gc.collect()
    if sys.platform.startswith("linux") and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def forget_peaks() -> None:
    """Gives back memory that is not in use and lets both peaks begin anew: what was done before should not count as
    what comes.

    Only Linux can forget the peak of the host; elsewhere a process of its own tells more.
    """
    _give_back()
    if os.access(_RESET, os.W_OK):
        _RESET.write_text(_RESET_PEAK, encoding="ascii")
    if has_accelerator():
        tf.config.experimental.reset_memory_stats("GPU:0")


def peak_device_mib() -> float | None:
    """The most memory TensorFlow has held on the first accelerator, since `forget_peaks`; None without one."""
    return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20 if has_accelerator() else None


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


def precision() -> str:
    """In which numbers networks of float32 are computed here."""
    if tf.config.optimizer.get_experimental_options().get("auto_mixed_precision_onednn_bfloat16"):
        return "float32, convolutions in bfloat16"
    accelerators = tf.config.list_physical_devices("GPU")
    if accelerators and tf.config.experimental.tensor_float_32_execution_enabled():
        capability = tf.config.experimental.get_device_details(accelerators[0]).get("compute_capability", (0, 0))
        if capability >= (8, 0):  # before that there is no such arithmetic
            return "float32, products in TensorFloat-32"
    return "float32"


def load() -> float | None:
    """Processes that want to run, mean of the last minute; None where the system does not say.

    More than there are cores: times are too long.
    """
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
