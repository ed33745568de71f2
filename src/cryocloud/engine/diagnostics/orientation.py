"""Distribution of viewing directions and what it does to the map."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from cryocloud.engine.geometry import healpix_directions, rotation_from_euler

_FREQUENCIES_ORDER = 3


@dataclass(frozen=True)
class OrientationCoverage:
    """How often each direction of Fourier space is measured.

    ``direction`` float64 [c, 3] are evenly spread unit vectors, ``sampling`` float64 [c] the density of slices that
    pass through each, relative to an even distribution of the same number of views (1 = as even).
    """

    direction: Tensor
    sampling: Tensor

    @property
    def sampling_compensation_factor(self) -> float:
        """SCF: inverse of the mean of 1 / sampling; 1 for even views, 0.81 for views around one axis, 0 with gaps.

        References
        ----------
        Baldwin & Lyumkis 2020, Prog. Biophys. Mol. Biol. 150:160.
        """
        if bool((self.sampling <= 0).any()):
            return 0.0
        return float(1 / (1 / self.sampling).mean())

    @property
    def unseen_fraction(self) -> float:
        """Part of the directions of Fourier space that no slice passes within the angular tolerance."""
        return float((self.sampling <= 0).to(torch.float64).mean())


def orientation_coverage(
    rotation: Float64[Tensor, "n 3 3"],
    operators: Float64[Tensor, "g 3 3"],
    *,
    tolerance_deg: float = 2.0,
) -> OrientationCoverage:
    """Density of measured Fourier slices over directions, with the point group's copies of each view.

    A view along v measures the frequencies perpendicular to v. For directions k on a HEALPix grid the views with
    abs(k . v) < sin(tolerance) are counted; an even distribution gives the fraction sin(tolerance).

    Parameters
    ----------
    tolerance_deg
        Half the width of the band around each slice: about the angle that a Fourier voxel subtends at the
        resolution of interest.
    """
    rot_deg, tilt_deg = healpix_directions(_FREQUENCIES_ORDER)
    zero = torch.zeros_like(rot_deg)
    direction = rotation_from_euler(rot_deg, tilt_deg, zero)[:, :, 2].to(rotation.device)
    half_width = torch.sin(torch.deg2rad(torch.tensor(tolerance_deg, dtype=torch.float64)))
    counts = torch.zeros(len(direction), dtype=torch.float64, device=rotation.device)
    for operator in operators.to(rotation.device):
        view = rotation[:, :, 2] @ operator.T
        for block in view.split(4096):
            counts += ((direction @ block.T).abs() < half_width).sum(1)
    expected = float(half_width) * len(rotation) * len(operators)
    return OrientationCoverage(direction, counts / expected)
