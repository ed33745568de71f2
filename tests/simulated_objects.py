"""Small synthetic objects and particle images with known poses, for the tests of engine and jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from cryocloud.engine.fourier import coefficients_to_images, make_pixel_list, phase_ramps
from cryocloud.engine.geometry import random_rotations, symmetry_operators
from cryocloud.engine.optics import ctf
from cryocloud.engine.reconstruction import slice_volume, volume_transform
from cryocloud.engine.records.ctf_parameters import CtfParameters
from cryocloud.engine.records.particle_set import ParticleSet


@dataclass(frozen=True)
class SimulatedParticles:
    """Images of ``volume`` with their true poses in ``particles``; white noise of ``noise_variance``."""

    volume: Tensor
    particles: ParticleSet
    images: Tensor
    clean: Tensor
    noise_variance: float


VolumeFactory = Callable[..., Tensor]
ParticleFactory = Callable[..., SimulatedParticles]


@pytest.fixture(scope="session")
def blob_volume() -> VolumeFactory:
    """Factory of density maps: see :func:`_blob_volume`."""
    return _blob_volume


@pytest.fixture(scope="session")
def simulated_particles() -> ParticleFactory:
    """Factory of particle images: see :func:`_simulated_particles`."""
    return _simulated_particles


@pytest.fixture(scope="session")
def ctf_parameters() -> Callable[..., CtfParameters]:
    """Factory of optics: see :func:`_ctf_parameters`."""
    return _ctf_parameters


def _blob_volume(symmetry: str = "C1", *, box_size_px: int = 48, n_blobs: int = 60, seed: int = 0) -> Tensor:
    """A chain of Gaussian blobs (sd 1.3 px) inside 0.3 boxes of the center, copied by the point group."""
    generator = torch.Generator().manual_seed(seed)
    operators = symmetry_operators(symmetry)
    steps = torch.randn(max(4, n_blobs // len(operators)), 3, generator=generator, dtype=torch.float64)
    chain = torch.cumsum(steps, 0)
    chain = chain - chain.mean(0)
    if len(operators) > 1:
        chain = chain + torch.tensor([0.35, 0.2, 0.5], dtype=torch.float64) * chain.norm(dim=1).max()
    chain = chain * (0.3 * box_size_px / chain.norm(dim=1).max())
    xyz = torch.einsum("gij,nj->gni", operators, chain).reshape(-1, 3)
    line = torch.arange(box_size_px, dtype=torch.float64) - box_size_px // 2
    x, y, z = (torch.exp(-((line - xyz[:, axis, None]) ** 2) / (2 * 1.3**2)) for axis in range(3))
    return torch.einsum("nz,ny,nx->zyx", z, y, x).to(torch.float32)


def _ctf_parameters(
    n: int, *, seed: int = 0, defocus_angstrom: tuple[float, float] = (8000.0, 22000.0)
) -> CtfParameters:
    """Optics at 300 kV with random defocus and up to 400 Angstrom of astigmatism."""
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(3, n, generator=generator, dtype=torch.float64)
    defocus_u = defocus_angstrom[0] + (defocus_angstrom[1] - defocus_angstrom[0]) * uniform[0]
    full = torch.ones(n, dtype=torch.float64)
    return CtfParameters(
        defocus_u_angstrom=defocus_u,
        defocus_v_angstrom=defocus_u - 400 * uniform[1],
        defocus_angle_deg=180 * uniform[2],
        voltage_kv=300 * full,
        spherical_aberration_mm=2.7 * full,
        amplitude_contrast=0.1 * full,
        phase_shift_deg=0 * full,
        b_factor_angstrom2=0 * full,
    )


def _simulated_particles(
    volume: Tensor,
    n: int,
    *,
    pixel_size_angstrom: float = 3.0,
    snr: float = 0.1,
    max_shift_px: float = 2.0,
    rotation: Tensor | None = None,
    seed: int = 0,
) -> SimulatedParticles:
    """n images of a volume [D, D, D] at random poses (or at ``rotation`` [n, 3, 3]) with CTF and white noise.

    ``snr`` is the variance of the clean images over that of the noise, both over the whole box; infinity
    leaves the noise away. Half sets alternate.
    """
    generator = torch.Generator().manual_seed(seed)
    box = volume.shape[0]
    if rotation is None:
        rotation = random_rotations(n, generator)
    shift = (2 * torch.rand(n, 2, generator=generator, dtype=torch.float64) - 1) * max_shift_px
    optics = _ctf_parameters(n, seed=seed + 1)
    pixels = make_pixel_list(box, box // 2 - 1)
    transform = volume_transform(volume)
    clean = torch.cat(
        [
            coefficients_to_images(
                slice_volume(transform, rotation[rows], pixels)
                * ctf(optics.select(rows), pixels, pixel_size_angstrom)
                * phase_ramps(-shift[rows], pixels),
                pixels,
            )
            for rows in (slice(start, start + 256) for start in range(0, n, 256))
        ]
    )
    noise_variance = float(clean.var()) / snr
    noise = torch.randn(clean.shape, generator=generator)
    images = clean + noise_variance**0.5 * noise
    particles = ParticleSet(
        read_images=lambda rows: images.numpy()[rows],
        box_size_px=box,
        pixel_size_angstrom=pixel_size_angstrom,
        ctf=optics,
        rotation=rotation,
        shift_px=shift,
        half_set=torch.arange(n, dtype=torch.int64) % 2 + 1,
        class_number=torch.zeros(n, dtype=torch.int64),
    )
    return SimulatedParticles(volume, particles, images, clean, noise_variance)
