"""Soft masks, and what two half maps have in common inside of one."""

from cryocloud.engine.masking.correlation import FscCurves, correlate_half_maps
from cryocloud.engine.masking.from_map import MaskShape, density_threshold, mask_from_map
from cryocloud.engine.masking.soft import soft_circle, soft_sphere

__all__ = [
    "FscCurves",
    "MaskShape",
    "correlate_half_maps",
    "density_threshold",
    "mask_from_map",
    "soft_circle",
    "soft_sphere",
]
