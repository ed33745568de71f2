"""Soft masks, and what two half maps have in common inside of one.

A mask multiplies in real space, so it convolves in Fourier space: each coefficient is mixed with its
neighbors over a width of one over the mask's size. A sharp edge mixes far ones too, which is why all masks
here have soft edges.
"""

from cryocloud.engine.masking.correlation import FscCurves, correlate_half_maps
from cryocloud.engine.masking.from_map import (
    MaskShape,
    density_threshold,
    mask_core,
    mask_from_map,
    soft_mask,
)
from cryocloud.engine.masking.soft import soft_circle, soft_sphere
from cryocloud.engine.masking.solids import Solid, with_solids

__all__ = [
    "FscCurves",
    "MaskShape",
    "Solid",
    "correlate_half_maps",
    "density_threshold",
    "mask_core",
    "mask_from_map",
    "soft_circle",
    "soft_mask",
    "soft_sphere",
    "with_solids",
]
