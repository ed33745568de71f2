"""Discs and balls with a raised-cosine edge.

At distance r from the center D//2: 1 up to ``radius``, ``(1 + cos(pi (r - radius) / edge)) / 2`` over the
next ``edge`` pixels, 0 beyond.
"""

from __future__ import annotations

import torch
from jaxtyping import Float32
from torch import Tensor


def soft_circle(
    box_size_px: int, radius_px: float, edge_px: float, device: torch.device | str = "cpu"
) -> Float32[Tensor, "d d"]:
    """1 inside ``radius_px`` of the pixel D//2, falling to 0 over the next ``edge_px``."""
    return _raised_cosine(box_size_px, 2, radius_px, edge_px, device)


def soft_sphere(
    box_size_px: int, radius_px: float, edge_px: float, device: torch.device | str = "cpu"
) -> Float32[Tensor, "d d d"]:
    """1 inside ``radius_px`` of the voxel D//2, falling to 0 over the next ``edge_px``."""
    return _raised_cosine(box_size_px, 3, radius_px, edge_px, device)


def _raised_cosine(
    box_size_px: int, n_axes: int, radius_px: float, edge_px: float, device: torch.device | str
) -> Tensor:
    line = torch.arange(box_size_px, dtype=torch.float32, device=device) - box_size_px // 2
    axes = torch.meshgrid(*[line] * n_axes, indexing="ij")
    radius = torch.stack([a**2 for a in axes]).sum(0).sqrt()
    ramp = ((radius - radius_px) / edge_px).clamp(0, 1)
    return 0.5 + 0.5 * torch.cos(torch.pi * ramp)
