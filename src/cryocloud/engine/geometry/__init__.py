"""Rotations, sampling of directions and shifts, point groups."""

from cryocloud.engine.geometry.rotations import (
    angular_distance_deg,
    euler_from_rotation,
    random_rotations,
    rotation_from_euler,
    rotation_from_vector,
)
from cryocloud.engine.geometry.sampling import healpix_directions, rotation_grid, shift_grid
from cryocloud.engine.geometry.symmetry import symmetry_operators

__all__ = [
    "angular_distance_deg",
    "euler_from_rotation",
    "healpix_directions",
    "random_rotations",
    "rotation_from_euler",
    "rotation_from_vector",
    "rotation_grid",
    "shift_grid",
    "symmetry_operators",
]
