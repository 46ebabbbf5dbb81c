#!/usr/bin/env bash
# Usage: quantization_table.sh SWITCHYARD MODEL TEXT [OPTION...]
# Size and perplexity of a model for every form of its experts (across) and attention (down), as a
# table in Markdown. Each cell is a run of `perplexity` with the options.
set -euo pipefail
program=$1 model=$2 text=$3
shift 3
forms="stored int8 int4 int3 int2"

# cell EXPERTS ATTENTION [OPTION...]: "DENSE + EXPERTS / PERPLEXITY".
cell() {
  local experts=$1 attention=$2 log sizes perplexity
  shift 2
  log=$("$program" perplexity --model "$model" --input "$text" --json --progress none \
        --expert-dtype "$experts" --attention-dtype "$attention" "$@" 2>&1)
  sizes=$(sed -nE 's/^memory of rank 0: dense weights ([^,]*), experts ([^,]*),.*/\1 + \2/p' \
          <<<"$log")
  perplexity=$(sed -nE 's/.*"perplexity":([0-9.eE+-]+).*/\1/p' <<<"$log")
  [ -n "$sizes" ] && [ -n "$perplexity" ] || { echo "$log" >&2; exit 1; }
  printf '%s / %.3f' "$sizes" "$perplexity"
}

echo "dense weights + experts / perplexity"
echo
printf '| attention \\ experts |'
for experts in $forms; do printf ' %s |' "$experts"; done
printf '\n|---|---|---|---|---|---|\n'
for attention in $forms; do
  printf '| %s |' "$attention"
  for experts in $forms; do printf ' %s |' "$(cell "$experts" "$attention" "$@")"; done
  printf '\n'
done
