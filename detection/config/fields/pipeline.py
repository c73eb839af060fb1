"""The pipeline config and its choice of meta-architecture."""

from __future__ import annotations

from detection import registry
from detection.config.fields.row import ONE_OR_MORE, Message, all_honoured, honoured, no_effect, refused

MESSAGES: dict[str, Message] = {
    "TrainEvalPipelineConfig": (
        honoured("model", required=True),
        honoured("train_config"),
        honoured("train_input_reader"),
        honoured("eval_config"),
        honoured("eval_input_reader"),
        no_effect(
            "graph_rewriter", "training and export are in float; nothing is quantised, and nothing trained for it"
        ),
        honoured("plugins"),
    ),
    "DetectionModel": (
        *all_honoured("faster_rcnn ssd"),
        refused("experimental_model", "use model.ssd, model.faster_rcnn, model.center_net or model.fast_rcnn"),
        *all_honoured("center_net fast_rcnn"),
        honoured("custom", registry=registry.meta_architecture),
        honoured("truncated_svd"),
    ),
    "TruncatedSvd": (honoured("layer", required=True), honoured("rank", ONE_OR_MORE, required=True)),
    "CustomPart": (honoured("name", required=True), honoured("parameters")),
    "CustomModel": (
        honoured("name", required=True),
        honoured("parameters"),
        honoured("num_classes", ONE_OR_MORE),
        honoured("image_resizer", required=True),
    ),
}
