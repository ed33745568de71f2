"""Thon rings: the phase of the squared CTF as a linear function of what is to be fitted."""

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
    """What the microscope's log says; ``phase_shift_deg`` is of a phase plate, 0 without."""

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

    The defocus along the direction alpha is ``mean + cosine * cos(2 alpha) + sine * sin(2 alpha)``.
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
        """Mean, cosine, sine (Angstrom) and phase shift in radians."""
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
    """Derivatives of the CTF's phase by mean, cosine, sine (rad/Angstrom) and phase shift (rad/rad)."""
    sx, sy = spectrum.sx_per_angstrom, spectrum.sy_per_angstrom
    factor = math.pi * optics.wavelength_angstrom
    return torch.stack(
        [factor * (sx**2 + sy**2), factor * (sx**2 - sy**2), factor * 2 * sx * sy, torch.ones_like(sx)], dim=1
    )


def constant_phase(s_per_angstrom: Float64[Tensor, " n"], optics: MicroscopeOptics) -> Float64[Tensor, " n"]:
    """The part of the CTF's phase that the microscope fixes: spherical aberration and amplitude contrast."""
    cs_angstrom = optics.spherical_aberration_mm * 1e7
    aberration = -0.5 * math.pi * cs_angstrom * optics.wavelength_angstrom**3 * s_per_angstrom**4
    return aberration + math.asin(optics.amplitude_contrast)


def radial_phase(
    s_per_angstrom: Float64[Tensor, " n"],
    defocus_angstrom: float,
    phase_shift_deg: float,
    optics: MicroscopeOptics,
) -> Float64[Tensor, " n"]:
    """Phase of the CTF along a direction with the given defocus."""
    linear = math.pi * optics.wavelength_angstrom * defocus_angstrom * s_per_angstrom**2
    return linear + constant_phase(s_per_angstrom, optics) + math.radians(phase_shift_deg)
