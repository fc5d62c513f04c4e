#!/usr/bin/env bash
# Write the loss of each step as CSV while a run is learning. Requires jq.
# Usage: examples/pipelines/losses.sh --strategy moincl --tasks img_cap,aud_qa > losses.csv
set -euo pipefail
echo "task,step,loss"
micl learn --json "$@" | jq -r 'select(.event == "step") | [.position, .step, .loss] | @csv'
