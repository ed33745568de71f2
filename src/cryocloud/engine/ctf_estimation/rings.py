"""Thon rings: the phase of the squared CTF as a linear function of what is to be fitted.

With ``CTF = sin(phase)`` the power has the rings ``2 CTF^2 - 1 = -cos(2 phase)``, and

    phase = pi lambda s^2 (mean + cosine cos 2 alpha + sine sin 2 alpha) - pi/2 Cs lambda^3 s^4
            + phase shift + asin(amplitude contrast)

Here ``s`` is the frequency (1/Angstrom) and ``alpha`` its direction, counter-clockwise from x. It is the
convention of `engine.optics`: underfocus is positive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from cryocloud.engine.ctf_estimation.spectrum import FlatSpectrum
from cryocloud.engine.optics import electron_wavelength_angstrom


@dataclass(frozen=True)
class MicroscopeOptics:
    """What the microscope's log says of all micrographs of a session.

    Attributes
    ----------
    voltage_kv
        Acceleration voltage.
    spherical_aberration_mm
        Cs of the objective lens; it bends the rings at high frequency.
    amplitude_contrast
        Q, the share of the contrast that is not phase contrast, 0 to 1 (0.07 to 0.1 in ice): adds asin(Q)
        to the phase.
    """

    voltage_kv: float
    spherical_aberration_mm: float
    amplitude_contrast: float

    @property
    def wavelength_angstrom(self) -> float:
        """Relativistic wavelength of the electrons."""
        return float(electron_wavelength_angstrom(torch.tensor(self.voltage_kv, dtype=torch.float64)))


@dataclass(frozen=True)
class Defocus:
    """Defocus as mean and the two components of astigmatism, which have no pole at zero astigmatism.

    The defocus along the direction alpha is ``mean + cosine * cos(2 alpha) + sine * sin(2 alpha)``. In
    terms of the larger and smaller defocus and the angle of the larger: ``mean = (U + V) / 2``, ``cosine =
    (U - V) / 2 * cos(2 angle)``, ``sine = (U - V) / 2 * sin(2 angle)``. The angle means nothing where U =
    V, so a fit of U, V and angle would stall there; this one does not.

    ``phase_shift_deg`` is that of a phase plate, 0 without.
    """

    mean_angstrom: float
    cosine_angstrom: float
    sine_angstrom: float
    phase_shift_deg: float = 0.0

    @property
    def defocus_u_angstrom(self) -> float:
        """The larger defocus."""
        return self.mean_angstrom + math.hypot(self.cosine_angstrom, self.sine_angstrom)

    @property
    def defocus_v_angstrom(self) -> float:
        """The smaller defocus."""
        return self.mean_angstrom - math.hypot(self.cosine_angstrom, self.sine_angstrom)

    @property
    def defocus_angle_deg(self) -> float:
        """Direction of the larger defocus, counter-clockwise from x, in [0, 180)."""
        return math.degrees(0.5 * math.atan2(self.sine_angstrom, self.cosine_angstrom)) % 180.0

    @property
    def astigmatism_angstrom(self) -> float:
        """Difference of the two defoci."""
        return 2 * math.hypot(self.cosine_angstrom, self.sine_angstrom)

    def vector(self) -> Float64[Tensor, "4"]:
        """Mean, cosine, sine (Angstrom) and phase shift in radians: the unknowns of the linear phase."""
        return torch.tensor(
            [
                self.mean_angstrom,
                self.cosine_angstrom,
                self.sine_angstrom,
                math.radians(self.phase_shift_deg),
            ],
            dtype=torch.float64,
        )

    @classmethod
    def of_vector(cls, vector: Float64[Tensor, "4"]) -> Defocus:
        """Inverse of :meth:`vector`."""
        mean, cosine, sine, phase_rad = vector.tolist()
        return cls(mean, cosine, sine, math.degrees(phase_rad))


def phase_derivatives(spectrum: FlatSpectrum, optics: MicroscopeOptics) -> Float64[Tensor, "n 4"]:
    """Derivatives of the CTF's phase by mean, cosine, sine (rad/Angstrom) and phase shift (rad/rad).

    The phase is ``phase_derivatives @ Defocus.vector() + constant_phase``: it is linear, so these hold for
    any defocus and are computed once a fit. Columns: ``pi lambda`` times ``sx^2 + sy^2``, ``sx^2 - sy^2``
    and ``2 sx sy``, since ``s^2 cos 2 alpha = sx^2 - sy^2`` and ``s^2 sin 2 alpha = 2 sx sy``; then 1.
    """
    sx, sy = spectrum.sx_per_angstrom, spectrum.sy_per_angstrom
    factor = math.pi * optics.wavelength_angstrom
    return torch.stack(
        [factor * (sx**2 + sy**2), factor * (sx**2 - sy**2), factor * 2 * sx * sy, torch.ones_like(sx)], dim=1
    )


def constant_phase(s_per_angstrom: Float64[Tensor, " n"], optics: MicroscopeOptics) -> Float64[Tensor, " n"]:
    """The part of the CTF's phase that the microscope fixes: spherical aberration and amplitude contrast.

    ``-pi/2 Cs lambda^3 s^4 + asin(Q)`` in radians.
    """
    cs_angstrom = optics.spherical_aberration_mm * 1e7
    aberration = -0.5 * math.pi * cs_angstrom * optics.wavelength_angstrom**3 * s_per_angstrom**4
    return aberration + math.asin(optics.amplitude_contrast)


def radial_phase(
    s_per_angstrom: Float64[Tensor, " n"],
    defocus_angstrom: float,
    phase_shift_deg: float,
    optics: MicroscopeOptics,
) -> Float64[Tensor, " n"]:
    """Phase of the CTF (radians) along a direction with the given defocus.

    It rises with s up to ``s^2 = defocus / (Cs lambda^2)`` and falls from there on.
    """
    linear = math.pi * optics.wavelength_angstrom * defocus_angstrom * s_per_angstrom**2
    return linear + constant_phase(s_per_angstrom, optics) + math.radians(phase_shift_deg)
