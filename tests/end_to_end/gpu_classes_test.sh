#!/usr/bin/env bash
# The classes of tensor cores on GPUs, real or emulated ones: equal bytes on every number of ranks,
# in every batch and with every budget, and log-probs near those of class cpu-fp32.
# Usage: gpu_classes_test.sh PROGRAM PROGRAM_WITH_GPUS TEST_DATA [MPIRUN]
set -euo pipefail

program=$1
on_gpu=$2
data=$3
mpirun=${4:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

fail() {
  echo "FAIL: $*" >&2
  failures=$((failures + 1))
}

# score OUTPUT MODEL CLASS RANKS ARGUMENTS...: on GPUs.
score() {
  local output=$1 model=$2 class=$3 ranks=$4
  shift 4
  local launcher=()
  [[ $ranks -gt 1 ]] && launcher=("$mpirun" --allow-run-as-root --oversubscribe
    --mca mpi_yield_when_idle 1 -np "$ranks")
  "${launcher[@]}" "$on_gpu" score --model "$model" --input "$input" --output "$output" \
    --backend cuda --numerics "$class" --threads 1 "$@" 2>"$work/log" && return
  cat "$work/log" >&2
  fail "$model in $class on $ranks ranks, $*: exit status"
}

# same MODEL CLASS: all ways to run a model in a class write the bytes in $work/first.
same() {
  local model=$1 class=$2
  score "$work/first" "$model" "$class" 1
  local way
  for way in "1 --max-batch-tokens 17" "1 --expert-slots 3 --max-batch-tokens 40" \
    "2 --transport mpi" "2 --transport mpi --exchange-layout exact" \
    "3 --transport mpi --expert-slots 2 --max-batch-tokens 30"; do
    [[ $way != 1* && -z $mpirun ]] && continue
    # shellcheck disable=SC2086  # its words are arguments
    score "$work/other" "$model" "$class" $way
    cmp "$work/first" "$work/other" >&2 || fail "$model in $class: other bytes with $way"
    rm -f "$work/other" "$work"/*.meta.json
  done
}

# All log-probs of a result, one a line.
log_probs() {
  grep -o '"token_logprobs":\[[^]]*\]' "$1" | grep -o '[-0-9.e+]*[0-9]'
}

# near MODEL MOST: the mean difference to the CPU's log-probs of what same() left is at most so much.
near() {
  local model=$1 most=$2
  "$program" score --model "$model" --input "$input" --output "$work/cpu" --backend cpu \
    --threads 1 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
  paste <(log_probs "$work/cpu") <(log_probs "$work/first") | awk -v most="$most" '
    NF != 2 { exit 1 }
    { difference = $1 - $2; sum += difference < 0 ? -difference : difference }
    END { print "mean difference", sum / NR, "of at most", most; exit !(NR > 100 && sum / NR <= most) }
  ' || fail "$model: log-probs are not near cpu-fp32"
  rm -f "$work"/cpu*
}

# By a rounding of an operand (u: 2^-11 of fp16, 2^-8 of bf16): 8 u on average.
model=$data/trained_moe_8e
input=$model/requests_pairs_token_ids.jsonl
same "$model" fp16
near "$model" 0.0039
same "$model" bf16
near "$model" 0.0313

for case in gpt-oss-mxfp4 deepseek-v3-fp8; do
  input=$data/hf/$case/requests.jsonl
  same "$data/hf/$case" auto
done
exit "$((failures > 0))"
