"""FSC of half maps with and without mask, corrected for what the mask itself correlates."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from cryocloud.engine.fourier import fsc, irfftn, rfftn, shell_index

_RANDOMIZE_BELOW_FSC = 0.8
_SHELLS_AFTER_RANDOMIZATION = 2


@dataclass(frozen=True)
class FscCurves:
    """FSC of shells 0 .. D//2 (float64): without mask, with mask, with mask after the phases beyond
    ``randomized_from_shell`` were randomized, and corrected for the latter.
    """

    unmasked: Tensor
    masked: Tensor
    phase_randomized: Tensor
    corrected: Tensor
    randomized_from_shell: int


def correlate_half_maps(
    half_map_1: Float32[Tensor, "d d d"],
    half_map_2: Float32[Tensor, "d d d"],
    mask: Float32[Tensor, "d d d"],
    generator: torch.Generator,
    *,
    randomize_below_fsc: float = _RANDOMIZE_BELOW_FSC,
    draws: int = 4,
) -> FscCurves:
    """The four FSC curves of two independent half maps.

    A mask correlates neighboring Fourier voxels and its own edge, so the masked FSC is too good. How much is seen
    when the phases of both maps are random beyond the shell where the unmasked FSC falls below
    ``randomize_below_fsc``: there ``corrected = (masked - randomized) / (1 - randomized)``, from two shells
    after the change on; before, the masked FSC stands.

    Parameters
    ----------
    generator
        CPU generator of the random phases.
    draws
        Sets of random phases to average over; one alone scatters by several hundredths in small masks.

    References
    ----------
    Chen et al. 2013, Ultramicroscopy 135:24.
    """
    unmasked = fsc(half_map_1, half_map_2)
    masked = fsc(half_map_1 * mask, half_map_2 * mask)
    below = (unmasked < randomize_below_fsc).nonzero()
    first = int(below[0]) if len(below) else len(unmasked)
    pairs = [
        [randomize_phases(half, first, generator) * mask for half in (half_map_1, half_map_2)]
        for _ in range(draws)
    ]
    randomized = torch.stack([fsc(*pair) for pair in pairs]).mean(0)
    corrected = masked.clone()
    beyond = slice(first + _SHELLS_AFTER_RANDOMIZATION, None)
    corrected[beyond] = ((masked - randomized) / (1 - randomized).clamp(min=1e-6))[beyond]
    return FscCurves(unmasked, masked, randomized, corrected, first)


def randomize_phases(
    volume: Float32[Tensor, "d d d"], from_shell: int, generator: torch.Generator
) -> Float32[Tensor, "d d d"]:
    """The volume with its amplitudes but random phases in all shells from ``from_shell`` on.

    The phases are those of white noise, so that they belong to a real volume.
    """
    box = volume.shape[0]
    noise = rfftn(torch.randn(box, box, box, generator=generator).to(volume.device))
    transform = rfftn(volume)
    random = transform.abs() * torch.sgn(noise)
    beyond = shell_index(box, 3, volume.device) >= from_shell
    return irfftn(torch.where(beyond, random, transform), box)


def first_shell_below(curve: Float64[Tensor, " r"], threshold: float) -> int:
    """First shell, from 1, where a curve is below the threshold; the number of shells if none is."""
    below = (curve[1:] < threshold).nonzero()
    return int(below[0]) + 1 if len(below) else len(curve)
