"""The schema equals the TF Object Detection API's, so that existing files load; suggestions for unknown names."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, text_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, FileDescriptor

import detection.protos
from detection.config import schema
from detection.protos import model_pb2, pipeline_pb2, ssd_pb2

PACKAGE = "object_detection.protos"
OUR_FILES = {"truncated_svd", "custom", "sweep"}  # schema files of this project alone
OUR_ENUMS = {"DifficultObjects"}
# Messages of this project in files of the API, and files that files of the API import for our fields alone.
OUR_MESSAGES = {
    "BoxCenterMatcher",
    "CenterSqrtBoxCoder",
    "CornerBoxCoder",
    "LocalizationLossSum",
    "LocalizationLossTerm",
}
OUR_IMPORTS = {"faster_rcnn": {"box_coder", "matcher", "region_similarity_calculator"}}
OURS = 1001  # fields of this project have numbers from here up
TYPES = {
    getattr(FieldDescriptor, name): name.removeprefix("TYPE_").lower()
    for name in dir(FieldDescriptor)
    if name.startswith("TYPE_")
}


def files() -> dict[str, FileDescriptor]:
    """Every compiled schema file by its name without folder and extension."""
    modules = sorted(Path(detection.protos.__file__).parent.glob("*_pb2.py"))
    return {
        path.stem.removesuffix("_pb2"): importlib.import_module(f"detection.protos.{path.stem}").DESCRIPTOR
        for path in modules
    }


def type_name(field: FieldDescriptor) -> str:
    named = field.message_type or field.enum_type
    return named.full_name.removeprefix(f"{PACKAGE}.") if named is not None else TYPES[field.type]


def facts(field: FieldDescriptor) -> tuple:
    """Number, type, label, default value as written, oneof."""
    default = field.default_value if field.has_default_value else None
    if default is not None and field.enum_type is not None:
        default = field.enum_type.values_by_number[default].name
    return (
        field.number,
        type_name(field),
        field.is_repeated,
        default,
        field.containing_oneof.name if field.containing_oneof else None,
    )


def enums(found: dict[str, EnumDescriptor]) -> dict[str, dict[str, int]]:
    return {name: {value.name: value.number for value in enum.values} for name, enum in found.items()}


def stated_default(entry: dict, field: FieldDescriptor) -> object:
    text = entry.get("default")
    if text is None or field.enum_type is not None:
        return text
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return text.strip('"')
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return text == "true"
    return pytest.approx(float(text), rel=1e-6)


def test_a_few_facts():
    ssd = ssd_pb2.Ssd.DESCRIPTOR.fields_by_name
    assert facts(ssd["num_classes"]) == (1, "int32", False, None, None)
    assert facts(ssd["normalize_loss_by_num_matches"]) == (10, "bool", False, True, None)
    assert facts(ssd["mask_head_config"]) == (25, "Ssd.MaskHead", False, None, None)
    assert ssd_pb2.SsdFeatureExtractor().num_layers == 6 and ssd_pb2.Ssd().negative_class_weight == 1.0
    config = pipeline_pb2.TrainEvalPipelineConfig()
    assert config.train_config.batch_size == 32 and config.train_input_reader.shuffle_buffer_size == 2048
    assert config.train_config.optimizer.use_moving_average and config.eval_config.max_num_boxes_to_visualize == 20
    assert config.DESCRIPTOR.full_name == f"{PACKAGE}.TrainEvalPipelineConfig" and config.DESCRIPTOR.is_extendable
    assert config.model.ssd.post_processing.batch_non_max_suppression.iou_threshold == pytest.approx(0.6)
    assert enums(config.model.ssd.post_processing.DESCRIPTOR.enum_types_by_name) == {
        "ScoreConverter": {"IDENTITY": 0, "SIGMOID": 1, "SOFTMAX": 2}
    }


def test_fast_rcnn_is_our_field():
    fast = model_pb2.DetectionModel.DESCRIPTOR.fields_by_name["fast_rcnn"]
    assert facts(fast) == (1001, "FasterRcnn", False, None, "model")
    message = text_format.Parse("fast_rcnn { num_classes: 3 }", model_pb2.DetectionModel())
    assert message.WhichOneof("model") == "fast_rcnn" and message.SerializeToString()[:2] == b"\xca\x3e"


def test_plugins_and_custom_models_are_our_fields():
    fields = pipeline_pb2.TrainEvalPipelineConfig.DESCRIPTOR.fields_by_name
    assert facts(fields["plugins"]) == (1001, "string", True, None, None)
    custom = model_pb2.DetectionModel.DESCRIPTOR.fields_by_name["custom"]
    assert facts(custom) == (1002, "CustomModel", False, None, "model")


def test_every_schema_file_has_a_header():
    sources = sorted((Path(__file__).resolve().parents[2] / "protos").glob("*.proto"))
    assert len(sources) == 34 + len(OUR_FILES) == len(files())
    for source in sources:
        first, second = source.read_text().splitlines()[:2]
        assert first.startswith("// ") and first.endswith(".") and second == 'syntax = "proto2";', source


def test_equals_the_reference_schema(shared):
    reference = json.loads((shared / "reference" / "odapi_schema.json").read_text())
    ours = files()
    assert {Path(name).stem for name in reference} == set(ours) - OUR_FILES
    compared = 0
    for name, stated in reference.items():
        file = ours[Path(name).stem]
        assert file.package == stated["package"] == PACKAGE
        assert {Path(item).stem for item in stated["imports"]} == {
            Path(item.name).stem for item in file.dependencies
        } - OUR_FILES - OUR_IMPORTS.get(Path(name).stem, set()), name
        found_enums = enums(file.enum_types_by_name)
        assert {enum: found_enums[enum] for enum in found_enums.keys() - OUR_ENUMS} == stated["enums"]
        found = {descriptor.full_name.removeprefix(f"{PACKAGE}."): descriptor for descriptor in all_messages(file)}
        assert set(found) - OUR_MESSAGES == set(stated["messages"]), name
        for message, expected in stated["messages"].items():
            compare(message, found[message], expected)
            compared += len(expected["fields"])
    assert compared > 600


def compare(message: str, descriptor: Descriptor, expected: dict) -> None:
    assert enums(descriptor.enum_types_by_name) == expected["enums"], message
    assert descriptor.GetOptions().map_entry == expected.get("map_entry", False), message
    proto = descriptor_pb2.DescriptorProto()
    descriptor.CopyToProto(proto)
    assert [[item.start, item.end - 1] for item in proto.reserved_range] == expected.get("reserved", []), message
    assert extensions(proto) == expected.get("extensions", []), message
    fields = {field.name: field for field in descriptor.fields if field.number < OURS}
    assert set(fields) == {entry["name"] for entry in expected["fields"]}, message
    for entry in expected["fields"]:
        field = fields[entry["name"]]
        number, kind, repeated, default, oneof = facts(field)
        where = f"{message}.{field.name}"
        assert (number, kind, oneof) == (entry["number"], entry["type"], entry.get("oneof")), where
        assert repeated == (entry["label"] == "repeated"), where
        assert default == stated_default(entry, field), where
        assert field.GetOptions().deprecated == bool(entry.get("deprecated", False)), where


def extensions(proto: descriptor_pb2.DescriptorProto) -> list[list[int]]:
    """Ranges of numbers reserved for extensions, including those used by our fields."""
    ranges = [[item.start, item.end - 1] for item in proto.extension_range]
    ours = [[field.number, field.number] for field in proto.field if field.number >= OURS] if ranges else []
    joined: list[list[int]] = []
    for low, high in sorted(ranges + ours):
        if joined and joined[-1][1] == low - 1:
            joined[-1][1] = high
        else:
            joined.append([low, high])
    return joined


def all_messages(container: FileDescriptor | Descriptor) -> list[Descriptor]:
    nested = (
        container.message_types_by_name if isinstance(container, FileDescriptor) else container.nested_types_by_name
    )
    return [*nested.values(), *(inner for descriptor in nested.values() for inner in all_messages(descriptor))]


def test_suggestions_for_unknown_names():
    descriptor = ssd_pb2.Ssd.DESCRIPTOR
    root = pipeline_pb2.TrainEvalPipelineConfig.DESCRIPTOR
    assert (
        schema.unknown_field("num_clases", descriptor, root)
        == "unknown field 'num_clases' in Ssd; did you mean 'num_classes'?"
    )
    assert (
        schema.unknown_field("num_steps", descriptor, root)
        == "unknown field 'num_steps' in Ssd; 'num_steps' belongs to train_config"
    )
    assert schema.did_you_mean("sigmoid", ["SIGMOID", "SOFTMAX"]) == "; did you mean 'SIGMOID'?"
    empty = (
        descriptor.fields_by_name["similarity_calculator"].message_type.fields_by_name["iou_similarity"].message_type
    )
    assert (
        schema.unknown_field("zzz", empty, root)
        == "unknown field 'zzz' in IouSimilarity, which has no fields; remove it"
    )
    assert list(schema.paths_to("num_steps", root)) == ["train_config"]
