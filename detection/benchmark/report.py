"""One benchmark of an exported detector: where its time goes, against the network alone, and what else it costs."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from detection.benchmark import machine
from detection.benchmark.flops import count_flops
from detection.benchmark.served_graph import ServedGraph
from detection.benchmark.timing import Timing, interleave
from detection.errors import ConfigError, DataError
from detection.export.image_files import find, read

END_TO_END, NETWORK, PREPROCESS, POSTPROCESS = "end_to_end", "network", "preprocess", "postprocess"


@dataclasses.dataclass(frozen=True)
class Options:
    """What is run, and how often."""

    images: tuple[str, ...] = ()  # files, folders, patterns; none: one image of noise
    image_size: tuple[int, int] = (480, 640)  # height, width of that
    batch: int = 1
    warmup: int = 10
    runs: int = 100


@dataclasses.dataclass(frozen=True)
class Report:
    """Milliseconds a batch, wall clock; the parts are measured one by one, so they need not add up to the whole."""

    saved_model: str
    input: str  # dtype and shape of what was sent
    network_input: str
    times: dict[str, Timing]
    ratio: float  # end to end over the network alone, median of rounds
    images_per_second: float
    detections: float  # mean number kept, an image: suppression costs more with more
    parameters: int  # numbers in the served network, batch norm folded
    gflops: float  # of the network, for the batch
    serving_host_mib: float  # the most this process held while it loaded the model and ran it once, TensorFlow itself included
    model_host_mib: float  # what the model added to that
    peak_device_mib: float | None  # accelerators only
    file_mib: float
    device: str
    cpus: int
    tensorflow: str

    def to_json(self) -> str:
        return json.dumps({**dataclasses.asdict(self), "times": {name: timing._asdict() for name, timing in self.times.items()}}, indent=2) + "\n"

    def table(self) -> str:
        """What a person reads."""
        rows = [f"{self.saved_model}", f"{self.input} -> network {self.network_input}, on {self.device}, TensorFlow {self.tensorflow}", ""]
        rows.append(f"{'':14}{'median':>9}{'10 %':>9}{'90 %':>9}   ms")
        for name in (PREPROCESS, NETWORK, POSTPROCESS, END_TO_END):
            timing = self.times[name]
            rows.append(f"{name.replace('_', ' '):14}{timing.median:9.2f}{timing.low:9.2f}{timing.high:9.2f}")
        rows.append("")
        rows.append(f"end to end / network  {self.ratio:.3f}   ({self.images_per_second:.1f} images/s, {self.detections:.0f} detections an image)")
        rows.append(f"parameters            {self.parameters:,} (batch norm folded), {self.gflops:.2f} GFLOPs")
        device = "" if self.peak_device_mib is None else f", device {self.peak_device_mib:.0f} MiB"
        rows.append(f"memory                {self.serving_host_mib:.0f} MiB to serve, the model {self.model_host_mib:.0f} MiB of it{device}")
        rows.append(f"files                 {self.file_mib:.1f} MiB")
        return "\n".join(rows)


def benchmark(saved_model: str, options: Options) -> Report:
    """Loads an export and measures it.

    Raises:
        ConfigError: if the folder is no export, or a number makes no sense.
        DataError: naming an image that cannot be used.
    """
    if min(options.batch, options.runs, *options.image_size) < 1:
        raise ConfigError("--batch, --runs and --image_size must be at least 1")
    before = machine.peak_host_mib()
    served = ServedGraph(saved_model)
    batches = [_to_input(served, images) for images in _batches(options)]
    served.serve(batches[0])
    model_mib = machine.peak_host_mib() - before  # Before the parts are cut out: each brings a copy of the weights.
    preprocess, network, (marks, postprocess) = served.preprocess(), served.network(), served.postprocess()
    fed = []
    for value in batches:
        entering = preprocess(value)
        taken = [entering[mark] for mark in served.network_inputs]
        predicted = network(*taken)
        fed.append((value, taken, [{**entering, **predicted}[mark] for mark in marks]))
    turn = {name: 0 for name in (END_TO_END, NETWORK, PREPROCESS, POSTPROCESS)}

    def next_of(name: str) -> tuple:
        turn[name] += 1
        return fed[(turn[name] - 1) % len(fed)]

    counts: list[float] = []

    def end_to_end() -> None:
        counts.append(float(served.serve(next_of(END_TO_END)[0])["num_detections"].numpy().mean()))

    rounds = interleave(
        {
            END_TO_END: end_to_end,
            NETWORK: lambda: _wait(network(*next_of(NETWORK)[1])),
            PREPROCESS: lambda: _wait(preprocess(next_of(PREPROCESS)[0])),
            POSTPROCESS: lambda: _wait(postprocess(*next_of(POSTPROCESS)[2])),
        },
        options.warmup,
        options.runs,
    )
    times = {name: rounds.timing(name) for name in rounds.times}
    shape = tuple(fed[0][1][0].shape)
    return Report(
        saved_model=os.fspath(served.folder),
        input=f"{batches[0].dtype.name} {list(batches[0].shape)}" + (f" (image {options.image_size})" if batches[0].dtype == tf.string else ""),
        network_input=str(list(shape)),
        times=times,
        ratio=rounds.ratio(END_TO_END, NETWORK),
        images_per_second=1e3 * options.batch / times[END_TO_END].median,
        detections=float(np.mean(counts)),
        parameters=served.count_parameters(),
        gflops=count_flops(served.network_at(shape)) / 1e9,
        serving_host_mib=before + model_mib,
        model_host_mib=model_mib,
        peak_device_mib=machine.peak_device_mib(),
        file_mib=sum(path.stat().st_size for path in served.folder.rglob("*") if path.is_file()) / 2**20,
        device=machine.device(),
        cpus=os.cpu_count() or 1,
        tensorflow=tf.__version__,
    )


def parse_size(sizes: Sequence[str]) -> tuple[int, int]:
    """Value of --image_size. Raises ConfigError unless it is two numbers."""
    try:
        height, width = (int(size) for size in sizes)
    except ValueError:
        raise ConfigError(f"--image_size={','.join(sizes)}: give height and width, e.g. 480,640") from None
    return height, width


def save(text: str, path: str) -> None:
    """Writes a report. Raises ConfigError, naming the file, where that is not possible."""
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--json={path}: cannot be written: {error.strerror or error}; check the path") from error


def _wait(outputs: dict[str, tf.Tensor]) -> None:
    """An accelerator returns before it is done; fetching the smallest output waits for it."""
    if tf.config.list_physical_devices("GPU"):
        min(outputs.values(), key=lambda tensor: tensor.shape.num_elements() or 0).numpy()


def _batches(options: Options) -> list[np.ndarray]:
    """uint8 [batch, h, w, 3] each; one image repeated within a batch, since the images of a batch have one size."""
    height, width = options.image_size
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    images: Iterable[np.ndarray] = (read(path) for path in find(options.images)) if options.images else [noise]
    return [np.repeat(image[np.newaxis], options.batch, axis=0) for image in images]


def _to_input(served: ServedGraph, images: np.ndarray) -> tf.Tensor:
    """Images in the form that the signature takes."""
    spec = served.input_spec
    value = tf.stack([tf.io.encode_jpeg(image) for image in images]) if spec.dtype == tf.string else tf.cast(images, spec.dtype)
    if not spec.shape.is_compatible_with(value.shape):
        raise DataError(f"images {list(value.shape)}: the model takes {spec.shape}; set --batch and --image_size to that")
    return value
