#!/usr/bin/env bash
# A job that loses a rank ends within seconds, and says why.
#
#   mpi_failures.sh MPIRUN MPI_COMMUNICATOR_TEST
set -uo pipefail

readonly mpirun="$1"
readonly program="$2"
readonly limit=20 # seconds; a rank that hangs would wait for 30 or more
failures=0

# expect WAY STATUS TEXT: the job that ends this WAY has this exit status (or "any": not 0) and
# writes TEXT.
expect() {
  local way="$1" status="$2" text="$3" output code
  output="$(timeout --kill-after=5 "$limit" "$mpirun" --allow-run-as-root --oversubscribe \
    --mca mpi_yield_when_idle 1 -np 3 "$program" "$way" 2>&1)"
  code=$?
  if [[ "$code" == 0 || "$code" == 124 || ("$status" != any && "$code" != "$status") ]]; then
    echo "$way: exit status $code, expected $status"
  elif [[ "$output" != *"$text"* ]]; then
    echo "$way: the output lacks '$text'"
  else
    echo "$way: ok"
    return
  fi
  echo "$output"
  failures=$((failures + 1))
}

expect killed any "signal 9"
expect abort 7 ""
expect late 6 "'step 3, layer 1, round 0, dispatch' (barrier) is unfinished after 0.5 s"
expect failed-stream 6 "rank 1 cannot take part in 'step 3, layer 1, round 0, dispatch'"
expect disagree 6 "rank 0 sent 8 bytes where 16 are expected"
exit "$((failures > 0))"
