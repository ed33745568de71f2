"""Micrographs of white scatterers: the CTF is the only structure, and it is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch_ctf import calculate_ctf_2d

from cryocloud.engine.ctf_estimation import MicroscopeOptics

KRIOS = MicroscopeOptics(voltage_kv=300.0, spherical_aberration_mm=2.7, amplitude_contrast=0.07)


@dataclass(frozen=True)
class Truth:
    defocus_angstrom: float = 16000.0
    astigmatism_angstrom: float = 0.0
    angle_deg: float = 0.0
    phase_shift_deg: float = 0.0
    drift_angstrom: float = 0.0
    drift_deg: float = 0.0


Simulator = Callable[..., Tensor]


def simulate(
    truth: Truth, *, edge_px: int = 1024, pixel_size_angstrom: float = 1.5, signal: float = 4.0, seed: int = 1
) -> Tensor:
    """Noise of variance 1 plus white scatterers through the CTF of torch-ctf, an independent implementation.

    The power of the signal falls from ``signal`` (at 1) as real micrographs do: fast to 8 Angstrom, slowly
    beyond. A margin is cut away, so that the image is not periodic.
    """
    size = edge_px + 128
    generator = torch.Generator().manual_seed(seed)
    transfer = calculate_ctf_2d(
        defocus=truth.defocus_angstrom * 1e-4,
        astigmatism=truth.astigmatism_angstrom / 2 * 1e-4,
        astigmatism_angle=truth.angle_deg,
        voltage=KRIOS.voltage_kv,
        spherical_aberration=KRIOS.spherical_aberration_mm,
        amplitude_contrast=KRIOS.amplitude_contrast,
        phase_shift=truth.phase_shift_deg,
        pixel_size=pixel_size_angstrom,
        image_shape=(size, size),
        rfft=True,
        fftshift=False,
    )
    sy = torch.fft.fftfreq(size, pixel_size_angstrom)[:, None]
    sx = torch.fft.rfftfreq(size, pixel_size_angstrom)[None]
    s2 = sx**2 + sy**2
    amplitude = (signal * (torch.exp(-125 * s2) + 0.08 * torch.exp(-20 * s2))).sqrt()
    direction = torch.deg2rad(torch.tensor(truth.drift_deg))
    smear = torch.sinc(truth.drift_angstrom * (sx * torch.cos(direction) + sy * torch.sin(direction)))
    waves = torch.fft.rfft2(torch.randn(size, size, generator=generator))
    clean = torch.fft.irfft2(waves * (transfer * amplitude * smear), s=(size, size))
    image = clean + torch.randn(size, size, generator=generator)
    return image[64 : 64 + edge_px, 64 : 64 + edge_px].contiguous()


@pytest.fixture(scope="session")
def simulate_micrograph() -> Simulator:
    return simulate
