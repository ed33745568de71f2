"""Compiled CPU kernels (numba). They take numpy views of CPU tensors; callers own shapes and devices.

Nothing is checked here: an index outside an array reads foreign memory, so callers keep to the stated ranges.
Arrays named ``out``, and those that a docstring says are written, are the results; all others are only read.
Most kernels are compiled with ``fastmath``, which may reorder sums: results agree to float32 rounding with the
torch versions that run on CUDA, not bit for bit.
"""
