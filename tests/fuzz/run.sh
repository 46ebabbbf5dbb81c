#!/usr/bin/env bash
# Builds the fuzz targets with clang and runs all for so many seconds, from the test data.
#
#   tests/fuzz/run.sh SECONDS
#
# What makes a target fail is left in build/fuzz/NAME-crash-*; run the target on it to see why.
set -euo pipefail

seconds="${1:?give the seconds each target runs}"
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
readonly root seconds
cd "$root"
cmake --preset fuzz
targets=(zip pickle jsonl safetensors native)
cmake --build --preset fuzz --parallel "$(nproc)" --target "${targets[@]/%/_fuzz}"

corpus="$(mktemp -d)"
readonly corpus
trap 'rm -rf "$corpus"' EXIT
mkdir "${targets[@]/#/$corpus/}"

# Small checkpoints, the object trees inside them, requests, safetensors files, and descriptions of
# converted checkpoints.
while IFS= read -r -d '' file; do
  name="$(basename "$(dirname "$file")")-$(basename "$file")"
  cp "$file" "$corpus/zip/$name"
  unzip -p "$file" '*/data.pkl' >"$corpus/pickle/$name" 2>/dev/null || rm "$corpus/pickle/$name"
done < <(find tests/data -name '*.pt' -size -200k -print0)
find tests/data -name 'requests*.jsonl' -print0 |
  while IFS= read -r -d '' file; do
    cp "$file" "$corpus/jsonl/$(basename "$(dirname "$file")")-$(basename "$file")"
  done
find tests/data -name '*.safetensors' -size -200k -print0 |
  while IFS= read -r -d '' file; do
    cp "$file" "$corpus/safetensors/$(basename "$(dirname "$file")")-$(basename "$file")"
  done

cp tests/data/native/*.json "$corpus/native/"

processes=()
for target in "${targets[@]}"; do
  "build/fuzz/${target}_fuzz" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 \
    -print_final_stats=1 -artifact_prefix="build/fuzz/$target-" "$corpus/$target" \
    >"build/fuzz/$target.log" 2>&1 &
  processes+=("$!")
done
status=0
for i in "${!targets[@]}"; do
  target="${targets[$i]}"
  if wait "${processes[$i]}"; then
    grep -E 'stat::number_of_executed_units|stat::peak_rss' "build/fuzz/$target.log" |
      sed "s/^/${target}_fuzz /"
  else
    tail -n 60 "build/fuzz/$target.log" >&2
    echo "tests/fuzz/run.sh: ${target}_fuzz failed" >&2
    status=1
  fi
done
exit "$status"
