"""Programs of the TF Object Detection API: all of their flags, and records in the same files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tensorflow as tf

from detection.commands import catalogue
from detection.commands.call import call
from detection.commands.flags import Flags

SIDE_INPUTS = "use_side_inputs side_input_shapes side_input_types side_input_names"
# As research/object_detection of tensorflow/models defines them.
FLAGS = {
    "model_main_tf2": "pipeline_config_path num_train_steps eval_on_train_data sample_1_of_n_eval_examples"
    " sample_1_of_n_eval_on_train_examples model_dir checkpoint_dir eval_timeout use_tpu tpu_name num_workers"
    " checkpoint_every_n record_summaries hparams_overrides num_eval_steps",
    "model_main": "model_dir pipeline_config_path num_train_steps eval_training_data sample_1_of_n_eval_examples"
    " sample_1_of_n_eval_on_train_examples hparams_overrides checkpoint_dir run_once max_eval_retries"
    " num_eval_steps",
    "exporter_main_v2": "input_type pipeline_config_path trained_checkpoint_dir output_directory config_override "
    + SIDE_INPUTS,
    "export_inference_graph": "input_type input_shape pipeline_config_path trained_checkpoint_prefix output_directory"
    " config_override write_inference_graph additional_output_tensor_names " + SIDE_INPUTS,
    "export_tflite_graph_tf2": "pipeline_config_path trained_checkpoint_dir output_directory config_override"
    " max_detections ssd_use_regular_nms ssd_add_postprocessing_op centernet_include_keypoints keypoint_label_map_path",
    "export_tflite_ssd_graph": "output_directory pipeline_config_path trained_checkpoint_prefix max_detections"
    " max_classes_per_detection detections_per_class add_postprocessing_op use_regular_nms config_override",
    "create_pascal_tf_record": "data_dir set annotations_dir year output_path label_map_path"
    " ignore_difficult_instances",
    "create_coco_tf_record": "include_masks train_image_dir val_image_dir test_image_dir train_annotations_file"
    " val_annotations_file testdev_annotations_file train_keypoint_annotations_file val_keypoint_annotations_file"
    " train_densepose_annotations_file val_densepose_annotations_file remove_non_person_annotations output_dir",
    "create_pet_tf_record": "data_dir output_dir label_map_path faces_only mask_type num_shards",
    "create_kitti_tf_record": "data_dir output_path classes_to_use label_map_path validation_set_size",
    "create_oid_tf_record": "input_box_annotations_csv input_images_directory input_image_label_annotations_csv"
    " input_label_map output_tf_record_path_prefix num_shards",
}


def test_every_original_is_tested():
    assert set(FLAGS) == {entry.name for entry in catalogue.ORIGINALS}


@pytest.mark.parametrize("name", FLAGS)
def test_every_flag_of_the_original_is_accepted(name):
    flags = Flags()
    catalogue.BY_NAME[name].module().define(flags)
    assert set(FLAGS[name].split()) <= set(flags.values)


EXPORT = ("--pipeline_config_path=a", "--output_directory=b")
REFUSED = [
    ("model_main_tf2", ("--num_workers=2",), "--num_workers 2: training on several machines"),
    ("model_main_tf2", ("--use_tpu",), "--use_tpu: TPUs are not supported"),
    ("exporter_main_v2", ("--use_side_inputs",), "--use_side_inputs: side inputs belong to Context R-CNN"),
    (
        "exporter_main_v2",
        ("--input_type=image_and_boxes_tensor",),
        "--input_type=image_and_boxes_tensor: not supported",
    ),
    ("export_inference_graph", ("--write_inference_graph",), "--write_inference_graph: there is no graph with"),
    ("export_inference_graph", ("--additional_output_tensor_names=a",), "--additional_output_tensor_names: further"),
    ("export_tflite_graph_tf2", (), "export_tflite_graph_tf2.py: the graph with TFLite_Detection_PostProcess cannot"),
    ("export_tflite_ssd_graph", (), "export_tflite_ssd_graph.py: the graph with TFLite_Detection_PostProcess cannot"),
    ("create_coco_tf_record", ("--include_masks",), "--include_masks: masks are not supported"),
    ("create_coco_tf_record", ("--train_image_dir=a",), "--train_annotations_file is missing; it is needed with"),
    ("create_coco_tf_record", (), "no split is given"),
    ("create_pet_tf_record", ("--nofaces_only",), "--faces_only: boxes around whole bodies come from masks"),
    ("create_pascal_tf_record", ("--year=merged", "--annotations_dir=x"), "--annotations_dir=x: can be given for one"),
]
REQUIRED = {
    "model_main_tf2": ("--pipeline_config_path=a", "--model_dir=b"),
    "exporter_main_v2": (*EXPORT, "--trained_checkpoint_dir=c"),
    "export_inference_graph": (*EXPORT, "--trained_checkpoint_prefix=c"),
    "create_pet_tf_record": ("--data_dir=a", "--output_dir=b"),
    "create_pascal_tf_record": ("--data_dir=a", "--output_path=b"),
}


@pytest.mark.parametrize(("name", "words", "says"), REFUSED)
def test_unsupported_flags_are_refused_by_name(name, words, says, capfd):
    assert call(f"{name}.py", *REQUIRED.get(name, ()), *words) == 2
    err = capfd.readouterr().err
    assert err.startswith(f"error: {says}") and err.count("\n") == 1


def test_a_flag_that_is_not_supported_may_have_its_default(capfd):
    """Existing scripts may give default values explicitly."""
    words = ("--nouse_side_inputs", "--nowrite_inference_graph", "--input_shape=1,None,None,3")
    assert call("export_inference_graph.py", *REQUIRED["export_inference_graph"], *words) == 2
    assert "error: c: no such checkpoint" in capfd.readouterr().err


def test_the_trainer_keeps_as_many_checkpoints_as_the_original():
    flags = Flags()
    catalogue.BY_NAME["model_main_tf2"].module().define(flags)
    assert flags.values["max_checkpoints"].default == 7


def records(path: Path) -> list[dict]:
    return [
        tf.train.Example.FromString(record.numpy()).features.feature for record in tf.data.TFRecordDataset(str(path))
    ]


def classes(path: Path) -> list[list[tuple[int, str]]]:
    found = []
    for feature in records(path):
        labels = feature["image/object/class/label"].int64_list.value
        texts = feature["image/object/class/text"].bytes_list.value
        found.append([(label, text.decode()) for label, text in zip(labels, texts, strict=True)])
    return found


@pytest.fixture
def picture() -> bytes:
    return tf.io.encode_jpeg(tf.zeros([60, 40, 3], tf.uint8)).numpy()


def test_pascal(tmp_path, picture):
    root = tmp_path / "VOCdevkit" / "VOC2007"
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / name).mkdir(parents=True)
    xml = "<annotation>{}</annotation>".format(
        "<object><name>dog</name><difficult>{}</difficult><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>20</xmax>"
        "<ymax>30</ymax></bndbox></object>"
    )
    for number in range(3):
        (root / "JPEGImages" / f"{number}.jpg").write_bytes(picture)
        (root / "Annotations" / f"{number}.xml").write_text(xml.format(int(number == 1)))
    (root / "ImageSets" / "Main" / "train.txt").write_text("0\n1\n")
    output, label_map = tmp_path / "pascal_train.record", tmp_path / "map.pbtxt"
    label_map.write_text('item { id: 12 name: "dog" }')
    words = (f"--data_dir={root.parent}", f"--output_path={output}", f"--label_map_path={label_map}")
    for _ in range(2):  # As theirs, it writes over what is there.
        assert call("create_pascal_tf_record.py", *words) == 0
    assert classes(output) == [[(12, "dog")], [(12, "dog")]]
    assert call("create_pascal_tf_record.py", *words, "--ignore_difficult_instances") == 0
    assert classes(output) == [[(12, "dog")], []]
    (root / "Annotations").rename(root / "Others")
    assert call("create_pascal_tf_record.py", *words, "--annotations_dir=Others") == 0


def test_coco(tmp_path, picture):
    (tmp_path / "images").mkdir()
    images = [{"id": number, "file_name": f"{number}.jpg", "width": 40, "height": 60} for number in (1, 2)]
    categories = [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}]
    boxes = [{"image_id": 1, "category_id": kind, "bbox": [1, 2, 10, 20], "id": kind} for kind in (1, 3)]
    for image in images:
        (tmp_path / "images" / image["file_name"]).write_bytes(picture)
    content = {"images": images, "categories": categories}
    (tmp_path / "testdev.json").write_text(json.dumps(content))
    (tmp_path / "train.json").write_text(json.dumps({**content, "annotations": boxes}))
    words = [f"--train_image_dir={tmp_path}/images", f"--train_annotations_file={tmp_path}/train.json"]
    words += [f"--test_image_dir={tmp_path}/images", f"--testdev_annotations_file={tmp_path}/testdev.json"]
    assert call("create_coco_tf_record.py", *words, f"--output_dir={tmp_path}/out") == 0
    found = [classes(tmp_path / "out" / f"coco_train.record-{shard:05d}-of-00100") for shard in range(3)]
    assert found == [[[(1, "person"), (3, "car")]], [[]], []]
    assert classes(tmp_path / "out" / "coco_testdev.record-00001-of-00050") == [[]]
    assert not list((tmp_path / "out").glob("coco_val*"))
    assert (
        call("create_coco_tf_record.py", *words, f"--output_dir={tmp_path}/out", "--remove_non_person_annotations") == 0
    )
    assert classes(tmp_path / "out" / "coco_train.record-00000-of-00100") == [[[(1, "person")]]][0]


def test_kitti(tmp_path):
    images, labels = tmp_path / "data_object_image_2/training/image_2", tmp_path / "training/label_2"
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    for number in range(3):
        (images / f"{number:06d}.png").write_bytes(tf.io.encode_png(tf.zeros([60, 40, 3], tf.uint8)).numpy())
        lines = ["Car 0 0 0 1 2 20 30", "Cyclist 0 0 0 1 2 20 30"][: number + 1]
        (labels / f"{number:06d}.txt").write_text("\n".join(f"{line} 0 0 0 0 0 0 0" for line in lines))
    (tmp_path / "map.pbtxt").write_text('item { id: 1 name: "car" } item { id: 2 name: "pedestrian" }')
    words = (f"--data_dir={tmp_path}", f"--output_path={tmp_path}/kitti", f"--label_map_path={tmp_path}/map.pbtxt")
    assert call("create_kitti_tf_record.py", *words, "--validation_set_size=1") == 0
    assert classes(tmp_path / "kitti_val.tfrecord") == [[(1, "car")]]
    assert classes(tmp_path / "kitti_train.tfrecord") == [[(1, "car")], [(1, "car")]]


def test_pets(tmp_path, picture):
    for name in ("images", "annotations/xmls"):
        (tmp_path / name).mkdir(parents=True)
    ids = [f"pug_{number}" for number in range(10)]
    xml = "<object><name>dog</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>20</xmax><ymax>30</ymax></bndbox></object>"
    for name in ids:
        (tmp_path / "images" / f"{name}.jpg").write_bytes(picture)
        (tmp_path / "annotations" / "xmls" / f"{name}.xml").write_text(f"<annotation>{xml}</annotation>")
    (tmp_path / "annotations" / "trainval.txt").write_text("".join(f"{name} 1 2 1\n" for name in ids))
    words = (f"--data_dir={tmp_path}", f"--output_dir={tmp_path}/out", f"--label_map_path={tmp_path}/map.pbtxt")
    assert call("create_pet_tf_record.py", *words, "--num_shards=1") == 0
    found = [classes(tmp_path / "out" / f"pet_faces_{split}.record-00000-of-00001") for split in ("train", "val")]
    assert found == [[[(1, "pug")]] * 7, [[(1, "pug")]] * 3]


def test_oid(tmp_path, picture):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "00aa.jpg").write_bytes(picture)
    (tmp_path / "boxes.csv").write_text(
        "ImageID,LabelName,XMin,XMax,YMin,YMax\n00aa,/m/dog,0.1,0.5,0.1,0.5\n00aa,/m/else,0.1,0.5,0.1,0.5\n"
    )
    (tmp_path / "map.pbtxt").write_text('item { id: 4 name: "/m/dog" }')
    words = [f"--input_box_annotations_csv={tmp_path}/boxes.csv", f"--input_images_directory={tmp_path}/images"]
    words += [f"--input_label_map={tmp_path}/map.pbtxt", f"--output_tf_record_path_prefix={tmp_path}/oid.tfrecord"]
    assert call("create_oid_tf_record.py", *words, "--num_shards=1") == 0
    assert classes(tmp_path / "oid.tfrecord-00000-of-00001") == [[(4, "/m/dog")]]
