"""Configs, overrides and label maps."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from detection.errors import ConfigError, DataError
from tests.fuzz.mutate import Material
from tests.fuzz.reading import LONGEST, ROOT, TEXT, Reader, reading


def _configs() -> list[bytes]:
    """Without comments, which take longer to read than they are worth here."""
    return [
        re.sub(rb"(?m)^\s*#.*\n|^ +", b"", path.read_bytes()) for path in sorted((ROOT / "configs").glob("*.config"))
    ] + [b"# a\nmodel { ssd { num_classes: 3 } }\n"]


def _field_names() -> list[bytes]:
    words = {
        word
        for text in _configs()
        for word in text.replace(b"{", b" ").replace(b":", b" ").split()
        if word.isascii() and len(word) < 40
    }
    return [
        *sorted(words),
        b"{",
        b"}",
        b":",
        b'"',
        b"<",
        b">",
        b"#",
        b"[",
        b"]",
        b"\n",
        b"model { ssd { } }",
        b"\\377",
        b"'",
    ]


def _check(path: str) -> None:
    from detection import config

    config.check(config.load(path), path, check_paths=False)


def _binary_configs() -> Material:
    from detection import config

    messages = [config.load(path) for path in sorted((ROOT / "configs").glob("*.config"))]
    return Material(
        [message.SerializeToString() for message in messages],
        [b"\n\x00", b"\x1a\x00", b"\xc2\x3e\x02\x08\x01", b"ssd_mobilenet_v1"],
    )


def _overrides() -> Material:
    texts = [
        "train_config.num_steps=100",
        "model.ssd.num_classes=3",
        'train_input_reader.label_map_path="a b"',
        "eval_config.batch_size=2",
    ]
    texts += [
        "train_config.optimizer={adam_optimizer{}}",
        "model.ssd.anchor_generator.ssd_anchor_generator.scales=[0.1,0.2]",
        "eval_input_reader[0].shuffle=true",
    ]
    texts += [
        "train_config.data_augmentation_options={random_horizontal_flip{}}",
        "num_classes=4",
        "model.ssd.feature_extractor.type=x y",
    ]
    tokens = [
        b".",
        b"=",
        b"[",
        b"]",
        b"{",
        b"}",
        b"[0]",
        b"[-1]",
        b"[99999999999]",
        b"+=",
        b'"',
        b" ",
        b"model",
        b"train_config",
        b"  " * 500,
    ]
    return Material(
        [text.encode() for text in texts],
        [*tokens, *_field_names()[::5]],
        [(b"{", b"}"), (b"[", b"]"), (b"a.", b""), (b" ", b"")],
    )


def _prepare_overrides(folder: Path) -> Callable[[bytes], str]:
    from detection import config

    message = config.load(ROOT / "configs" / "ssd_mobilenet_v1_050_synthetic.config")

    def run(data: bytes) -> str:
        try:
            config.override(message, [data.decode("utf-8", "surrogateescape")])
        except ConfigError as error:
            assert len(str(error)) <= LONGEST, str(error)[:500]
            return "ConfigError"
        return "read"

    return run


def _label_maps() -> Material:
    items = b'item { id: 1 name: "cat" display_name: "Katze" }\nitem {\n  id: 2\n  name: \'dog\'\n}\n'
    more = (
        b'item { name: "a" id: 3 keypoints { id: 1 label: "x" } } item { id: 90 name: "/m/0bt9lr" display_name: "Dog" }'
    )
    tokens = [
        b"item",
        b"{",
        b"}",
        b"id:",
        b"name:",
        b"display_name:",
        b"keypoints",
        b"#",
        b"item { id: 0 name: 'background' }",
        b"\\u0041",
        b"\\xff",
    ]
    return Material([items, more, items + more, b""], tokens, [(b"item {", b"}"), (b"{", b"}")])


def _load_label_map(path: str) -> None:
    from detection.config import label_map

    label_map.load(path)


READERS = {
    "config_text": Reader(
        lambda: Material(_configs(), _field_names(), [(b"model {", b"}"), (b"{", b"}"), (b"<", b">")]),
        reading("a.config", _check, (ConfigError,)),
        TEXT,
    ),
    "config_binary": Reader(_binary_configs, reading("a.config", _check, (ConfigError,)), TEXT),
    "overrides": Reader(_overrides, _prepare_overrides, TEXT),
    "label_map": Reader(_label_maps, reading("map.pbtxt", _load_label_map, (DataError, ConfigError)), TEXT),
}
