"""Particles as the Fourier coefficients that an ab-initio reconstruction works on.

The reconstruction looks at each particle dozens of times, always in the same low band. So every image is read and
transformed once, in the smallest box that holds the band, and all coefficients stay in memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from cryocloud.engine.abinitio.records import AbInitioParameters
from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import (
    PixelList,
    fourier_crop,
    fourier_crop_volume,
    image_coefficients,
    make_pixel_list,
    ring_average,
)
from cryocloud.engine.masking import soft_sphere
from cryocloud.engine.optics import ctf
from cryocloud.engine.records.particle_set import ParticleSet

_IMAGES_AT_ONCE = 256
_PIXELS_PER_DETAIL = 2.2
_MASK_EDGE_PX = 1.5
_MIN_PARTICLES = 40
_HELD_OUT_SHARE = 0.1
_HELD_OUT_RANGE = (100, 1000)


@dataclass(frozen=True)
class Observations:
    """All n particles in the band of the reconstruction, in a box of ``box_size_px`` working pixels.

    ``coefficients`` complex64 [n, m] and ``transfer`` float32 [n, m] run over ``pixels``; images carry no mask, so
    that signal spread by defocus counts. ``power`` float64 [r] is their mean power. ``mask`` [d, d, d] is multiplied
    into maps. ``half`` int64 [n] is 0 or 1 for the two halves of the particles and -1 for those held out.
    ``original_shift_px`` [n, 2] is where the particles were thought to lie.

    ``pixel_size_angstrom`` is that of the working box, whose pixels ``original_shift_px`` counts;
    ``particle_box_size_px`` and ``particle_pixel_size_angstrom`` are those of the images that were read. Coefficients
    are unitary and scaled so that they are slices of a map of the working box.
    """

    coefficients: Tensor
    transfer: Tensor
    pixels: PixelList
    pixel_size_angstrom: float
    mask: Tensor
    power: Tensor
    half: Tensor
    original_shift_px: Tensor
    particle_box_size_px: int
    particle_pixel_size_angstrom: float

    def __len__(self) -> int:
        return len(self.half)

    @property
    def box_size_px(self) -> int:
        """Edge of the working box."""
        return self.pixels.box_size_px

    def ring(self, resolution_angstrom: float) -> int:
        """The Fourier ring of a resolution, at least 3 and within the band."""
        ring = round(self.box_size_px * self.pixel_size_angstrom / resolution_angstrom)
        return max(3, min(self.pixels.r_max_px, ring))

    def rows(self, half: int) -> Tensor:
        """Row numbers of one half (0, 1), or of the held-out particles (-1)."""
        return (self.half == half).nonzero()[:, 0]

    def full_size(self, volume: Tensor) -> Tensor:
        """A working volume in the particles' own box, on their gray scale; finer detail is zero."""
        return fourier_crop_volume(volume, self.particle_box_size_px)


def load_observations(particles: ParticleSet, parameters: AbInitioParameters) -> Observations:
    """Read all particles, cut to the smallest box that holds ``last_resolution_angstrom``.

    The box is the smallest multiple of 4 with 2.2 pixels for that detail. The edge in Angstrom stays, so that a
    Fourier ring means the same resolution in both boxes. A tenth of the particles, 100 to 1,000 but no more than a
    fifth of all, is held out of every start; the others are halved at random.

    Returns
    -------
    Observations
        On the device of ``parameters``; 12 bytes a particle and pixel of the band.

    Raises
    ------
    InputError
        Too few particles (40 a class), a mask wider than the box, pixels too coarse for the resolution that was asked
        for, or images that are blank in a part of the band.
    """
    box, pixel = particles.box_size_px, particles.pixel_size_angstrom
    _check(particles, parameters)
    edge_angstrom = box * pixel
    small = 4 * math.ceil(edge_angstrom * _PIXELS_PER_DETAIL / parameters.last_resolution_angstrom / 4)
    small = min(small, box)
    r_max_px = round(edge_angstrom / parameters.last_resolution_angstrom)
    pixels = make_pixel_list(small, r_max_px).to(parameters.device)
    working_angstrom = edge_angstrom / small
    coefficients, transfer = [], []
    for start in range(0, len(particles), _IMAGES_AT_ONCE):
        rows = torch.arange(start, min(start + _IMAGES_AT_ONCE, len(particles)))
        images = torch.from_numpy(particles.read_images(rows.numpy())).to(parameters.device)
        # A projection through fewer, larger voxels sums fewer of them.
        cropped = fourier_crop(images, small) * (small / box)
        coefficients.append(image_coefficients(cropped, pixels))
        transfer.append(ctf(particles.ctf.select(rows).to(parameters.device), pixels, working_angstrom))
    radius_px = parameters.mask_diameter_angstrom / 2 / working_angstrom
    every = torch.cat(coefficients)
    return Observations(
        coefficients=every,
        transfer=torch.cat(transfer),
        pixels=pixels,
        pixel_size_angstrom=working_angstrom,
        mask=soft_sphere(small, radius_px, _MASK_EDGE_PX, parameters.device),
        power=_mean_power(every, pixels),
        half=_split(len(particles), parameters.seed),
        original_shift_px=particles.shift_px * (small / box),
        particle_box_size_px=box,
        particle_pixel_size_angstrom=pixel,
    )


def _check(particles: ParticleSet, parameters: AbInitioParameters) -> None:
    n, edge_angstrom = len(particles), particles.box_size_px * particles.pixel_size_angstrom
    if n < _MIN_PARTICLES * parameters.n_classes:
        raise InputError(
            f"{n} particles are too few for {parameters.n_classes} map(s) from nothing; "
            f"bring at least {_MIN_PARTICLES} a map"
        )
    if parameters.mask_diameter_angstrom > edge_angstrom:
        raise InputError(
            f"a mask of {parameters.mask_diameter_angstrom:.0f} Å is wider than the box of {edge_angstrom:.0f} Å; "
            "use a smaller mask or extract with a larger box"
        )
    finest_angstrom = 2.1 * particles.pixel_size_angstrom
    if parameters.last_resolution_angstrom < finest_angstrom:
        raise InputError(
            f"pixels of {particles.pixel_size_angstrom:.2f} Å hold no detail of "
            f"{parameters.last_resolution_angstrom:g} Å; ask for {finest_angstrom:.1f} Å or coarser"
        )


def _mean_power(coefficients: Tensor, pixels: PixelList) -> Tensor:
    """Mean of |X|^2 in each ring [r], ring 0 repeating ring 1.

    Single images are mostly noise, so this is the first guess of sigma2.
    """
    total = torch.zeros(pixels.r_max_px + 1, dtype=torch.float64, device=coefficients.device)
    for block in torch.split(coefficients, _IMAGES_AT_ONCE):
        total += ring_average(block.real**2 + block.imag**2, pixels).sum(0)
    power = total / len(coefficients)
    if not bool((power[1:] > 0).all()):
        raise InputError(
            "the particle images are blank in a part of the band; use them as they were extracted"
        )
    power[0] = power[1]
    return power


def _split(n: int, seed: int) -> Tensor:
    """Two halves of equal size (to one particle), and a tenth held out of both: int64 [n] of 0, 1 and -1."""
    smallest, largest = _HELD_OUT_RANGE
    held_out = min(n // 5, largest, max(smallest, round(_HELD_OUT_SHARE * n)))
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    half = torch.empty(n, dtype=torch.int64)
    half[order] = torch.arange(n) % 2
    half[order[:held_out]] = -1
    return half
