#!/usr/bin/env bash
# Installs the packages that building and testing needs and that are missing, on Debian and Ubuntu;
# with --fuzz those that the libFuzzer targets need as well.
# Nothing that is installed is upgraded or removed. Needs root or sudo, and only if something is
# missing. Elsewhere it says what is needed and leaves the rest to the build.
set -euo pipefail

required="g++ cmake make libopenmpi-dev openmpi-bin libyaml-cpp-dev libgtest-dev
  libbenchmark-dev libicu-dev libsentencepiece-dev zlib1g-dev"
[[ "${1:-}" == --fuzz ]] && required="$required clang libclang-rt-dev unzip"
readonly required
# Boost 1.81 or later, by the names that distributions give it; the first set that exists is taken.
readonly boost_sets=(
  "libboost1.81-dev libboost-context1.81-dev libboost-json1.81-dev libboost-program-options1.81-dev"
  "libboost-dev libboost-context-dev libboost-json-dev libboost-program-options-dev"
  "libboost1.83-dev libboost-context1.83-dev libboost-json1.83-dev libboost-program-options1.83-dev"
)

is_installed() {
  [[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" == installed ]]
}

# Prints those of its arguments that are not installed.
missing_of() {
  local package
  for package in "$@"; do
    is_installed "$package" || echo "$package"
  done
}

boost_is_installed() {
  local set
  for set in "${boost_sets[@]}"; do
    # shellcheck disable=SC2086  # a set is a list of words
    [[ -z "$(missing_of $set)" ]] && return 0
  done
  return 1
}

# Prints the first set of Boost packages that the package lists know whole.
available_boost() {
  local set package
  for set in "${boost_sets[@]}"; do
    for package in $set; do
      # Names that other packages mention have no version.
      [[ -n "$(apt-cache madison "$package" 2>/dev/null)" ]] || continue 2
    done
    echo "$set"
    return
  done
  echo "libboost-all-dev"
}

as_root() {
  if [[ "$(id -u)" == 0 ]]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    echo "install_dependencies.sh: packages are missing; run this as root or install sudo" >&2
    exit 1
  fi
}

main() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "install_dependencies.sh: no apt here; needed are a C++20 compiler, CMake 3.23," \
      "Open MPI, Boost 1.81 (JSON, Program_options), yaml-cpp, ICU, sentencepiece, zlib," \
      "GoogleTest," \
      "Google Benchmark"
    return
  fi
  local missing boost_state=present
  # shellcheck disable=SC2086  # a list of words
  missing="$(missing_of $required)"
  boost_is_installed || boost_state=missing
  [[ -z "$missing" && "$boost_state" == present ]] && return

  as_root apt-get update -q
  [[ "$boost_state" == missing ]] && missing="$missing $(available_boost)"
  echo "installing: ${missing//$'\n'/ }"
  # shellcheck disable=SC2086  # a list of words
  if ! as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y \
    --no-install-recommends --no-upgrade --no-remove $missing; then
    echo "install_dependencies.sh: apt-get could not install these packages. If an older Boost is" \
      "in the way (Debian 12 cannot hold libboost-dev 1.74 and 1.81 at once), remove it first." >&2
    exit 1
  fi
}

main
