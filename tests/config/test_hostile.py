"""Any content of a config file or a setting gives a config or a ConfigError, in time linear in its length."""

from __future__ import annotations

import os
import random
import signal
import threading
from pathlib import Path

import pytest
from absl import logging

from detection import config
from detection.config import files
from detection.errors import ConfigError
from detection.protos import pipeline_pb2
from detection.train.main import split_settings

Config = pipeline_pb2.TrainEvalPipelineConfig
OLD = """
model { ssd { min_num_negative_samples: 3 desired_negative_sampling_ratio: 1.0
  feature_extractor { batch_norm_trainable: true } } }
train_input_reader { prefetch_buffer_size: 4 }
train_config { data_augmentation_options { random_pad_image { min_image_height: 600.0 } }
  data_augmentation_options { ssd_random_crop_pad_fixed_aspect_ratio { operations { min_padded_size_ratio: 1.0 } } } }
"""
PIECES = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    '"',
    "'",
    "\\",
    "#",
    "<",
    ">",
    "\n",
    " ",
    "\0",
    "\ufeff",
    "9" * 400,
    "1.e300",
    "nan",
    "-",
    "0x",
    "[a.b/c]",
    "ssd",
    "[type.googleapis.com/x.Y] { }",
    "é",
    ";",
    "=",
    "1e400",
    "first_stage_only: true",
    "min_image_height: 1.0e200 ",
    "model {" * 70,
]


LONG = 100_000  # characters: what is quadratic takes minutes, what is cubic days


@pytest.fixture(autouse=True)
def quiet_and_bounded():
    """Forbids warnings, and limits a test to a minute of processor time; each needs a second or two."""

    def too_long(*_: object) -> None:
        raise AssertionError("a minute of processor time is used up")

    before, handler = logging.get_verbosity(), signal.signal(signal.SIGVTALRM, too_long)
    logging.set_verbosity(logging.FATAL)
    signal.setitimer(signal.ITIMER_VIRTUAL, 60)
    yield
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    signal.signal(signal.SIGVTALRM, handler)
    logging.set_verbosity(before)


def mutated(data: bytes, chance: random.Random) -> bytes:
    data = bytearray(data)
    for _ in range(chance.randrange(1, 6)):
        at, kind = chance.randrange(len(data) + 1), chance.randrange(5)
        if kind == 0:
            data[at:at] = chance.choice(PIECES).encode()
        elif kind == 1:
            del data[at : at + chance.choice([1, 3, 20, 200])]
        elif kind == 2:
            data[at : at + 1] = bytes([chance.randrange(256)])
        elif kind == 3:
            start = chance.randrange(len(data) + 1)
            data[at:at] = data[start : start + 50]
        else:
            data = data[:at]
    return bytes(data)


@pytest.mark.parametrize("kind", ["text", "binary", "old text"])
def test_damaged_files(kind, config_text, ssd, tmp_path):
    chance, path = random.Random(7), tmp_path / "my.config"
    whole = {"text": config_text.encode(), "binary": ssd.SerializeToString(), "old text": OLD.encode()}[kind]
    outcomes = set()
    for _ in range(120):
        path.write_bytes(mutated(whole, chance) or b"x")
        try:
            config.check(config.load(path), "my.config", check_paths=False)
            outcomes.add("good")
        except ConfigError as error:
            assert str(error) and all(len(line) < 12_000 for line in error.lines())
            outcomes.add("refused")
    assert "refused" in outcomes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model { ssd { num_classes: " + "9" * 400 + " } }", "num_classes in Ssd takes a whole number from "),
        (
            "train_config { gradient_clipping_by_norm: " + "9" * 400 + " }",
            "train_config.gradient_clipping_by_norm (inf) must be a finite number",
        ),
        ("model {" * 5000, "unknown field 'model' in DetectionModel"),
        ("a {" * 5000, "unknown field 'a' in TrainEvalPipelineConfig"),
        ("m" * 50_000, "unknown field 'mmmmmmmmmm"),
        ("[some.extension]: 3", "has no extensions here"),
        ("[type.googleapis.com/some.Type] { a: 1 }", "has no extensions here"),
        ("model { ssd { \0 } }", "neither a text nor a binary TrainEvalPipelineConfig"),
        (
            "train_config { data_augmentation_options { random_pad_image { min_image_height: 1.e300 } } }",
            "takes a whole number",
        ),
        ("train_config { freeze_variables: '" + "(" * 20_000 + "' }", "is not a valid regular expression: "),
        ("train_config { freeze_variables: 'a{99999999999999999999}' }", "is not a valid regular expression: "),
        ("model { faster_rcnn { first_stage_only: true [", "expected identifier"),
    ],
    ids=range(12),
)
def test_texts(text, expected, tmp_path):
    (tmp_path / "my.config").write_text(text)
    with pytest.raises(ConfigError) as error:
        config.check(config.load(tmp_path / "my.config"), "my.config", check_paths=False)
    assert any(expected in line for line in error.value.lines()), error.value.lines()


@pytest.mark.parametrize(
    "unit",
    [
        "{",
        "[",
        '"',
        '"\\',
        "a ",
        "x: 1\n",
        "model < ",
        "#",
        "prefetch_buffer_size: 4 ",
        "[a.b]: 1 ",
        "é",
        "model { ssd { ",
    ],
)
def test_the_time_grows_with_the_length_of_a_text(unit, tmp_path):
    (tmp_path / "my.config").write_text("train_input_reader { " * (unit[0] == "p") + unit * (LONG // len(unit)))
    with pytest.raises(ConfigError):
        config.load(tmp_path / "my.config")
        raise ConfigError("")  # What parses is no concern here.


@pytest.mark.parametrize(
    "setting",
    [
        *(
            " " * LONG,
            "a" * LONG,
            "a." * LONG,
            "a[." * LONG,
            "=" * LONG,
            "\n" * LONG,
            "a=" + " " * LONG,
            "a" + " " * LONG + "+=1",
        ),
        "model.ssd.num_classes=" + "9" * LONG,
        "model.ssd." * (LONG // 10),
        "train_config.freeze_variables=[" + " " * LONG + "]",
        "train_config.freeze_variables=[a" + " " * LONG + "b]",
        "train_config.freeze_variables=[" + '"' * LONG + "]",
        "train_config.freeze_variables=[" + '"\\' * LONG + "]",
        "model={" + "ssd {" * (LONG // 5),
        "train_config.data_augmentation_options[" + "9" * LONG + "]={}",
    ],
    ids=range(16),
)
def test_long_settings(setting):
    try:
        config.override(Config(), [setting])
    except ConfigError as error:
        assert len(str(error)) < 2000


def test_long_lists_of_settings():
    assert len(split_settings("a=1," * 25_000)) == 25_000
    assert split_settings("," * LONG) == ["," * LONG] and split_settings(" " * LONG) == []


def test_items_of_lists():
    changed = config.override(Config(), ['train_config.freeze_variables=[a, \'b, c\' , "d\\"e", f g,]'])
    assert list(changed.train_config.freeze_variables) == ["a", "b, c", 'd"e', "f g"]


def test_paths_that_are_no_file(tmp_path, monkeypatch):
    for path, reason in (
        (str(tmp_path), "Is a directory"),
        ("/dev/zero", "is a device or socket"),
        ("/dev/null", "is a device or socket"),
    ):
        with pytest.raises(ConfigError, match=reason):
            config.load(path)
    with pytest.raises(ConfigError, match="not a file name"):
        config.load("a\0b")
    with pytest.raises(ConfigError, match="File name too long"):
        config.load("a" * 5000)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ConfigError, match="cannot read the config: Too many levels of symbolic links"):
        config.load(tmp_path / "loop")
    (tmp_path / "large.config").write_bytes(b" " * (files._MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="1,048,577 bytes; a pipeline config has a few thousand"):
        config.load(tmp_path / "large.config")


def test_a_pipe_is_read_as_a_file_is(tmp_path, config_text):
    """`check_config.py <(sed ... my.config)`."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    keep = os.open(pipe, os.O_RDWR)  # So that neither side waits for the other to open it.
    writer = threading.Thread(target=Path(pipe).write_text, args=(config_text,))
    writer.start()
    writer.join()
    reader_of_the_rest = threading.Timer(0.2, os.close, (keep,))
    reader_of_the_rest.start()
    assert config.load(pipe).model.ssd.num_classes == 3
    reader_of_the_rest.join()


def test_a_pipe_without_a_writer(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_PIPE_SECONDS", 0.1)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    keep = os.open(pipe, os.O_RDWR)
    try:
        with pytest.raises(ConfigError, match="is a pipe to which nothing was written for 0.1 seconds; name a file"):
            config.load(pipe)
    finally:
        os.close(keep)
