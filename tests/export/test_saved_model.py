"""What an export writes, and that it appears complete or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from detection import config
from detection.benchmark.served_graph import ServedGraph
from detection.checkpoints import loading
from detection.config import label_map
from detection.errors import ConfigError
from detection.export import exporter, saved_model
from detection.export.predictor import Predictor
from detection.export.saved_model import write_atomically
from detection.types import Category


def test_everything_lies_where_clients_look(exported, trained):
    assert sorted(path.name for path in exported.iterdir()) == [
        "checkpoint",
        "label_map.pbtxt",
        "pipeline.config",
        "saved_model",
    ]
    categories = (Category(1, "/m/01x3z", "circle"), Category(2, 'square "of" ☃'), Category(3, "star", "star"))
    assert Predictor.load(exported).categories == categories
    for path in (exported / "label_map.pbtxt", exported / "saved_model" / "assets.extra" / "label_map.pbtxt"):
        assert label_map.load(path).categories == categories
    assert config.load(exported / "pipeline.config") == config.load(exported.with_name("image_tensor.config"))
    reader = tf.train.load_checkpoint(str(exported / "checkpoint"))
    assert int(reader.get_tensor("global_step")) == 7
    for name, variable in loading.by_name(trained.detector).items():
        np.testing.assert_array_equal(reader.get_tensor(name), variable.numpy())


def test_the_saved_model_holds_no_variable_and_no_batch_norm(exported):
    proto = saved_model_pb2.SavedModel.FromString((exported / "saved_model" / "saved_model.pb").read_bytes())
    (meta_graph,) = proto.meta_graphs
    assert list(meta_graph.meta_info_def.tags) == ["serve"]
    graph = meta_graph.graph_def
    ops = {node.op for node in graph.node} | {
        node.op for function in graph.library.function for node in function.node_def
    }
    assert not ops & {"VarHandleOp", "ReadVariableOp", "FusedBatchNormV3", "PyFunc", "EagerPyFunc"}


def test_large_constants_stand_beside_the_functions(exported, trained, tmp_path, monkeypatch):
    """Whatever their size, what is served and what a benchmark cuts out of it is the same."""
    monkeypatch.setattr(saved_model, "LARGE", 5000)
    exporter.export(trained.config, trained.checkpoint, str(tmp_path))
    proto = saved_model_pb2.SavedModel.FromString((tmp_path / "saved_model" / "saved_model.pb").read_bytes())
    graph = proto.meta_graphs[0].graph_def
    inside = [
        node.ByteSize() for function in graph.library.function for node in function.node_def if node.op == "Const"
    ]
    outside = [node.ByteSize() for node in graph.node if node.op == "Const"]
    assert max(inside) <= 5000 < max(outside)
    images = tf.constant(np.random.default_rng(1).integers(0, 256, (2, 80, 100, 3), np.uint8))
    here, there = (tf.saved_model.load(str(folder / "saved_model"))(images) for folder in (tmp_path, exported))
    for name, values in there.items():  # Of a constant, kernels may keep another order, and sum in it.
        np.testing.assert_allclose(here[name], values, rtol=1e-4, atol=1e-4, err_msg=name)
    assert ServedGraph(tmp_path).count_parameters() == ServedGraph(exported).count_parameters()


def test_nothing_of_the_scratch_folders_is_left(exported):
    assert not [path for path in (*exported.parent.iterdir(), *exported.iterdir()) if path.name.startswith(".")]


def test_all_is_written_inside_the_target_which_may_be_a_mounted_volume(tmp_path):
    seen = []
    write_atomically(tmp_path / "export", lambda folder: (seen.append(folder.parent), (folder / "x").write_text("")))
    assert seen == [tmp_path / "export"]


def test_a_failed_export_leaves_no_new_folder(tmp_path):
    def fail(folder: Path) -> None:
        raise ConfigError("no")

    with pytest.raises(ConfigError, match="no"):
        write_atomically(tmp_path / "export", fail)
    assert not (tmp_path / "export").exists()


def _writes(text: str):
    def write(folder: Path) -> None:
        (folder / "saved_model").mkdir()
        (folder / "saved_model" / "x").write_text(text)

    return write


def test_a_second_export_replaces_the_first_and_leaves_other_files(tmp_path):
    target = tmp_path / "deep" / "export"
    write_atomically(target, _writes("one"))
    (target / "mine.txt").write_text("keep")
    write_atomically(target, _writes("two"))
    assert (target / "saved_model" / "x").read_text() == "two"
    assert sorted(path.name for path in target.iterdir()) == ["mine.txt", "saved_model"]
    assert [path.name for path in target.parent.iterdir()] == ["export"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        tf.errors.ResourceExhaustedError(None, None, "disk full; in a long\nstory"),
    ],
)
def test_a_full_disk_leaves_the_old_export_and_says_so(tmp_path, error):
    target = tmp_path / "export"
    write_atomically(target, _writes("one"))

    def fail(folder: Path) -> None:
        _writes("half")(folder)
        raise error

    with pytest.raises(ConfigError) as raised:
        write_atomically(target, fail)
    message = str(raised.value)
    assert (
        str(target) in message
        and ("no space left on device" in message or "disk full" in message)
        and "\n" not in message
    )
    assert (target / "saved_model" / "x").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["export"]
    assert [path.name for path in target.iterdir()] == ["saved_model"]


def test_a_target_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="--output_directory=.*file/export"):
        write_atomically(tmp_path / "file" / "export", _writes("one"))


def test_relative_targets_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_atomically(Path("export"), _writes("one"))
    assert os.path.isdir("export/saved_model")
