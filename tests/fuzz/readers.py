"""Every reader of files of others, each with a corpus made here, the words of its format, and the errors that are
documented of it."""

from __future__ import annotations

import of_configs
import of_data_sets
import of_detections
import of_images
import of_models
import of_records
import of_runs
from reading import Reader

READERS: dict[str, Reader] = {
    **of_configs.READERS,
    **of_records.READERS,
    **of_data_sets.READERS,
    **of_detections.READERS,
    **of_runs.READERS,
    **of_images.READERS,
    **of_models.READERS,
}
