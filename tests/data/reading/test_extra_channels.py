"""Images of more channels than three: read, changed, and seen by a network, from records to the exported model."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from PIL import Image

from detection import config
from detection.builders import pipeline as pipelines
from detection.builders import preprocessor
from detection.config.check import examine
from detection.data.reading.extra_channels import KEY, ExtraChannelReader
from detection.data.reading.input import train_dataset
from detection.data.reading.record_errors import find
from detection.data.resize import IdentityResizer
from detection.data.sample import Record, Sample
from detection.errors import ConfigError
from detection.export.image_arguments import decode
from detection.export.serving import ServingInput, serving_graph
from detection.networks import scaling
from detection.protos import pipeline_pb2, preprocessor_pb2
from detection.types import ImageBatch
from tests.helpers import detector_configs


def png(seed: int, height: int = 20, width: int = 30) -> tuple[bytes, np.ndarray]:
    pixels = np.random.default_rng(seed).integers(0, 256, [height, width], dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue(), pixels


def test_files_become_channels_behind_the_colours(write, example, options, picture):
    (depth, first), (heat, second) = png(1), png(2)
    record = example(image__additional_channels__encoded=[depth, heat])
    settings = dataclasses.replace(options(write(record), num_epochs=1), extra_channels=2)
    (batch,) = train_dataset(settings, (), IdentityResizer(), 1, seed=1)
    assert batch.batch.images.shape == (1, 20, 30, 5)
    np.testing.assert_array_equal(batch.batch.images[0], np.dstack([picture(), first, second]))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([png(1)[0]], "has 1 files; store 2, or set num_additional_channels to what the records have"),
        ([png(1)[0], png(2, 20, 31)[0]], "has another size than the image in file 1; store each channel in the"),
        ([png(1, 30, 20)[0], png(2)[0]], "has another size than the image in file 0; "),
    ],
)
def test_other_files_name_the_record(files, said):
    record = Record(tf.constant("a.record"), tf.constant(4, tf.int64), tf.constant(b""))
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        ExtraChannelReader(2)(record, {KEY: tf.constant(files)}, tf.constant([20, 30]))
    assert str(find(raised.value)).startswith(f"a.record, record 4: {KEY} {said}")


COLORS = "random_adjust_brightness random_adjust_hue random_distort_color rgb_to_gray random_jpeg_quality"
GEOMETRY = "random_horizontal_flip ssd_random_crop random_pad_image random_image_scale random_crop_pad_image"


@pytest.mark.parametrize("step", [*COLORS.split(), *GEOMETRY.split()])
def test_colours_alone_change_colour_and_all_move(step):
    """A channel that is the mean of the others' places would be lost by either; so two are the same as red."""
    augment = preprocessor.build(text_format.Parse(f"{step} {{}}", preprocessor_pb2.PreprocessingStep()))
    red = np.random.default_rng(0).integers(0, 256, [24, 32, 1], dtype=np.uint8)
    image = np.concatenate([red] * 5, axis=2)
    flags, ones = tf.constant([False]), tf.ones([1])
    boxes = tf.constant([[0.1, 0.1, 0.9, 0.9]])
    sample = Sample(tf.constant(image), boxes, tf.constant([0]), ones, flags, flags, ones)
    for number in range(3):
        found = augment(sample, tf.constant([number, 1], tf.int64)).image
        assert found.shape[2] == 5
        if step in COLORS.split():
            np.testing.assert_array_equal(found[..., 3:], image[..., 3:])
        else:
            np.testing.assert_allclose(found[..., 3], found[..., 4])
            inside = (found[..., 3].numpy() > 0) & (found[..., 0].numpy() > 0)
            assert inside.any()
            np.testing.assert_allclose(found[..., 3].numpy()[inside], found[..., 0].numpy()[inside], atol=1e-3)


def test_scaling_by_means_of_three_channels_leaves_others_alone():
    images = tf.random.stateless_uniform([1, 2, 2, 4], [1, 2], 0, 255)
    for scale in (scaling.subtract_resnet_means, scaling.subtract_vgg_means, scaling.standardize_imagenet):
        np.testing.assert_array_equal(scale(images), images)
    np.testing.assert_allclose(scaling.to_unit_range(images), images / 127.5 - 1, atol=1e-6)


def _pipeline(*settings: str):
    text = detector_configs.ssd(detector_configs.Settings("ssd_mobilenet_v1", 64, 64, 3, depth_multiplier=0.1))
    message = text_format.Parse(text, pipeline_pb2.TrainEvalPipelineConfig())
    message = config.override(message, ["train_input_reader.num_additional_channels=1", *settings])
    return pipelines.build(message, read_label_maps=False)


def test_a_network_sees_them_and_is_served_with_them():
    built = _pipeline()
    detector = built.detector()
    (first,) = (v for v in detector.variables if v.path.endswith("Conv2d_0/weights"))
    assert built.channels == 4 and first.shape[2] == 4
    random = np.random.default_rng(1)
    for kernel in (v for v in detector.trainable_variables if len(v.shape) == 4):  # large enough to reach the logits
        inputs = np.prod(kernel.shape[:2]) * (1 if kernel.path.endswith("depthwise_weights") else kernel.shape[2])
        kernel.assign(random.normal(0, np.sqrt(2 / inputs), kernel.shape))
    graph = serving_graph(detector, built.resizer, ServingInput(channels=4))
    imported = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph.graph, name=""), [])
    ends = [imported.graph.get_tensor_by_name(name) for name in (graph.input, "raw_detection_scores:0")]
    images = np.random.default_rng(0).integers(0, 256, [1, 64, 64, 4], dtype=np.uint8)
    batch = ImageBatch(tf.cast(images, tf.float32), tf.constant([[64, 64]]))
    served = imported.prune(*ends)(tf.constant(images))
    direct = detector.postprocess(detector.predict(batch), batch.true_shapes).raw_scores
    np.testing.assert_allclose(served, direct, atol=1e-3)
    plain = detector.predict(batch).class_logits
    other = detector.predict(batch._replace(images=batch.images * [1.0, 1, 1, 0])).class_logits
    assert abs(plain - other).numpy().max() > 1e-6
    for kind in ("encoded_image_string_tensor", "tf_example"):
        with pytest.raises(ConfigError, match="an image file has 3 channels, and this detector takes images of 4"):
            ServingInput(kind, channels=4).spec()
    assert ServingInput(channels=4).spec().shape[-1] == 4


def test_arrays_of_as_many_channels_are_images():
    image = np.zeros([4, 5, 4], np.uint8)
    assert decode(image, channels=4).arrays[0].shape == (4, 5, 4)
    for wrong in (image[..., :3], "a.jpg"):
        with pytest.raises(Exception, match="4"):
            decode(wrong, channels=4)


def test_what_does_not_go_with_them_is_said():
    def faults(*settings: str) -> list[str]:
        text = detector_configs.ssd(detector_configs.Settings("ssd_mobilenet_v1", 64, 64, 3, depth_multiplier=0.1))
        message = text_format.Parse(text, pipeline_pb2.TrainEvalPipelineConfig())
        source = "tf_record_input_reader { input_path: 'a' } num_additional_channels: 1"
        more = [f"train_input_reader={{{source}}}", f"eval_input_reader+={{{source}}}"]
        return examine(config.override(message, [*more, *settings]))[0]

    assert faults() == []
    for setting, said in (
        ("eval_input_reader[0].num_additional_channels=2", "(2) differs from that of train_input_reader (1)"),
        ("train_config.data_augmentation_options+={autoaugment_image {}}", "does not go with train_config.data_augm"),
        ("model.ssd.image_resizer.fixed_shape_resizer.convert_to_grayscale=true", "convert_to_grayscale, which takes"),
    ):
        found = faults(setting)
        assert any(said in line for line in found), found
