"""How good a CTF fit is: equiphase average, fit resolution, figure of merit, directional loss of the rings."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64
from scipy.ndimage import uniform_filter1d
from torch import Tensor

from cryocloud.engine.ctf_estimation.fit import RingFit
from cryocloud.engine.ctf_estimation.rings import (
    Defocus,
    MicroscopeOptics,
    constant_phase,
    phase_derivatives,
    radial_phase,
)
from cryocloud.engine.ctf_estimation.spectrum import FlatSpectrum

CORRELATION_THRESHOLD = 0.5
WINDOW_RINGS = 2.0
SMALLEST_WINDOW_BINS = 9


@dataclass(frozen=True)
class RadialFit:
    """Equiphase average against the model, on bins of the spatial frequency along the mean defocus.

    ``observed`` is the relative deviation of the power, ``model`` the fitted one; ``correlation`` is their
    local correlation in a window of two rings.
    """

    s_per_angstrom: Float64[Tensor, " b"]
    observed: Float64[Tensor, " b"]
    model: Float64[Tensor, " b"]
    correlation: Float64[Tensor, " b"]


@dataclass(frozen=True)
class DirectionalLoss:
    """How much weaker the rings are in one direction, as uncorrected drift makes them.

    Attributes
    ----------
    blur_angstrom
        Length of a uniform straight drift that would explain the loss; 0 where none is seen.
    blur_error_angstrom
        One standard deviation.
    direction_deg
        Direction of the loss, counter-clockwise from x, in [0, 180).
    """

    blur_angstrom: float
    blur_error_angstrom: float
    direction_deg: float


def equiphase_average(
    spectrum: FlatSpectrum, fit: RingFit, optics: MicroscopeOptics, *, bin_per_angstrom: float
) -> RadialFit:
    """Average the spectrum along lines of equal CTF phase, which astigmatism makes ellipses.

    ``bin_per_angstrom`` is the width of the bins.
    """
    device = spectrum.deviation.device
    phase = phase_derivatives(spectrum, optics) @ fit.defocus.vector().to(device)
    phase = phase + constant_phase(spectrum.s_per_angstrom, optics)
    low, high = (float(v) for v in (spectrum.s_per_angstrom.min(), spectrum.s_per_angstrom.max()))
    fine = torch.linspace(0.0, 1.2 * high, 4096, dtype=torch.float64)
    mean_phase = radial_phase(fine, fit.defocus.mean_angstrom, fit.defocus.phase_shift_deg, optics)
    rising = int(torch.argmax(mean_phase)) + 1
    s_equal = np.interp(phase.cpu().numpy(), mean_phase[:rising].numpy(), fine[:rising].numpy())
    count = max(2, int((high - low) / bin_per_angstrom))
    edges = np.linspace(low, high, count + 1)
    index = np.clip(np.digitize(s_equal, edges) - 1, 0, count - 1)
    members = np.maximum(np.bincount(index, minlength=count), 1)
    observed = np.bincount(index, spectrum.deviation.cpu().numpy(), minlength=count) / members
    s = torch.from_numpy((edges[:-1] + edges[1:]) / 2)
    rings = -torch.cos(2 * radial_phase(s, fit.defocus.mean_angstrom, fit.defocus.phase_shift_deg, optics))
    model = fit.background(s) + fit.envelope(s) * rings
    smooth = torch.from_numpy(observed) - fit.background(s)
    correlation = _local_correlation(smooth.numpy(), rings.numpy(), _ring_widths(s, fit.defocus, optics))
    return RadialFit(s, torch.from_numpy(observed), model, torch.from_numpy(correlation))


def fit_resolution_angstrom(radial: RadialFit) -> float:
    """Where the local correlation first falls below 0.5; the coarsest resolution of the fit if it never reaches it."""
    above = radial.correlation.numpy() >= CORRELATION_THRESHOLD
    if not above.any():
        return 1 / float(radial.s_per_angstrom[0])
    first = int(np.argmax(above))
    below = np.flatnonzero(~above[first:])
    last = first + int(below[0]) - 1 if len(below) else len(above) - 1
    return 1 / float(radial.s_per_angstrom[last])


def figure_of_merit(spectrum: FlatSpectrum, fit: RingFit, optics: MicroscopeOptics) -> float:
    """Correlation of the two-dimensional spectrum, background removed, with the fitted rings."""
    rings = ring_pattern(spectrum, fit.defocus, optics).to(torch.float64)
    s = spectrum.s_per_angstrom
    observed = spectrum.deviation.to(torch.float64) - fit.background(s)
    model = fit.envelope(s) * rings
    return float((observed * model).sum() / (observed.norm() * model.norm()).clamp(min=1e-30))


def directional_loss(spectrum: FlatSpectrum, fit: RingFit, optics: MicroscopeOptics) -> DirectionalLoss:
    """Fit ``envelope(s) * exp(-s^2 (c cos 2 alpha + d sin 2 alpha))`` to the rings.

    A straight drift of length L along beta multiplies the power by about exp(-(pi L s)^2 / 3 * cos^2(alpha -
    beta)); its isotropic half is part of the envelope, the other half has the amplitude (pi L)^2 / 6.
    """
    s2 = spectrum.s_per_angstrom**2
    rings = ring_pattern(spectrum, fit.defocus, optics).to(torch.float64)
    expected = fit.envelope(spectrum.s_per_angstrom).clamp(min=0) * rings
    observed = spectrum.deviation.to(torch.float64) - fit.background(spectrum.s_per_angstrom)
    angle = torch.atan2(spectrum.sy_per_angstrom, spectrum.sx_per_angstrom)
    waves = torch.stack([torch.cos(2 * angle), torch.sin(2 * angle)], dim=1) * s2[:, None]
    loss = torch.zeros(2, dtype=torch.float64, device=s2.device)
    covariance = torch.eye(2, dtype=torch.float64, device=s2.device)
    for _ in range(8):
        model = expected * torch.exp((-(waves @ loss)).clamp(max=3.0))
        slopes = -waves * model[:, None]
        normal = slopes.T @ slopes
        normal = normal + 1e-9 * torch.eye(2, dtype=torch.float64, device=s2.device) * normal.diagonal().mean()
        residual = observed - model
        loss = loss + torch.linalg.solve(normal, slopes.T @ residual)
        covariance = torch.linalg.inv(normal) * residual.var()
    amplitude = float(loss.norm())
    error = math.sqrt(float(covariance.diagonal().mean()))
    blur = math.sqrt(6 * amplitude) / math.pi
    blur_error = math.sqrt(6) / math.pi * 0.5 * error / math.sqrt(max(amplitude, error))
    direction = math.degrees(0.5 * math.atan2(float(loss[1]), float(loss[0]))) % 180.0
    return DirectionalLoss(blur, blur_error, direction)


def ring_pattern(spectrum: FlatSpectrum, defocus: Defocus, optics: MicroscopeOptics) -> Float32[Tensor, " n"]:
    """2 CTF^2 - 1 at the pixels of a spectrum."""
    phase = phase_derivatives(spectrum, optics) @ defocus.vector().to(spectrum.deviation.device)
    return -torch.cos(2 * (phase + constant_phase(spectrum.s_per_angstrom, optics))).to(torch.float32)


def _ring_widths(
    s_per_angstrom: Float64[Tensor, " b"], defocus: Defocus, optics: MicroscopeOptics
) -> Float64[Tensor, " b"]:
    """Bins from one ring to the next, at each bin."""
    phase = radial_phase(s_per_angstrom, defocus.mean_angstrom, defocus.phase_shift_deg, optics)
    return math.pi / torch.gradient(phase)[0].abs().clamp(min=1e-3)


def _local_correlation(
    observed: np.ndarray, rings: np.ndarray, ring_width_bins: Float64[Tensor, " b"]
) -> np.ndarray:
    """Correlation in windows of two rings, at least 9 bins, around each bin."""
    windows = np.maximum(SMALLEST_WINDOW_BINS, np.round(WINDOW_RINGS * ring_width_bins.numpy())).astype(int)
    result = np.zeros(len(observed))
    for width in np.unique(np.minimum(windows, len(observed))):
        here = np.minimum(windows, len(observed)) == width
        centered = [v - uniform_filter1d(v, width, mode="nearest") for v in (observed, rings)]
        cross, power_a, power_b = (
            uniform_filter1d(product, width, mode="nearest")
            for product in (centered[0] * centered[1], centered[0] ** 2, centered[1] ** 2)
        )
        result[here] = (cross / np.sqrt(np.maximum(power_a * power_b, 1e-30)))[here]
    return result
