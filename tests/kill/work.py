"""What is killed, what must hold of what then lies there, and what must be there in the end."""

from __future__ import annotations

import dataclasses
import filecmp
import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from detection.errors import DetectionError
from tests.helpers import small_ssd
from tests.kill import forks

LIVE = ("train", "evaluate", "export", "convert", "sweep")
FILES = "files"  # no command: the files of a training and an export without networks, in a second
_CONFIG = (
    small_ssd.model(40, 40, 10)
    + """
train_config {
  batch_size: 2 num_steps: 12
  optimizer { momentum_optimizer { learning_rate { constant_learning_rate { learning_rate: 0.02 } } }
    use_moving_average: true }
}
train_input_reader {
  shuffle_buffer_size: 4 num_readers: 1
  tf_record_input_reader { input_path: "DATA/train.record-*" } label_map_path: "DATA/label_map.pbtxt"
}
eval_config { num_visualizations: 0 batch_size: 4 use_moving_averages: false }
eval_input_reader { tf_record_input_reader { input_path: "DATA/val.record-*" } label_map_path: "DATA/label_map.pbtxt"
  shuffle: false }
"""
)
_GRID = """
bases { name: "ssd" config: "tiny.config" }
axes { name: "detections" prefix: "d" shares_weights: true
       values { name: "10" } values { name: "5" set: "max_total_detections=5" set: "max_detections_per_class=5" } }
training { checkpoint_every_n: 3 deterministic: true }
evaluation {}
benchmark { num_images: 2 warmup: 1 }
"""
_TRAIN = (
    "--checkpoint_every_n=3",
    "--eval_every_n=6",
    "--max_checkpoints=2",
    "--best_metric=Loss/total_loss",
    "--seed=1",
    "--deterministic",
)


def tiny_network() -> None:
    """Puts a network of three convolutions where configs say ssd_mobilenet_v1: what is killed here are files, not
    networks."""
    from detection.builders import feature_extractor
    from detection.feature_extractors import ssd_maps
    from detection.networks import scaling
    from detection.networks.layers import Conv

    def make(options: ssd_maps.SsdExtractorOptions) -> ssd_maps.SsdFeatureExtractor:
        layers = tuple(Conv(f"Conv2d_{number}", 4, 3, options.hyperparams, stride=2) for number in range(3))
        return ssd_maps.make(
            "Tiny", layers, (layers[-1].name,), (8,), lambda depth: int(depth), scaling.to_unit_range, options
        )

    feature_extractor.SSD_EXTRACTORS["ssd_mobilenet_v1"] = make


class HalfWrittenError(AssertionError):
    """A reader accepted what no run ever finished, or refused what it should read."""


@dataclasses.dataclass
class Work:
    """One folder per command: `reference` of a run that nobody stopped, and as many as are asked for that are
    killed."""

    root: Path

    def prepare(self, names: Iterable[str] = LIVE) -> None:
        """Data and config, and what each of the commands leaves when nobody kills it; training first, which others
        start from."""
        self.root.mkdir(parents=True, exist_ok=True)
        if FILES in names:
            self.must([FILES, str(self.reference(FILES))])
            return
        for name, seed, images in (("data", 0, 6), ("old", 5, 4)):
            flags = [
                f"--output_dir={self.root / name}",
                f"--num_images={images}",
                "--num_val_images=4",
                "--num_test_images=0",
                "--size=96x72",
            ]
            self.must(["make_synthetic_dataset.py", *flags, f"--seed={seed}"])
        (self.root / "tiny.config").write_text(_CONFIG.replace("DATA", str(self.root / "data")), encoding="utf-8")
        (self.root / "grid.pbtxt").write_text(_GRID, encoding="utf-8")
        for name in dict.fromkeys(("train", *names)):
            self.begin(name, self.reference(name))
            self.must(self.words(name, self.reference(name)))
        everything = self.root / "every_step"
        self.must([word.replace("max_checkpoints=2", "max_checkpoints=99") for word in self.words("train", everything)])

    def reference(self, name: str) -> Path:
        return self.root / f"{name}.reference"

    def must(self, words: list[str]) -> None:
        ended = forks.run(self.call(words), self.root / "reference.log")
        if ended.code:
            raise RuntimeError(f"{words[0]} left with {ended.code}:\n{ended.said[-2000:]}")

    def call(self, words: list[str]) -> Callable[[], int]:
        if words[0] == FILES:
            return lambda: without_networks(Path(words[1]))

        def call() -> int:
            import tensorflow as tf

            tf.config.optimizer.set_experimental_options(
                {"disable_meta_optimizer": True}
            )  # Half of the time of runs as short as these.
            os.chdir(self.root)
            if words[0] == "sweep.py":
                _fork_workers()
            return forks.command(words)()

        return call

    def words(self, name: str, folder: Path) -> list[str]:
        """The command that fills `folder`."""
        config = f"--pipeline_config_path={self.root / 'tiny.config'}"
        trained = self.reference("train")
        return {
            "train": ["model_main.py", config, f"--model_dir={folder}", *_TRAIN],
            "evaluate": [
                "model_main.py",
                config,
                f"--model_dir={folder}",
                f"--checkpoint_dir={trained}",
                "--run_once",
                "--deterministic",
            ],
            "export": [
                "export_saved_model.py",
                config,
                f"--trained_checkpoint_prefix={trained}",
                f"--output_directory={folder}",
            ],
            "convert": self._convert("data", folder),
            "sweep": ["sweep.py", f"--grid={self.root / 'grid.pbtxt'}", f"--output={folder}"],
            FILES: [FILES, str(folder)],
        }[name]

    def _convert(self, data: str, folder: Path) -> list[str]:
        voc, split = self.root / data / "voc", ("--format=voc", "--set=train", "--num_shards=3", "--overwrite")
        return ["create_tf_record.py", f"--voc_dir={voc}", f"--output={folder / 'train.record'}", *split]

    def begin(self, name: str, folder: Path) -> None:
        """What lies in the folder before: of an export and a conversion, an older one."""
        if name == "export":
            older = self.root / "every_step.old"
            if not older.exists():
                words = [*self.words("export", older)]
                words[2] = f"--trained_checkpoint_prefix={self.reference('train') / 'model.ckpt-9'}"
                self.must(words)
            shutil.copytree(older, folder)
        if name == "convert":
            older = self.root / "convert.old"
            if not older.exists():
                self.must(self._convert("old", older))
            shutil.copytree(older, folder)
        if name not in ("export", "convert"):
            folder.mkdir(exist_ok=True)

    # What a reader may be given after a kill.

    def look(self, name: str, folder: Path) -> None:
        """Raises HalfWrittenError if what lies there is accepted and is not what some run finished. For a child: it
        reads with TensorFlow."""
        getattr(self, f"_look_{name}")(folder)

    def _look_train(self, folder: Path) -> None:
        from detection.checkpoints import checkpoint_files, rotation

        for where in (folder, folder / "best"):
            steps = rotation.steps_in(where)
            if steps:
                latest = checkpoint_files.locate(where)
                _same(
                    checkpoint_files.read(latest),
                    checkpoint_files.read(self.root / "every_step" / Path(latest).name),
                    latest,
                )
        best = folder / "best" / "best.json"
        if best.exists():
            prefix = folder / "best" / f"model.ckpt-{json.loads(best.read_text())['step']}"
            checkpoint_files.read(prefix)
        self._look_evaluate(folder, "every_step")

    def _look_files(self, folder: Path) -> None:
        from detection import files
        from detection.checkpoints import checkpoint_files, rotation

        for where in (folder, folder / "best"):
            for step in rotation.steps_in(where):
                if checkpoint_files.read(rotation.prefix_in(where, step))["w"].tolist() != _weights(step):
                    raise HalfWrittenError(f"{where}: step {step} holds other weights")
        parts = {path.read_text() for path in (folder / "export").glob("*/x")}
        if files.interrupted_export(folder / "export") is None and len(parts) > 1:
            raise HalfWrittenError(f"{folder / 'export'}: parts of {parts}, and nothing says so")

    def _look_evaluate(self, folder: Path, reference: str = "evaluate.reference") -> None:
        from detection.evaluate import results

        known = results.read_history(self.root / reference)
        file = folder / "eval" / "metrics.jsonl"
        for number, line in enumerate(file.read_text().splitlines() if file.exists() else ()):
            if json.loads(line) not in known:
                raise HalfWrittenError(f"{file}:{number + 1}: is not what a run without a kill found")
        latest = folder / "eval" / "metrics.json"
        if latest.exists() and json.loads(latest.read_text()) not in known:
            raise HalfWrittenError(f"{latest}: is not what a run without a kill found")

    def _look_export(self, folder: Path) -> None:
        from detection.checkpoints import checkpoint_files
        from detection.export.predictor import Predictor

        try:
            Predictor.load(folder)
            checkpoint = checkpoint_files.read(checkpoint_files.locate(folder / "checkpoint"))
        except DetectionError as error:
            if str(folder) not in str(error):
                raise HalfWrittenError(f"refused without a name: {error}") from error
            return
        of = [
            source
            for source in (self.root / "every_step.old", self.reference("export"))
            if _graph(source) == _graph(folder)
        ]
        if not of:
            raise HalfWrittenError(f"{folder}: its saved_model is neither the old one nor the new one")
        _same(
            checkpoint, checkpoint_files.read(checkpoint_files.locate(of[0] / "checkpoint")), str(folder / "checkpoint")
        )

    def _look_convert(self, folder: Path) -> None:
        from detection.data.reading import shard_files
        from detection.data.validation import validate

        pattern = str(folder / "train.record-*-of-?????")
        readers = {
            "training": lambda: shard_files.list_shards([pattern], "input_path"),
            "validation": (
                lambda: (
                    not validate.validate_records([pattern]).bad
                    and sorted(str(path) for path in folder.glob(Path(pattern).name))
                )
            ),
        }
        whole = [
            _digests(sorted(place.glob(Path(pattern).name)))
            for place in (self.root / "convert.old", self.reference("convert"))
        ]
        for name, read in readers.items():
            try:
                paths = read()
            except DetectionError:
                continue
            if paths and _digests(paths) not in whole:
                raise HalfWrittenError(f"{pattern}: accepted by {name}, and neither the old set nor the new one")

    def _look_sweep(self, folder: Path) -> None:
        from detection.sweep import results

        if (folder / results.FILE).exists():
            known = comparable(self.reference("sweep"))
            for row in comparable(folder):
                if row not in known:
                    raise HalfWrittenError(
                        f"{folder / results.FILE}: {row['id']}: not the row of a sweep without a kill"
                    )

    # What must be there in the end.

    def compare(self, name: str, folder: Path) -> None:
        """Raises HalfWrittenError unless the folder is what a run without a kill leaves."""
        reference = self.reference(name)
        kept, expected = _files(folder), _files(reference)
        if kept != expected:
            raise HalfWrittenError(f"{name}: more files: {sorted(kept - expected)}, missing: {sorted(expected - kept)}")
        for file in sorted(expected):
            if not _is_equal(folder / file, reference / file):
                raise HalfWrittenError(f"{name}: {file} differs from a run without a kill")
        if name == "sweep" and comparable(folder) != comparable(reference):
            raise HalfWrittenError("sweep: rows differ from a sweep without a kill")


def without_networks(folder: Path) -> int:
    """What a training and an export do to files: checkpoints in rotation, metrics, the best checkpoint, and two
    exports, one over the other."""
    import numpy as np

    from detection.checkpoints.rotation import Checkpoints
    from detection.evaluate import results
    from detection.export.saved_model import write_atomically
    from detection.train import run_dir
    from detection.train.best import Best

    with run_dir.claimed(folder):
        kept = Checkpoints(folder, keep=2)
        newest = kept.read_newest()
        step = newest[0] if newest else 0
        if newest:
            kept.finish_rotation(step)
        due = run_dir.evaluation_is_due(folder, step if newest else None)
        best = Best(folder, "a", resumed_at=step - due if newest else None)
        while due or step < 3:
            if not due:
                step += 1
                run_dir.note_evaluation(folder, step)
                kept.save(step, {"w": np.float32(_weights(step)), "global_step": np.int64(step)})
            results.write_metrics(folder, step, {"a": -abs(step - 2) + 2.0})  # The second is the best.
            best.offer(step, {"a": -abs(step - 2) + 2.0}, kept.prefix(step))
            run_dir.forget_evaluation(folder)
            due = False

    def write(text: str) -> Callable[[Path], None]:
        def fill(partial: Path) -> None:
            for name in ("checkpoint", "saved_model"):
                (partial / name).mkdir()
                (partial / name / "x").write_text(text)

        return fill

    for text in ("one", "two"):
        write_atomically(folder / "export", write(text))
    return 0


def _weights(step: int) -> list[float]:
    return [float(step)] * 4


def comparable(folder: Path) -> list[dict]:
    """Rows of a sweep without times and names of folders."""
    from detection.sweep import results

    rows = [json.loads(row.to_json()) for row in results.read(folder)]
    for row in rows:
        row["train"].pop("seconds", None)
        for part in ("command", "exporting", "measuring", "evaluating"):
            row.pop(part, None)
        row["benchmark"] = {
            name: value
            for name, value in row["benchmark"].items()
            if name in ("runs", "batch", "parameters", "image_size")
        }
    return rows


def _files(folder: Path) -> set[str]:
    """All but events and logs, and what the clock names."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return {file for file in found if "tfevents" not in file and not file.startswith("logs/")}


def _is_equal(file: Path, reference: Path) -> bool:
    from detection.checkpoints import checkpoint_files

    if file.name.startswith("model.ckpt") and file.name.endswith(".index"):
        _same(
            checkpoint_files.read(str(file)[: -len(".index")]),
            checkpoint_files.read(str(reference)[: -len(".index")]),
            str(file),
        )
        return True
    if file.name == "checkpoint":  # Its times are those of the files.
        return _without_times(file) == _without_times(reference)
    if file.name.endswith(".lock") or file.name in ("sweep.seconds", "sweep.json", "results.jsonl", "fingerprint.pb"):
        return True  # A clock's; rows are compared apart.
    if file.name == "saved_model.pb":
        return _graph(file.parents[1]) == _graph(reference.parents[1])
    if file.name.endswith(".report.json"):  # Names its folder.
        return file.read_text().replace(str(file.parent), "") == reference.read_text().replace(
            str(reference.parent), ""
        )
    return filecmp.cmp(file, reference, shallow=False)


def _without_times(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if "timestamp" not in line]


def _graph(export: Path) -> dict[str, bytes]:
    """Constants of an exported model, by name: all its weights."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((export / "saved_model" / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    nodes = [node for function in graph.library.function for node in function.node_def] + list(graph.node)
    return {node.name: node.attr["value"].SerializeToString(deterministic=True) for node in nodes if node.op == "Const"}


def _digests(paths: Iterable[str | Path]) -> list[str]:
    return [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths]


def _same(values: dict, expected: dict, where: object) -> None:
    if values.keys() != expected.keys():
        raise HalfWrittenError(f"{where}: holds other variables: {sorted(values.keys() ^ expected.keys())[:5]}")
    for name, value in values.items():
        if value.tobytes() != expected[name].tobytes():
            raise HalfWrittenError(f"{where}: {name} differs from a run without a kill")


def _fork_workers() -> None:
    """Stages of a sweep as forks of this process instead of new interpreters, which would import TensorFlow each
    time."""
    from detection.sweep import process, worker

    class Forked:
        """What `detection.sweep.process` uses of Popen."""

        def __init__(self, words: list[str], stdout: object, **_: object) -> None:
            read, write = os.pipe()

            def work() -> int:
                os.close(write)
                return worker.main(words[-1])

            self.pid = forks.start(work, Path(stdout.name), stdin=read)
            os.close(read)
            self.stdin, self._code = os.fdopen(write, "wb"), None

        def poll(self) -> int | None:
            if self._code is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                self._code = os.waitstatus_to_exitcode(status) if pid else None
            return self._code

    process.subprocess.Popen = Forked


def end_of(folder: Path, name: str) -> None:
    """Waits until the workers of a killed sweep have ended: they notice that it is gone."""
    if name != "sweep":
        return
    import time

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and _holders(folder):
        time.sleep(0.05)
    for process in _holders(folder):
        os.kill(process, signal.SIGKILL)
        print(f"worker {process} outlived its sweep", file=sys.stderr)


def _holders(folder: Path) -> list[int]:
    """Forked workers of the folder: processes whose output is one of its logs."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/fd/1"):
        try:
            if os.readlink(entry).startswith(str(folder / "logs")):
                found.append(int(entry.parts[2]))
        except OSError:
            continue  # It has just ended.
    return found
