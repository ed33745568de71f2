"""Slices of volumes and volumes from slices."""

from cryocloud.engine.reconstruction.accumulator import Accumulator, solve
from cryocloud.engine.reconstruction.slicing import VolumeTransform, slice_volume, volume_transform

__all__ = ["Accumulator", "VolumeTransform", "slice_volume", "solve", "volume_transform"]
