#!/usr/bin/env bash
# Installs what is missing, builds, and runs all tests.
#
#   tests/run.sh [--sanitizers] [--fuzz SECONDS] [--werror]
#
#   --sanitizers  also runs all tests under AddressSanitizer and UndefinedBehaviorSanitizer, and
#                 the tests of threads under ThreadSanitizer
#   --fuzz        also runs each libFuzzer target for so many seconds
#   --werror      compiler warnings are errors
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly root
jobs="$(nproc)"
readonly jobs

preset=release
sanitizers=off
fuzz_seconds=0
while [[ $# -gt 0 ]]; do
  case "$1" in
    --sanitizers) sanitizers=on ;;
    --fuzz)
      fuzz_seconds="${2:?--fuzz needs a number of seconds}"
      shift
      ;;
    --werror) preset=ci ;;
    *)
      echo "tests/run.sh: unknown argument '$1'; expected --sanitizers, --fuzz or --werror" >&2
      exit 2
      ;;
  esac
  shift
done

# The sanitizers' and the release builds share nothing but time: a compiler cache gives it back to
# whoever builds twice, in another clone too.
if command -v ccache >/dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache CMAKE_CUDA_COMPILER_LAUNCHER=ccache
  export CCACHE_BASEDIR="$root" CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=pch_defines,time_macros
fi

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
if [[ "$fuzz_seconds" != 0 ]]; then
  "$root/launch/install_dependencies.sh" --fuzz
  tests/fuzz/run.sh "$fuzz_seconds"
fi
build "$preset"
ctest --preset "$preset" -j "$jobs"
