#!/usr/bin/env bash
# Compare strategies over several seeds in one table. Run it again to resume.
# Usage: examples/pipelines/compare.sh "finetune moincl" "img_cap,aud_qa" "0 1 2" > table.md
set -euo pipefail
strategies=${1:-"finetune moincl"} tasks=${2:-img_cap,aud_qa} seeds=${3:-0}

runs=()
for strategy in $strategies; do
  for seed in $seeds; do
    runs+=("$(micl learn --quiet --strategy "$strategy" --tasks "$tasks" --seed "$seed")")
  done
done
micl report "${runs[@]}" --format md
