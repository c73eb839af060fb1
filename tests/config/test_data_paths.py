"""Files named by a config: missing files, and label maps that do not fit the model."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format

from detection import config
from detection.config import label_map
from detection.errors import ConfigError, DataError
from detection.protos import faster_rcnn_pb2


@pytest.fixture
def here(tmp_path: Path, monkeypatch) -> Path:
    """The working directory, with all files that `ssd` names."""
    monkeypatch.chdir(tmp_path)
    for name in ("train.record", "val.record"):
        (tmp_path / name).write_bytes(b"")
    label_map.save("label_map.pbtxt", ["a", "b", "c"])
    return tmp_path


def fault(message, *settings: str) -> str:
    with pytest.raises(ConfigError) as error:
        config.check(config.override(message, settings), "my.config")
    assert not any("\n" in line for line in error.value.lines())
    return error.value.lines()[0]


def test_no_errors_if_all_files_exist(here, ssd):
    assert config.check(ssd, "my.config") == []


def test_records(here, ssd):
    field = "train_input_reader.tf_record_input_reader.input_path"
    (here / "x.record-00000-of-00002").write_bytes(b"")
    (here / "odd [1].record").write_bytes(b"")
    for pattern in ("x.record-?????-of-00002", str(here / "*.record"), "odd [1].record", "gs://bucket/x"):
        assert config.check(config.override(ssd, [f"{field}={pattern}"])) == []
    assert (
        fault(ssd, f"{field}=y*")
        == f"my.config: {field} ('y*') matches no file; is the name right, from {str(here)!r}?"
    )
    assert (
        fault(ssd, f"{field}=/dev/zero")
        == f"my.config: {field} ('/dev/zero') names '/dev/zero', a device or pipe; name files"
    )
    assert fault(ssd, f"{field}=   ") == f"my.config: {field} ('') matches no file; the path is empty; name the file"
    assert (
        fault(ssd, f"{field}+=no/y")
        == f"my.config: {field}[1] ('no/y') matches no file; there is no folder 'no' in {str(here)!r}"
    )
    assert fault(ssd, f"{field}=/no/y") == f"my.config: {field} ('/no/y') matches no file; there is no folder '/no'"
    placeholder = "PATH_TO_BE_CONFIGURED/train.record"
    assert (
        fault(ssd, f"{field}={placeholder}")
        == f"my.config: {field} ({placeholder!r}) matches no file; replace PATH_TO_BE_CONFIGURED in the file, or use"
        f" --set {field}=..."
    )
    assert (
        fault(ssd, f"{field}=[]")
        == f'my.config: {field} is not set; add tf_record_input_reader {{ input_path: "..." }}'
    )
    assert fault(ssd, "eval_input_path=z").startswith(
        "my.config: eval_input_reader[0].tf_record_input_reader.input_path ('z') matches no file"
    )


def test_files_of_proposals(here, ssd):
    field = "train_input_reader.proposals_path"
    (here / "p.npz").write_bytes(b"")
    assert config.check(config.override(ssd, [f'{field}=["p.npz", "p*"]'])) == []
    assert (
        fault(ssd, f'{field}=["p.npz", "q.npz"]')
        == f"my.config: {field}[1] ('q.npz') matches no file; is the name right, from {str(here)!r}?"
    )
    assert "max_number_of_proposals (-3) must be at least 0" in fault(
        ssd, "eval_input_reader.max_number_of_proposals=-3"
    )


def test_fast_rcnn_needs_proposals(here, ssd):
    ssd.model.fast_rcnn.CopyFrom(faster_rcnn_pb2.FasterRcnn())
    model = """
      num_classes: 3 image_resizer { identity_resizer {} } feature_extractor { type: "faster_rcnn_vgg16" }
      initial_crop_size: 14 maxpool_kernel_size: 2 maxpool_stride: 2
      second_stage_box_predictor { mask_rcnn_box_predictor { fc_hyperparams { initializer {
        truncated_normal_initializer {} } } } }
    """
    text_format.Parse(model, ssd.model.fast_rcnn)
    (here / "p.npz").write_bytes(b"")
    assert (
        fault(ssd) == "my.config: train_input_reader gives no proposals to model.fast_rcnn; "
        "set its proposals_path, or max_number_of_proposals where the records hold them"
    )
    ssd.train_input_reader.proposals_path.append("p.npz")
    assert fault(ssd).startswith("my.config: eval_input_reader[0] gives no proposals")
    ssd.eval_input_reader[0].max_number_of_proposals = 50
    assert config.check(ssd) == []
    assert "(50) is less than model.fast_rcnn.second_stage_batch_size (64)" in fault(
        ssd, "train_input_reader.max_number_of_proposals=50"
    )
    assert fault(ssd, "eval_input_reader.max_number_of_proposals=0").startswith(
        "my.config: eval_input_reader[0] gives no proposals"
    )


def test_training_needs_data_and_evaluation_may_be_left_out(here, ssd):
    ssd.ClearField("eval_input_reader")
    assert config.check(ssd) == []
    ssd.ClearField("train_input_reader")
    assert fault(ssd).startswith("my.config: train_input_reader.tf_record_input_reader.input_path is not set")


def test_label_map(here, ssd):
    field = "train_input_reader.label_map_path"
    assert fault(ssd, f"{field}=none.pbtxt").startswith(
        f"my.config: {field} ('none.pbtxt'): no such file; is the name right"
    )
    (here / "bad.pbtxt").write_text("item { id: 0 name: 'a' }")
    with pytest.raises(DataError, match="bad.pbtxt:1"):
        config.check(config.override(ssd, [f"{field}=bad.pbtxt"]))


def test_num_classes_and_label_map(here, ssd):
    assert (
        fault(ssd, "model.ssd.num_classes=2")
        == "my.config: model.ssd.num_classes (2) is less than the largest id, 3 ('c'), of"
        " train_input_reader.label_map_path (label_map.pbtxt); set num_classes to 3"
    )
    warnings = config.check(config.override(ssd, ["model.ssd.num_classes=5"]), "my.config")
    assert (
        warnings[0]
        == "my.config: model.ssd.num_classes (5) is more than the largest id, 3, of train_input_reader.label_map_path"
        " (label_map.pbtxt); the classes above it are never trained"
    )


def test_label_maps_that_differ(here, ssd):
    label_map.save("other.pbtxt", ["a", "c", "b"])
    changed = config.override(ssd, ["eval_input_reader.label_map_path=other.pbtxt"])
    (warning,) = config.check(changed, "my.config")
    assert warning.startswith(
        "my.config: eval_input_reader[0].label_map_path (other.pbtxt) and train_input_reader.label_map_path"
        " (label_map.pbtxt) "
    )


def test_checkpoint(here, ssd):
    field = "train_config.fine_tune_checkpoint"
    (here / "weights").mkdir()
    assert (
        fault(ssd, f"{field}=weights")
        == f"my.config: {field} ('weights') is a folder without a checkpoint; name the files' common beginning, as in"
        " model.ckpt-1000"
    )
    (here / "weights" / "model.ckpt-7.index").write_bytes(b"")
    (here / "v1.ckpt").write_bytes(b"")
    for path in ("weights", "weights/model.ckpt-7", "weights/model.ckpt-7.index", "v1.ckpt", "gs://bucket/model.ckpt"):
        assert config.check(config.override(ssd, [f"{field}={path}"])) == []
    assert (
        fault(ssd, f"{field}=weights/model.ckpt")
        == f"my.config: {field} ('weights/model.ckpt'): there is no weights/model.ckpt.index; did you mean"
        " weights/model.ckpt-7?"
    )
    assert "replace PATH_TO_BE_CONFIGURED" in fault(ssd, f"{field}=PATH_TO_BE_CONFIGURED/model.ckpt")
