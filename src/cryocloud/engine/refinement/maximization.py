"""From the sums of both halves to their maps, what these agree in, and the references of the next iteration.

The map of a half is ``V = S_num / (S_den + 1 / tau^2)`` in each Fourier voxel, with ``S_num = sum C X / sigma^2`` and
``S_den = sum C^2 / sigma^2`` over the inserted slices. 1 / S_den is the noise variance of the map without prior; the
prior variance tau^2 is that times the signal-to-noise ratio of the shell, ``SSNR = FSC / (1 - FSC)``. So the FSC of
the halves decides alone how much detail the next references show.

References
----------
Scheres 2012, J. Struct. Biol. 180:519 (regularization by the FSC of independent halves).
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import irfftn, rfftn, shell_index
from cryocloud.engine.masking import MaskShape, correlate_half_maps, mask_from_map, soft_sphere
from cryocloud.engine.reconstruction import Accumulator, solve
from cryocloud.engine.refinement.records import RefinementParameters, RefinementState

MASK_EDGE_PX = 5.0
_FSC_THRESHOLD = 0.143
# Coarser detail than this is shared by the halves: independent hands, or frames turned apart, would ruin their FSC.
_JOIN_HALVES_ANGSTROM = 40.0
# Rings beyond the resolution that the next iteration compares, at least; without them it could not improve.
_MARGIN_SHELLS = 5
# A mask follows the density only where the halves agree beyond what they were started with.
_MASK_BEYOND_START = 1.6
_MASK_LOW_PASS_ANGSTROM = 15.0
_MASK_EXTENSION_ANGSTROM = 8.0
# A single shell's FSC scatters; the weight of the combined map should not.
_SMOOTHED_SHELLS = 3


def maximize(
    state: RefinementState,
    accumulators: list[Accumulator],
    parameters: RefinementParameters,
    pixel_size_angstrom: float,
) -> RefinementState:
    """New half maps, their FSC, and the regularized references up to the rings that these support.

    Signal and noise are weighed by the FSC inside a soft mask around the density, freed of what the mask itself
    correlates (phase randomization): solvent holds noise only, which says nothing about the particle. As the
    references are masked alike, that is the signal-to-noise ratio they have.

    Parameters
    ----------
    state
        After the poses were renewed; its maps and curves are those of the iteration before.
    accumulators
        Sums of half 1 and half 2 on the padded grid, without symmetry yet.
    parameters
        Give the point group, the mask diameter and the seed of the random phases.
    pixel_size_angstrom
        Of the particles and maps.

    Returns
    -------
    RefinementState
        With new references, half maps, mask, curves, ``ring_weight``, ``history`` and ``r_max_px``, which is the shell
        where the corrected FSC falls below 0.143 and a tenth (at least five shells) more.
    """
    full = [a.symmetrized(parameters.operators) for a in accumulators]
    maps = torch.stack([solve(a) for a in full])
    box = maps.shape[-1]
    mask = solvent_mask(maps, state, parameters, pixel_size_angstrom)
    generator = torch.Generator().manual_seed(parameters.seed * 1_000_003 + state.iteration)
    curves = correlate_half_maps(maps[0], maps[1], mask, generator)
    # Nothing was inserted beyond; there the mask only smears what lies before.
    corrected = curves.corrected.clone()
    corrected[full[0].r_max_px + 1 :] = 0
    shell = resolution_shell(corrected)
    r_next = min(box // 2 - 1, shell + max(_MARGIN_SHELLS, math.ceil(0.1 * shell)))
    ssnr = (corrected / (1 - corrected).clamp(min=1e-3)).clamp(min=1e-4)
    weights = torch.stack([a.ring_weight() for a in full])
    references = torch.stack(
        [
            solve(a, inverse_tau2=w / ssnr[: len(w)], r_max_px=min(r_next, a.r_max_px))
            for a, w in zip(full, weights, strict=True)
        ]
    )
    r_join = int(box * pixel_size_angstrom / _JOIN_HALVES_ANGSTROM)
    return replace(
        state,
        r_max_px=r_next,
        references=_joined_below(references, r_join) * mask,
        half_maps=maps,
        mask=mask,
        ring_weight=weights,
        fsc=curves.unmasked,
        fsc_masked=curves.masked,
        fsc_randomized=curves.phase_randomized,
        fsc_corrected=corrected,
        randomized_from_shell=curves.randomized_from_shell,
        history=(*state.history, shell),
    )


def solvent_mask(
    maps: Float32[Tensor, "2 d d d"],
    state: RefinementState,
    parameters: RefinementParameters,
    pixel_size_angstrom: float,
) -> Float32[Tensor, "d d d"]:
    """The wide sphere at first; around the density of the mean map once the halves agree in detail of their own.

    Before that, the density is that of the start map, and a mask around it would only confirm it. The mask follows
    nothing finer than 15 Angstrom, so that the noise that both halves show in the mean map cannot shape it.

    "Of their own" means that some iteration reached 1.6 times the start resolution. Where no density stands out of the
    solvent, the sphere stays.

    Parameters
    ----------
    maps
        Unregularized half maps.
    state
        Its ``history`` tells how far the halves have agreed until now.
    parameters, pixel_size_angstrom
        Diameter of the sphere and start resolution; voxel edge of the maps.

    Returns
    -------
    Tensor
        From 0 (solvent) to 1 (particle), never outside of the sphere. Its edge is as wide as the low-pass.
    """
    box = maps.shape[-1]
    radius_px = parameters.mask_diameter_angstrom / 2 / pixel_size_angstrom
    sphere = soft_sphere(box, radius_px, MASK_EDGE_PX, maps.device)
    r_start = box * pixel_size_angstrom / parameters.start_resolution_angstrom
    supported = max(state.history, default=0)
    if supported < _MASK_BEYOND_START * r_start:
        return sphere
    low_pass_angstrom = max(_MASK_LOW_PASS_ANGSTROM, box * pixel_size_angstrom / supported)
    shape = MaskShape(
        low_pass_angstrom=low_pass_angstrom,
        extension_angstrom=_MASK_EXTENSION_ANGSTROM,
        edge_angstrom=low_pass_angstrom,
    )
    try:
        return mask_from_map(maps.mean(0) * sphere, pixel_size_angstrom, shape) * sphere
    except InputError:  # nothing stands out of the solvent
        return sphere


def combined_map(state: RefinementState) -> Float32[Tensor, "d d d"]:
    """Mean of the half maps with the figure-of-merit weight sqrt(2 FSC / (1 + FSC)) a shell.

    The FSC is the corrected one inside the mask, smoothed over three shells; the weight ends where that has fallen
    to nothing, not at a threshold.

    The half maps' FSC tells how alike two maps of half of the data are. ``C_ref = sqrt(2 FSC / (1 + FSC))`` is the
    expected correlation of the map of all data with the perfect map; as a weight it takes the part that the figure of
    merit has in crystallography. The map is not sharpened and not masked.

    References
    ----------
    Rosenthal & Henderson 2003, J. Mol. Biol. 333:721.
    """
    mean = state.half_maps.mean(0)
    box = mean.shape[0]
    weight = torch.sqrt(_figure_of_merit2(state.fsc_corrected)).to(torch.float32)
    shell = shell_index(box, 3, mean.device).clamp(max=box // 2)
    return irfftn(rfftn(mean) * weight[shell], box)


def _figure_of_merit2(curve: Float64[Tensor, " r"]) -> Float64[Tensor, " r"]:
    """Square of the weight, 2 FSC / (1 + FSC), of the smoothed curve; 0 from the first shell on where that is not
    positive.
    """
    reach = _SMOOTHED_SHELLS // 2
    padded = torch.cat([curve[:1].repeat(reach), curve, curve[-1:].repeat(reach)])
    smooth = padded.unfold(0, _SMOOTHED_SHELLS, 1).mean(1)
    nothing = (smooth <= 0).nonzero()
    if len(nothing):
        smooth[int(nothing[0]) :] = 0
    smooth = smooth.clamp(0, 1)
    return 2 * smooth / (1 + smooth)


def resolution_shell(curve: Float64[Tensor, " r"]) -> int:
    """Last shell before the FSC first falls below 0.143, where C_ref is 0.5 (Rosenthal & Henderson 2003)."""
    return shell_above(curve, _FSC_THRESHOLD)


def shell_above(curve: Float64[Tensor, " r"], threshold: float) -> int:
    """Last shell before a curve [D//2 + 1] first falls below a threshold; shell 0 is not asked.

    A curve that never does gives D//2 - 1, the last shell whose frequencies lie inside the band of the images.
    """
    below = (curve[1:] < threshold).nonzero()
    return int(below[0, 0]) if len(below) else len(curve) - 2


def _joined_below(volumes: Tensor, r_join: int) -> Tensor:
    """Both volumes with their common mean in the shells up to ``r_join``, which keeps hand and frame the same."""
    transforms = rfftn(volumes)
    shell = shell_index(volumes.shape[-1], 3, volumes.device)
    transforms = torch.where(shell <= r_join, transforms.mean(0, keepdim=True), transforms)
    return irfftn(transforms, volumes.shape[-1])
