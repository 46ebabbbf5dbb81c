// Marks functions that GPU kernels call too.
#pragma once

/// Stands before a function that the host's compiler compiles for the host and nvcc for the GPU.
#ifdef __CUDACC__
#define SWITCHYARD_DEVICE __device__
#else
#define SWITCHYARD_DEVICE
#endif
