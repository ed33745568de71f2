"""Slices of volumes and volumes from slices.

A model is linear in the map: m = C exp(+2 pi i k.t / D) P_M V, with P_M the slice at pose M. Its transpose inserts
images into Fourier space, and the most probable map solves the normal equations. Their coupling of neighboring
grid points through the interpolation is neglected, so that they are solved point by point:
V = sum P^T (C X / sigma^2) / (sum P^T (C^2 / sigma^2) + 1 / tau^2).
"""

from cryocloud.engine.reconstruction.accumulator import Accumulator, solve
from cryocloud.engine.reconstruction.slicing import VolumeTransform, slice_volume, volume_transform

__all__ = ["Accumulator", "VolumeTransform", "slice_volume", "solve", "volume_transform"]
