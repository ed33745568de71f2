"""Which peaks are more than chance: comparison with a micrograph of random phases."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor

TAIL_SHARE = 0.2
FEWEST_IN_TAIL = 5


def randomize_phases(image: Float32[Tensor, "h w"], generator: torch.Generator) -> Float32[Tensor, "h w"]:
    """An image of the same power spectrum without any structure: the phases are those of white noise.

    ``generator`` is of the CPU, so that the result does not depend on the device.
    """
    noise = torch.randn(image.shape, generator=generator).to(image.device)
    phases = torch.fft.rfft2(noise)
    phases = phases / phases.abs().clamp(min=1e-12)
    randomized: Tensor = torch.fft.irfft2(torch.fft.rfft2(image).abs() * phases, s=image.shape)
    return randomized


def significance_threshold(
    scores: Float64[np.ndarray, " n"],
    chance_scores: Float64[np.ndarray, " m"],
    *,
    chance_images: int,
    false_share: float,
) -> float:
    """Lowest score at which the expected share of chance peaks among all peaks stays within ``false_share``.

    Parameters
    ----------
    scores
        All peaks of the micrograph.
    chance_scores
        All peaks of ``chance_images`` micrographs without particles but of the same power spectrum.

    Returns
    -------
    float
        Infinite where no threshold keeps the share: there is nothing but chance.

    Notes
    -----
    Benjamini & Hochberg's false discovery rate with an empirical null. Its upper tail is continued as an
    exponential, which falls more slowly than the true one: a few images cannot show what one in many would
    reach. The power spectrum of the randomised image still contains the particles' power, so the threshold is
    careful rather than generous.
    """
    falling = np.sort(scores)[::-1]
    rising = np.sort(chance_scores)
    by_chance = (len(rising) - np.searchsorted(rising, falling, side="left")).astype(np.float64)
    start = float(np.quantile(rising, 1 - TAIL_SHARE))
    tail = rising[rising > start]
    if len(tail) >= FEWEST_IN_TAIL:
        decay = float((tail - start).mean())
        beyond = falling > start
        by_chance[beyond] = len(tail) * np.exp(-(falling[beyond] - start) / decay)
    allowed = by_chance / chance_images <= false_share * np.arange(1, len(falling) + 1)
    return float(falling[np.flatnonzero(allowed)[-1]]) if allowed.any() else math.inf
