"""Radial filters."""

from __future__ import annotations

import torch
from torch import Tensor

from cryocloud.engine.fourier.shells import shell_index
from cryocloud.engine.fourier.transforms import irfftn, rfftn


def low_pass(
    volume: Tensor, resolution_angstrom: float, pixel_size_angstrom: float, *, edge_shells: int = 3
) -> Tensor:
    """A cube [D, D, D] without detail finer than ``resolution_angstrom``.

    The filter falls from 1 to 0 as a raised cosine over ``edge_shells`` shells around the cut-off shell
    D * pixel size / resolution, where it is 1/2. A sharp edge would make the map ring.
    """
    box = volume.shape[-1]
    cutoff = box * pixel_size_angstrom / resolution_angstrom
    shell = shell_index(box, 3, volume.device).to(torch.float32)
    ramp = ((shell - cutoff) / edge_shells + 0.5).clamp(0, 1)
    return irfftn(rfftn(volume) * (0.5 + 0.5 * torch.cos(torch.pi * ramp)), box)
