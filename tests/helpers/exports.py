"""Small detectors with random weights, an SSD and a Fast R-CNN, exported once for all tests."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.helpers import detector_configs

CONFIG = (Path(__file__).parent / "tiny.config").read_text(encoding="utf-8")
# Classes with name and display name (as in Open Images and COCO), with a name only, and with both equal.
LABEL_MAP = (
    'item { id: 1 name: "/m/01x3z" display_name: "circle" }\n'
    'item { id: 2 name: "square \\"of\\" ☃" }\n'
    'item { id: 3 name: "star" display_name: "star" }\n'
)

# Images keep their aspect ratio and are padded to a square; both change the coordinates of proposals.
RESIZER = (
    "model.fast_rcnn.image_resizer={ keep_aspect_ratio_resizer { min_dimension: 64 max_dimension: 96"
    " pad_to_max_dimension: true } }"
)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """`config` and `checkpoint` paths of a detector with random variables, and its `detector` and `pipeline`."""
    return _trained(tmp_path_factory.mktemp("trained"), CONFIG)


@pytest.fixture(scope="session")
def fast_rcnn(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The same for a Fast R-CNN."""
    settings = detector_configs.Settings(
        "faster_rcnn_mobilenet_v1", 96, 96, 3, depth_multiplier=0.25, override_base=True
    )
    training = CONFIG[CONFIG.index("train_config") :].replace(
        "tf_record_input_reader", "proposals_path: 'absent.npz' tf_record_input_reader"
    )
    return _trained(tmp_path_factory.mktemp("fast_rcnn"), detector_configs.fast_rcnn(settings) + training, [RESIZER])


def _trained(folder: Path, text: str, overrides: list[str] | None = None) -> SimpleNamespace:
    import keras

    from detection import config
    from detection.builders import pipeline as pipeline_builder
    from detection.checkpoints import loading, rotation
    from detection.checkpoints.names import GLOBAL_STEP

    (folder / "label_map.pbtxt").write_text(LABEL_MAP, encoding="utf-8")
    (folder / "pipeline.config").write_text(
        text.replace("LABEL_MAP", str(folder / "label_map.pbtxt")), encoding="utf-8"
    )
    message = config.load(folder / "pipeline.config")
    if overrides:
        message = config.override(message, overrides)
        config.save(message, folder / "pipeline.config")
    pipeline = pipeline_builder.build(message)
    keras.utils.set_random_seed(
        5
    )  # Folders of tests share exports, but each has a detector of its own: they must be the same.
    detector = pipeline.detector()
    random = np.random.default_rng(5)
    for variable in detector.variables:
        if variable.path.endswith("moving_variance") or variable.path.endswith("gamma"):
            variable.assign(random.uniform(0.5, 1.5, variable.shape).astype(np.float32))
        elif variable.path.endswith(("beta", "moving_mean", "biases")):
            variable.assign(random.normal(0, 0.3, variable.shape).astype(np.float32))
        elif detector.name == "fast_rcnn":
            # Behind so many layers of the initial weights nothing of an image would be left.
            fan_in = np.prod(variable.shape[:2] if "depthwise" in variable.path else variable.shape[:-1])
            variable.assign((random.normal(size=variable.shape) * np.sqrt(2 / fan_in)).astype(np.float32))
    kept = rotation.Checkpoints(folder)
    kept.save(7, {**loading.by_name(detector), GLOBAL_STEP: np.int64(7)})
    return SimpleNamespace(
        folder=folder,
        config=str(folder / "pipeline.config"),
        checkpoint=str(folder / "model.ckpt-7"),
        detector=detector,
        pipeline=pipeline,
    )


@pytest.fixture(scope="session")
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SSD exported for image_tensor."""
    return export_once(request, tmp_path_factory, "image_tensor")


@pytest.fixture(scope="session")
def exported_strings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SSD exported for encoded_image_string_tensor."""
    return export_once(request, tmp_path_factory, "encoded_image_string_tensor")


@pytest.fixture(scope="session")
def exported_fast_rcnn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Fast R-CNN exported for image_tensor."""
    return export_once(request, tmp_path_factory, "image_tensor", "fast_rcnn")


def export_once(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, kind: str, source: str = "trained"
) -> Path:
    """The export of one input type, made by whichever folder's tests need it first; `source` is the fixture of what is
    exported."""
    from detection.export import exporter
    from detection.export.serving import ServingInput

    folder = tmp_path_factory.getbasetemp() / "exports" / source / kind
    if not folder.exists():
        made = request.getfixturevalue(source)
        exporter.export(made.config, made.checkpoint, str(folder), ServingInput(kind))
        folder.with_name(f"{kind}.config").write_bytes(
            Path(made.config).read_bytes()
        )  # Whose export it is: other folders' tests look at it too.
    return folder
