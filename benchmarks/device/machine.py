"""What the device is, and its own peaks: the yardsticks of all kernels."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from benchmarks.device.rows import Row


@dataclass(frozen=True)
class Peaks:
    """Measured matrix products and memory traffic of a device."""

    bfloat16_flop_per_s: float
    float32_flop_per_s: float
    copy_bytes_per_s: float


def seconds(work: Callable[[], object], device: str, repeats: int = 5) -> float:
    """Best time of some runs, after one that does not count."""
    taken = []
    for _ in range(repeats + 1):
        _wait(device)
        start = time.perf_counter()
        work()
        _wait(device)
        taken.append(time.perf_counter() - start)
    return min(taken[1:])


def peaks(device: str) -> Peaks:
    """Products of square matrices, and a copy, counting bytes read and written."""
    size = 8192 if device == "cuda" else 512
    a = torch.randn(size, size, device=device)
    half = a.to(torch.bfloat16)
    block = torch.empty((1 << 30) if device == "cuda" else (1 << 24), dtype=torch.uint8, device=device)
    target = torch.empty_like(block)
    return Peaks(
        bfloat16_flop_per_s=2 * size**3 / seconds(lambda: half @ half, device),
        float32_flop_per_s=2 * size**3 / seconds(lambda: a @ a, device),
        copy_bytes_per_s=2 * block.numel() / seconds(lambda: target.copy_(block), device),
    )


def measure(device: str) -> Iterator[Row]:
    """Names, numbers of cores, peaks."""
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    yield Row("device", None, note=f"{name}, torch {torch.__version__}")
    yield Row("processor cores", float(os.cpu_count() or 0))
    found = peaks(device)
    yield Row("bfloat16 matrix product", found.bfloat16_flop_per_s / 1e12, "TFLOP/s")
    yield Row("float32 matrix product", found.float32_flop_per_s / 1e12, "TFLOP/s")
    yield Row("memory copy, read and written", found.copy_bytes_per_s / 1e9, "GB/s")


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
