"""How good a CTF fit is: equiphase average, fit resolution, figure of merit, directional loss, ice ring."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64
from numpy.typing import NDArray
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
from cryocloud.engine.ctf_estimation.spectrum import FlatSpectrum, PowerSpectrum
from cryocloud.engine.fourier import shell_average, shell_index
from cryocloud.engine.least_squares import least_squares

CORRELATION_THRESHOLD = 0.5
WINDOW_RINGS = 3.0
SMALLEST_WINDOW_BINS = 15
INTERPOLATION_POINTS = 4096
SIGNAL_BAND_ANGSTROM = (60.0, 25.0)
NOISE_BAND_ANGSTROM = (6.0, 4.0)
ICE_RING_ANGSTROM, ICE_INNER_ANGSTROM, ICE_OUTER_ANGSTROM = (3.9, 3.6), (4.3, 4.0), (3.5, 3.3)


@dataclass(frozen=True)
class RadialFit:
    """Equiphase average against the model, on bins of the spatial frequency along the mean defocus.

    Attributes
    ----------
    s_per_angstrom
        Centers of the bins.
    observed, model
        Relative deviation of the power, and the fitted one; both hold the smooth background.
    correlation
        Local correlation of the two, background removed, in a window of three rings; -1 to 1.
    """

    s_per_angstrom: Float64[Tensor, " b"]
    observed: Float64[Tensor, " b"]
    model: Float64[Tensor, " b"]
    correlation: Float64[Tensor, " b"]


@dataclass(frozen=True)
class DirectionalSignal:
    """How the power of the image, noise subtracted, depends on the direction of the frequency.

    Attributes
    ----------
    weakest_to_strongest
        Ratio of the signal power in the weakest and the strongest direction: 1 for an image without preferred
        direction, 0 where uncorrected drift (or astigmatism beyond use) leaves nothing in one direction.
    weakest_direction_deg
        Direction of the loss, counter-clockwise from x, in [0, 180): that of the drift.
    """

    weakest_to_strongest: float
    weakest_direction_deg: float


def equiphase_average(
    spectrum: FlatSpectrum, fit: RingFit, optics: MicroscopeOptics, *, bin_per_angstrom: float
) -> RadialFit:
    """Average the spectrum along lines of equal CTF phase, which astigmatism makes ellipses.

    An average over circles would mix bright and dark rings of an astigmatic micrograph and make them fade
    long before they do. ``bin_per_angstrom`` is the width of the bins.

    References
    ----------
    Zhang 2016, J. Struct. Biol. 193:1.
    """
    s_equal = equivalent_frequency(spectrum, fit.defocus, optics).cpu().numpy()
    low, high = (float(v) for v in (spectrum.s_per_angstrom.min(), spectrum.s_per_angstrom.max()))
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


def equivalent_frequency(
    spectrum: FlatSpectrum, defocus: Defocus, optics: MicroscopeOptics
) -> Float64[Tensor, " n"]:
    """Frequency at which the mean defocus gives each pixel's CTF phase.

    Found by interpolation of the mean phase as long as it rises with the frequency; beyond the frequency
    where the spherical aberration turns it (far out at usual defoci) pixels get the frequency of the turn.
    """
    device = spectrum.deviation.device
    phase = phase_derivatives(spectrum, optics) @ defocus.vector().to(device)
    phase = phase + constant_phase(spectrum.s_per_angstrom, optics)
    highest = float(spectrum.s_per_angstrom.max())
    fine = torch.linspace(0.0, 1.2 * highest, INTERPOLATION_POINTS, dtype=torch.float64)
    mean_phase = radial_phase(fine, defocus.mean_angstrom, defocus.phase_shift_deg, optics)
    rising = int(torch.argmax(mean_phase)) + 1
    values = np.interp(phase.cpu().numpy(), mean_phase[:rising].numpy(), fine[:rising].numpy())
    return torch.from_numpy(values).to(device)


def fit_resolution_angstrom(radial: RadialFit) -> float:
    """Where the local correlation first falls below 0.5; the coarsest resolution of the fit if it never
    reaches it.

    Bins before the first that reaches 0.5 do not count: at low frequency the background is steep and rings
    are few. As with the fit resolution of CTFFIND4 (Rohou & Grigorieff 2015), a fit is trusted as far as
    the data follow it.
    """
    above = radial.correlation.numpy() >= CORRELATION_THRESHOLD
    if not above.any():
        return 1 / float(radial.s_per_angstrom[0])
    first = int(np.argmax(above))
    below = np.flatnonzero(~above[first:])
    last = first + int(below[0]) - 1 if len(below) else len(above) - 1
    return 1 / float(radial.s_per_angstrom[last])


def figure_of_merit(spectrum: FlatSpectrum, fit: RingFit, optics: MicroscopeOptics) -> float:
    """Correlation of the two-dimensional spectrum, background removed, with the fitted rings.

    Single pixels of a spectrum are noisy, so good micrographs stay far below 1; compare micrographs of one
    session.
    """
    rings = ring_pattern(spectrum, fit.defocus, optics).to(torch.float64)
    s = spectrum.s_per_angstrom
    observed = spectrum.deviation.to(torch.float64) - fit.background(s)
    model = fit.envelope(s) * rings
    return float((observed * model).sum() / (observed.norm() * model.norm()).clamp(min=1e-30))


def directional_signal(spectrum: PowerSpectrum) -> DirectionalSignal:
    """Fit ``a + b cos 2(alpha - beta)`` to the signal power between 60 and 25 Angstrom.

    Particles and ice scatter alike in all directions. A drift of length L removes the signal along its
    direction beyond 1 / L, long before the rings of other directions suffer; this band still has signal when
    all rings of a micrograph are lost. The noise power is taken where there is least signal, between 6 and 4
    Angstrom or as far as the spectrum goes.
    """
    edge, step = spectrum.edge_px, spectrum.step_per_angstrom
    device = spectrum.power.device
    ky = torch.fft.fftfreq(edge, 1 / edge, device=device)[:, None].expand(edge, edge // 2 + 1)
    kx = torch.arange(edge // 2 + 1, dtype=torch.float32, device=device)[None].expand_as(ky)
    s = torch.hypot(kx, ky) * step
    finest = min(1 / NOISE_BAND_ANGSTROM[1], 0.45 / spectrum.pixel_size_angstrom)
    noise = spectrum.power[(s > finest / 1.5) & (s < finest)].mean()
    band = (s > 1 / SIGNAL_BAND_ANGSTROM[0]) & (s < 1 / SIGNAL_BAND_ANGSTROM[1]) & (kx >= 2) & (ky.abs() >= 2)
    angle = torch.atan2(ky[band], kx[band])
    waves = torch.stack([torch.ones_like(angle), torch.cos(2 * angle), torch.sin(2 * angle)], dim=1).double()
    # The mean over rings first, so that the steep fall along the radius does not weigh the directions.
    signal = (spectrum.power[band] - noise).double()
    shell = (s[band] / step).round().long()
    mean = shell_average(signal, shell, int(shell.max()) + 1)[shell].clamp(min=1e-6 * float(noise))
    even, cosine, sine = least_squares(waves, (signal / mean)[:, None])[:, 0].tolist()
    amplitude = math.hypot(cosine, sine)
    ratio = max(0.0, even - amplitude) / max(even + amplitude, 1e-12)
    return DirectionalSignal(ratio, (math.degrees(0.5 * math.atan2(sine, cosine)) + 90) % 180)


def ice_ring(spectrum: PowerSpectrum) -> float:
    """Excess of the power at 3.9 to 3.6 Angstrom over both sides; nan where the spectrum ends before 3.3
    Angstrom.
    """
    edge, step = spectrum.edge_px, spectrum.step_per_angstrom
    rings = shell_average(spectrum.power, shell_index(edge, 2, spectrum.power.device), edge // 2 + 1)
    s = torch.arange(len(rings), device=rings.device) * step
    if float(s[-1]) < 1 / ICE_OUTER_ANGSTROM[1]:
        return math.nan

    def mean(band_angstrom: tuple[float, float]) -> float:
        return float(rings[(s >= 1 / band_angstrom[0]) & (s <= 1 / band_angstrom[1])].mean())

    beside = 0.5 * (mean(ICE_INNER_ANGSTROM) + mean(ICE_OUTER_ANGSTROM))
    return mean(ICE_RING_ANGSTROM) / beside - 1


def ring_pattern(spectrum: FlatSpectrum, defocus: Defocus, optics: MicroscopeOptics) -> Float32[Tensor, " n"]:
    """2 CTF^2 - 1 at the pixels of a spectrum, i.e. -cos(2 phase): 1 on bright rings, -1 where the CTF is 0."""
    phase = phase_derivatives(spectrum, optics) @ defocus.vector().to(spectrum.deviation.device)
    return -torch.cos(2 * (phase + constant_phase(spectrum.s_per_angstrom, optics))).to(torch.float32)


def _ring_widths(
    s_per_angstrom: Float64[Tensor, " b"], defocus: Defocus, optics: MicroscopeOptics
) -> Float64[Tensor, " b"]:
    """Bins from one ring to the next, at each bin."""
    phase = radial_phase(s_per_angstrom, defocus.mean_angstrom, defocus.phase_shift_deg, optics)
    return math.pi / torch.gradient(phase)[0].abs().clamp(min=1e-3)


def _local_correlation(
    observed: NDArray[np.float64], rings: NDArray[np.float64], ring_width_bins: Float64[Tensor, " b"]
) -> NDArray[np.float64]:
    """Correlation in windows of three rings, at least 15 bins, around each bin."""
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
