"""Rows of a sweep that was never run: a rough model of what detectors cost and give, so that figures have something of
the right shape to draw.

Nothing here is measured, and nothing drawn from it belongs in the documentation.
"""

from __future__ import annotations

import hashlib
import math
import random

from detection.sweep.results import DONE, FAILED, SweepRow

# Name: (cost of the map's layers at 300 px, cost of the tail a proposal, memory, millions of parameters, quality), in
# made-up units.
EXTRACTORS = {
    "mobilenet_v1": (6.0, 0.12, 90, 4.2, 0.19),
    "inception_v2": (10.0, 0.2, 140, 11.0, 0.23),
    "vgg16": (60.0, 0.5, 600, 120.0, 0.25),
    "resnet101": (38.0, 0.5, 420, 43.0, 0.31),
    "inception_v3": (30.0, 0.4, 300, 23.0, 0.27),
    "inception_resnet_v2": (85.0, 2.0, 800, 56.0, 0.345),
}
STRIDES = {"resnet101": (16, 8), "inception_resnet_v2": (16, 8)}
PROPOSALS = (10, 20, 50, 100, 300)
DEVICE = "Modelled CPU, 2 cores"


def rows(*, timing_only: bool = False, device: str = DEVICE, seed: int = 0) -> list[SweepRow]:
    """The grid of the survey: 252 configurations, three of which failed; `timing_only` leaves the metrics out."""
    rng = random.Random(seed)
    made = []
    for meta in ("ssd", "faster_rcnn", "rfcn", "fast_rcnn"):
        for extractor in EXTRACTORS:
            for resolution in (300, 600):
                for stride in (16,) if meta == "ssd" else STRIDES.get(extractor, (16,)):
                    for proposals in (None,) if meta == "ssd" else PROPOSALS:
                        made.append(_row(meta, extractor, resolution, stride, proposals, rng, timing_only, device))
    for place in (5, 40, 90):
        made[place] = failed(made[place])
    return made


def failed(row: SweepRow, reason: str = "killed by signal 9 (out of memory) after 12 s") -> SweepRow:
    return SweepRow(
        **{**row.__dict__, "status": FAILED, "reason": reason, "metrics": {}, "benchmark": None, "train": None}
    )


def _row(meta, extractor, resolution, stride, proposals, rng, timing_only, device) -> SweepRow:
    base, each, mib, parameters, quality = EXTRACTORS[extractor]
    area, dense = (resolution / 300) ** 2, 1.0 if stride == 16 else 1.9
    name = f"{meta}-{extractor}-{resolution}" + ("" if meta == "ssd" else f"-stride{stride}-p{proposals}")
    noise = math.exp(rng.gauss(0, 0.04))
    first = base * area * dense * noise * (1.0 if meta == "ssd" else 0.8)
    second = (
        None
        if meta == "ssd"
        else base * 0.3 * area * dense * noise + (0.01 if meta == "rfcn" else each) * proposals * noise
    )
    after, before = 2.5 + rng.random(), 1.0 + 0.5 * area
    whole = first + (second or 0.0) + after + before
    share = {"ssd": 0.82, "faster_rcnn": 1.0, "rfcn": 0.95, "fast_rcnn": 0.93}[meta]
    mean = quality * share * {300: 0.86, 600: 1.0}[resolution] * (1.0 if stride == 16 else 1.05)
    mean *= 1.0 if proposals is None else 1 - 0.18 * math.exp(-proposals / 25)
    mean *= math.exp(rng.gauss(0, 0.02))
    small = mean * (0.15 if meta == "ssd" else 0.4) * (1.0 if resolution == 300 else 1.8) * math.exp(rng.gauss(0, 0.08))
    prefix = "DetectionBoxes_Precision/"
    metrics = {"mAP": mean, "mAP@.50IOU": mean * 1.65, "mAP@.75IOU": mean * 1.02}
    metrics |= {
        "mAP (small)": small,
        "mAP (medium)": mean * 1.05,
        "mAP (large)": mean * (1.7 if meta == "ssd" else 1.45),
    }
    times = {
        "end_to_end": whole,
        "preprocess": before,
        "first_stage": first,
        "second_stage": second,
        "postprocess": after,
    }
    times["network"] = first + (second or 0.0)
    return SweepRow(
        id=name,
        key=hashlib.sha256(name.encode()).hexdigest(),
        status=DONE,
        config=f"configs/{name}.config",
        command=f"model_main.py --pipeline_config_path=configs/{name}.config --model_dir=models/{name}",
        meta_architecture=meta,
        feature_extractor=extractor,
        resolution=resolution,
        stride=stride,
        proposals=proposals,
        axes={"resolution": str(resolution)}
        | ({} if meta == "ssd" else {"stride": str(stride), "proposals": str(proposals)}),
        train=None if timing_only else {"steps": 500, "seconds": 60.0, "weights_of": None},
        metrics={} if timing_only else {prefix + tag: value for tag, value in metrics.items()},
        benchmark={
            "saved_model": f"exports/{name}",
            "config": None,
            "batch": 1,
            "size": resolution,
            "images": 20,
            "warmup": 3,
            "milliseconds": {part: None if value is None else _spread(value) for part, value in times.items()},
            "parameters": int(parameters * 1e6),
            "gflops": base * area * dense / 5 + (0.0 if proposals is None else each * proposals / 10),
            "not_counted": "",
            "host_mib": 700 + mib * (0.5 + 0.5 * area) * noise,
            "device_mib": None,
            "device": device,
            "cpus": 2,
            "tensorflow": "2.21.0",
            "precision": "float32",
            "detections": 20.0,
        },
        images_evaluated=0 if timing_only else 72,
    )


def _spread(value: float) -> dict[str, float]:
    return {"median": value, "low": 0.97 * value, "high": 1.06 * value, "mean": 1.01 * value, "std": 0.03 * value}
