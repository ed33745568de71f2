"""How strong the signal of each micrograph is: a scale and a B-factor, relative to the average micrograph.

Drift, ice thickness and charging damp micrographs differently. Half a data set may carry three times the amplitude of
the other half at 8 Angstrom; likelihood and reconstruction weigh particles rightly only if they know.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from cryocloud.engine.fourier import PixelList, ring_average

SCALE_PRIOR = 0.3
B_FACTOR_PRIOR_ANGSTROM2 = 150.0
_COARSEST_ANGSTROM = 30.0  # beyond it, solvent and ice gradients rule
_MIN_RINGS = 4
_B_FACTORS_ANGSTROM2 = torch.arange(-300.0, 601.0, 10.0, dtype=torch.float64)


@dataclass(frozen=True)
class EnvelopeSums:
    """Per micrograph [m] and ring [r]: sums of Re(X conj(model)) and |model|^2 over pixels and particles."""

    cross: Tensor
    power: Tensor

    @staticmethod
    def zeros(n_micrographs: int, n_rings: int, device: torch.device) -> EnvelopeSums:
        """Empty sums."""
        empty = torch.zeros(n_micrographs, n_rings, dtype=torch.float64, device=device)
        return EnvelopeSums(empty, empty.clone())

    def add_(
        self, micrograph: Int64[Tensor, " b"], images: Tensor, models: Tensor, pixels: PixelList
    ) -> None:
        """Add b images and their models (complex [b, n])."""
        count = torch.bincount(pixels.ring, minlength=pixels.r_max_px + 1)
        cross = ring_average((images * models.conj()).real, pixels) * count
        power = ring_average(models.real**2 + models.imag**2, pixels) * count
        self.cross.index_add_(0, micrograph, cross)
        self.power.index_add_(0, micrograph, power)


def damping(envelope: Float64[Tensor, "b 2"], pixels: PixelList, pixel_size_angstrom: float) -> Tensor:
    """Factor scale * exp(-B s^2 / 4) of b images at each pixel, float32 [b, n]; columns are (scale, B)."""
    s2 = (pixels.kx**2 + pixels.ky**2) / (pixels.box_size_px * pixel_size_angstrom) ** 2
    scale, b_factor = envelope.to(torch.float32).unbind(1)
    return scale[:, None] * torch.exp(-0.25 * b_factor[:, None] * s2)


def updated_envelope(
    envelope: Float64[Tensor, "m 2"],
    sums: EnvelopeSums,
    *,
    sigma2: Float64[Tensor, " r"],
    last_ring: int,
    box_angstrom: float,
    particles: Int64[Tensor, " m"],
) -> Float64[Tensor, "m 2"]:
    """Most probable (scale, B) of each micrograph, with the particles' mean kept at (1, 0).

    Parameters
    ----------
    envelope
        The values that the models behind ``sums`` were made with.
    last_ring
        Finest ring that the map supports; too few rings leave the envelope as it is.
    particles
        Number of particles of each micrograph.
    """
    rings = torch.arange(sums.cross.shape[1], device=envelope.device)
    used = (rings >= box_angstrom / _COARSEST_ANGSTROM) & (rings <= last_ring)
    if int(used.sum()) < _MIN_RINGS:
        return envelope
    cross, power, noise = sums.cross[:, used], sums.power[:, used], sigma2[used]
    s2 = (rings[used].to(torch.float64) / box_angstrom) ** 2
    steps = _B_FACTORS_ANGSTROM2.to(envelope.device)
    fall = torch.exp(-0.25 * steps[:, None] * s2)
    # Log-likelihood of a factor a on the model: sum of (2 a cross - a^2 power) / sigma2.
    gain = 2 * (cross / noise) @ fall.T
    cost = (power / noise) @ (fall**2).T
    prior = 1 / (2 * SCALE_PRIOR**2)
    mean = 1 / envelope[:, :1]
    scale = (0.5 * gain + prior * mean) / (cost + prior)
    b_total = envelope[:, 1:] + steps
    fit = scale * gain - scale**2 * cost - prior * (scale - mean) ** 2
    fit = fit - 0.5 * (b_total / B_FACTOR_PRIOR_ANGSTROM2) ** 2
    best = fit.argmax(1, keepdim=True)
    new_scale = envelope[:, 0] * scale.gather(1, best)[:, 0].clamp(min=0.1)
    new_b = b_total.gather(1, best)[:, 0]
    share = particles.to(torch.float64) / particles.sum()
    return torch.stack([new_scale / (share @ new_scale), new_b - share @ new_b], 1)
