"""The surface of a density map: at which level it shows the particle and no dust, and pictures of it as it turns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Volume = NDArray[np.float32]
Vectors = NDArray[np.float32]

# Two voxels in a hundred lie above the first level tried, where most boxes hold the particle.
LEVEL_SHARES = (0.02, 0.03, 0.014, 0.01, 0.007, 0.005)
DUST_SHARE_MAX = 0.01
PART_SHARE_MIN = 0.05
FRAMES = 24
TILE_PX = 160
_AMBIENT, _DIFFUSE, _FAR = 0.25, 0.75, 0.35
_LIGHT_RIGHT_UP_NEAR = np.array([-0.35, 0.5, 0.79], np.float32)


def level_without_dust(volume: Volume) -> float:
    """The first level tried above which at most a hundredth of the voxels lies in specks, else that with the least.

    A speck is a connected part below a twentieth of the largest one.
    """
    levels = [float(level) for level in np.quantile(volume, [1 - share for share in LEVEL_SHARES])]
    dust: dict[float, float] = {}
    for level in levels:
        inside = volume > level
        dust[level] = float(_specks(inside).sum() / max(inside.sum(), 1))
        if dust[level] <= DUST_SHARE_MAX:
            return level
    return min(dust, key=dust.__getitem__)


def _specks(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, _ = ndimage.label(inside)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    is_speck = sizes < PART_SHARE_MIN * sizes.max()
    is_speck[0] = False
    return np.asarray(is_speck[labels])


def turning_pictures(volume: Volume, level: float) -> NDArray[np.uint8]:
    """One turn around z, z upwards, seen from the side: [FRAMES, TILE_PX, TILE_PX, 2], gray and opacity.

    Each ray is followed from the near end to where the density first exceeds ``level``; the gradient there is the
    surface's normal, which a lamp above the left shoulder lights (Lambert), and what is farther is darker. Specks
    are left out.
    """
    volume = np.where(_specks(volume > level), np.float32(min(level, volume.min())), volume)
    reach = _reach(volume, level)
    center: Vectors = ((np.array(volume.shape) - 1) / 2).astype(np.float32)
    across = np.linspace(-reach, reach, TILE_PX, dtype=np.float32)
    depth = np.arange(-reach, reach, dtype=np.float32)
    smooth = ndimage.gaussian_filter(volume, 1.0)
    slopes = [np.gradient(smooth, axis=axis) for axis in range(3)]
    pictures = np.zeros((FRAMES, TILE_PX, TILE_PX, 2), np.uint8)
    for frame, picture in enumerate(pictures):
        axes = _screen_axes(2 * np.pi * frame / FRAMES)
        at, row, column = _first_hits(volume, level, (center, axes), across, depth)
        places = center[:, None] + axes.T @ np.stack([across[column], -across[row], -at])
        slope = axes @ np.stack([ndimage.map_coordinates(along, places, order=1) for along in slopes])
        normals = -slope / np.maximum(np.linalg.norm(slope, axis=0), 1e-12)
        light = _AMBIENT + _DIFFUSE * np.clip(_LIGHT_RIGHT_UP_NEAR @ normals, 0, 1)
        light *= 1 - _FAR * (at + reach) / (2 * reach)
        picture[row, column, 0] = np.clip(255 * light, 0, 255)
        picture[row, column, 1] = 255
    return pictures


def _reach(volume: Volume, level: float) -> float:
    """How far from the center, in voxels, the farthest voxel of the surface lies."""
    places = np.argwhere(volume > level)
    center = (np.array(volume.shape) - 1) / 2
    return float(np.linalg.norm(places - center, axis=1).max()) + 2 if len(places) else max(volume.shape) / 2


def _screen_axes(angle_rad: float) -> Vectors:
    """Right, up and towards the eye, one a row, each as (z, y, x) of the volume."""
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[0, sin, cos], [1, 0, 0], [0, -cos, sin]], np.float32)


def _first_hits(
    volume: Volume,
    level: float,
    view: tuple[Vectors, Vectors],
    across: NDArray[np.float32],
    depth: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.intp], NDArray[np.intp]]:
    """Depth (from the near end, negative in front of the center), row and column of each pixel that is hit."""
    center, (right, up, near) = view
    shape = (len(depth), len(across), len(across))
    places = [
        center[axis]
        + right[axis] * across[None, None, :]
        - up[axis] * across[None, :, None]
        - near[axis] * depth[:, None, None]
        for axis in range(3)
    ]
    values = ndimage.map_coordinates(volume, [np.broadcast_to(one, shape) for one in places], order=1)
    inside = values > level
    row, column = np.nonzero(inside.any(axis=0))
    first = inside.argmax(axis=0)[row, column]
    beyond, before = values[first, row, column], values[np.maximum(first - 1, 0), row, column]
    back = np.where(first > 0, (beyond - level) / np.maximum(beyond - before, 1e-12), 0)
    return (depth[first] - np.clip(back, 0, 1)).astype(np.float32), row, column
