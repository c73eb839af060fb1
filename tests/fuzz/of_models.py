"""SavedModels."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from detection.errors import ConfigError, DataError
from tests.fuzz.mutate import Material
from tests.fuzz.reading import IMAGE, LONGEST, Reader


def make_saved_model(folder: Path) -> None:
    """The smallest with a detector's signature. Runs TensorFlow: call it in a process of its own."""
    import tensorflow as tf

    from detection.config import label_map

    class Detector(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = tf.Variable([1.0, 2.0])

        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="input_tensor")])
        def serve(self, input_tensor: tf.Tensor) -> dict[str, tf.Tensor]:
            count = tf.shape(input_tensor)[0]
            ones = tf.ones([count, 2]) * self.scale
            boxes = tf.tile(tf.reshape(tf.stack([ones, ones, ones, ones], axis=2), [count, 2, 4]), [1, 1, 1])
            return {
                "detection_boxes": boxes,
                "detection_scores": ones,
                "detection_classes": ones,
                "num_detections": tf.fill([count], 2.0),
            }

    made = Detector()
    tf.saved_model.save(made, str(folder), signatures={"serving_default": made.serve})
    (folder / "assets").mkdir(exist_ok=True)
    label_map.save(folder / "assets" / "label_map.pbtxt", ["cat", "dog"])


def _saved_models() -> Material:
    import multiprocessing
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        process = multiprocessing.get_context("fork").Process(target=make_saved_model, args=(Path(folder),))
        process.start()
        process.join()
        if process.exitcode:
            raise RuntimeError("the SavedModel of the corpus could not be made")
        files = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(Path(folder).rglob("*"))
            if path.is_file()
        }
    names = [name for name in files if name != "fingerprint.pb"]
    corpus = [name.encode() + b"\n" + files[name] for name in names] + [
        b"saved_model.pb\n" + files["saved_model.pb"]
    ] * 2
    tokens = [
        b"serving_default",
        b"detection_boxes",
        b"num_detections",
        b"Identity",
        b"StatefulPartitionedCall",
        b"ReadVariableOp",
        b"Const",
        b"dtype",
    ]
    return Material(
        [b"ALL\n" + json.dumps({name: data.hex() for name, data in files.items()}).encode(), *corpus], tokens
    )


def _prepare_saved_model(folder: Path) -> Callable[[bytes], str]:
    from detection.export.predictor import Predictor

    whole = json.loads(_SAVED_MODEL[0].partition(b"\n")[2])
    files = {name: bytes.fromhex(text) for name, text in whole.items()}
    target = folder / "exported" / "saved_model"
    picture = np.zeros([8, 8, 3], np.uint8)

    def run(data: bytes) -> str:
        name, _, content = data.partition(b"\n")
        damaged = name.decode("latin-1") if name.decode("latin-1") in files else "saved_model.pb"
        for path, original in files.items():
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            (target / path).write_bytes(content if path == damaged else original)
        try:
            Predictor.load(target).detect(picture)
        except (ConfigError, DataError) as error:
            assert len(str(error)) <= LONGEST, str(error)[:500]
            return type(error).__name__
        return "read"

    return run


_SAVED_MODEL: list[bytes] = []


def _saved_model_material() -> Material:
    material = _saved_models()
    _SAVED_MODEL[:] = material.corpus[:1]
    return material._replace(corpus=material.corpus[1:])


READERS = {
    "saved_model": Reader(_saved_model_material, _prepare_saved_model, IMAGE),
}
