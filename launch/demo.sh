#!/usr/bin/env bash
# Installs what is missing, builds, and scores a few texts with the small trained
# mixture-of-experts model of the tests on two ranks.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly root
readonly model="$root/tests/data/trained_moe_8e"
readonly num_requests=6

# One line a request: tokens, log-probability, perplexity and the text as JSON wrote it.
print_scores() {
  awk '
    # The text after "key": in a line, up to what ends a number or a string.
    function field(line, key,    start) {
      start = index(line, "\"" key "\":")
      if (start == 0) return ""
      line = substr(line, start + length(key) + 3)
      sub(/^ */, "", line)
      if (substr(line, 1, 1) == "\"") {
        line = substr(line, 2)
        gsub(/\\"/, "\001", line)
        sub(/".*/, "", line)
        gsub(/\001/, "\"", line)
      } else {
        sub(/[,}].*/, "", line)
      }
      return line
    }
    BEGIN { printf "%-8s  %6s  %10s  %10s  %s\n", "id", "tokens", "log-prob", "perplexity", "text" }
    NR == FNR { text[FNR] = field($0, "text"); next }
    {
      count = field($0, "num_tokens"); sum = field($0, "logprob")
      shown = text[FNR]
      if (length(shown) > 60) shown = substr(shown, 1, 57) "..."
      printf "%-8s  %6d  %10.3f  %10.2f  %s\n", field($0, "id"), count, sum,
             (count > 0 ? exp(-sum / count) : 1), shown
    }' "$1" "$2"
}

"$root/launch/install_dependencies.sh"
cd "$root"
cmake --preset release
cmake --build --preset release --target switchyard --parallel "$(nproc)"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
head -n "$num_requests" "$model/requests_text.jsonl" >"$work/requests.jsonl"

# Root is what a container gives us; two ranks may be more than there are cores.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
echo
echo "mpirun -np 2 switchyard score --model tests/data/trained_moe_8e ..."
mpirun -np 2 --oversubscribe --bind-to none build/release/switchyard score --model "$model" \
  --input "$work/requests.jsonl" --output "$work/scores.jsonl"
echo
print_scores "$work/requests.jsonl" "$work/scores.jsonl"
