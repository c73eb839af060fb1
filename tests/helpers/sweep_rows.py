"""Hand-made rows of a sweep."""

from __future__ import annotations

from detection.sweep import results


def benchmark_row(name: str, ms: float, mib: float = 100.0, mean: float | None = 0.5, **fields) -> results.SweepRow:
    """With times of the whole and of post-processing, and its memory."""
    times = {"end_to_end": {"median": ms}, "postprocess": {"median": ms / 10}}
    benchmark = {
        "milliseconds": times,
        "host_mib": mib,
        "device_mib": None,
        "device": fields.pop("device", "D"),
        "batch": 1,
    }
    metrics = {} if mean is None else {"DetectionBoxes_Precision/mAP": mean}
    return results.SweepRow(
        **{"id": name, "key": name, "status": "done", "benchmark": benchmark, "metrics": metrics, **fields}
    )


def timed_row(name: str, ms: float | None = None, mean: float | None = None, **fields) -> results.SweepRow:
    """With a time, or none, and ten MiB a millisecond."""
    benchmark = (
        None
        if ms is None
        else {
            "milliseconds": {"end_to_end": {"median": ms}},
            "host_mib": 10 * ms,
            "device": "D",
            "batch": 1,
            "images": 5,
        }
    )
    metrics = {} if mean is None else {"DetectionBoxes_Precision/mAP": mean}
    return results.SweepRow(
        **{"id": name, "key": name, "status": "done", "benchmark": benchmark, "metrics": metrics, **fields}
    )
