"""Soft masks around the density of a map."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.ndimage
import torch
from jaxtyping import Bool, Float32
from numpy.typing import NDArray
from torch import Tensor

from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import low_pass

_SIGMAS = 3.0
_FRACTION_OF_DENSE = 0.3
_KEPT_MASS = 0.95
_GAUSS_FROM_MAD = 1.4826


@dataclass(frozen=True)
class MaskShape:
    """How a mask is cut.

    Attributes
    ----------
    low_pass_angstrom
        Resolution at which particle and solvent are told apart.
    threshold
        Density of the low-passed map; None chooses it (`density_threshold`).
    extension_angstrom, edge_angstrom
        The mask is 1 up to the extension from the particle, and falls to 0 over the edge outside of that.
    """

    low_pass_angstrom: float = 15.0
    threshold: float | None = None
    extension_angstrom: float = 6.0
    edge_angstrom: float = 10.0


def density_threshold(filtered: Float32[Tensor, "d d d"]) -> float:
    """Density that separates particle from solvent in a low-passed map.

    The larger of three robust standard deviations above the median, which ignores the solvent's noise, and of
    0.3 times the 90th percentile of what lies above that, which ignores the ripples around a strong particle.
    """
    values = filtered[_inscribed_ball(filtered.shape[0], filtered.device)].cpu()
    middle = values.median()
    floor = float(middle + _SIGMAS * _GAUSS_FROM_MAD * (values - middle).abs().median())
    above = values[values > floor]
    if len(above) == 0:
        return floor
    dense = float(np.quantile(above.numpy(), 0.9))
    return max(floor, _FRACTION_OF_DENSE * dense)


def mask_from_map(
    volume: Float32[Tensor, "d d d"], pixel_size_angstrom: float, shape: MaskShape | None = None
) -> Float32[Tensor, "d d d"]:
    """A soft mask, 1 on the particle and 0 on the solvent.

    The map is low-passed and cut at a threshold inside the ball that fits the box; the largest connected
    pieces that together hold 95 % of the density above the threshold are kept, extended, and given a
    raised-cosine edge. The morphology runs on the CPU.

    Raises
    ------
    InputError
        Nothing lies above the threshold.
    """
    shape = shape or MaskShape()
    return soft_mask(mask_core(volume, pixel_size_angstrom, shape), pixel_size_angstrom, shape)


def mask_core(
    volume: Float32[Tensor, "d d d"], pixel_size_angstrom: float, shape: MaskShape
) -> Bool[Tensor, "d d d"]:
    """The voxels of the particle, from which a mask is extended; errors as `mask_from_map`."""
    filtered = low_pass(volume, shape.low_pass_angstrom, pixel_size_angstrom)
    threshold = density_threshold(filtered) if shape.threshold is None else shape.threshold
    density = (filtered * _inscribed_ball(volume.shape[0], volume.device)).cpu().numpy()
    core = _largest_pieces(density, threshold)
    if not core.any():
        raise InputError(
            f"no density lies above the mask threshold {threshold:.4g} (the low-passed map reaches "
            f"{density.max():.4g}); give a lower threshold or a mask"
        )
    return torch.from_numpy(core).to(volume.device)


def soft_mask(
    core: Bool[Tensor, "d d d"], pixel_size_angstrom: float, shape: MaskShape
) -> Float32[Tensor, "d d d"]:
    """1 up to the extension from the core, then a raised-cosine edge; the distances are measured on the CPU."""
    distance_angstrom = scipy.ndimage.distance_transform_edt(~core.cpu().numpy()) * pixel_size_angstrom
    ramp = np.clip((distance_angstrom - shape.extension_angstrom) / shape.edge_angstrom, 0, 1)
    soft = (0.5 + 0.5 * np.cos(math.pi * ramp)).astype(np.float32)
    return torch.from_numpy(soft).to(core.device)


def _inscribed_ball(box_size_px: int, device: torch.device) -> Tensor:
    line = torch.arange(box_size_px, device=device) - box_size_px // 2
    return line[:, None, None] ** 2 + line[:, None] ** 2 + line**2 < (box_size_px / 2) ** 2


def _largest_pieces(density: NDArray[np.float32], threshold: float) -> NDArray[np.bool_]:
    """Voxels of the largest connected pieces above the threshold that together hold 95 % of the density
    there.

    Dust of noise far from the particle is left out, while the parts of a complex that the threshold has
    severed stay.
    """
    labels, n_pieces = scipy.ndimage.label(density > threshold)
    mass = np.bincount(labels.ravel(), weights=density.ravel().astype(np.float64), minlength=n_pieces + 1)[1:]
    order = np.argsort(-mass, kind="stable")
    before = np.cumsum(mass[order]) - mass[order]
    kept = np.zeros(n_pieces + 1, dtype=np.bool_)
    kept[order[before < _KEPT_MASS * mass.sum()] + 1] = True
    return kept[labels]
