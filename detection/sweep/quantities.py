"""What the rows of a sweep are compared by, with its label, unit and direction; and how a configuration is called in
figures and tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from absl import logging

from detection.errors import ConfigError
from detection.sweep.results import SweepRow

METAS = {
    "ssd": "SSD",
    "faster_rcnn": "Faster R-CNN",
    "rfcn": "R-FCN",
    "fast_rcnn": "Fast R-CNN",
    "center_net": "CenterNet",
}
EXTRACTORS = {
    "mobilenet_v1": "MobileNet v1",
    "mobilenet_v2": "MobileNet v2",
    "inception_v2": "Inception v2",
    "inception_v3": "Inception v3",
    "resnet50": "ResNet-50",
    "resnet101": "ResNet-101",
    "resnet152": "ResNet-152",
    "inception_resnet_v2": "Inception-ResNet v2",
    "vgg16": "VGG16",
    "vgg_cnn_m_1024": "VGG_CNN_M_1024",
    "caffenet": "CaffeNet",
}


class Quantity(NamedTuple):
    """One number of a row."""

    name: str  # in flags and in the page's address
    label: str  # in front of an axis
    unit: str  # empty for a ratio
    less_is_better: bool
    read: Callable[[SweepRow], float | None]  # None where the row does not have it

    @property
    def axis(self) -> str:
        """The label with its unit."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label


def number(values: Mapping[str, Any] | None, *path: str) -> float | None:
    """The finite number at the end of a path of keys; None where a key, or a number, is missing."""
    found: Any = values
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return (
        float(found)
        if isinstance(found, int | float) and not isinstance(found, bool) and math.isfinite(found)
        else None
    )


def metric(tag: str) -> Callable[[SweepRow], float | None]:
    """Reads a metric. COCO's -1, for sizes that no object of the data set has, is None."""

    def read(row: SweepRow) -> float | None:
        value = number(row.metrics, tag)
        return None if value is None or value < 0 else value

    return read


def milliseconds(row: SweepRow, part: str = "end_to_end") -> float | None:
    """Median of a part of an image's way; see `detection benchmark`."""
    return number(row.benchmark, "milliseconds", part, "median")


def memory(row: SweepRow) -> float | None:
    """Peak MiB: of the accelerator where there is one, else of the host process."""
    device = number(row.benchmark, "device_mib")
    return number(row.benchmark, "host_mib") if device is None else device


def model_memory(row: SweepRow) -> float | None:
    """Peak MiB of the accelerator where there is one, else what the model adds to a process that has TensorFlow
    loaded."""
    device = number(row.benchmark, "device_mib")
    return number(row.benchmark, "model_host_mib") if device is None else device


_COCO = "DetectionBoxes_Precision/"
TIME = Quantity("time", "Time per image", "ms", True, milliseconds)
MEMORY = Quantity("memory", "Peak memory", "MiB", True, memory)
MODEL_MEMORY = Quantity("model_memory", "Peak memory of the model alone", "MiB", True, model_memory)
MEAN_AP = Quantity("map", "mAP@[.5:.95]", "", False, metric(_COCO + "mAP"))
SMALL = Quantity("small", "mAP, small objects", "", False, metric(_COCO + "mAP (small)"))
MEDIUM = Quantity("medium", "mAP, medium objects", "", False, metric(_COCO + "mAP (medium)"))
LARGE = Quantity("large", "mAP, large objects", "", False, metric(_COCO + "mAP (large)"))
QUANTITIES = {
    quantity.name: quantity
    for quantity in (
        MEAN_AP,
        Quantity("map50", "mAP@.5", "", False, metric(_COCO + "mAP@.50IOU")),
        Quantity("map75", "mAP@.75", "", False, metric(_COCO + "mAP@.75IOU")),
        SMALL,
        MEDIUM,
        LARGE,
        Quantity("voc50", "PASCAL VOC mAP@.5", "", False, metric("PascalBoxes_Precision/mAP@0.5IOU")),
        TIME,
        Quantity(
            "cpu",
            "Processor time per image",
            "ms",
            True,
            lambda row: number(row.benchmark, "cpu_milliseconds", "end_to_end"),
        ),
        MEMORY,
        MODEL_MEMORY,
        Quantity("gflops", "Operations", "GFLOPs", True, lambda row: number(row.benchmark, "gflops")),
        Quantity(
            "parameters", "Parameters", "millions", True, lambda row: _millions(number(row.benchmark, "parameters"))
        ),
    )
}


def meta_name(row: SweepRow) -> str:
    """`Faster R-CNN`."""
    return METAS.get(row.meta_architecture, row.meta_architecture or "unknown")


def extractor_name(name: str) -> str:
    """`ResNet-101`; a name that is not known stays as it is."""
    return EXTRACTORS.get(name, name or "unknown")


def title(row: SweepRow) -> str:
    """`Faster R-CNN ResNet-101, 600 px, stride 16, 50 proposals`, with the values of other axes behind."""
    parts = [f"{meta_name(row)} {extractor_name(row.feature_extractor)}"]
    parts += [f"{row.resolution} px"] if row.resolution else []
    parts += [f"stride {row.stride}"] if row.stride and row.meta_architecture != "ssd" else []
    parts += [f"{row.proposals} proposals"] if row.proposals is not None else []
    return ", ".join(parts + [f"{axis} {value}" for axis, value in other_axes(row).items()])


def other_axes(row: SweepRow) -> dict[str, str]:
    """What the axes say that the row's fields do not: an axis of its own, or a variant, as `extractor:
    mobilenet_v1_half`."""
    fields = (row.meta_architecture, row.feature_extractor, row.resolution, row.stride, row.proposals)
    own = {"base", "extractor", "feature_extractor", "resolution", "stride", "proposals"}
    said = {str(field) for field in fields}
    return {
        str(axis): str(value) for axis, value in sorted(row.axes.items()) if axis not in own or str(value) not in said
    }


def devices(rows: Iterable[SweepRow]) -> list[str]:
    """Names of the machines that rows were timed on, each once."""
    return sorted({row.device for row in rows if milliseconds(row) is not None})


def of_one_device(rows: Iterable[SweepRow], wanted: str = "") -> list[SweepRow]:
    """Rows whose times can be compared: of one device. Rows without times are kept.

    Args:
        wanted: the device's name or a part of it, in any case; empty where the rows are expected to have one.

    Raises:
        ConfigError: several devices and none, or several of them, wanted; none of that name. Rows left out are counted
            in a warning.
    """
    rows = list(rows)
    present = devices(rows)
    named = [name for name in present if wanted and name == wanted] or [
        name for name in present if wanted.casefold() in name.casefold()
    ]
    listed = "; ".join(name or "(no name)" for name in present)
    if wanted and present and not named:
        raise ConfigError(
            f"--device={wanted}: no row was timed on it, but on: {listed}; name one of these, or run `detection"
            " sweep` there"
        )
    if len(named) > 1:
        raise ConfigError(
            f"--device={wanted}: times of different devices do not compare, and the rows have: {listed}; name one of"
            " these"
        )
    left_out = [row for row in rows if milliseconds(row) is not None and row.device not in named]
    if left_out:
        logging.warning(
            "%d rows are left out: timed on %s, not on %s", len(left_out), "; ".join(devices(left_out)), named[0]
        )
    kept = [row for row in rows if milliseconds(row) is None or row.device in named]
    for name in ("batch", "precision", "tensorflow", "cpus"):
        values = sorted({str(row.benchmark.get(name)) for row in kept if row.benchmark})
        if len(values) > 1:
            logging.warning("the rows differ in %s (%s): their times compare only roughly", name, ", ".join(values))
    return kept


def _millions(count: float | None) -> float | None:
    return None if count is None else count / 1e6
