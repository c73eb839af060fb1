"""How often a reader who follows one thing through the code comes back to a file: five walks, followed as they run.

    python -m tests.walks              the five walks, with the number of their returns
    python -m tests.walks --stops      and every stop

A walk is a real run of a small SSD. Every function of the package counts once, in the order in which functions are
first entered. Functions that call nothing outside their own file, not even through other functions of it, are
look-ups, which a reader need not follow; the others are stops. A stop is a return if it lies in a file that was left:
another file's stop lies between, and the call comes from another file. That a function goes on where a call came back
to it is no return.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = f"{ROOT / 'detection'}/"
MOST_RETURNS = 5


class Call(NamedTuple):
    """The first call of a function."""

    file: str
    function: str
    caller: str | None  # file


class Stay(NamedTuple):
    """Stops that follow each other in one file."""

    file: str
    functions: list[str]
    is_return: bool


class Walk:
    """Records the calls of a run, of all threads."""

    def __init__(self) -> None:
        self._calls: dict[tuple[str, str], Call] = {}
        self._leads_on: set[tuple[str, str]] = set()

    @contextlib.contextmanager
    def recorded(self) -> Iterator[None]:
        threading.setprofile(self._on_event)
        sys.setprofile(self._on_event)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    def _on_event(self, frame: FrameType, event: str, _: object) -> None:
        file, function = frame.f_code.co_filename, frame.f_code.co_qualname
        if event != "call" or not file.startswith(PACKAGE) or function.endswith(">"):
            return
        caller = _package_frame(frame.f_back)
        self._calls.setdefault((file, function), Call(file, function, caller and caller.f_code.co_filename))
        home = caller.f_code.co_filename if caller is not None else file
        while home != file and caller is not None and caller.f_code.co_filename == home:
            self._leads_on.add((home, caller.f_code.co_qualname))
            caller = _package_frame(caller.f_back)

    def stays(self) -> list[Stay]:
        """The stops of the walk, those of one file that follow each other together."""
        found: list[Stay] = []
        visited: set[str] = set()
        for key, call in self._calls.items():
            if key not in self._leads_on:
                continue
            if found and found[-1].file == call.file:
                found[-1].functions.append(call.function)
                continue
            found.append(Stay(call.file, [call.function], call.file in visited and call.caller != call.file))
            visited.add(call.file)
        return found

    def returns(self) -> int:
        return sum(stay.is_return for stay in self.stays())


def _package_frame(frame: FrameType | None) -> FrameType | None:
    """The innermost frame of the package, from `frame` outwards."""
    while frame is not None and not frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return frame


def walk_all(folder: Path) -> dict[str, Walk]:
    """The five walks; data, model and page are made in `folder`."""
    from detection.builders import pipeline as builder
    from detection.data.reading.input import train_dataset
    from detection.export import annotate, exporter
    from detection.export.predictor import Predictor
    from detection.export.serving import ServingInput
    from detection.sweep import results
    from detection.sweep.report import report_folder
    from detection.train.loop import train

    walks = {
        name: Walk()
        for name in (
            "record -> loss",
            "config -> objects",
            "checkpoint -> variables",
            "file -> drawn box",
            "sweep row -> page",
        )
    }
    config = _example(folder)
    with walks["config -> objects"].recorded():
        pipeline = builder.load(config)
    train(pipeline, folder / "run", stream=io.StringIO())
    with walks["checkpoint -> variables"].recorded():
        detector = pipeline.detector(folder / "run")
    with walks["record -> loss"].recorded():
        dataset = train_dataset(pipeline.train_input, pipeline.augmentations, pipeline.resizer, 2, 1)
        example = next(iter(dataset))
        detector.loss(detector.predict(example.batch, example.groundtruth, training=True), example.groundtruth)
    exporter.export(str(config), str(folder / "run"), str(folder / "exported"), ServingInput())
    image = next((folder / "test_images").iterdir())
    with walks["file -> drawn box"].recorded():
        annotate.annotate(Predictor.load(folder / "exported"), [str(image)], folder / "found")
    rows_file = str(ROOT / "docs" / "shapes_sweep" / "results.jsonl")
    with walks["sweep row -> page"].recorded():
        report_folder.write(results.read(rows_file), folder / "page", results=[rows_file])
    return walks


def _example(folder: Path) -> Path:
    """A config of a small SSD that trains two steps, and its data."""
    from detection.data import synthetic_set
    from tests.helpers import small_ssd

    synthetic_set.make(folder, {"train": 4, "val": 2}, 1, sizes=((64, 64),))
    readers = {
        name: f'tf_record_input_reader {{ input_path: "{folder}/{split}.record-*" }}'
        f' label_map_path: "{folder}/label_map.pbtxt"'
        for name, split in (("train_input_reader", "train"), ("eval_input_reader", "val"))
    }
    config = folder / "pipeline.config"
    config.write_text(
        small_ssd.model(64, 64, 20)
        + "train_config { batch_size: 2 num_steps: 2 data_augmentation_options { ssd_random_crop {} }"
        " optimizer { momentum_optimizer { learning_rate { constant_learning_rate { learning_rate: 0.01 } } } } }\n"
        + "".join(f"{name} {{ {reader} }}\n" for name, reader in readers.items()),
        encoding="utf-8",
    )
    return config


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stops", action="store_true", help="show every stop")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        walks = walk_all(Path(name))
    for title, walk in walks.items():
        stays = walk.stays()
        files = len({stay.file for stay in stays})
        print(f"{title}: {len(stays)} stays in {files} files, {walk.returns()} returns")
        for stay in stays if given.stops else ():
            mark = "  <- return" if stay.is_return else ""
            print(f"    {stay.file.removeprefix(PACKAGE)}: {', '.join(stay.functions)}{mark}")
    return int(any(walk.returns() > MOST_RETURNS for walk in walks.values()))


if __name__ == "__main__":
    sys.exit(main())
