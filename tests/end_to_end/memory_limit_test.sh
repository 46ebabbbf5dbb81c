#!/usr/bin/env bash
# A model larger than its memory: in a control group that allows little more than the plan, a run
# that pages its experts gives the bytes of one that holds them all, and one that asks for more than
# there is is refused before it allocates anything.
# Usage: memory_limit_test.sh PROGRAM
# Exit status 77: no such group can be made here.
set -euo pipefail

program=$1
root=/sys/fs/cgroup
work=$(mktemp -d)
group=
cleanup() {
  rm -rf "$work"
  [ -z "$group" ] || rmdir "$group" 2>/dev/null || true
}
trap cleanup EXIT

fail() {
  echo "FAIL: $*" >&2
  [ ! -s "$work/log" ] || cat "$work/log" >&2
  exit 1
}

# Version 2 needs the controller to be handed down; version 1 has a hierarchy of its own.
name=switchyard-test-$$
if [ -w "$root/memory" ] && mkdir "$root/memory/$name" 2>/dev/null; then
  group=$root/memory/$name
  limit_file=memory.limit_in_bytes
elif grep -qw memory "$root/cgroup.subtree_control" 2>/dev/null && mkdir "$root/$name" 2>/dev/null; then
  group=$root/$name
  limit_file=memory.max
fi
if [ -z "$group" ] || ! (echo "$BASHPID" >"$group/cgroup.procs") 2>/dev/null; then
  echo "SKIPPED: no memory control group can be made here"
  exit 77
fi

# limited BYTES ARGUMENTS...: the program with at most so much memory, page cache included.
limited() {
  local bytes=$1
  shift
  echo "$bytes" >"$group/$limit_file"
  (
    echo "$BASHPID" >"$group/cgroup.procs"
    exec "$program" "$@" 2>"$work/log"
  )
}

"$program" synthesize --preset moe_15b --layers 2 --experts 48 --rank-files 4 --output "$work/model" \
  --log-level error
for id in 1 2 3 4; do
  echo "{\"id\": $id, \"token_ids\": [5$id, 40$id, 300, 7, 12, 1$id, 900]}"
done >"$work/in.jsonl"
score() {
  echo score --model "$work/model" --input "$work/in.jsonl" --threads 2 --progress none
}

"$program" $(score) --output "$work/resident" 2>"$work/log" || fail "everything resident"
mib=$((1 << 20))
# 432 MiB of experts, 79 MiB of dense weights.
limited $((300 * mib)) $(score) --output "$work/paged" --expert-budget 64MiB --max-batch-tokens 8 ||
  fail "a budget of 64 MiB within 300 MiB"
cmp "$work/resident" "$work/paged" || fail "other bytes than with everything resident"
limited $((300 * mib)) $(score) --output "$work/free" || fail "what is free of 300 MiB"
cmp "$work/resident" "$work/free" || fail "other bytes with what is free"
grep -q "slots for" "$work/log" || fail "not a word of paging"

if limited $((300 * mib)) $(score) --output "$work/all" --expert-slots 48; then
  fail "432 MiB of experts in 300 MiB were not refused"
fi
grep -q -- "--expert-budget [0-9]* fits" "$work/log" || fail "no budget that fits is named"
[ ! -e "$work/all" ] || fail "a refused run left results"
echo "passed"
