"""Contrast transfer function.

What the microscope does to the projection of a weak phase object: each Fourier coefficient is multiplied by
sin(chi), with chi the phase that defocus, spherical aberration and amplitude contrast give it.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from cryocloud.engine.fourier import PixelList
from cryocloud.engine.records.ctf_parameters import CtfParameters


def electron_wavelength_angstrom(voltage_kv: Tensor) -> Tensor:
    """Relativistic wavelength of electrons, 0.0197 Angstrom at 300 kV.

    lambda = h / sqrt(2 m e V (1 + e V / (2 m c^2))), with the constants in Angstrom and volts.
    """
    volt = voltage_kv * 1e3
    return 12.2643247 / torch.sqrt(volt * (1 + 0.978466e-6 * volt))


def ctf(parameters: CtfParameters, pixels: PixelList, pixel_size_angstrom: float) -> Float32[Tensor, "b n"]:
    """CTF of b images at the n Fourier pixels of a list; see :func:`contrast_transfer`."""
    step = 1 / (pixels.box_size_px * pixel_size_angstrom)
    return contrast_transfer(parameters, pixels.kx * step, pixels.ky * step)


def contrast_transfer(
    parameters: CtfParameters,
    sx_per_angstrom: Float[Tensor, " n"],
    sy_per_angstrom: Float[Tensor, " n"],
) -> Float32[Tensor, "b n"]:
    """CTF of b images at n spatial frequencies.

    ``sin(pi lambda df s^2 - pi/2 Cs lambda^3 s^4 + phase shift + asin(Q)) * exp(-B s^2 / 4)`` with
    ``df = (dU + dV + (dU - dV) cos 2(alpha - angle)) / 2``: +Q at zero frequency, so protein is white.

    The value is made of x^2, xy and y^2 terms, which costs one sine a pixel. The phase may be a hundred turns, so
    it is formed in float64 and whole turns are taken off before float32 sees it.

    Parameters
    ----------
    sx_per_angstrom, sy_per_angstrom
        Spatial frequencies, of the image's x and y axis.

    References
    ----------
    Mindell & Grigorieff 2003, J. Struct. Biol. 142:334; sign as RELION.
    """
    sx, sy = sx_per_angstrom.to(torch.float64), sy_per_angstrom.to(torch.float64)
    s2 = sx**2 + sy**2
    wavelength = electron_wavelength_angstrom(parameters.voltage_kv)
    mean = 0.5 * (parameters.defocus_u_angstrom + parameters.defocus_v_angstrom)
    half = 0.5 * (parameters.defocus_u_angstrom - parameters.defocus_v_angstrom)
    angle = torch.deg2rad(2 * parameters.defocus_angle_deg)
    cs_angstrom = parameters.spherical_aberration_mm * 1e7
    terms = torch.stack([s2, sx**2 - sy**2, 2 * sx * sy, s2**2, torch.ones_like(s2)])
    factor = math.pi * wavelength
    weights = torch.stack(
        [
            factor * mean,
            factor * half * torch.cos(angle),
            factor * half * torch.sin(angle),
            -0.5 * math.pi * cs_angstrom * wavelength**3,
            torch.deg2rad(parameters.phase_shift_deg) + torch.asin(parameters.amplitude_contrast),
        ],
        dim=1,
    )
    phase = weights @ terms
    turns = torch.round(phase / (2 * math.pi))
    value = torch.sin((phase - 2 * math.pi * turns).to(torch.float32))
    if bool((parameters.b_factor_angstrom2 != 0).any()):
        value = value * torch.exp(-0.25 * parameters.b_factor_angstrom2[:, None] * s2).to(torch.float32)
    return value
