#!/usr/bin/env bash
# From nothing to a served detector: installs the project into .venv, draws a data set, trains SSD MobileNet from scratch on it, evaluates,
# exports a SavedModel, and runs that on pictures it has not seen. Everything it makes lies in quickstart/. Stopped, it goes on where it was.
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
  say "1/4 drawing 1000 images to learn from, 150 to evaluate on, 12 to try"
  detection synthetic --output_dir="$OUT/data" --num_images=1000 --num_val_images=150
  touch "$OUT/data/done"
fi

say "2/4 training SSD MobileNet from scratch, then evaluating (about 7 minutes on 2 cores)"
detection train --pipeline_config_path="$CONFIG" --model_dir="$OUT/model" --seed=1

say "3/4 exporting a SavedModel: batch norm folded, constants frozen"
detection export --pipeline_config_path="$OUT/model/pipeline.config" --trained_checkpoint_dir="$OUT/model" --output_directory="$OUT/exported"

say "4/4 detecting in pictures that it has not seen"
detection detect --saved_model="$OUT/exported/saved_model" --output_dir="$OUT/detections" --min_score=0.6 --contact_sheet "$OUT/data/test_images"

say "done"
python - "$OUT" <<'PY'
import json, sys
out = sys.argv[1]
metrics = json.load(open(f"{out}/model/eval/metrics.json"))
value = metrics["metrics"]["DetectionBoxes_Precision/mAP@.50IOU"]
print(f"""  mAP@0.5 on held-out images   {value:.3f}  (step {metrics["step"]})
  look at this                 {out}/detections/contact_sheet.jpg
  each picture, and a json     {out}/detections/
  all metrics                  {out}/model/eval/metrics.json
  training curves              tensorboard --logdir={out}/model
  the detector to serve        {out}/exported/saved_model
  the config behind it         configs/ssd_mobilenet_v1_050_synthetic.config
Your own images: see README.md, "Your own data".""")
PY
