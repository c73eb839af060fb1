"""Every config of a folder lives through the commands: trained, evaluated, exported, served, restored.

    detection convert --voc_dir=bccd --set=trainval --output=cells/train.record --label_map_path=cells/label_map.pbtxt
    detection convert --voc_dir=bccd --set=test --output=cells/val.record --label_map_path=cells/label_map.pbtxt
    python -m tests.odapi.life_of_configs --configs=odapi_configs/samples --configs=odapi_configs/tf2
        --records=cells --pictures a.jpg b.jpg --sample_1_of_n=18 --output=table.md

One fresh process a config, one row of JSON as soon as it is done (`<output>.jsonl`): the same command again skips
configs that have one, and writes the table anew. Of a config are changed: paths, the number of classes, the size of
images and of batches, the number of steps, and how many regions a second stage looks at (`adapt`); all else is as in
the file.

    train     3 steps without a fine-tuning checkpoint; losses must be finite
    evaluate  a new detector, all of its variables from that checkpoint; metrics must be finite
    export    the same as a SavedModel
    detect    two pictures by the loaded SavedModel; boxes inside of them, scores in [0, 1], classes of the label map
    restore   the run resumed at its last step, then a new detector that starts from the checkpoint as
              fine_tune_checkpoint of type `detection`: every variable of its extractors must be restored, with the
              checkpoint's value
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

STAGES = ("train", "evaluate", "export", "detect", "restore")
STEPS = 3
MARKER = "<!-- the tables: python -m tests.odapi.life_of_configs -->\n"
_SIDES = ("height", "width", "min_dimension", "max_dimension")
_REGIONS = 16  # that a second stage looks at: its cost does not depend on the size of images
_EXTRACTORS = ("FeatureExtractor/", "FirstStageFeatureExtractor/", "SecondStageFeatureExtractor/")
_OBJECT_EXTRACTORS = "model/_feature_extractor"


class Setting(NamedTuple):
    """What all configs are run with."""

    records: Path  # train.record*, val.record*, label_map.pbtxt
    pictures: tuple[str, ...]
    side: int  # pixels of the shorter side of images as the network sees them
    sample_1_of_n: int  # of the evaluation's images
    seconds: float  # that a config may take


def adapt(message: Any, setting: Setting) -> None:
    """Changes a config so that it runs on the records, within minutes."""
    from detection.config import label_map

    chosen = getattr(message.model, message.model.WhichOneof("model"))
    labels = setting.records / "label_map.pbtxt"
    chosen.num_classes = label_map.load(labels).max_id
    if hasattr(chosen, "first_stage_max_proposals"):
        chosen.first_stage_max_proposals = min(chosen.first_stage_max_proposals, _REGIONS)
        chosen.second_stage_batch_size = min(chosen.second_stage_batch_size, _REGIONS)
    training = message.train_config
    training.batch_size = min(training.batch_size, 2)
    training.num_steps = STEPS
    training.ClearField("fine_tune_checkpoint")
    message.eval_config.batch_size = min(message.eval_config.batch_size, 2)
    del message.eval_input_reader[1:]
    reader = message.eval_input_reader[0]
    reader.sample_1_of_n_examples = setting.sample_1_of_n
    for each, split in ((message.train_input_reader, "train"), (reader, "val")):
        each.label_map_path = str(labels)
        each.tf_record_input_reader.input_path[:] = [str(setting.records / f"{split}.record*-of-*")]
    shrink(message, setting.side)


def shrink(message: Any, side: int) -> None:
    """Makes the shorter side of images `side` pixels and keeps the proportion, unless the model takes one size only."""
    from detection import config as configs
    from detection.errors import DetectionError

    resizer = getattr(message.model, message.model.WhichOneof("model")).image_resizer
    kind = resizer.WhichOneof("image_resizer_oneof")
    sizes = getattr(resizer, kind)
    values = {name: getattr(sizes, name) for name in _SIDES if name in sizes.DESCRIPTOR.fields_by_name}
    for name, value in values.items():
        setattr(sizes, name, round(value * min(1.0, side / min(values.values()))))
    try:
        configs.check(message, check_paths=False)
    except DetectionError as error:
        if not all(".image_resizer" in line for line in error.lines()):
            raise
        for name, value in values.items():
            setattr(sizes, name, value)


def is_object_based(message: Any) -> bool:
    """Whether the checkpoints of a config's era are object-based: TensorFlow 2's."""
    from detection.protos import train_pb2

    chosen = message.model.WhichOneof("model")
    kind = getattr(message.model, chosen).feature_extractor.type
    version = message.train_config.fine_tune_checkpoint_version
    return chosen == "center_net" or kind.endswith("_keras") or version == train_pb2.V2


class Life:
    """The stages of one config, each a method that returns what the row says of it."""

    def __init__(self, config: str, setting: Setting, folder: Path) -> None:
        from detection import config as configs
        from detection.config import facts

        self.setting, self.folder, self.path = setting, folder, folder / "my.config"
        message = configs.load(config)
        adapt(message, setting)
        configs.save(message, self.path)
        self.object_based = is_object_based(message)
        self.model_dir = folder / "run"
        self.size = facts.of(message.model)["resolution"]

    def train(self) -> dict[str, Any]:
        import numpy as np

        import detection

        losses: list[float] = []
        pipeline = detection.load_pipeline(self.path)
        detection.run_training(
            _without_evaluation(pipeline),
            self.model_dir,
            seed=1,
            checkpoint_format=self.format,
            callbacks=detection.Callbacks(step=lambda done: losses.append(done.values()["Loss/total_loss"])),
        )
        assert len(losses) == STEPS and np.isfinite(losses).all(), f"losses are {losses}"
        return {"losses": losses}

    def evaluate(self) -> dict[str, Any]:
        import numpy as np

        import detection

        metrics = detection.run_evaluation(detection.load_pipeline(self.path), self.model_dir)
        total = metrics["Loss/total_loss"]
        precision = {tag: value for tag, value in metrics.items() if "mAP" in tag}
        # Without a box of the kind in the data, COCO's average precision by size is -1.
        fine = [value for value in precision.values() if 0 <= value <= 1]
        assert np.isfinite(total) and fine, f"no average precision, or a loss that is not finite: {metrics}"
        return {"loss": total, "metrics": len(metrics), **dict(list(precision.items())[:1])}

    def export(self) -> dict[str, Any]:
        import detection

        exported = detection.export_saved_model(self.path, self.model_dir, self.folder / "exported")
        return {"MiB": round(exported.file_mib, 1)}

    def detect(self) -> dict[str, Any]:
        import numpy as np

        import detection

        predictor = detection.load_model(self.folder / "exported")
        results = predictor.detect(list(self.setting.pictures))
        assert len(results) == len(self.setting.pictures)
        for result in results:
            count = len(result.scores)
            assert result.boxes.shape == (count, 4) and np.isfinite(result.boxes).all()
            assert (result.boxes[:, :2] <= result.boxes[:, 2:]).all() and (result.boxes >= 0).all()
            assert ((result.scores >= 0) & (result.scores <= 1)).all() and (np.diff(result.scores) <= 0).all()
            assert set(result.class_ids) <= set(predictor.names), set(result.class_ids)
        return {"detections": [len(result.scores) for result in results]}

    def restore(self) -> dict[str, Any]:
        import io

        import detection
        from detection.checkpoints import loading

        told = io.StringIO()
        pipeline = _without_evaluation(detection.load_pipeline(self.path))
        detection.run_training(pipeline, self.model_dir, seed=1, checkpoint_format=self.format, stream=told)
        assert "resuming from" in told.getvalue(), told.getvalue()
        newest = self.model_dir / f"model.ckpt-{STEPS}"
        start = [f"train_config.fine_tune_checkpoint={newest}", "train_config.fine_tune_checkpoint_type=detection"]
        pipeline = detection.load_pipeline(self.path, start)
        assert pipeline.train is not None and pipeline.train.fine_tune is not None
        detector = pipeline.detector()
        report = loading.start_from(detector, pipeline.train.fine_tune)
        wanted = _arrays(detector, self.object_based, pipeline.train.fine_tune.load_all)
        _check_restored(report, wanted, loading.by_name(detector), newest)
        return {"restored": len(report.restored), "variables": len(detector.variables)}

    @property
    def format(self) -> str:
        """Of checkpoints."""
        return "object" if self.object_based else "name"


def _without_evaluation(pipeline: Any) -> Any:
    """Evaluation is a stage of its own."""
    import dataclasses

    return dataclasses.replace(pipeline, eval_inputs=())


def _arrays(detector: Any, object_based: bool, everything: bool) -> dict[str, str]:
    """What a start of type `detection` must restore: variable -> name of its array in the file."""
    from detection.checkpoints import loading
    from detection.checkpoints.object_files import END

    variables = loading.by_name(detector)
    if not object_based:
        return {
            name: name
            for name in variables
            if (everything or name.startswith(_EXTRACTORS)) and not name.startswith("generator_")
        }
    name_of = {id(variable): name for name, variable in variables.items()}
    keys = {name_of[id(variable)]: key for key, variable in detector.object_keys().items()}
    return {name: key + END for name, key in keys.items() if key.startswith(_OBJECT_EXTRACTORS)}


def _check_restored(report: Any, wanted: dict[str, str], variables: dict[str, Any], newest: Path) -> None:
    """Raises AssertionError unless the file, read by TensorFlow alone, has every wanted array, and it is the value."""
    import numpy as np
    import tensorflow as tf

    missed = sorted(set(wanted) ^ set(report.restored))
    assert wanted and not missed, f"{len(missed)} of {len(wanted)} not restored, or more than those: {missed[:3]}"
    assert not (report.missing or report.mismatched), report.table()
    reader = tf.train.load_checkpoint(str(newest))
    for name, key in wanted.items():
        assert np.array_equal(reader.get_tensor(key), variables[name].numpy()), f"{name} is not {key} of {newest}"


def understand(config: str) -> dict[str, Any]:
    """The first words of a row: what the config is of, and why it is refused where it is."""
    from detection import config as configs
    from detection.errors import DetectionError

    row: dict[str, Any] = {"config": Path(config).name, "stages": {}}
    try:
        message = configs.load(config)
        kind = message.model.WhichOneof("model")
        chosen = getattr(message.model, kind)
        regions = kind == "faster_rcnn" and chosen.second_stage_box_predictor.HasField("rfcn_box_predictor")
        row |= {"model": "rfcn" if regions else kind, "type": chosen.feature_extractor.type}
        configs.check(message, Path(config).name, check_paths=False)
    except DetectionError as error:
        row["refused"] = [line.removeprefix(f"{Path(config).name}: ") for line in error.lines()]
    return row


def live(config: str, row: dict[str, Any], setting: Setting, row_path: Path) -> None:
    """The life of one config in this process; its row is written after every stage."""
    with tempfile.TemporaryDirectory() as name:
        life = Life(config, setting, Path(name))
        row |= {"checkpoint": life.format, "size": life.size}
        for stage in STAGES:
            row["running"] = stage
            _write(row_path, row)
            begun = time.monotonic()
            try:
                found = getattr(life, stage)()
            except Exception as error:
                row |= {"failed": stage, "error": f"{type(error).__name__}: {error}"}
                row["trace"] = traceback.format_exc()
                break
            row["stages"][stage] = {"seconds": round(time.monotonic() - begun, 1), **found}
        del row["running"]
        _write(row_path, row)


def _write(path: Path, row: dict[str, Any]) -> None:
    path.with_suffix(".part").write_text(json.dumps(row), encoding="utf-8")
    path.with_suffix(".part").replace(path)


def run(configs: list[str], setting: Setting, rows: Path, again: bool = False) -> None:
    """Every config in a process of its own, one after the other; a row each is added to `rows`.

    Args:
        again: those that failed too.
    """
    import detection.builders.pipeline
    import detection.export.exporter
    import detection.train.loop  # noqa: F401  (imported once, before processes are forked)

    done = {row["config"] for row in read(rows) if not (again and "failed" in row)}
    begun = [understand(config) for config in configs if Path(config).name not in done]
    paths = {Path(config).name: config for config in configs}
    with tempfile.TemporaryDirectory() as name:
        for row in in_order(begun):
            if "refused" not in row:
                row = _in_a_process(paths[row["config"]], row, setting, Path(name) / "row.json")
            with rows.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")
            print(f"{row['config']}: {_outcome(row)}", flush=True)


def _in_a_process(config: str, row: dict[str, Any], setting: Setting, row_path: Path) -> dict[str, Any]:
    """The row that a config has in the end, whatever became of its process."""
    _write(row_path, row | {"running": STAGES[0]})
    before, begun = _cpu_seconds(), time.monotonic()
    process = multiprocessing.get_context("fork").Process(target=live, args=(config, row, setting, row_path))
    process.start()
    process.join(setting.seconds)
    late = process.is_alive()
    if late:
        process.kill()
        process.join()
    row = json.loads(row_path.read_text(encoding="utf-8"))
    if running := row.pop("running", ""):
        why = f"over {setting.seconds:.0f} s" if late else f"the process ended with {process.exitcode}"
        row |= {"failed": running, "error": why}
    row |= {"seconds": round(time.monotonic() - begun, 1), "cpu_seconds": round(_cpu_seconds() - before, 1)}
    return row


def _cpu_seconds() -> float:
    """Of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is refused first, then one config of each model and extractor, then the others."""
    seen: set[tuple[str, str]] = set()
    refused = [row for row in rows if "refused" in row]
    first, rest = [], []
    for row in rows:
        if "refused" not in row:
            kind = row["model"], row["type"]
            (rest if kind in seen else first).append(row)
            seen.add(kind)
    return refused + first + rest


def read(rows: Path) -> list[dict[str, Any]]:
    """The rows that are there; of a config that has several, the last."""
    if not rows.exists():
        return []
    found = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    return list({row["config"]: row for row in found}.values())


def _outcome(row: dict[str, Any]) -> str:
    if "refused" in row:
        return f"refused: {row['refused'][0]}"
    return f"{row['failed']}: {row['error'][:300]}" if "failed" in row else "all stages"


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: what ran, then what is refused."""
    from detection import markdown

    ran = sorted((row for row in rows if "refused" not in row), key=lambda row: (row.get("type", ""), row["config"]))
    head = ["config", "type", "checkpoint", "pixels", *STAGES]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in ran:
        cells = [_cell(row, stage) for stage in STAGES]
        kind = markdown.code(row.get("type", ""))
        words = [_name(row), kind, row.get("checkpoint", ""), row.get("size", ""), *cells]
        lines.append(f"| {' | '.join(words)} |")
    refused = sorted((row for row in rows if "refused" in row), key=lambda row: row["config"])
    if refused:
        lines += ["", "| refused by `detection check` | why |", "|---|---|"]
        lines += [f"| {_name(row)} | {_why(row)} |" for row in refused]
    return "\n".join(lines) + "\n"


def write(page: Path, text: str) -> None:
    """Puts the table behind the marker of a page that has one, else writes it alone."""
    before = page.read_text(encoding="utf-8") if page.exists() else ""
    kept = before.partition(MARKER)[0] + MARKER if MARKER in before else ""
    page.write_text(kept + text, encoding="utf-8")


def _name(row: dict[str, Any]) -> str:
    from detection import markdown

    return markdown.words(row["config"].removesuffix(".config"))


def _why(row: dict[str, Any]) -> str:
    from detection import markdown

    return "<br>".join(markdown.words(line.split(";")[0]) for line in row["refused"])


def _cell(row: dict[str, Any], stage: str) -> str:
    from detection import markdown

    found = row["stages"].get(stage)
    if found is None:
        return f"failed: {markdown.words(row['error'][:120])}" if row.get("failed") == stage else "-"
    said = {
        "train": lambda: f"loss {found['losses'][0]:.3g}",
        "evaluate": lambda: f"loss {found['loss']:.3g}",
        "export": lambda: f"{found['MiB']:.0f} MiB",
        "detect": lambda: "+".join(map(str, found["detections"])),
        "restore": lambda: f"{found['restored']} of {found['variables']}",
    }[stage]()
    return f"{said}, {found['seconds']:.0f} s"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configs", action="append", required=True, help="a folder of configs, or one; repeatable")
    parser.add_argument("--records", type=Path, required=True, help="folder of train.record*, val.record*, label map")
    parser.add_argument("--pictures", nargs="+", required=True, help="pictures to detect on")
    parser.add_argument("--output", type=Path, required=True, help="the table; rows go beside it")
    parser.add_argument("--side", type=int, default=160, help="pixels of the shorter side of images")
    parser.add_argument("--sample_1_of_n", type=int, default=1, help="of the evaluation's images")
    parser.add_argument("--seconds", type=float, default=360, help="that a config may take")
    parser.add_argument("--again", action="store_true", help="configs that failed too")
    given = parser.parse_args(argv)
    folders = [Path(name) for name in given.configs]
    configs = [str(path) for each in folders for path in (sorted(each.glob("*.config")) if each.is_dir() else [each])]
    setting = Setting(given.records.resolve(), tuple(given.pictures), given.side, given.sample_1_of_n, given.seconds)
    rows = given.output.with_suffix(".jsonl")
    run(configs, setting, rows, given.again)
    wanted = {Path(config).name for config in configs}
    found = read(rows)
    write(given.output, table(found))
    failed = [row for row in found if "failed" in row and row["config"] in wanted]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
