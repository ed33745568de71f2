"""What is imaged: a map, cut to what its box can show, or one of a made-up protein."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from cryocloud.engine.simulate.density import density_map, smallest_box_px
from cryocloud.engine.simulate.protein import procedural_model

_ROOM = 1.25
_SHELL_SHARE = 0.02


def procedural_map(
    symmetry: str, rng: np.random.Generator, *, mass_kda: float | None, pixel_size_angstrom: float
) -> Float32[Tensor, "d d d"]:
    """Map of a made-up protein in a box with room for its CTF-blurred image.

    Volts against the ice around it. The box is even and 1.25 times the smallest that holds the model in
    any orientation. ``mass_kda`` None means a mass that suits the symmetry.
    """
    model = procedural_model(symmetry, rng, mass_kda=mass_kda)
    box = 2 * round(_ROOM * smallest_box_px(model, pixel_size_angstrom) / 2)
    return density_map(model, box_size_px=box, pixel_size_angstrom=pixel_size_angstrom, in_ice=True)


def map_diameter_px(volume: Float32[Tensor, "d d d"]) -> float:
    """Diameter of the ball about the center that holds 98 % of a map's variance about its border value.

    The border value is the median outside 0.48 box edges. Maps in solvent and maps in vacuum so give the
    same answer.
    """
    box = volume.shape[-1]
    line = torch.arange(box, dtype=torch.float32, device=volume.device) - box // 2
    radius = (line[:, None, None] ** 2 + line[:, None] ** 2 + line**2).sqrt()
    border = volume[radius > 0.48 * box].median()
    weight = ((volume - border) ** 2).to(torch.float64)
    shell = radius.round().long().flatten()
    within = torch.zeros(int(shell.max()) + 1, dtype=torch.float64, device=volume.device)
    within = within.index_add_(0, shell, weight.flatten()).cumsum(0)
    return 2.0 * int(torch.searchsorted(within, (1 - _SHELL_SHARE) * within[-1]))
