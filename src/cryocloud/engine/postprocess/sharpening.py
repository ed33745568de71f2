"""Fall-off of amplitudes with resolution and its correction."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import irfftn, rfftn, shell_average, shell_index

_LEAST_SHELLS = 4


@dataclass(frozen=True)
class GuinierPlot:
    """ln(mean amplitude) of shells 1 .. D//2 against 1/d^2 (Angstrom^-2), all float64.

    ``log_amplitude`` is of the map, ``log_weighted`` after the FSC weight (-inf where that is 0). ``fitted`` marks the
    shells of the straight line ``intercept + slope / d^2``; where too few could be fitted slope and
    intercept are None.
    """

    inverse_d2: Tensor
    log_amplitude: Tensor
    log_weighted: Tensor
    fitted: Tensor
    slope: float | None
    intercept: float | None

    @property
    def b_factor_angstrom2(self) -> float | None:
        """Overall B-factor, 4 times the slope: negative where amplitudes fall with resolution."""
        return None if self.slope is None else 4 * self.slope


def fsc_weight(curve: Float64[Tensor, " r"]) -> Float64[Tensor, " r"]:
    """Figure of merit sqrt(2 FSC / (1 + FSC)) of the mean of two half maps; 0 where the FSC is negative.

    References
    ----------
    Rosenthal & Henderson 2003, J. Mol. Biol. 333:721.
    """
    positive = curve.clamp(min=0)
    return torch.sqrt(2 * positive / (1 + positive))


def guinier_plot(
    volume: Float32[Tensor, "d d d"],
    curve: Float64[Tensor, " r"],
    pixel_size_angstrom: float,
    *,
    resolution_angstrom: float,
    from_angstrom: float = 10.0,
) -> GuinierPlot:
    """Amplitudes of a map against resolution, and the line through them from ``from_angstrom`` to the limit.

    Parameters
    ----------
    volume
        Mean of the half maps.
    curve
        FSC of its half maps, shells 0 .. D//2.
    resolution_angstrom
        Where the line ends. It is fitted if at least four shells lie in the range.

    References
    ----------
    Rosenthal & Henderson 2003, J. Mol. Biol. 333:721.
    """
    box = volume.shape[0]
    n_shells = box // 2 + 1
    amplitude = shell_average(rfftn(volume).abs(), shell_index(box, 3, volume.device), n_shells)[1:]
    shells = torch.arange(1, n_shells, dtype=torch.float64, device=volume.device)
    inverse_d2 = (shells / (box * pixel_size_angstrom)) ** 2
    log_amplitude = torch.log(amplitude)
    log_weighted = log_amplitude + torch.log(fsc_weight(curve)[1:])
    in_range = (inverse_d2 >= from_angstrom**-2) & (inverse_d2 <= resolution_angstrom**-2)
    fitted = in_range & torch.isfinite(log_weighted)
    slope, intercept = _line(inverse_d2[fitted], log_weighted[fitted])
    return GuinierPlot(inverse_d2, log_amplitude, log_weighted, fitted, slope, intercept)


def sharpen(
    volume: Float32[Tensor, "d d d"],
    curve: Float64[Tensor, " r"],
    pixel_size_angstrom: float,
    *,
    b_factor_angstrom2: float,
    low_pass_angstrom: float,
    edge_shells: int = 2,
) -> Float32[Tensor, "d d d"]:
    """FSC-weighted, sharpened and low-passed map.

    Each coefficient is multiplied by ``sqrt(2 FSC / (1 + FSC)) * exp(-B / (4 d^2))``: a negative B-factor
    sharpens, as in RELION. The final low-pass falls as a raised cosine over ``edge_shells`` shells.

    Raises
    ------
    InputError
        The B-factor would multiply the last shell by more than 10^6.
    """
    box = volume.shape[0]
    largest = -b_factor_angstrom2 / (4 * low_pass_angstrom**2)
    if largest > 6 * math.log(10):
        raise InputError(
            f"B-factor {b_factor_angstrom2:.0f} Å² multiplies {low_pass_angstrom:.3g} Å by "
            f"10^{largest / math.log(10):.0f}; choose one closer to zero"
        )
    size_angstrom = box * pixel_size_angstrom
    radius = _radius(box, volume.device)
    ramp = ((radius - size_angstrom / low_pass_angstrom) / edge_shells + 0.5).clamp(0, 1)
    decay = torch.exp(-b_factor_angstrom2 / 4 * (radius / size_angstrom) ** 2)
    weight = fsc_weight(curve).to(torch.float32)
    weight[box // 2] = 0.0
    merit = weight[radius.round().long().clamp(max=box // 2)]
    return irfftn(rfftn(volume) * (merit * decay * (0.5 + 0.5 * torch.cos(torch.pi * ramp))), box)


def _radius(box_size_px: int, device: torch.device) -> Float32[Tensor, "d d h"]:
    """|k| in shells of each element of an rfft array."""
    full = torch.fft.fftfreq(box_size_px, 1 / box_size_px, device=device) ** 2
    half = torch.fft.rfftfreq(box_size_px, 1 / box_size_px, device=device) ** 2
    squared: Tensor = full[:, None, None] + full[:, None] + half
    return squared.sqrt()


def _line(x: Tensor, y: Tensor) -> tuple[float | None, float | None]:
    if len(x) < _LEAST_SHELLS:
        return None, None
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    return float(slope), float(y.mean() - slope * x.mean())
