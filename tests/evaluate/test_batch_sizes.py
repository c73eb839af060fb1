"""One model, one set of images of several sizes, batches of any size: the same detections and metrics."""

from __future__ import annotations

import io

import keras
import numpy as np
import pytest
from google.protobuf import text_format

from detection.builders import pipeline
from detection.data import synthetic_set
from detection.data.reading.input import eval_dataset
from detection.data.reading.options import InputOptions
from detection.data.resize import FixedShapeResizer, PadToMultipleResizer
from detection.evaluate.coco import CocoEvaluator
from detection.evaluate.loop import EvalStep, evaluate
from detection.evaluate.voc import PascalVocEvaluator
from detection.protos import pipeline_pb2
from detection.settings import EvalSettings
from detection.types import Category
from tests.helpers import detector_configs

CATEGORIES = tuple(Category(number, f"shape {number}") for number in range(1, 5))
KEEPS_PROPORTIONS = "keep_aspect_ratio_resizer { min_dimension: 48 max_dimension: 72 }"


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> InputOptions:
    folder = tmp_path_factory.mktemp("shapes")
    synthetic_set.make(folder, {"val": 9}, 0, sizes=((80, 60), (60, 80), (70, 70), (80, 60)))
    return InputOptions(
        paths=(str(folder / "val.record-*"),), categories=CATEGORIES, num_classes=4, max_number_of_boxes=20
    )


def detector_of(meta: str, type_: str):
    """With the proportions of images kept, nothing padded, and with weights that tell images apart."""
    template = detector_configs.TEMPLATES.get(meta, detector_configs.TWO_STAGE.get(meta))[0]
    text = template(detector_configs.Settings(type_, 48, 64, depth_multiplier=0.25))
    text = text.replace("fixed_shape_resizer { height: 48 width: 64 }", KEEPS_PROPORTIONS)
    built = pipeline.build(text_format.Parse(text, pipeline_pb2.TrainEvalPipelineConfig()))
    keras.utils.set_random_seed(1)
    detector = built.detector()
    generator = np.random.default_rng(1)
    for variable in detector.variables:
        if variable.path.endswith("weights"):
            fan_in = np.prod(variable.shape[:2] if "depthwise" in variable.path else variable.shape[:-1])
            variable.assign(generator.normal(size=variable.shape) * np.sqrt(2 / fan_in))
    return detector, built.resizer


def measured(detector, step: EvalStep, dataset) -> tuple[dict[str, tuple], dict[str, float]]:
    """Scores and boxes by image, and the metrics."""
    found = {}
    for example in dataset:
        (boxes, scores, _, _), _ = step.bound_to(dataset.element_spec)(example)
        for row, id_ in enumerate(example.info.source_ids.numpy()):
            found[id_] = scores[row].numpy(), boxes[row].numpy()
    evaluators = [CocoEvaluator(CATEGORIES, fast=False), PascalVocEvaluator(CATEGORIES, iou_threshold=0.2)]
    settings = EvalSettings(losses=False, num_visualizations=0)
    return found, evaluate(
        detector, dataset, evaluators, CATEGORIES, settings=settings, eval_step=step, stream=io.StringIO()
    )


@pytest.mark.slow
@pytest.mark.parametrize(("meta", "type_"), [("ssd", "ssd_mobilenet_v1"), ("faster_rcnn", "faster_rcnn_mobilenet_v1")])
def test_batches_of_five_give_the_numbers_of_batches_of_one(records, meta, type_):
    """And padding the images to each other would not: the border of what is image, and what lies behind it, changes a
    network's maps."""
    detector, resizer = detector_of(meta, type_)
    step = EvalStep(detector, losses=False)
    alone, metrics = measured(detector, step, eval_dataset(records, resizer, 1))
    together, metrics_of_five = measured(detector, step, eval_dataset(records, resizer, 5))
    assert sorted(alone) == sorted(together) and len(alone) == 9
    for id_, (scores, boxes) in alone.items():
        np.testing.assert_allclose(together[id_][0], scores, atol=1e-5)
        clear = np.concatenate([[True], -np.diff(scores) > 1e-4]) & np.concatenate(
            [-np.diff(scores) > 1e-4, [True]]
        )  # the others may swap places
        np.testing.assert_allclose(together[id_][1][clear], boxes[clear], atol=1e-4)
    assert metrics_of_five == pytest.approx(metrics, abs=1e-4)
    padded, _ = measured(detector, step, eval_dataset(records, resizer, 1).unbatch().padded_batch(5))
    assert max(np.abs(scores - padded[id_][0]).max() for id_, (scores, _) in alone.items()) > 1e-4


def test_padding_of_an_image_for_itself_is_part_of_its_evaluation(records):
    """A resizer that pads to a multiple gives several sizes too; each image has the padding it has alone, and equal
    padded sizes go together."""
    sizes = {}
    for batch_size in (1, 5):
        for example in eval_dataset(records, PadToMultipleResizer(multiple=64), batch_size):
            for id_ in example.info.source_ids.numpy():
                sizes.setdefault(id_, set()).add(tuple(example.batch.images.shape[1:3]))
    assert {tuple(found) for found in sizes.values()} == {((64, 128),), ((128, 64),), ((128, 128),)}


def test_resizers_of_one_size_are_batched_as_ever(records):
    """In the order of the records, all but the last batch full."""
    dataset = eval_dataset(records, FixedShapeResizer(height=32, width=32), 4)
    assert [len(example.info.source_ids) for example in dataset] == [4, 4, 1]
    assert [id_ for example in dataset for id_ in example.info.source_ids.numpy()] == [
        example.info.source_ids[0].numpy()
        for example in eval_dataset(records, FixedShapeResizer(height=32, width=32), 1)
    ]
