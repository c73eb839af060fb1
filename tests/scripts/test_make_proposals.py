"""make_proposals.py as people run it, and the proposals of a trained detector."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from detection import config
from detection.builders import pipeline as pipeline_builder
from detection.checkpoints import loading, rotation
from detection.checkpoints.names import GLOBAL_STEP
from detection.errors import ConfigError
from detection.export.region_proposals import region_proposal_network
from detection.proposals import proposal_files
from detection.proposals.rpn import from_detector
from detection.types import ImageBatch
from tests.helpers import commands
from tests.helpers.commands import Outcome

RPN = """
model { faster_rcnn {
  num_classes: 2
  image_resizer { keep_aspect_ratio_resizer { min_dimension: 64 max_dimension: 96 pad_to_max_dimension: true } }
  feature_extractor { type: "faster_rcnn_mobilenet_v1" first_stage_features_stride: 16 depth_multiplier: 0.25
    min_depth: 8 }
  first_stage_anchor_generator { grid_anchor_generator { scales: [0.25, 0.5] aspect_ratios: [1.0] height: 64 width: 64
    } }
  first_stage_box_predictor_conv_hyperparams {
    op: CONV regularizer { l2_regularizer { weight: 0.0 } } initializer { truncated_normal_initializer { stddev: 0.1 } }
  }
  first_stage_box_predictor_depth: 8
  first_stage_max_proposals: 12
  initial_crop_size: 4 maxpool_kernel_size: 2 maxpool_stride: 2
  second_stage_box_predictor { mask_rcnn_box_predictor { fc_hyperparams {
    op: FC regularizer { l2_regularizer { weight: 0.0 } } initializer { variance_scaling_initializer { uniform: true
      mode: FAN_AVG } }
  } } }
  second_stage_batch_size: 8
} }
"""


def run(*flags: str) -> Outcome:
    return commands.run("make_proposals.py", *flags)


@pytest.fixture
def records(tmp_path) -> str:
    """Three images of a bright box, which is the groundtruth, with names that differ from their ids."""
    path = str(tmp_path / "set.record")
    with tf.io.TFRecordWriter(path) as writer:
        for number in range(3):
            top, left = 10 + 8 * number, 20 + 4 * number
            image = np.full([60, 90, 3], 30, np.uint8)
            image[top : top + 24, left : left + 30] = 220
            message = tf.train.Example()
            features = message.features.feature
            features["image/encoded"].bytes_list.value.append(tf.io.encode_png(image).numpy())
            features["image/source_id"].bytes_list.value.append(b"%d" % number)
            for side, value in zip(
                ("ymin", "xmin", "ymax", "xmax"), (top / 60, left / 90, (top + 24) / 60, (left + 30) / 90), strict=True
            ):
                features[f"image/object/bbox/{side}"].float_list.value.append(value)
            writer.write(message.SerializeToString())
    return path


@pytest.fixture
def trained(tmp_path) -> tuple[str, str]:
    """Config and folder of a Faster R-CNN with weights that nobody chose."""
    path = tmp_path / "pipeline.config"
    path.write_text(RPN)
    detector = pipeline_builder.build(config.prepare(str(path), check_paths=False)).detector()
    rng = np.random.default_rng(0)
    for variable in detector.trainable_variables:
        if variable.path.endswith("weights"):  # as they begin, all places look alike
            fan_in = np.prod(variable.shape[:2]) * (1 if "depthwise" in variable.path else variable.shape[-2])
            variable.assign(rng.normal(0, np.sqrt(2 / fan_in), variable.shape))
    folder = tmp_path / "run"
    folder.mkdir()
    rotation.Checkpoints(folder).save(1, {**loading.by_name(detector), GLOBAL_STEP: np.int64(1)})
    return str(path), str(folder)


def test_selective_search_from_records_to_a_table(records, tmp_path):
    pytest.importorskip("cv2.ximgproc.segmentation")
    output = tmp_path / "p.npz"
    done = run(f"--input_path={records}", f"--output={output}", "--min_side=5")
    assert done.code == 0, done.err
    assert f"{output}: 3 images searched" in done.out and "of 3 objects found" in done.out
    assert [line.split() for line in done.out.splitlines()][-1][:2] == ["all", "1.000"]
    assert (
        proposal_files.read(output).ids == ("0", "1", "2")
        and json.loads((tmp_path / "p.npz.report.json").read_text())["objects"] == 3
    )
    again = run(f"--input_path={records}", f"--output={output}", "--min_side=5")
    assert again.code == 0 and "was there already" in again.out


def test_proposals_of_a_trained_detector(records, trained, tmp_path):
    output = tmp_path / "p.npz"
    flags = (
        f"--input_path={records}",
        f"--output={output}",
        f"--pipeline_config_path={trained[0]}",
        f"--checkpoint={trained[1]}",
    )
    done = run(
        "--method=rpn", *flags, "--max_proposals=20", "--set=model.faster_rcnn.first_stage_nms_iou_threshold=0.9"
    )
    assert done.code == 0, done.err
    found = proposal_files.read(output)
    boxes, scores = found.of(1)
    assert (
        12 < len(boxes) <= 20
        and (boxes >= 0).all()
        and (boxes <= [60, 90, 60, 90]).all()
        and (np.diff(scores) <= 0).all()
    )


def test_first_stage_alone_proposes_what_the_whole_detector_does(trained):
    """In pixels of the image as given, of which the detector saw another size."""
    message = config.prepare(trained[0], check_paths=False)
    pipeline = pipeline_builder.build(message)
    detector = pipeline.detector()
    loading.load_into(detector, trained[1])
    image = np.random.default_rng(0).integers(0, 256, [60, 100, 3], dtype=np.uint8)
    pixels, true_shape = pipeline.resizer(tf.constant(image))
    expected = detector.predict(ImageBatch(pixels[tf.newaxis], true_shape[tf.newaxis])).proposals
    count = int(expected.counts[0])
    boxes, scores = expected.boxes[0].numpy()[:count], expected.scores[0].numpy()[:count]
    assert true_shape.numpy().tolist() == [58, 96] and count > 6 and (np.diff(scores) < -1e-4).all()
    for method in (region_proposal_network(*trained), from_detector(detector, pipeline.resizer)):
        found = method(image)
        # Half a hundredth of a pixel, and of a score: another order of sums where the graph is compiled otherwise.
        np.testing.assert_allclose(found.boxes, boxes * np.tile([60 / 58, 100 / 96], 2), atol=5e-3)
        np.testing.assert_allclose(found.scores, scores, atol=5e-3)


def test_other_detectors_propose_nothing(tmp_path, trained):
    path = tmp_path / "fast.config"
    path.write_text(RPN.replace("faster_rcnn {", "fast_rcnn {", 1))
    with pytest.raises(
        ConfigError, match="fast.config: model.fast_rcnn does not propose regions; use a config of model.faster_rcnn"
    ):
        region_proposal_network(str(path), trained[1])


@pytest.mark.parametrize(
    ("flags", "code", "says"),
    [
        (["--output=p.npz"], 2, "give either --input_path or --image_dir"),
        (["--output=p.npz", "--input_path=a", "--image_dir=b"], 2, "give either --input_path or --image_dir"),
        (["--output=p.npz", "--input_path=a", "b"], 2, "unexpected argument 'b'"),
        (
            ["--output=p.npz", "--input_path=a", "--method=rpn"],
            2,
            "--method=rpn needs --pipeline_config_path and --checkpoint",
        ),
        (["--output=p.npz", "--input_path=nowhere", "--method=grid"], 2, "--input_path 'nowhere' matches no file"),
        (["--output=p.npz", "--input_path=a", "--method=magic"], 2, "--method=magic is unknown"),
    ],
)
def test_errors_are_one_line_with_the_right_code(flags, code, says):
    done = run(*flags)
    assert done.code == code and says in done.error and len(done.errors) == 1
