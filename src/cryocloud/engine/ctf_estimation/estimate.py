"""CTF estimation of one micrograph.

Two bands are used. The search runs on resolutions no finer than 5 Angstrom, where the rings are strong and
wide enough for a grid of 100 Angstrom in defocus; the final fit runs on the whole band asked for, whose
fine rings make the defocus exact but would trap a fit that starts a ring away.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from jaxtyping import Float32
from torch import Tensor

from cryocloud.engine.ctf_estimation.fit import RingFit, fit_rings, ring_strength
from cryocloud.engine.ctf_estimation.quality import (
    DirectionalSignal,
    RadialFit,
    directional_signal,
    equiphase_average,
    figure_of_merit,
    fit_resolution_angstrom,
    ice_ring,
)
from cryocloud.engine.ctf_estimation.rings import Defocus, MicroscopeOptics
from cryocloud.engine.ctf_estimation.search import Landscape, SearchRange, search_defocus
from cryocloud.engine.ctf_estimation.spectrum import (
    FlatSpectrum,
    PowerSpectrum,
    flatten_spectrum,
    smooth_power_spectrum,
)
from cryocloud.engine.errors import InputError

SEARCH_FINEST_ANGSTROM = 5.0
# Finest over coarsest frequency of a band that can show rings.
_NARROWEST_BAND = 1.5
COARSE_FIT_STRIDE = 5


@dataclass(frozen=True)
class CtfSettings:
    """What is fitted, and over which band of resolutions.

    Attributes
    ----------
    coarsest_resolution_angstrom, finest_resolution_angstrom
        Limits of the fitted band. The fine one gives way to 0.96 of the Nyquist frequency where that is
        coarser. Below the coarse one, ice thickness and gradients dominate the spectrum.
    spectrum_edge_px
        Edge of the smoothed spectrum; see `smooth_power_spectrum` for what it must hold.
    search
        Grid of defocus, astigmatism and phase shift.
    fit_phase_shift
        Whether the phase shift is refined together with the defocus. Otherwise it stays at the value of
        the grid it started from. Defocus and phase shift are nearly the same thing over a few rings, so it
        is fitted only where there was a phase plate.
    """

    coarsest_resolution_angstrom: float = 30.0
    finest_resolution_angstrom: float = 4.0
    spectrum_edge_px: int = 512
    search: SearchRange = field(default_factory=SearchRange)
    fit_phase_shift: bool = False


@dataclass(frozen=True)
class CtfEstimate:
    """CTF of one micrograph with the evidence for it.

    Attributes
    ----------
    defocus
        Mean defocus, astigmatism and phase shift of the final fit.
    fit_resolution_angstrom
        Where the rings cease to correlate with the fit (0.5).
    figure_of_merit
        Correlation of the spectrum in the fitted band with the fitted rings, 1 at best, near 0 without
        rings.
    directional_signal
        Loss of signal along one direction, by which uncorrected drift is known.
    ice_ring
        Excess of the power at the first ring of crystalline ice (3.9 to 3.6 Angstrom) over that on both
        sides of it, as a fraction; nan where the pixel size is too coarse to see it.
    spectrum, flat
        The smoothed power, and its relative deviation from the radial trend, from which all else is
        computed.
    fit, strength
        The rings over the fitted band and, with the same defocus, over the whole spectrum.
    radial
        Equiphase average of `flat` beside the model `strength`.
    landscape
        What the search found, for a judgement of whether another defocus would do as well.
    """

    defocus: Defocus
    fit_resolution_angstrom: float
    figure_of_merit: float
    directional_signal: DirectionalSignal
    ice_ring: float
    spectrum: PowerSpectrum
    flat: FlatSpectrum
    fit: RingFit
    strength: RingFit
    radial: RadialFit
    landscape: Landscape


def estimate_ctf(
    micrograph: Float32[Tensor, "h w"],
    *,
    pixel_size_angstrom: float,
    optics: MicroscopeOptics,
    settings: CtfSettings,
) -> CtfEstimate:
    """Estimate defocus, astigmatism and optionally phase shift from the Thon rings of a micrograph.

    Smoothed power spectrum, exhaustive search, least squares on every fifth pixel of the band from each of
    the search's starts, least squares on all pixels from the best of them, equiphase average. The pixels'
    gray scale and sign do not matter.

    Parameters
    ----------
    micrograph
        Aligned sum of a movie. Outliers should be gone (`engine.outliers`): a hot pixel adds power at all
        frequencies.
    pixel_size_angstrom
        Of the micrograph. An error of 1 % changes the defocus by 2 %, since the rings depend on s^2 times
        the defocus.
    optics
        Voltage, spherical aberration and amplitude contrast; they are taken as they are, never fitted.

    Returns
    -------
    CtfEstimate
        ``fit_resolution_angstrom`` is where the rings cease to correlate with the fit (0.5), up to
        Nyquist. A micrograph without rings gives an estimate too, with a poor resolution and figure of
        merit.

    Raises
    ------
    InputError
        The micrograph is smaller than 128 pixels, has no contrast, or has pixels that are not finite; its
        pixels are so coarse that the band is empty.

    References
    ----------
    Rohou & Grigorieff 2015, J. Struct. Biol. 192:216; Zhang 2016, J. Struct. Biol. 193:1 (equiphase
    average).
    """
    spectrum = smooth_power_spectrum(
        micrograph, pixel_size_angstrom=pixel_size_angstrom, edge_px=settings.spectrum_edge_px
    )
    lowest = 1 / settings.coarsest_resolution_angstrom
    flat = flatten_spectrum(spectrum, lowest_per_angstrom=lowest)
    nyquist = 0.48 / spectrum.pixel_size_angstrom
    finest = min(1 / settings.finest_resolution_angstrom, nyquist)
    if finest < _NARROWEST_BAND * lowest:
        raise InputError(
            f"at a pixel size of {pixel_size_angstrom:g} Å the CTF would be fitted between "
            f"{settings.coarsest_resolution_angstrom:g} and {1 / finest:.3g} Å only, too few rings; check the pixel "
            f"size, or widen the band"
        )
    searched = min(finest, max(1 / SEARCH_FINEST_ANGSTROM, _NARROWEST_BAND * lowest))
    landscape = search_defocus(flat.band(lowest, searched), optics, settings.search)
    band = flat.band(lowest, finest)
    phase = settings.fit_phase_shift
    coarse = band.every(COARSE_FIT_STRIDE)
    starts = [fit_rings(coarse, start, optics, fit_phase_shift=phase) for start in landscape.starts]
    best = min(starts, key=lambda candidate: candidate.residual)
    fit = fit_rings(band, best.defocus, optics, fit_phase_shift=phase)
    strength = ring_strength(flat, fit.defocus, optics)
    radial = equiphase_average(flat, strength, optics, bin_per_angstrom=spectrum.step_per_angstrom)
    return CtfEstimate(
        defocus=fit.defocus,
        fit_resolution_angstrom=fit_resolution_angstrom(radial),
        figure_of_merit=figure_of_merit(band, fit, optics),
        directional_signal=directional_signal(spectrum),
        ice_ring=ice_ring(spectrum),
        spectrum=spectrum,
        flat=flat,
        fit=fit,
        strength=strength,
        radial=radial,
        landscape=landscape,
    )
