"""The whole life of a Fast R-CNN on drawn shapes, with proposals in the records and beside them: trained, evaluated,
exported, and served as it was evaluated."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import detection
from detection.checkpoints import loading
from detection.data import synthetic_set
from detection.data.reading.input import eval_dataset
from detection.proposals import making, methods, proposal_files
from detection.proposals.input_sources import RecordProposals
from detection.proposals.proposal_files import ProposalFile
from detection.proposals.searched_images import Records
from detection.train.options import RunOptions
from tests.helpers import detector_configs

STEPS, PROPOSALS = 3, 40
# Of probabilities: folded batch norm sums in another order, and what follows smoothly keeps float32's precision behind
# so many layers.
TOLERANCE = 1e-5
# of batch norm's averages, which know the images after so few steps: else whatever is seen vanishes before the last
# layer
DECAY = 0.2
TRAINING = """
train_config {{
  batch_size: 4
  optimizer {{ adam_optimizer {{ learning_rate {{ constant_learning_rate {{ learning_rate: 0.002 }} }} }}
    use_moving_average: false }}
}}
train_input_reader {{ tf_record_input_reader {{ input_path: "{records}/train.record-*" }} label_map_path:
  "{files}/label_map.pbtxt"
  max_number_of_proposals: {most} }}
eval_config {{ metrics_set: "coco_detection_metrics" batch_size: 1 num_visualizations: 0 }}
eval_input_reader {{ tf_record_input_reader {{ input_path: "{files}/val.record-*" }} label_map_path:
  "{files}/label_map.pbtxt"
  proposals_path: "{files}/val.npz" max_number_of_proposals: {most} }}
"""
# Images of 60 x 80 and 80 x 60 become 96 x 128 and 128 x 96 of 128 x 128.
RESIZER = "keep_aspect_ratio_resizer { min_dimension: 96 max_dimension: 128 pad_to_max_dimension: true }"
CROPS = "initial_crop_size: 14 maxpool_kernel_size: 2 maxpool_stride: 2"
AS_IN_THE_PAPER = """
roi_max_pool: true initial_crop_size: 7 maxpool_kernel_size: 1 maxpool_stride: 1
second_stage_matched_iou: 0.5 second_stage_background_iou: 0.1 second_stage_add_groundtruth: true
  second_stage_normalize_targets: true
"""
SIDES = ("ymin", "xmin", "ymax", "xmax")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of two splits, and for each a grid of proposals as make_proposals.py makes it."""
    folder = tmp_path_factory.mktemp("shapes")
    synthetic_set.make(folder, {"train": 8, "val": 4}, 0, sizes=((80, 60), (60, 80)))
    settings = methods.ProposalSettings(method="grid", grid_boxes=PROPOSALS)
    for split in ("train", "val"):
        source = Records((f"{folder}/{split}.record-*",))
        making.make(source, methods.build(settings), settings, folder / f"{split}.npz")
    return folder


def _into_records(folder: Path, target: Path) -> None:
    """The same records with the proposals of the files in them."""
    for split in ("train", "val"):
        file = proposal_files.read(folder / f"{split}.npz")
        paths = sorted(str(path) for path in folder.glob(f"{split}.record-*"))
        with tf.io.TFRecordWriter(str(target / f"{split}.record-00000-of-00001")) as writer:
            for serialized in tf.data.TFRecordDataset(paths).as_numpy_iterator():
                message = tf.train.Example.FromString(serialized)
                features = message.features.feature
                number = file.ids.index(features["image/source_id"].bytes_list.value[0].decode())
                boxes, scores = file.of(number)
                normalised = boxes / np.array([*file.sizes[number]] * 2, np.float32)
                for side, column in zip(SIDES, normalised.T, strict=True):
                    features[f"image/proposal/bbox/{side}"].float_list.value.extend(column.tolist())
                features["image/proposal/score"].float_list.value.extend(scores.tolist())
                writer.write(message.SerializeToString())


def _config(shapes: Path, in_records: Path) -> str:
    """Training reads proposals out of its records, evaluation files beside its own."""
    settings = detector_configs.Settings(
        "faster_rcnn_mobilenet_v1", 96, 128, 4, depth_multiplier=0.25, override_base=True, decay=DECAY
    )
    text = (
        detector_configs.fast_rcnn(settings)
        .replace("fixed_shape_resizer { height: 96 width: 128 }", RESIZER)
        .replace(CROPS, AS_IN_THE_PAPER)
    )
    assert RESIZER in text and AS_IN_THE_PAPER in text
    return text + TRAINING.format(records=in_records, files=shapes, most=PROPOSALS)


@pytest.mark.slow
def test_served_is_what_was_trained_and_evaluated(shapes: Path, tmp_path: Path) -> None:
    _into_records(shapes, tmp_path)
    path, model_dir = tmp_path / "my.config", tmp_path / "run"
    path.write_text(_config(shapes, tmp_path), encoding="utf-8")
    pipeline = detection.load_pipeline(path)
    _assert_equal_inputs(pipeline, tmp_path)
    metrics = detection.run_training(pipeline, model_dir, num_steps=STEPS, options=RunOptions(seed=1))
    assert 0 <= metrics["DetectionBoxes_Precision/mAP"] <= 1
    detection.export_saved_model(str(model_dir / "pipeline.config"), str(model_dir), str(tmp_path / "exported"))
    _assert_served_as_evaluated(pipeline, model_dir, tmp_path / "exported", shapes)


def _assert_equal_inputs(pipeline, in_records: Path) -> None:
    """Evaluation would read the same proposals out of records as it reads from files."""
    same = dataclasses.replace(pipeline.eval_input, paths=(f"{in_records}/val.record-*",), proposals=RecordProposals())
    for ours, theirs in zip(
        *(eval_dataset(options, pipeline.resizer, 1) for options in (pipeline.eval_input, same)), strict=True
    ):
        assert int(ours.batch.proposals.counts[0]) == int(theirs.batch.proposals.counts[0]) > 10
        # A coordinate is divided by the image's side in one type or another before it is a float.
        np.testing.assert_allclose(ours.batch.proposals.boxes, theirs.batch.proposals.boxes, atol=1e-4)


def _assert_served_as_evaluated(pipeline, model_dir: Path, exported: Path, shapes: Path) -> None:
    """The path of proposals from records or files through the input pipeline, and from a client through the served
    graph, end in the same boxes."""
    detector, predictor = pipeline.make_detector(), detection.load_model(exported)
    detector.build_weights()
    assert loading.load_into(detector, model_dir) == STEPS
    file, seen, spread = proposal_files.read(shapes / "val.npz"), 0, []
    for example in eval_dataset(pipeline.eval_input, pipeline.resizer, 1):
        own = detector.postprocess(detector.predict(example.batch), example.batch.true_shapes)
        name = example.info.source_ids.numpy()[0].decode()
        (result,) = predictor.detect(str(shapes / "voc" / "JPEGImages" / name), proposals=_of(file, name))
        count = int(own.counts[0])
        assert len(result.scores) == count > 0
        np.testing.assert_allclose(result.scores, own.scores[0, :count], atol=TOLERANCE)
        assert (result.boxes >= 0).all() and (result.boxes <= [*example.info.original_shapes.numpy()[0]] * 2).all()
        spread.append(own.raw_scores.numpy().std(axis=1).max())
        seen += 1
    assert seen == 4 and min(spread) > 100 * TOLERANCE  # so regions that lie elsewhere would have other scores


def _of(file: ProposalFile, name: str) -> np.ndarray:
    return file.of(file.ids.index(name))[0]
