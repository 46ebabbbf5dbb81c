#!/usr/bin/env bash
# Installs what is missing, builds, and runs all tests.
#
#   tests/run.sh [--sanitizers] [--werror]
#
#   --sanitizers  also runs all tests under AddressSanitizer and UndefinedBehaviorSanitizer, and
#                 the tests of threads under ThreadSanitizer
#   --werror      compiler warnings are errors
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly root
jobs="$(nproc)"
readonly jobs

preset=release
sanitizers=off
for argument in "$@"; do
  case "$argument" in
    --sanitizers) sanitizers=on ;;
    --werror) preset=ci ;;
    *)
      echo "tests/run.sh: unknown argument '$argument'; expected --sanitizers or --werror" >&2
      exit 2
      ;;
  esac
done

# Configures and builds a preset: build PRESET [TARGET...].
build() {
  local name="$1"
  shift
  cmake --preset "$name"
  cmake --build --preset "$name" --parallel "$jobs" ${1:+--target "$@"}
}

"$root/launch/install_dependencies.sh"
cd "$root"
if [[ "$sanitizers" == on ]]; then
  build tsan kernels_test parallel_test
  ctest --preset tsan -j "$jobs" -L 'kernels|parallel' -R 'Stream|Strict|Thread|Control|Dispatcher'
  build asan
  ctest --preset asan -j "$jobs"
fi
build "$preset"
ctest --preset "$preset" -j "$jobs"
