"""What one config goes through in `life_of_configs`: its changes, and its stages with what each must give."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

STAGES = ("train", "evaluate", "export", "detect", "restore")
STEPS = 3
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
