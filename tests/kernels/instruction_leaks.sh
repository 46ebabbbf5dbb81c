#!/usr/bin/env bash
# Usage: instruction_leaks.sh OBJECT...
# Fails if an object compiled for an instruction set defines a function that other objects could
# share: the linker keeps one copy of it, and a machine without those instructions would run it.
set -euo pipefail

checked=0
for object in "$@"; do
  case "$(basename "$object")" in
    kernels_avx512.*) set_name=avx512 ;;
    kernels_avx2.*) set_name=avx2 ;;
    *) continue ;;
  esac
  checked=$((checked + 1))
  # W, V, u: weak and unique symbols; those of templates carry the vector type in their name.
  if nm -C --defined-only "$object" | grep -E '^[0-9a-f]+ [WVu] ' | grep -v "$set_name::"; then
    echo "$object shares the functions above with code for other machines" >&2
    exit 1
  fi
done
echo "$checked objects checked"
[ "$checked" -eq 2 ]
