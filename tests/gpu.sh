#!/usr/bin/env bash
# Builds what a bare GPU machine can build, runs every test that needs a GPU, then the benchmarks,
# and prints one table. For machines with CUDA 13, CMake, a C++20 compiler, perhaps NCCL, and no
# network and no packages.
#
#   tests/gpu.sh pack       on the machine where Switchyard is developed: puts what has to be carried
#                           into build/carry (GoogleTest's sources, the whole program and the
#                           libraries that it loads; about 20 MiB)
#   tests/gpu.sh [PART...]  on the GPU machine, in a copy of the tree with build/carry in it. Parts,
#                           each under 10 minutes, all of them without arguments:
#     build      kernels, communicators and their tests, into build/gpu
#     kernels    every operation on the GPU beside the CPU; NCCL with one rank
#     program    whole models: the CPU's bytes in its arithmetic, and the tensor cores'
#     sanitizer  compute-sanitizer over the operations, where it is installed
#     bench      limits, experts, attention and exchanges by switchyard bench
#     models     scoring and generating with whole models, in memory and paged, by switchyard bench
#     torch      a mixture-of-experts block of PyTorch, where python3 has it
#
# Each part leaves a line "part: result (seconds)" in build/gpu/table, and all of them are printed at
# the end, so that parts may run in calls of their own. Exit status 1 if a part failed.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly root
cd "$root"
readonly build=build/gpu carry=build/carry
readonly out="${OUT:-$build}"

# Copies a program's libraries, but for those of the C library, the compiler and the GPU.
carry_libraries() {
  local library
  ldd "$1" | awk '$2 == "=>" && $3 != "" {print $3}' | while read -r library; do
    case "$(basename "$library")" in
      libc.* | libm.* | libdl.* | libpthread.* | librt.* | libresolv.* | libgcc_s.* | libstdc++.* | \
        libnccl.* | libcudart.* | libcublas*) ;;
      *) cp -L "$library" "$carry/lib/" ;;
    esac
  done
}

pack() {
  rm -rf "$carry"
  mkdir -p "$carry/lib"
  # Without MPI, which would need its own programs: ranks of one GPU are threads in the tests.
  cmake -S . -B build/carry-build -DCMAKE_BUILD_TYPE=Release -DSWITCHYARD_TESTS=OFF \
    -DCMAKE_DISABLE_FIND_PACKAGE_MPI=ON >/dev/null
  cmake --build build/carry-build --parallel "$(nproc)" --target switchyard
  cp build/carry-build/switchyard "$carry/"
  strip "$carry/switchyard"
  carry_libraries "$carry/switchyard"
  [[ -d /usr/src/googletest ]] && cp -r /usr/src/googletest "$carry/"
  du -sh "$carry"
}

program() {
  LD_LIBRARY_PATH="$carry/lib:${LD_LIBRARY_PATH:-}" "$carry/switchyard" "$@"
}

part_build() {
  local gtest=()
  [[ -d $carry/googletest ]] && gtest=(-DSWITCHYARD_GTEST_SOURCE="$root/$carry/googletest")
  cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DSWITCHYARD_KERNELS_ONLY=ON \
    -DSWITCHYARD_BENCHMARKS=OFF "${gtest[@]}"
  cmake --build "$build" --parallel "$(nproc)" --target kernels_test parallel_test
}

part_kernels() {
  SWITCHYARD_REQUIRE_GPU=1 "$build/kernels_test" --gtest_brief=1
  "$build/parallel_test" --gtest_brief=1
}

part_program() {
  local what
  for what in bytes classes; do
    LD_LIBRARY_PATH="$carry/lib:${LD_LIBRARY_PATH:-}" "tests/end_to_end/gpu_${what}_test.sh" \
      "$root/$carry/switchyard" "$root/$carry/switchyard" "$root/tests/data"
  done
}

part_sanitizer() {
  if ! command -v compute-sanitizer >/dev/null; then
    echo "compute-sanitizer is not installed: skipped"
    return
  fi
  # The CPU's variants of each test run under it as well, so the shortest tests only.
  local tool
  for tool in memcheck racecheck synccheck; do
    compute-sanitizer --tool "$tool" --error-exitcode 1 "$build/kernels_test" --gtest_brief=1 \
      --gtest_filter='LayerNorm*:RmsNorm*:Rope*:Glu*:Combine*:Rows*:Route*:Capacity*:LogProbs*:Attention.M*:Backend.*'
  done
}

# Experts of one row to 2,048 in the models' own arithmetic, and of one model in fp32, the CPU's.
part_bench() {
  local preset
  for preset in mixtral_8x7b moe_207b olmoe_1b_7b deepseek_moe_16b deepseek_v3; do
    program bench experts --preset "$preset" --rows 1,4,16,64,128,256,512,1024,2048 \
      --output "$out/experts_$preset.json"
  done
  program bench experts --preset mixtral_8x7b --numerics fast --rows 1,16,64,256,512,1024,2048
  program bench experts --preset mixtral_8x7b --numerics cpu-fp32 --rows 1,16,256
  program bench experts --preset gpt_oss_120b --rows 1,16,256,2048
  program bench experts --preset mixtral_8x7b --expert-dtype int4 --rows 1,16,256,2048
  program bench limits attention all-to-all --preset mixtral_8x7b --contexts 512,4096 \
    --batches 1,32,128 --output "$out/bench.json"
  program bench attention --preset deepseek_v3 --contexts 4096 --batches 1,32
}

# Whole models: some layers in the GPU's memory, and more of them than it is given slots for.
part_models() {
  program bench model --preset mixtral_8x7b --layers 4 --batches 1,8,32,128 --numerics fast
  program bench model --preset mixtral_8x7b --layers 4 --batches 1,8,32,128 \
    --output "$out/model.json"
  # What it costs that the host counts the rows of every MoE layer.
  program bench model --preset mixtral_8x7b --layers 4 --batches 1,8,32,128 --exchange-layout exact
  # What it costs to enqueue every kernel of a step anew.
  program bench model --preset mixtral_8x7b --layers 4 --batches 1,8,32,128 --decode-graphs off
  program bench model --preset moe_52b --layers all --expert-dtype int8 --batches 1,32
  program bench model --preset moe_207b --layers 4 --expert-budget 8GiB --host-budget 48GiB \
    --batches 1,32 --tokens 16384
}

part_torch() {
  if ! python3 -c 'import torch, transformers' 2>/dev/null; then
    echo "python3 has no torch and transformers: skipped"
    return
  fi
  python3 tests/benchmarks/torch_moe_block.py
}

run_part() {
  local begin=$SECONDS result=ok
  mkdir -p "$build"
  # In a shell of its own: "set -e" does not reach into functions behind "||".
  (set -e; "part_$1") 2>&1 | tee "$out/$1.log"
  [[ ${PIPESTATUS[0]} -eq 0 ]] || result=FAILED
  touch "$build/table"
  sed -i "/^$1:/d" "$build/table"
  echo "$1: $result ($((SECONDS - begin)) s)" >>"$build/table"
}

if [[ ${1:-} == pack ]]; then
  pack
  exit
fi
parts=("$@")
[[ ${#parts[@]} -eq 0 ]] && parts=(build kernels program sanitizer bench models torch)
for part in "${parts[@]}"; do
  if ! declare -F "part_$part" >/dev/null; then
    echo "tests/gpu.sh: unknown part '$part'; expected build, kernels, program, sanitizer, bench," \
      "models or torch" >&2
    exit 2
  fi
done
if ! nvidia-smi -L 2>/dev/null; then
  echo "tests/gpu.sh: no GPU here (nvidia-smi lists none); on a machine without one ctest runs the" \
    "same kernels on an emulated GPU" >&2
  exit 2
fi
for part in "${parts[@]}"; do
  set +e
  run_part "$part"
  set -e
done
echo
cat "$build/table"
! grep -q FAILED "$build/table"
