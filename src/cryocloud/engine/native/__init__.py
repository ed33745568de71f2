"""Compiled CPU kernels (numba). They take numpy views of CPU tensors; callers own shapes and devices."""
