"""Soft masks."""

from cryocloud.engine.masking.from_map import MaskShape, density_threshold, mask_from_map
from cryocloud.engine.masking.soft import soft_circle, soft_sphere

__all__ = ["MaskShape", "density_threshold", "mask_from_map", "soft_circle", "soft_sphere"]
