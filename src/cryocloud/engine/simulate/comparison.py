"""How near a result came to the truth that it was simulated from.

A map from particles has its own frame, origin and hand, which no data can fix. So it is laid on the truth
before anything is compared, and poses are carried into the same frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from cryocloud.engine.alignment.volumes import (
    VolumeAlignment,
    align_volumes,
    apply_alignment,
    poses_in_fixed_frame,
    refine_volume_alignment,
)
from cryocloud.engine.fourier import fsc, low_pass, resample_volume, resolution_angstrom
from cryocloud.engine.geometry import angular_distance_deg
from cryocloud.engine.masking import mask_from_map

Int = NDArray[np.int64]
Float = NDArray[np.float64]

SEARCH_RESOLUTION_ANGSTROM = 20.0
HALF_CORRELATION = 0.5
_FINEST_PIXELS = 2.5


@dataclass(frozen=True)
class MapComparison:
    """A map laid on the truth.

    Attributes
    ----------
    alignment
        Rotation, shift (pixels of the map) and hand that do it.
    aligned, truth
        Both in the map's own box and sampling.
    fsc_unmasked, fsc_masked
        Shells 0 .. D//2; 0.5 is the threshold against a truth without noise.
    low_pass_correlation
        That of the maps at 20 A over the whole box, without their means.
    """

    alignment: VolumeAlignment
    aligned: Tensor
    truth: Tensor
    fsc_unmasked: Tensor
    fsc_masked: Tensor
    low_pass_correlation: float


@dataclass(frozen=True)
class PoseErrors:
    """Errors of n particles: rotation in degrees (the least over the symmetry), shift in the unit of the shifts."""

    angle_deg: Float
    shift: Float


@dataclass(frozen=True)
class Matches:
    """Pairs of equal things: rows of the result and of the truth."""

    found: Int
    true: Int

    def __len__(self) -> int:
        return len(self.found)


def compare_maps(
    volume: Float32[Tensor, "d d d"],
    pixel_size_angstrom: float,
    truth: Float32[Tensor, "e e e"],
    truth_pixel_size_angstrom: float,
) -> MapComparison:
    """Lay a map on the true one, whatever its rotation, shift and hand, and correlate them.

    The motion is searched at 20 A and then refined to where the FSC falls below 0.5. The mask of the masked FSC
    is cut from the truth.
    """
    box = volume.shape[-1]
    truth = resample_volume(truth, truth_pixel_size_angstrom, pixel_size_angstrom, box)
    alignment = align_volumes(
        volume,
        truth,
        pixel_size_angstrom=pixel_size_angstrom,
        resolution_angstrom=SEARCH_RESOLUTION_ANGSTROM,
    )
    aligned = apply_alignment(volume, alignment)
    reached = resolution_angstrom(fsc(aligned, truth), HALF_CORRELATION, box, pixel_size_angstrom)
    finest = _FINEST_PIXELS * pixel_size_angstrom
    if reached < SEARCH_RESOLUTION_ANGSTROM:
        alignment = refine_volume_alignment(
            volume,
            truth,
            alignment,
            pixel_size_angstrom=pixel_size_angstrom,
            resolution_angstrom=max(reached, finest),
        )
        aligned = apply_alignment(volume, alignment)
    mask = mask_from_map(truth, pixel_size_angstrom)
    filtered = [
        low_pass(v, SEARCH_RESOLUTION_ANGSTROM, pixel_size_angstrom).flatten() for v in (aligned, truth)
    ]
    return MapComparison(
        alignment=alignment,
        aligned=aligned,
        truth=truth,
        fsc_unmasked=fsc(aligned, truth),
        fsc_masked=fsc(aligned * mask, truth * mask),
        low_pass_correlation=float(torch.corrcoef(torch.stack(filtered))[0, 1]),
    )


def match_names(found: list[str], true: list[str]) -> Matches:
    """Rows with the same image: its number in the stack and the stack's file name, whatever the folder."""
    row_of = {_image_key(name): row for row, name in enumerate(true)}
    pairs = [(row, row_of[key]) for row, name in enumerate(found) if (key := _image_key(name)) in row_of]
    both = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return Matches(both[:, 0], both[:, 1])


def match_places(
    found_px: Float, found_group: Int, true_px: Float, true_group: Int, radius_px: float
) -> Matches:
    """One-to-one pairs of places [n, 2] of the same group (micrograph), the nearest first, within a radius.

    Greedy: a pair is taken where neither place has a nearer partner that is still free. Precision is the
    number of pairs over that of the found, recall over that of the true.
    """
    pairs: list[tuple[int, int]] = []
    for group in np.unique(true_group):
        mine, theirs = np.flatnonzero(found_group == group), np.flatnonzero(true_group == group)
        if len(mine) == 0:
            continue
        near = cKDTree(found_px[mine]).sparse_distance_matrix(
            cKDTree(true_px[theirs]), radius_px, output_type="coo_matrix"
        )
        used_mine, used_theirs = set[int](), set[int]()
        for index in np.argsort(near.data, kind="stable"):
            i, j = int(near.row[index]), int(near.col[index])
            if i not in used_mine and j not in used_theirs:
                used_mine.add(i)
                used_theirs.add(j)
                pairs.append((int(mine[i]), int(theirs[j])))
    both = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
    return Matches(both[:, 0], both[:, 1])


def pose_errors(
    rotation: Float64[Tensor, "n 3 3"],
    shift: Float64[Tensor, "n 2"],
    true_rotation: Float64[Tensor, "n 3 3"],
    true_shift: Float64[Tensor, "n 2"],
    alignment: VolumeAlignment,
    operators: Float64[Tensor, "g 3 3"],
) -> PoseErrors:
    """Errors of matched poses after the map that they belong to was laid on the truth.

    All shifts have one unit, that of the alignment's shift, and are minus the place of the object, counted from
    the same point of each image.
    """
    rotation, shift = poses_in_fixed_frame(alignment, rotation, shift)
    angle = angular_distance_deg(rotation, true_rotation, operators)
    return PoseErrors(angle.numpy(), (shift - true_shift).norm(dim=1).numpy())


def _image_key(name: str) -> tuple[int, str]:
    number, _, stack = name.partition("@")
    return int(number), stack.rsplit("/", 1)[-1]
