// Marks functions that GPU kernels call too.
#pragma once

/// Stands before a function that is compiled for the host and, by nvcc, for the GPU as well.
#ifdef __CUDACC__
#define SWITCHYARD_DEVICE __host__ __device__
#else
#define SWITCHYARD_DEVICE
#endif
