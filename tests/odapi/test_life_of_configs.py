"""The tool that takes every config through the commands, on one small config and on one that is refused."""

from __future__ import annotations

from pathlib import Path

from detection.data import synthetic_set
from tests.helpers import small_ssd
from tests.odapi import life_of_configs, stages_of_configs

_TRAINING = """
train_config {
  batch_size: 64 num_steps: 100000 fine_tune_checkpoint: "PATH_TO_BE_CONFIGURED/model.ckpt"
  optimizer { momentum_optimizer { learning_rate { constant_learning_rate { learning_rate: 0.01 } } } }
}
train_input_reader { tf_record_input_reader { input_path: "PATH_TO_BE_CONFIGURED/train.record" }
  label_map_path: "PATH_TO_BE_CONFIGURED/label_map.pbtxt" }
eval_config { num_visualizations: 0 }
eval_input_reader { tf_record_input_reader { input_path: "PATH_TO_BE_CONFIGURED/val.record" }
  label_map_path: "PATH_TO_BE_CONFIGURED/label_map.pbtxt" }
"""


def test_a_config_lives_through_all_stages(tmp_path: Path) -> None:
    data = tmp_path / "data"
    synthetic_set.make(data, {"train": 4, "val": 2}, 0, sizes=((64, 48),))
    small, masks = tmp_path / "small.config", tmp_path / "masks.config"
    small.write_text(small_ssd.model(48, 64, 20) + _TRAINING, encoding="utf-8")
    masks.write_text('model { ssd { num_classes: 3 mask_head_config {} feature_extractor { type: "x" } } }', "utf-8")
    pictures = tuple(map(str, sorted((data / "test_images").iterdir())[:2]))
    setting = stages_of_configs.Setting(data, pictures, side=48, sample_1_of_n=1, seconds=360)
    rows = []
    for config in (small, masks):
        row = life_of_configs.understand(str(config))
        if "refused" not in row:
            row = life_of_configs.live(str(config), row, setting, life_of_configs.here)
        rows.append(row)
    lived, refused = rows
    assert "error" not in lived and list(lived["stages"]) == list(stages_of_configs.STAGES), lived
    restored = lived["stages"]["restore"]
    assert 0 < restored["restored"] < restored["variables"]  # the head is not what type `detection` restores
    assert "mask_head_config" in refused["refused"][0] and not refused["stages"]
    table = life_of_configs.table(rows)
    assert f"{restored['restored']} of {restored['variables']}, " in table and "| masks | model.ssd." in table
