#!/usr/bin/env bash
# The whole program on GPUs, real or emulated ones: the bytes of the CPU in its arithmetic, on every
# number of ranks, with experts that are paged, for scoring and generation.
# Usage: gpu_bytes_test.sh PROGRAM PROGRAM_WITH_GPUS TEST_DATA [MPIRUN]
set -euo pipefail

program=$1
on_gpu=$2
data=$3
mpirun=${4:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

# check COMMAND MODEL INPUT RANKS ARGUMENTS...: both programs write the same bytes.
check() {
  local command=$1 model=$2 input=$3 ranks=$4
  shift 4
  # What decides the numbers, for both.
  local same=()
  [[ $command == generate ]] && same=("$@")
  local launcher=()
  [[ $ranks -gt 1 ]] && launcher=("$mpirun" --allow-run-as-root --oversubscribe
    --mca mpi_yield_when_idle 1 -np "$ranks")
  "$program" "$command" --model "$model" --input "$input" --output "$work/cpu" --backend cpu \
    --threads 1 "${same[@]}" 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
  if ! "${launcher[@]}" "$on_gpu" "$command" --model "$model" --input "$input" \
    --output "$work/gpu" --backend cuda --numerics cpu-fp32 --threads 1 "$@" 2>"$work/log"; then
    cat "$work/log" >&2
    echo "FAIL: $command $model on $ranks ranks, $*: exit status" >&2
    failures=$((failures + 1))
  elif ! cmp "$work/cpu" "$work/gpu" >&2; then
    echo "FAIL: $command $model on $ranks ranks, $*: other bytes than the CPU" >&2
    failures=$((failures + 1))
  fi
  rm -f "$work/cpu" "$work/gpu" "$work"/*.meta.json
}

for case in deepseek-v3-yarn-mtp gpt-oss-mxfp4 qwen3-moe-yarn-v5 phimoe-longrope; do
  check score "$data/hf/$case" "$data/hf/$case/requests.jsonl" 1 --max-batch-tokens 40
done
check generate "$data/hf/deepseek-v2-lite-yarn" \
  "$data/hf/deepseek-v2-lite-yarn/requests_generate.jsonl" 1 --max-new-tokens 8 --greedy
check generate "$data/hf/mixtral-window-bf16-shards" \
  "$data/hf/deepseek-v2-lite-yarn/requests_generate.jsonl" 1 --max-new-tokens 12 --batch-size 3
check generate "$data/trained_moe_8e" "$data/trained_moe_8e/requests_generate.jsonl" 1 \
  --max-new-tokens 12 --decode-graphs off
check score "$data/fairseq/moe_fp16" "$data/fairseq/moe_fp16/requests.jsonl" 1 --expert-slots 3
check score "$data/hf/granitemoe" "$data/hf/granitemoe/requests.jsonl" 1 --expert-slots 2 \
  --host-budget 1MiB --prefetch on
if [[ -n $mpirun ]]; then
  check score "$data/hf/olmoe-clip" "$data/hf/olmoe-clip/requests.jsonl" 2 --transport mpi
  check generate "$data/trained_moe_8e" "$data/trained_moe_8e/requests_generate.jsonl" 2 \
    --max-new-tokens 12
  check score "$data/fairseq/moe_fp32" "$data/fairseq/moe_fp32/requests.jsonl" 3 --transport mpi \
    --expert-slots 2 --exchange-buffer 16KiB
fi
exit "$((failures > 0))"
