// Marks functions that GPU kernels call too.
#pragma once

/// SWITCHYARD_DEVICE: before a function that the host's compiler compiles for the host and nvcc for
/// the GPU. SWITCHYARD_UNROLL: before a loop of a few rounds, known when it is compiled, whose body
/// should stand there as often.
#ifdef __CUDACC__
#define SWITCHYARD_DEVICE __device__
#define SWITCHYARD_UNROLL _Pragma("unroll")
#else
#define SWITCHYARD_DEVICE
#define SWITCHYARD_UNROLL _Pragma("GCC unroll 32")
#endif
