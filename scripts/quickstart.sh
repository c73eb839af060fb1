#!/usr/bin/env bash
# Installs the project into .venv, draws a data set, trains SSD MobileNet from scratch, evaluates it, exports a SavedModel, and detects objects
# in new images. All output is in quickstart/. If it is stopped, running it again continues.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup_env.sh
setup_env ""

OUT=quickstart
CONFIG=configs/ssd_mobilenet_v1_050_synthetic.config
begun=$SECONDS
mkdir -p "$OUT"

say() { printf '\n== %s  [%d:%02d]\n' "$1" $(((SECONDS - begun) / 60)) $(((SECONDS - begun) % 60)); }

if [ ! -e "$OUT/data/done" ]; then
  say "1/4 drawing 1000 training, 150 evaluation and 12 test images"
  detection synthetic --output_dir="$OUT/data" --num_images=1000 --num_val_images=150
  touch "$OUT/data/done"
fi

say "2/4 training SSD MobileNet from scratch, then evaluating (about 7 minutes on 2 cores)"
detection train --pipeline_config_path="$CONFIG" --model_dir="$OUT/model" --seed=1

say "3/4 exporting a SavedModel with folded batch norm"
detection export --pipeline_config_path="$OUT/model/pipeline.config" --trained_checkpoint_dir="$OUT/model" --output_directory="$OUT/exported"

say "4/4 detecting objects in the test images"
detection detect --saved_model="$OUT/exported/saved_model" --output_dir="$OUT/detections" --min_score=0.6 --contact_sheet "$OUT/data/test_images"

say "done"
python - "$OUT" <<'PY'
import json, sys
out = sys.argv[1]
metrics = json.load(open(f"{out}/model/eval/metrics.json"))
value = metrics["metrics"]["DetectionBoxes_Precision/mAP@.50IOU"]
print(f"""  mAP@0.5 on held-out images   {value:.3f}  (step {metrics["step"]})
  pictures side by side        {out}/detections/contact_sheet.jpg
  single pictures, and JSON    {out}/detections/
  all metrics                  {out}/model/eval/metrics.json
  training curves              tensorboard --logdir={out}/model
  the exported detector        {out}/exported/saved_model
  its config                   configs/ssd_mobilenet_v1_050_synthetic.config
For your own images see README.md, "I have labelled images".""")
PY
