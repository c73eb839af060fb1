"""Config files: text, binary, encodings, and files that are no config."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from google.protobuf import text_format

from detection import config
from detection.errors import ConfigError
from detection.protos import pipeline_pb2


def fault(path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(ConfigError) as error:
        config.load(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)
    return str(error.value).replace(str(path), "FILE")


def test_text_binary_and_byte_order_mark(tmp_path, config_text):
    expected = text_format.Parse(config_text, pipeline_pb2.TrainEvalPipelineConfig())
    for name, content in (
        ("a.config", config_text.encode()),
        ("bom.config", b"\xef\xbb\xbf" + config_text.encode()),
        ("windows.config", config_text.replace("\n", "\r\n").encode()),
        ("binary.pb", expected.SerializeToString()),
        ("binary.config", expected.SerializeToString()),
    ):
        (tmp_path / name).write_bytes(content)
        assert config.load(tmp_path / name) == expected, name


def test_every_part_alone_is_seen_to_be_binary(tmp_path, ssd):
    for field, value in ssd.ListFields():
        part = pipeline_pb2.TrainEvalPipelineConfig()
        if field.is_repeated:
            getattr(part, field.name).extend(value)
        else:
            getattr(part, field.name).CopyFrom(value)
        (tmp_path / "part.pb").write_bytes(part.SerializeToString())
        assert config.load(tmp_path / "part.pb") == part


def test_a_binary_config_without_a_control_character(tmp_path):
    part = pipeline_pb2.TrainEvalPipelineConfig(plugins=["0\U00010000\U00010000"])
    (tmp_path / "part.pb").write_bytes(part.SerializeToString())
    assert min(part.SerializeToString()) == ord("\t")  # which text may have
    assert config.load(tmp_path / "part.pb") == part


def test_position_after_a_byte_order_mark(tmp_path):
    assert fault(tmp_path / "a.config", b"\xef\xbb\xbfmodel { x: 1 }").startswith(
        "FILE:1:9: unknown field 'x' in DetectionModel"
    )


def test_what_cannot_be_read(tmp_path):
    (tmp_path / "real.config").write_text("model {}")
    with pytest.raises(
        ConfigError,
        match=r"other\.config: cannot read the config: No such file or directory; did you mean one of .*real\.config",
    ):
        config.load(tmp_path / "other.config")
    with pytest.raises(ConfigError, match="cannot read the config: Is a directory"):
        config.load(tmp_path)
    with pytest.raises(ConfigError, match="not a file name"):
        config.load("a\0b")


@pytest.mark.parametrize("name", ["ssd_mobilenet_v1_075_bccd", "my/ssd_mobilenet_v1_075_bccd.config"])
def test_a_config_of_the_package_is_named_with_its_prefix(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"did you mean builtin:ssd_mobilenet_v1_075_bccd\?$"):
        config.load(name)


def test_files_that_are_no_config(tmp_path):
    path = tmp_path / "a.config"
    assert fault(path, b"") == "FILE: the config is empty; expected at least model { ... }"
    assert "is empty" in fault(path, b" \n\t")
    assert fault(path, b"model { }\n# caf\xe9") == "FILE:2:6: byte 0xe9 is not UTF-8; save the config as UTF-8 text"
    assert "UTF-16" in fault(path, "model { }".encode("utf-16"))
    assert fault(path, b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR").endswith("is it really a pipeline config?")
    assert "neither a text nor a binary" in fault(path, b"\x00\xff\xd8")
    assert fault(path, b"model \x07 { }" + b" " * 20).startswith("FILE:1:7: expected '{', found '\\x07'")
    assert (
        fault(path, b"item { name: 'dog' id: 1 }")
        == "FILE:1:1: unknown field 'item' in TrainEvalPipelineConfig; its fields are model, "
        "train_config, train_input_reader, eval_config, eval_input_reader, graph_rewriter, plugins"
    )


def test_a_file_of_another_kind_is_not_read(tmp_path):
    with (tmp_path / "weights.data").open("wb") as file:
        file.truncate(1 << 33)
    with pytest.raises(
        ConfigError, match="8,589,934,592 bytes; a pipeline config has a few thousand, so this is another file"
    ):
        config.load(tmp_path / "weights.data")


def test_binary_of_another_message(tmp_path):
    assert "holds field number 9, which TrainEvalPipelineConfig does not have" in fault(tmp_path / "a.pb", b"\x48\x01")
    assert "model.ssd holds field number 99, which Ssd does not have" in fault(
        tmp_path / "a.pb", b"\x0a\x05\x12\x03\x98\x06\x01"
    )


def test_save(tmp_path, ssd):
    ssd.train_config.fine_tune_checkpoint = "weights/été 'ü' \"x\"\\/model.ckpt"
    path = tmp_path / "new folder" / "pipeline.config"
    config.save(ssd, path)
    assert config.load(path) == ssd and "été" in path.read_text("utf-8")
    assert os.listdir(path.parent) == ["pipeline.config"]
    config.save(ssd, path)
    with pytest.raises(ConfigError, match="cannot write the config"):
        config.save(ssd, tmp_path / "new folder" / "pipeline.config" / "inside")


def test_floats_are_written_as_one_writes_them(ssd):
    assert "weight: 4e-05" in config.to_text(ssd) and "epsilon: 0.001" in config.to_text(ssd)


def test_reading_and_checking_needs_no_tensorflow(tmp_path, config_text):
    (tmp_path / "a.config").write_text(config_text)
    code = (
        "import sys; from detection import config; config.check(config.load('a.config'), 'a.config', False);"
        " print('tensorflow' in sys.modules)"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_every_sample_config(shared):
    """The API's own configs load as by protobuf's parser."""
    paths = sorted((shared / "odapi_configs").glob("*.config"))
    assert len(paths) == 7
    for path in paths:
        assert config.load(path) == text_format.Parse(path.read_text(), pipeline_pb2.TrainEvalPipelineConfig())
