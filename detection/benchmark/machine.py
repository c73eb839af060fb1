"""Facts about the machine and the process in which a benchmark runs: devices, memory, load."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from pathlib import Path

import tensorflow as tf

from detection.errors import ConfigError

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc(5): resets the peak of resident memory


def has_accelerator() -> bool:
    """Whether TensorFlow uses a GPU, and therefore returns before the work is done."""
    return bool(tf.config.list_physical_devices("GPU"))


def wait() -> None:
    """Waits until accelerators have finished all work; on a CPU there is nothing to wait for."""
    if has_accelerator():
        tf.test.experimental.sync_devices()


def peak_host_mib() -> float:
    """Peak memory of this process in MiB, TensorFlow included, since its start or since `reset_peaks`.

    Raises:
        ConfigError: the system does not report it.
    """
    if (peak := _status("VmHWM")) is not None:
        return peak
    try:
        import resource
    except ImportError:  # Windows
        raise ConfigError("this system does not report the peak memory of a process; use Linux or macOS") from None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # Linux counts KiB, macOS bytes.


def held_host_mib() -> float | None:
    """Memory of this process in MiB now, after releasing what is not in use; None if the system is not Linux."""
    _release_memory()
    return _status("VmRSS")


def _status(name: str) -> float | None:
    """MiB in a line of /proc/self/status, see proc(5); None if there is none."""
    lines = _STATUS.read_text(encoding="utf-8").splitlines() if _STATUS.exists() else []
    return next((int(line.split()[1]) / 2**10 for line in lines if line.startswith(f"{name}:")), None)


def _release_memory() -> None:
    gc.collect()
    if sys.platform.startswith("linux") and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def reset_peaks() -> None:
    """Releases memory that is not in use and resets both peaks, so that earlier work does not count.

    Only Linux can reset the peak of the host; on other systems measure in a new process.
    """
    _release_memory()
    if os.access(_RESET, os.W_OK):
        _RESET.write_text(_RESET_PEAK, encoding="ascii")
    if has_accelerator():
        tf.config.experimental.reset_memory_stats("GPU:0")


def peak_device_mib() -> float | None:
    """TensorFlow's peak memory on the first accelerator in MiB since `reset_peaks`; None without an accelerator."""
    return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20 if has_accelerator() else None


def device() -> str:
    """Name of the accelerator, or of the CPU with its number of cores."""
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
    """The precision in which float32 networks are computed on this machine."""
    if tf.config.optimizer.get_experimental_options().get("auto_mixed_precision_onednn_bfloat16"):
        return "float32, convolutions in bfloat16"
    accelerators = tf.config.list_physical_devices("GPU")
    if accelerators and tf.config.experimental.tensor_float_32_execution_enabled():
        capability = tf.config.experimental.get_device_details(accelerators[0]).get("compute_capability", (0, 0))
        if capability >= (8, 0):  # earlier GPUs do not support TensorFloat-32
            return "float32, products in TensorFloat-32"
    return "float32"


def load() -> float | None:
    """Load average of the last minute; None if the system does not report it.

    Above the number of cores, measured times are too long.
    """
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
