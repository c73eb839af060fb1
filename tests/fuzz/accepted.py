"""Every field of the schema changed in a small config of each meta-architecture: what the check accepts must train.

    python -m tests.fuzz.accepted                       every change; hours
    python -m tests.fuzz.accepted --fields=post_proc    those of fields whose path has this text
    python -m tests.fuzz.accepted --every=50            each fiftieth

A change of the model that the check accepts is traced, losses and detections; one of the rest makes one training step
on two drawn images. An error after the check, of whatever kind, is a failure: `config/` alone decides what a config may
say.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

for name, value in {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "2",
}.items():
    os.environ.setdefault(name, value)
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

_FLOAT_VALUES = (0.0, 1e-6, 0.3, 1.0, 7.0, -1.0)
_INTEGER_VALUES = (0, 1, 2, 5, 64, 999)
_MODELS = {"rfcn": "faster_rcnn", "ssd_fpn": "ssd", "ssd_bifpn": "ssd", "faster_rcnn_fpn": "faster_rcnn"}
_REST = """
train_config {
  batch_size: 2 num_steps: 1
  optimizer { momentum_optimizer { learning_rate { constant_learning_rate { learning_rate: 0.01 } } } }
  data_augmentation_options { random_horizontal_flip {} }
}
train_input_reader { tf_record_input_reader { input_path: "train.record-*" } label_map_path: "label_map.pbtxt" }
eval_config { batch_size: 2 num_visualizations: 0 }
eval_input_reader { tf_record_input_reader { input_path: "val.record-*" } label_map_path: "label_map.pbtxt"
  shuffle: false }
"""


class Change(NamedTuple):
    """A field of a base config set to a value."""

    base: str
    path: str
    trail: tuple[Any, ...]
    value: object

    def __str__(self) -> str:
        return f"{self.base}: {self.path}={self.value!r}"


def bases() -> dict[str, str]:
    """Text of a small config of each meta-architecture, and of each kind of pyramid."""
    from tests.helpers import detector_configs, small_ssd, two_stage_tiny

    faster = two_stage_tiny.CONFIG.replace("height: 96 width: 128", "height: 64 width: 64")
    faster = faster.replace("num_classes: 3", "num_classes: 4")
    head = faster[faster.index("second_stage_box_predictor") : faster.index("second_stage_post_processing")]
    rfcn = faster.replace(head, f"second_stage_box_predictor {{ {two_stage_tiny.RFCN} }}\n  ")
    fast = faster.replace("faster_rcnn {", "fast_rcnn {", 1)
    center = detector_configs.center_net(detector_configs.Settings("mobilenet_v2", 64, 64))
    pyramid = detector_configs.Settings("ssd_mobilenet_v1_fpn", 64, 64, depth_multiplier=0.25)
    efficient = detector_configs.Settings("ssd_efficientnet-b0_bifpn_keras", 128, 128)
    levels = detector_configs.Settings("faster_rcnn_mobilenet_v1_fpn", 64, 64, depth_multiplier=0.25)
    with_proposals = _REST.replace("_reader { tf_record", "_reader { max_number_of_proposals: 20 tf_record")
    return {
        "ssd": small_ssd.model(48, 64, 20) + _REST,
        "faster_rcnn": faster + _REST,
        "rfcn": rfcn + _REST,
        "fast_rcnn": fast + with_proposals,
        "center_net": center + _REST,
        "ssd_fpn": detector_configs.ssd(pyramid) + _REST,
        "ssd_bifpn": detector_configs.ssd(efficient) + _REST,
        "faster_rcnn_fpn": detector_configs.faster_rcnn(levels) + _REST,
    }


def changes() -> list[Change]:
    """All of them. What is not of the model is changed in the SSD alone."""
    from detection.protos import pipeline_pb2
    from tests.config import test_every_field as fields

    found = []
    root = pipeline_pb2.TrainEvalPipelineConfig.DESCRIPTOR
    model = root.fields_by_name["model"]
    for base in bases():
        own = model.message_type.fields_by_name[_MODELS.get(base, base)]
        trails = list(fields.trails(own.message_type, (model, own), set()))
        if base == "ssd":
            trails += fields.trails(root, (), {model.message_type.full_name})
        for trail in trails:
            path = ".".join(field.name for field in trail)
            found += [Change(base, path, trail, value) for value in _values(trail[-1])]
    return found


def _values(field: Any) -> Iterator[object]:
    from detection.config.schema import is_message
    from tests.config import test_every_field as fields

    kinds = type(field)
    if field.cpp_type in (kinds.CPPTYPE_FLOAT, kinds.CPPTYPE_DOUBLE) and not is_message(field):
        yield from _FLOAT_VALUES
    elif field.cpp_type in (kinds.CPPTYPE_INT32, kinds.CPPTYPE_INT64, kinds.CPPTYPE_UINT32, kinds.CPPTYPE_UINT64):
        yield from _INTEGER_VALUES
    else:
        yield from fields.values(field)


def prepare(folder: Path, every: list[Change], data: Path) -> Any:
    """A function from the number of a change to what became of it."""
    from detection import config
    from detection.config import text
    from detection.errors import DetectionError
    from detection.protos import pipeline_pb2
    from tests.config import test_every_field as fields

    del folder
    os.chdir(data)
    good = {name: text.parse(words, pipeline_pb2.TrainEvalPipelineConfig(), name) for name, words in bases().items()}

    specs: dict[str, Any] = {}

    def run(number: int) -> str:
        change = every[number]
        message = pipeline_pb2.TrainEvalPipelineConfig()
        message.CopyFrom(good[change.base])
        fields.put(fields.enter(message, change.trail), change.trail[-1], change.value)
        try:
            config.check(message, "changed.config", check_paths=True)
        except DetectionError:
            return "refused"
        try:
            return trace(message, specs) if change.path.startswith("model.") else step(message)
        except Exception as error:
            raise AssertionError(f"{change}: {type(error).__name__}: {error}") from error

    return run


def step(message: Any) -> str:
    """One training step and the detections of one batch, as a training and an evaluation make them."""
    import tensorflow as tf

    from detection.builders import pipeline as builder
    from detection.data.reading.input import train_dataset
    from detection.data.reading.iteration import iterate
    from detection.errors import DataError
    from detection.train.state import TrainState
    from detection.train.step import TrainStep

    pipeline = builder.build(message, source="changed.config")
    settings = pipeline.train
    if settings is None or pipeline.train_input is None:
        return "no training"
    detector = pipeline.detector()
    state = TrainState(detector, settings.optimizer, settings.is_trained)
    dataset = train_dataset(pipeline.train_input, pipeline.augmentations, pipeline.resizer, settings.batch_size, 1)
    if detector.measures_targets:
        detector.measure_targets(dataset.take(1))
    train_step = TrainStep(state, settings, tf.distribute.get_strategy(), dataset.element_spec)
    try:
        example = next(iterate(dataset, pipeline.train_input))
    except DataError:  # It asks for what these records do not hold, and says so.
        return "not in the records"
    result = train_step(example)
    detect(detector, dataset.element_spec)
    return "stepped" if bool(result.finite) else "stepped, not finite"


def trace(message: Any, specs: dict[str, Any]) -> str:
    """Losses and detections traced, which is all of a step that fields of the model can change, and takes a fifth of
    the time."""
    import tensorflow as tf

    from detection.builders import pipeline as builder
    from detection.data.reading.input import train_dataset

    pipeline = builder.build(message, source="changed.config")
    detector = pipeline.detector()
    assert pipeline.train is not None and pipeline.train_input is not None
    images = str(pipeline.resizer) + str(pipeline.train_input.proposals)
    if images not in specs:
        specs[images] = train_dataset(
            pipeline.train_input, (), pipeline.resizer, pipeline.train.batch_size, 1
        ).element_spec

    @tf.function(autograph=False)
    def losses(example: Any) -> Any:
        return detector.loss(
            detector.predict(example.batch, example.groundtruth, training=True), example.groundtruth
        ), detector.regularization_loss()

    losses.get_concrete_function(specs[images])
    detect(detector, specs[images])
    return "traced"


def detect(detector: Any, spec: Any) -> None:
    """Traces the detections of a batch."""
    import tensorflow as tf

    @tf.function(autograph=False)
    def detections(batch: Any) -> Any:
        return detector.postprocess(detector.predict(batch), batch.true_shapes)

    detections.get_concrete_function(spec.batch)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", default="", help="only fields whose path has this text")
    parser.add_argument("--bases", default="", help="only these bases, separated by commas")
    parser.add_argument("--every", type=int, default=1, help="only each of so many changes")
    parser.add_argument(
        "--first", type=int, default=0, help="number of the first of these, so that runs share the work"
    )
    parser.add_argument("--seconds", type=float, default=float("inf"), help="at most so long")
    given = parser.parse_args(argv)
    import tempfile

    from absl import logging

    import detection.builders.pipeline
    import detection.train.step  # noqa: F401  (imported once, before processes are forked)
    from detection.data import synthetic_set
    from tests.fuzz import workers

    logging.set_verbosity(logging.FATAL)
    chosen = given.bases.split(",") if given.bases else list(bases())
    every = [change for change in changes() if given.fields in change.path and change.base in chosen]
    every = every[given.first :: given.every]
    print(f"{len(every)} changes", flush=True)
    with tempfile.TemporaryDirectory() as name:
        data = Path(name)
        drawing = multiprocessing.Process(
            target=synthetic_set.make, args=(data, {"train": 4, "val": 2}, 0), kwargs={"sizes": ((64, 48),)}
        )
        drawing.start()  # Once TensorFlow has run, a process cannot be forked.
        drawing.join()
        deadline = time.monotonic() + given.seconds
        done = workers.run_range(lambda folder: prepare(folder, every, data), 0, len(every), deadline)
    seen = Counter((failure.detail.strip().splitlines() or [failure.kind])[-1][:200] for failure in done.failures)
    for failure in done.failures:
        print(f"FAILED {every[failure.number]}: {failure.kind} at {failure.place}\n{failure.detail[-1500:]}")
    for reason, count in seen.most_common():
        print(f"{count} x {reason}")
    print(f"{done.inputs} of {len(every)} changes in {done.seconds:.0f} s: {dict(done.outcomes)}")
    return 1 if done.failures else 0


if __name__ == "__main__":
    sys.exit(main())
