"""What a client gets from a served model, against the detector it was made of."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection.data.resize import FixedShapeResizer, KeepAspectRatioResizer
from detection.errors import ConfigError
from detection.export.serving import INPUT_KEYS, ServingInput, outputs, parse_shape, preparation
from detection.types import Detections

# Folding rounds each kernel entry once more (relative 6e-8); over some 40 layers the logits of these random networks,
# which reach tens, move by about 1e-5. Scores and normalised boxes are contractions of them, so 1e-4 leaves a factor of
# ten.
TOLERANCE = 1e-4
KEYS = {
    "detection_boxes": (50, 4),
    "detection_scores": (50,),
    "detection_classes": (50,),
    "num_detections": (),
    "detection_anchor_indices": (50,),
    "detection_multiclass_scores": (50, 4),
    "raw_detection_boxes": None,
    "raw_detection_scores": None,
}


def _images(count: int, height: int = 70, width: int = 110) -> np.ndarray:
    coarse = np.random.default_rng(11).integers(0, 256, (count, 7, 11, 3), dtype=np.uint8)
    return coarse.repeat(10, axis=1).repeat(10, axis=2)[:, :height, :width]


def _direct(trained, images: np.ndarray) -> dict[str, np.ndarray]:
    """The detector without folding, freezing or files."""

    @tf.function(autograph=False)
    def run(value):
        batch = trained.pipeline.resizer.batch(value)
        return outputs(trained.detector.postprocess(trained.detector.predict(batch), batch.true_shapes))

    return {key: value.numpy() for key, value in run(tf.constant(images)).items()}


def test_signature_names_types_and_free_sizes(exported):
    signature = tf.saved_model.load(str(exported / "saved_model"), tags=["serve"]).signatures["serving_default"]
    ((key, spec),) = signature.structured_input_signature[1].items()
    assert (key, spec.dtype, spec.shape.as_list()) == ("input_tensor", tf.uint8, [None, None, None, 3])
    assert set(signature.structured_outputs) == set(KEYS)
    assert {tensor.dtype for tensor in signature.structured_outputs.values()} == {tf.float32}
    assert all(tensor.shape[0] is None for tensor in signature.structured_outputs.values())


@pytest.mark.parametrize("batch", [1, 3])
def test_served_equals_the_detector(exported, trained, batch):
    images = _images(batch)
    loaded = tf.saved_model.load(str(exported / "saved_model"))
    served = {
        key: value.numpy()
        for key, value in loaded.signatures["serving_default"](input_tensor=tf.constant(images)).items()
    }
    direct = _direct(trained, images)
    for key, value in served.items():
        assert value.shape == direct[key].shape
        assert KEYS[key] is None or value.shape == (batch, *KEYS[key])
    for key in ("raw_detection_boxes", "raw_detection_scores", "detection_scores", "num_detections"):
        np.testing.assert_allclose(served[key], direct[key], atol=TOLERANCE, rtol=TOLERANCE, err_msg=key)
    # Scores that differ by less than the tolerance may swap rows; away from ties the rows agree one by one.
    clear = (
        np.minimum(-np.diff(direct["detection_scores"], prepend=2.0), -np.diff(direct["detection_scores"], append=-1.0))
        > 2 * TOLERANCE
    )
    assert clear.sum() > 10 * batch
    np.testing.assert_allclose(served["detection_boxes"][clear], direct["detection_boxes"][clear], atol=TOLERANCE)
    np.testing.assert_array_equal(served["detection_classes"][clear], direct["detection_classes"][clear])
    for row, count in enumerate(served["num_detections"].astype(int)):
        anchors = served["detection_anchor_indices"][row, :count].astype(int)
        raw_boxes = np.clip(served["raw_detection_boxes"][row, anchors], 0, 1)
        np.testing.assert_allclose(raw_boxes, served["detection_boxes"][row, :count], atol=1e-6)
        classes = served["detection_classes"][row, :count].astype(int)
        scores = served["detection_multiclass_scores"][row, np.arange(count), classes]
        np.testing.assert_allclose(scores, served["detection_scores"][row, :count], atol=1e-6)


def test_detections_have_label_ids_normalised_boxes_and_falling_scores(exported):
    found = tf.saved_model.load(str(exported / "saved_model"))(
        tf.constant(_images(2))
    )  # As clients of the TF2 exporter call it.
    assert set(np.unique(found["detection_classes"])) <= {1.0, 2.0, 3.0}
    assert found["detection_boxes"].numpy().min() >= 0 and found["detection_boxes"].numpy().max() <= 1
    assert (np.diff(found["detection_scores"].numpy()) <= 0).all()
    assert found["raw_detection_scores"].shape[-1] == 4


def test_an_image_alone_and_in_a_batch_gives_the_same(exported):
    loaded = tf.saved_model.load(str(exported / "saved_model"))
    images = _images(3)
    together = loaded(tf.constant(images))["raw_detection_scores"].numpy()
    alone = np.concatenate([loaded(tf.constant(images[i : i + 1]))["raw_detection_scores"].numpy() for i in range(3)])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_strings_of_any_sizes_and_formats_equal_the_images(exported, exported_strings):
    large, small = _images(1)[0], _images(1, 40, 50)[0]
    strings = [
        tf.io.encode_png(large),
        tf.io.encode_bmp(small) if hasattr(tf.io, "encode_bmp") else tf.io.encode_png(small),
    ]
    found = tf.saved_model.load(str(exported_strings / "saved_model")).signatures["serving_default"](
        input_tensor=tf.stack(strings)
    )
    images = tf.saved_model.load(str(exported / "saved_model"))
    for row, image in enumerate((large, small)):
        np.testing.assert_allclose(
            found["raw_detection_scores"][row], images(tf.constant(image[None]))["raw_detection_scores"][0], atol=1e-5
        )


def test_a_string_that_is_no_image_fails_with_a_reason(exported_strings):
    serve = tf.saved_model.load(str(exported_strings / "saved_model")).signatures["serving_default"]
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"input_tensor: not a JPEG, PNG.*\[0\] \[bm90IGFuIGltYWdl\]"
    ):
        serve(input_tensor=tf.constant(["bm90IGFuIGltYWdl"]))  # base64 that nobody decoded


def test_a_wrong_type_fails_naming_the_input_and_the_type(exported):
    serve = tf.saved_model.load(str(exported / "saved_model")).signatures["serving_default"]
    with pytest.raises(Exception, match="input_tensor.*uint8|uint8.*float|float.*uint8"):
        serve(input_tensor=tf.zeros([1, 50, 50, 3]))


def test_padding_has_class_one_score_and_box_zero():
    one = tf.constant([[[0.1, 0.1, 0.5, 0.5], [9.0, 9.0, 9.0, 9.0]]])
    made = outputs(
        Detections(
            one, tf.constant([[0.5, 0.0]]), tf.constant([[2, -1]]), tf.constant([1]), one, one, tf.constant([[0, 0]])
        )
    )
    np.testing.assert_array_equal(made["detection_classes"], [[3.0, 1.0]])
    np.testing.assert_array_equal(made["num_detections"], [1.0])


@pytest.mark.parametrize("key", INPUT_KEYS)
def test_input_specs(key):
    assert ServingInput("image_tensor", key).spec() == tf.TensorSpec([None, None, None, 3], tf.uint8, key)
    assert ServingInput("float_image_tensor", key, (1, 60, 80, 3)).spec() == tf.TensorSpec(
        [1, 60, 80, 3], tf.float32, key
    )
    assert ServingInput("encoded_image_string_tensor", key, (4,)).spec() == tf.TensorSpec([4], tf.string, key)


@pytest.mark.parametrize(
    ("wrong", "flag"),
    [
        (ServingInput("jpeg"), "--input_type=jpeg"),
        (ServingInput(key="image"), "--input_key=image"),
        (ServingInput(shape=(1, 60, 80)), "--input_shape"),
        (ServingInput(shape=(1, 60, 80, 4)), "--input_shape"),
        (ServingInput(shape=(0, 60, 80, 3)), "--input_shape"),
        (ServingInput("encoded_image_string_tensor", shape=(1, 60, 80, 3)), "--input_shape"),
    ],
)
def test_wrong_inputs_name_the_flag(wrong, flag):
    with pytest.raises(ConfigError) as error:
        wrong.spec()
    assert str(error.value).startswith(flag)


def test_shapes_from_the_command_line():
    assert parse_shape(None) is None
    assert parse_shape(["1", "-1", "640", "3"]) == (1, None, 640, 3)
    with pytest.raises(ConfigError, match="--input_shape=1,x"):
        parse_shape(["1", "x"])


@pytest.mark.parametrize(
    "resizer", [FixedShapeResizer(height=8, width=8), KeepAspectRatioResizer(min_dimension=8, max_dimension=16)]
)
def test_encoded_images_are_measured_before_they_are_decoded(resizer):
    """A few bytes of a client's must not become gigabytes on the server."""
    spec = tf.TensorSpec([None], tf.string)
    prepare = tf.function(preparation(spec, resizer), input_signature=[spec])
    good = tf.io.encode_png(np.zeros((4, 6, 3), np.uint8)).numpy()
    assert prepare(tf.constant([good, good])).images.shape[0] == 2
    bomb = good[:16] + (50_000).to_bytes(4, "big") * 2 + good[24:]
    with pytest.raises(tf.errors.InvalidArgumentError, match="the image is too large"):
        prepare(tf.constant([good, bomb]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="does not say how large it is"):
        prepare(tf.constant([good[:8] + b"\0" * 40]))
