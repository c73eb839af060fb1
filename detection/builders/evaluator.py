"""EvalConfig -> EvalSettings."""

from __future__ import annotations

import difflib

from PIL import ImageColor

from detection.errors import ConfigError
from detection.protos import eval_pb2
from detection.settings import DEFAULT_METRICS, METRICS, EvalSettings, Style

_OLD_NAMES = {
    "pascal_voc_metrics": "pascal_voc_detection_metrics",
    "weighted_pascal_voc_metrics": "weighted_pascal_voc_detection_metrics",
}


def build(message: eval_pb2.EvalConfig) -> EvalSettings:
    """Settings of all evaluations of a run.

    `num_examples` and `max_evals`, deprecated in the schema, are read by nobody: every evaluation covers its whole
    input, as `config.check` warns. Without `retain_original_images` there are no pictures.

    Raises:
        ConfigError: a metrics set, threshold, number or colour that cannot be.
    """
    if not 0.0 <= message.min_score_threshold <= 1.0:
        raise ConfigError(f"eval_config.min_score_threshold ({message.min_score_threshold:g}) must lie between 0 and 1")
    if message.max_num_boxes_to_visualize < 0:
        raise ConfigError(
            f"eval_config.max_num_boxes_to_visualize ({message.max_num_boxes_to_visualize}) must not be negative"
        )
    if message.batch_size < 1:
        raise ConfigError(f"eval_config.batch_size ({message.batch_size}) must be at least 1")
    return EvalSettings(
        metrics=_metrics(message),
        batch_size=message.batch_size,
        losses=not message.use_dummy_loss_in_eval,
        ignore_groundtruth=message.ignore_groundtruth,
        use_moving_averages=message.use_moving_averages,
        interval_seconds=message.eval_interval_secs,
        per_category_tags=message.include_metrics_per_category,
        all_per_category_tags=message.all_metrics_per_category,
        super_categories=tuple(
            (name, tuple(member.strip() for member in members.split(",") if member.strip()))
            for name, members in sorted(message.super_categories.items())
        ),
        num_visualizations=message.num_visualizations if message.retain_original_images else 0,
        style=Style(
            min_score=message.min_score_threshold,
            max_boxes=message.max_num_boxes_to_visualize,
            labels=not message.skip_labels,
            scores=not message.skip_scores,
            groundtruth_color=(
                _color(message.groundtruth_box_visualization_color) if message.visualize_groundtruth_boxes else None
            ),
        ),
        visualization_export_dir=message.visualization_export_dir,
        name_visualizations_by_image=message.keep_image_id_for_visualization_export,
        export_path=message.export_path,
    )


def _metrics(message: eval_pb2.EvalConfig) -> tuple[str, ...]:
    """Names of METRICS, each once; the default where none is given."""
    names = [_OLD_NAMES.get(name, name) for name in message.metrics_set] or [DEFAULT_METRICS]
    for name in names:
        if name not in METRICS:
            close = difflib.get_close_matches(name, METRICS, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ConfigError(f"eval_config.metrics_set: {name!r} is not one of {', '.join(METRICS)}{hint}")
    return tuple(dict.fromkeys(names))


def _color(name: str) -> str:
    """The colour as given, if it is one; names such as LightGreen count in any case."""
    try:
        ImageColor.getrgb(name)
    except ValueError:
        field = "eval_config.groundtruth_box_visualization_color"
        raise ConfigError(
            f"{field}: {name!r} is no colour; use a name such as 'black' or a value such as '#00ff80'"
        ) from None
    return name
