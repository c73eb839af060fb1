"""Quantities by which rows of a sweep are compared (label, unit, direction), and names of configurations in reports."""

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
    "inception_v1": "Inception v1",
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

    name: str  # in flags and in the page's URL
    label: str  # of an axis
    unit: str  # empty for a ratio
    less_is_better: bool
    read: Callable[[SweepRow], float | None]  # None if the row does not have it

    @property
    def axis(self) -> str:
        """The label with its unit."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label


def number(values: Mapping[str, Any] | None, *path: str) -> float | None:
    """The finite number at a path of keys; None if a key is missing or the value is not such a number."""
    value: Any = values
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return (
        float(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        else None
    )


def metric(tag: str) -> Callable[[SweepRow], float | None]:
    """A function that reads a metric; COCO's -1, for sizes without objects in the data set, becomes None."""

    def read(row: SweepRow) -> float | None:
        value = number(row.metrics, tag)
        return None if value is None or value < 0 else value

    return read


def milliseconds(row: SweepRow, part: str = "end_to_end") -> float | None:
    """Median time of a part, milliseconds; see `detection benchmark`."""
    return number(row.benchmark, "milliseconds", part, "median")


def memory(row: SweepRow) -> float | None:
    """Peak MiB of the accelerator, or else of the host process."""
    device = number(row.benchmark, "device_mib")
    return number(row.benchmark, "host_mib") if device is None else device


def model_memory(row: SweepRow) -> float | None:
    """Peak MiB of the accelerator, or else of the host process minus that of a process with only TensorFlow loaded."""
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
    """Display name of the meta-architecture, such as `Faster R-CNN`."""
    return METAS.get(row.meta_architecture, row.meta_architecture or "unknown")


def extractor_name(name: str) -> str:
    """Returns the display name of an extractor, such as `ResNet-101` or `ResNet-101 (Keras)`, which is another network.

    An unknown name is returned unchanged.
    """
    slim = name.removesuffix("_keras")
    if slim in EXTRACTORS and slim != name:
        return f"{EXTRACTORS[slim]} (Keras)"
    return EXTRACTORS.get(name, name or "unknown")


def title(row: SweepRow) -> str:
    """`Faster R-CNN ResNet-101, 600 px, stride 16, 50 proposals`, followed by the values of other axes."""
    parts = [f"{meta_name(row)} {extractor_name(row.feature_extractor)}"]
    parts += [f"{row.resolution} px"] if row.resolution else []
    parts += [f"stride {row.stride}"] if row.stride and row.meta_architecture != "ssd" else []
    parts += [f"{row.proposals} proposals"] if row.proposals is not None else []
    return ", ".join(parts + [f"{axis} {value}" for axis, value in other_axes(row).items()])


def other_axes(row: SweepRow) -> dict[str, str]:
    """The axes that are not covered by the row's fields: custom axes, or variants such as `mobilenet_v1_half`."""
    fields = (row.meta_architecture, row.feature_extractor, row.resolution, row.stride, row.proposals)
    field_axes = {"base", "extractor", "feature_extractor", "resolution", "stride", "proposals"}
    field_values = {str(field) for field in fields}
    return {
        str(axis): str(value)
        for axis, value in sorted(row.axes.items())
        if axis not in field_axes or str(value) not in field_values
    }


def devices(rows: Iterable[SweepRow]) -> list[str]:
    """Names of the devices on which rows were timed, without duplicates."""
    return sorted({row.device for row in rows if milliseconds(row) is not None})


def of_one_device(rows: Iterable[SweepRow], device: str = "") -> list[SweepRow]:
    """The rows of one device, whose times can be compared. Rows without times are kept.

    Rows of other devices are omitted and counted in a warning.

    Args:
        rows: the rows.
        device: the device's name or a part of it, case-insensitive; empty if the rows should have only one device.

    Raises:
        ConfigError: no device or several devices match.
    """
    rows = list(rows)
    present = devices(rows)
    matching = [name for name in present if device and name == device] or [
        name for name in present if device.casefold() in name.casefold()
    ]
    names = "; ".join(name or "(no name)" for name in present)
    if device and present and not matching:
        raise ConfigError(
            f"--device={device}: no row was timed on it; the devices are: {names}; name one of these, or run"
            " `detection sweep` on that device"
        )
    if len(matching) > 1:
        raise ConfigError(
            f"--device={device}: times of different devices are not comparable; the devices are: {names}; name one of"
            " these"
        )
    omitted = [row for row in rows if milliseconds(row) is not None and row.device not in matching]
    if omitted:
        logging.warning(
            "%d rows are omitted: timed on %s, not on %s", len(omitted), "; ".join(devices(omitted)), matching[0]
        )
    rows_kept = [row for row in rows if milliseconds(row) is None or row.device in matching]
    for name in ("batch", "precision", "tensorflow", "cpus"):
        values = sorted({str(row.benchmark.get(name)) for row in rows_kept if row.benchmark})
        if len(values) > 1:
            logging.warning(
                "the rows differ in %s (%s): their times are only roughly comparable", name, ", ".join(values)
            )
    return rows_kept


def _millions(count: float | None) -> float | None:
    return None if count is None else count / 1e6
