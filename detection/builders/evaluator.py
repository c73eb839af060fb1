"""Message `EvalConfig` -> settings.EvalSettings."""

from __future__ import annotations

from detection.protos import eval_pb2
from detection.settings import DEFAULT_METRICS, EvalSettings, Style


def build(message: eval_pb2.EvalConfig) -> EvalSettings:
    """Settings of all evaluations of a run.

    The deprecated fields `num_examples` and `max_evals` are ignored, as `config.check` warns: every evaluation covers
    its whole input. Without `retain_original_images` no pictures are written.
    """
    return EvalSettings(
        metrics=tuple(dict.fromkeys(message.metrics_set)) or (DEFAULT_METRICS,),
        batch_size=message.batch_size,
        losses=not message.use_dummy_loss_in_eval,
        resize=not message.force_no_resize,
        ignore_groundtruth=message.ignore_groundtruth,
        use_moving_averages=message.use_moving_averages,
        interval_seconds=message.eval_interval_secs,
        per_category_tags=message.include_metrics_per_category,
        all_per_category_tags=message.all_metrics_per_category,
        super_categories=tuple(
            (name, tuple(member.strip() for member in members.split(",") if member.strip()))
            for name, members in sorted(message.super_categories.items())
        ),
        recall_bounds=(message.recall_lower_bound, message.recall_upper_bound),
        labelled_only=message.skip_predictions_for_unlabeled_class,
        unlabelled_is_checked=message.image_classes_field_map_empty_to_ones,
        num_visualizations=message.num_visualizations if message.retain_original_images else 0,
        style=Style(
            min_score=message.min_score_threshold,
            max_boxes=message.max_num_boxes_to_visualize,
            labels=not message.skip_labels,
            scores=not message.skip_scores,
            groundtruth_color=(
                message.groundtruth_box_visualization_color if message.visualize_groundtruth_boxes else None
            ),
        ),
        visualization_export_dir=message.visualization_export_dir,
        name_visualizations_by_image=message.keep_image_id_for_visualization_export,
        export_path=message.export_path,
    )
