"""Every reader of files of others, each with a corpus made here, the words of its format, and the errors that are
documented of it."""

from __future__ import annotations

from tests.fuzz import (
    of_checkpoints,
    of_configs,
    of_data_sets,
    of_detections,
    of_images,
    of_models,
    of_records,
    of_runs,
)
from tests.fuzz.reading import Reader

READERS: dict[str, Reader] = {
    **of_configs.READERS,
    **of_records.READERS,
    **of_data_sets.READERS,
    **of_detections.READERS,
    **of_runs.READERS,
    **of_images.READERS,
    **of_models.READERS,
    **of_checkpoints.READERS,
}
