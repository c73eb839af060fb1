#!/usr/bin/env bash
# Installs the project into an empty environment and tests the program there:  bash scripts/check_install.sh [PYTHON]
set -euo pipefail
cd "$(dirname "$0")/.."
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"${1:-python3}" -m venv "$place/venv"
bin="$place/venv/bin"
[ -d "$bin" ] || bin="$place/venv/Scripts" # Windows
# Run from an empty folder, so that nothing is imported from the checkout.
"$bin/python" -m pip install --quiet --disable-pip-version-check .
cd "$place"
"$bin/detection" --version
"$bin/detection" --help >/dev/null
for command in $("$bin/python" -c 'from detection.commands.catalogue import COMMANDS; print(*(c.name for c in COMMANDS))'); do
  "$bin/detection" "$command" --help >/dev/null
done
"$bin/detection" config copy ssd_mobilenet_v1_050_synthetic my.config
"$bin/detection" check --no_paths --quiet my.config
"$bin/detection" synthetic --output_dir=shapes --num_images=8 --num_val_images=4 --num_test_images=1 --size=64x64 >/dev/null
"$bin/detection" train --pipeline_config_path=my.config --model_dir=run --num_train_steps=2 --set train_config.batch_size=2 \
  --set "train_input_path=shapes/train.record-*" --set "eval_input_path=shapes/val.record-*" --set label_map_path=shapes/label_map.pbtxt >/dev/null
"$bin/detection" evaluate --pipeline_config_path=run/pipeline.config --checkpoint_dir=run >/dev/null
"$bin/detection" export --pipeline_config_path=run/pipeline.config --trained_checkpoint_dir=run --output_directory=exported >/dev/null
"$bin/detection" detect --saved_model=exported shapes/test_images --min_score=0 >/dev/null
echo "installed and tested with $("$bin/python" --version)"
