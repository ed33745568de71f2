"""Averages over Fourier shells, Fourier shell correlation.

Shell r holds round(|k|) = r, |k| in units of 1/D: a resolution of D * pixel size / r. Averages over an rfft array
take its elements once each: the plane kx = 0 holds both members of its Friedel pairs, so they count double.
"""

from __future__ import annotations

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier.pixels import PixelList
from cryocloud.engine.fourier.transforms import rfftn


def shell_index(box_size_px: int, n_axes: int, device: torch.device | str = "cpu") -> Int64[Tensor, "..."]:
    """round(|k|) of each element of an rfft array of a D^n_axes box, shape [D, ..., D//2 + 1]."""
    full = torch.fft.fftfreq(box_size_px, 1 / box_size_px, device=device)
    half = torch.fft.rfftfreq(box_size_px, 1 / box_size_px, device=device)
    grid = torch.meshgrid(*[full] * (n_axes - 1), half, indexing="ij")
    squared = torch.stack([g**2 for g in grid]).sum(0)
    return squared.sqrt().round().long()


def shell_average(values: Tensor, shell: Int64[Tensor, "..."], n_shells: int) -> Float64[Tensor, " r"]:
    """Mean of real ``values`` over each shell 0 .. n_shells-1 (0 where a shell is empty)."""
    inside = shell < n_shells
    index = shell[inside]
    totals = torch.zeros(n_shells, dtype=torch.float64, device=values.device)
    totals.index_add_(0, index, values[inside].to(torch.float64))
    return totals / torch.bincount(index, minlength=n_shells).clamp(min=1)


def ring_average(values: Tensor, pixels: PixelList) -> Float64[Tensor, "b r"]:
    """Mean of real values [b, n] over the rings 0 .. r_max of a pixel list (ring 0 holds nothing)."""
    n_rings = pixels.r_max_px + 1
    totals = torch.zeros(len(values), n_rings, dtype=torch.float64, device=values.device)
    totals.index_add_(1, pixels.ring, values.to(torch.float64))
    return totals / torch.bincount(pixels.ring, minlength=n_rings).clamp(min=1)


def fsc(volume_a: Tensor, volume_b: Tensor) -> Float64[Tensor, " r"]:
    """Fourier shell correlation of two volumes [D, D, D] for shells 0 .. D//2 (1 in shell 0).

    FSC(r) = Re sum A conj(B) / sqrt(sum |A|^2 sum |B|^2) over shell r. Independent noise gives 0 +- 1/sqrt(n), n
    the coefficients of the whole shell; two half maps of signal-to-noise ratio S each have FSC = S / (S + 1). The
    volumes are taken as they are: masks raise the curve, see ``postprocess``.

    Raises
    ------
    InputError
        The volumes are not cubes of one size.

    References
    ----------
    Harauz & van Heel 1986, Optik 73:146.
    """
    if volume_a.shape != volume_b.shape or len(set(volume_a.shape)) != 1:
        raise InputError(
            f"FSC needs two cubes of one size, got {tuple(volume_a.shape)} and {tuple(volume_b.shape)}"
        )
    box = volume_a.shape[0]
    a, b = rfftn(volume_a), rfftn(volume_b)
    shell = shell_index(box, 3, volume_a.device)
    n_shells = box // 2 + 1
    cross = shell_average((a * b.conj()).real, shell, n_shells)
    power_a = shell_average(a.abs() ** 2, shell, n_shells)
    power_b = shell_average(b.abs() ** 2, shell, n_shells)
    curve = cross / (power_a * power_b).sqrt().clamp(min=1e-300)
    curve[0] = 1.0
    return curve


def resolution_angstrom(
    curve: Float64[Tensor, " r"], threshold: float, box_size_px: int, pixel_size_angstrom: float
) -> float:
    """Resolution where an FSC curve first falls below the threshold, interpolated between shells.

    A curve that never falls below it gives the resolution of its last shell. Shell 0 is not looked at.

    Parameters
    ----------
    curve
        FSC of shells 0 .. r.
    threshold
        0.143 between half maps (Rosenthal & Henderson 2003, J. Mol. Biol. 333:721: there the mean map correlates
        with the truth to 0.5), 0.5 between a map and a model.
    box_size_px, pixel_size_angstrom
        Of the volumes that were compared.
    """
    values = curve.tolist()
    for shell in range(1, len(values)):
        if values[shell] < threshold:
            above = max(values[shell - 1], threshold)
            fraction = (above - threshold) / max(above - values[shell], 1e-12)
            return float(box_size_px * pixel_size_angstrom / max(shell - 1 + fraction, 0.5))
    return box_size_px * pixel_size_angstrom / (len(values) - 1)
