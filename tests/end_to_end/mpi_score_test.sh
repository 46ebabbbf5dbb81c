#!/usr/bin/env bash
# The commands under a real mpirun: the same bytes on every number of ranks, errors told once.
# Usage: mpi_score_test.sh PROGRAM MPIRUN TEST_DATA
set -euo pipefail

program=$1
mpirun=$2
data=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
model=$data/trained_moe_8e
failures=0

fail() {
  echo "FAIL: $*" >&2
  failures=$((failures + 1))
}

# ranks N ARGUMENTS...: the program on N ranks; what it writes to stderr is kept in $work/log.
ranks() {
  local count=$1
  shift
  "$mpirun" --allow-run-as-root --oversubscribe --mca mpi_yield_when_idle 1 -np "$count" \
    "$program" "$@" 2>"$work/log"
}

score() {
  local count=$1
  shift
  ranks "$count" score --model "$model" --threads 1 "$@"
}

# The plainest run: one process that no launcher started.
"$program" score --model "$model" --input "$model/requests_text.jsonl" --output "$work/alone" \
  --threads 1 2>"$work/log" || { cat "$work/log" >&2; fail "one process without mpirun"; }

check_same() {
  local count=$1
  shift
  if ! score "$count" --input "$model/requests_text.jsonl" --output "$work/out" "$@"; then
    cat "$work/log" >&2
    fail "$count ranks, $*: exit status"
  elif ! cmp "$work/alone" "$work/out" >&2; then
    fail "$count ranks, $*: other bytes than one process"
  fi
  [ -e "$work/out.partial" ] && fail "$count ranks, $*: OUT.partial is left over"
  [ -s "$work/out.meta.json" ] || fail "$count ranks, $*: no OUT.meta.json"
  rm -f "$work/out" "$work/out.meta.json"
}

check_same 1
check_same 2 --max-batch-tokens 64 --exchange-buffer 64KiB
check_same 4 --exchange two-level --ranks-per-node 2 --exchange-buffer 16KiB
check_same 3 --max-batch-tokens 1000 --exchange-buffer 2584
check_same 4 --max-batch-tokens 100000 --instruction-set portable
check_same 8 --max-batch-tokens 200 --exchange-buffer 16KiB --backend strict
# Experts that come from files when they are needed.
check_same 1 --expert-slots 1 --max-batch-tokens 200
check_same 2 --expert-slots 3 --prefetch on --host-budget 1MiB
check_same 3 --expert-slots 2 --cache-scope layer --cache-policy lfu --max-batch-tokens 100
check_same 4 --expert-slots 1 --prefetch off --max-batch-tokens 50 --exchange-buffer 64KiB

# expect_error STATUS TEXT COUNT ARGUMENTS...: fails with the status, tells TEXT once, leaves no OUT.
expect_error() {
  local status=$1 text=$2 count=$3 got=0
  shift 3
  rm -f "$work/out"
  ranks "$count" "$@" --output "$work/out" >/dev/null || got=$?
  [ "$got" -eq "$status" ] || fail "$*: exit status $got, expected $status"
  [ -e "$work/out" ] && fail "$*: left an output file"
  local told
  told=$(grep -c "switchyard: error:.*$text" "$work/log" || true)
  [ "$told" -eq 1 ] || { cat "$work/log" >&2; fail "$*: '$text' told $told times"; }
}

printf '{"id":1,"token_ids":[5]}\n{"id":1,"token_ids":[6]}\n' >"$work/duplicate.jsonl"
printf '{"id":1,"token_ids":[5]}\n{"id":2,' >"$work/broken.jsonl"
mkdir "$work/cut"
cp "$model"/model-*.pt "$model/dict.txt" "$work/cut"
truncate -s -100 "$work/cut/model-rank-2.pt"
expect_error 3 duplicate.jsonl:2 3 score --model "$model" --input "$work/duplicate.jsonl"
expect_error 3 broken.jsonl:2 2 score --model "$model" --input "$work/broken.jsonl"
expect_error 3 model-rank-2.pt 3 score --model "$work/cut" --input "$work/duplicate.jsonl"
expect_error 3 "$work/none" 2 score --model "$work/none" --input "$work/duplicate.jsonl"
expect_error 2 exchange-buffer 2 score --model "$model" --input "$model/requests_text.jsonl" \
  --exchange-buffer 100

# The other commands: the bytes of one process, on files, pipes and standard output.
text=$model/heldout_text.txt
measure=(perplexity --model "$model" --threads 1 --json --tokens-per-sample 128 --context-window 32)
"$program" "${measure[@]}" --input "$text" >"$work/perplexity" 2>"$work/log" ||
  fail "perplexity without mpirun"
"$program" tokenize --model "$model" --input "$model/tokenizer_expected.jsonl" \
  --output "$work/tokens" 2>"$work/log" || fail "tokenize without mpirun"
"$program" inspect --model "$model" --ranks 5 --tensors >"$work/report" 2>"$work/log" ||
  fail "inspect without mpirun"
[ "$(wc -l <"$work/tokens")" -eq 300 ] || fail "tokenize: not a line a text"
for count in 1 2 3; do
  ranks "$count" "${measure[@]}" --input "$text" --output "$work/out" ||
    fail "perplexity on $count ranks: exit status"
  cmp "$work/perplexity" "$work/out" >&2 || fail "perplexity on $count ranks: other bytes"
  [ -s "$work/out.meta.json" ] || fail "perplexity on $count ranks: no OUT.meta.json"
  rm -f "$work/out" "$work/out.meta.json"
  ranks "$count" tokenize --model "$model" --input "$model/tokenizer_expected.jsonl" \
    --output "$work/out" || fail "tokenize on $count ranks: exit status"
  cmp "$work/tokens" "$work/out" >&2 || fail "tokenize on $count ranks: other bytes"
  rm -f "$work/out"
  ranks "$count" inspect --model "$model" --ranks 5 --tensors >"$work/out" ||
    fail "inspect on $count ranks: exit status"
  cmp "$work/report" "$work/out" >&2 || fail "inspect on $count ranks: another report"
  ranks "$count" inspect --model "$model/model-rank-0.pt" --json >"$work/out" ||
    fail "inspect of a file on $count ranks: exit status"
  rm -f "$work/out"
done
cat "$text" | "$program" "${measure[@]}" --input - >"$work/piped_perplexity" 2>"$work/log" ||
  fail "perplexity of a pipe: exit status"
cmp "$work/perplexity" "$work/piped_perplexity" >&2 || fail "perplexity of a pipe: other bytes"
: >"$work/empty.txt"
printf '{"text":"good"}\n{"text":7}\n' >"$work/broken_texts.jsonl"
expect_error 3 "no tokens" 2 perplexity --model "$model" --input "$work/empty.txt"
expect_error 2 "tokens-per-sample" 3 perplexity --model "$model" --input "$text" \
  --tokens-per-sample 5000
expect_error 2 "capacity reference" 2 perplexity --model "$model" --input "$text" --batch-size 2
expect_error 3 broken_texts.jsonl:2 3 tokenize --model "$model" --input "$work/broken_texts.jsonl"
for target in "$work/cut" "$work/cut/model-rank-2.pt"; do
  status=0
  ranks 3 inspect --model "$target" >"$work/printed" || status=$?
  [ "$status" -eq 3 ] || fail "inspect of $target: exit status $status"
  [ -s "$work/printed" ] && fail "inspect of $target: a report of a broken file"
  grep -q "model-rank-2.pt" "$work/log" || fail "inspect of $target: the file is not named"
done

# A pipe is read once; the input is never overwritten; one run at a time writes to OUT.
cat "$model/requests_text.jsonl" | "$program" score --model "$model" --input /dev/stdin \
  --output "$work/piped" 2>"$work/log" || fail "a pipe as input: exit status"
cmp "$work/alone" "$work/piped" >&2 || fail "a pipe as input: other bytes"
cp "$model/requests_text.jsonl" "$work/out.partial"
expect_error 2 "would overwrite" 1 score --model "$model" --input "$work/out.partial"
cmp "$model/requests_text.jsonl" "$work/out.partial" >&2 || fail "the input was overwritten"
rm "$work/out.partial"
(flock 9; expect_error 3 "another run" 1 score --model "$model" \
  --input "$model/requests_text.jsonl"; exit "$failures") 9>"$work/out.partial" \
  || fail "two runs to one output"

# Hosts whose checkpoints differ: the second rank sees the rank files in another order.
mkdir "$work/a" "$work/b"
cp -r "$model" "$work/a/model"
cp -r "$model" "$work/b/model"
mv "$work/b/model/model-rank-0.pt" "$work/b/model/x"
mv "$work/b/model/model-rank-3.pt" "$work/b/model/model-rank-0.pt"
mv "$work/b/model/x" "$work/b/model/model-rank-3.pt"
rm -f "$work/out"
arguments=(score --model model --threads 1 --input "$model/requests_text.jsonl" --output "$work/out")
"$mpirun" --allow-run-as-root --oversubscribe --mca mpi_yield_when_idle 1 \
  -np 1 --wdir "$work/a" "$program" "${arguments[@]}" : \
  -np 1 --wdir "$work/b" "$program" "${arguments[@]}" 2>"$work/log" >/dev/null &&
  fail "different checkpoints on two hosts: exit status 0"
grep -q "another file here" "$work/log" || fail "different checkpoints on two hosts: not told"
[ -e "$work/out" ] && fail "different checkpoints on two hosts: left an output file"

# A rank that dies ends the job within seconds.
mkfifo "$work/requests"
sleep 60 >"$work/requests" &
holder=$!
begin=$SECONDS
("$mpirun" --allow-run-as-root --oversubscribe --mca mpi_yield_when_idle 1 -np 3 "$program" score \
  --model "$model" --threads 1 --input - --output "$work/killed" <"$work/requests" \
  >/dev/null 2>"$work/log" && echo 0 >"$work/status" || echo $? >"$work/status") &
job=$!
for _ in $(seq 100); do
  victim=$(pgrep -f "output $work/killed" | tail -n 1 || true)
  grep -q 'loaded' "$work/log" 2>/dev/null && [ -n "$victim" ] && break
  sleep 0.1
done
kill -KILL "$victim"
wait "$job" || true
kill "$holder" 2>/dev/null || true
[ "$(cat "$work/status")" -ne 0 ] || fail "a killed rank: exit status 0"
[ $((SECONDS - begin)) -lt 30 ] || fail "a killed rank: the job went on for $((SECONDS - begin)) s"
[ -e "$work/killed" ] && fail "a killed rank: left an output file"

[ "$failures" -eq 0 ] && echo "all checks passed"
exit $((failures > 0))
