"""How strong the signal of each micrograph is: a scale and a B-factor, relative to the average micrograph.

Drift, ice thickness and charging damp micrographs differently. Half a data set may carry three times the amplitude of
the other half at 8 Angstrom; likelihood and reconstruction weigh particles rightly only if they know.

The model of an image of micrograph m is ``scale_m exp(-B_m s^2 / 4) CTF(s) slice(s)`` with s in 1/Angstrom: the factor
stands with the CTF, so scores, insertion weights and residuals all see it. A common factor of all micrographs cannot
be told from the map itself; the mean over particles is therefore held at (1, 0).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from cryocloud.engine.fourier import PixelList, ring_average

# Widths of the Gaussian priors about (1, 0): micrographs of few particles stay near the average one.
SCALE_PRIOR = 0.3
B_FACTOR_PRIOR_ANGSTROM2 = 150.0
_COARSEST_ANGSTROM = 30.0  # beyond it, solvent and ice gradients rule
_MIN_RINGS = 4
_B_FACTORS_ANGSTROM2 = torch.arange(-300.0, 601.0, 10.0, dtype=torch.float64)


@dataclass(frozen=True)
class EnvelopeSums:
    """Per micrograph [m] and ring [r]: sums of Re(X conj(model)) and |model|^2 over pixels and particles.

    Both float64, over the half plane of Fourier pixels, not divided by the noise. They are all that the fit of
    :func:`updated_envelope` needs: to change a micrograph's scale or B-factor changes a ring of its models by one
    factor.
    """

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
        """Add b images and their models (complex [b, n]) at the n pixels of ``pixels``, in place.

        ``micrograph`` numbers the images' micrographs from 0. Models include CTF, shift and the present envelope.
        """
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

    With a = exp(-dB s^2 / 4) for a change dB of the B-factor and f for a change of the scale, the log-posterior is ::

        sum over rings (2 f a cross - f^2 a^2 power) / sigma2 - prior(scale f) - B^2 / (2 150^2)

    It is quadratic in f, so that the best f of each dB is known; dB is tried on a grid from -300 to 600 Angstrom^2 in
    steps of 10. A grid cannot end in a local optimum, and costs one matrix product for all micrographs.

    Parameters
    ----------
    envelope
        The values that the models behind ``sums`` were made with: scale, and B in Angstrom^2.
    sums
        Of one half set, all its particles.
    sigma2
        Noise variance of each ring.
    last_ring
        Finest ring that the map supports; too few rings leave the envelope as it is. Beyond it the map is mostly
        noise, and a model of noise would look like a damped signal.
    box_angstrom
        Edge of the box, which turns rings into spatial frequencies. Rings coarser than 30 Angstrom are not used.
    particles
        Number of particles of each micrograph.

    Returns
    -------
    Tensor
        float64 [m, 2]; scales are at least a tenth of their former value before the mean is set to 1.
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
    # The prior is on the whole scale, f times the former one.
    prior = envelope[:, :1] ** 2 / (2 * SCALE_PRIOR**2)
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
