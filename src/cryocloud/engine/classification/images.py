"""Particle images in the small box that a classification works in.

Classes are told apart by detail that needs few pixels. Images are Fourier-cropped to the smallest box that holds it;
the edge in Angstrom stays, so that a Fourier ring means the same resolution in both boxes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryocloud.engine.classification.records import ClassificationParameters
from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import PixelList, fourier_crop, image_coefficients, make_pixel_list
from cryocloud.engine.masking import soft_circle
from cryocloud.engine.optics import ctf, electron_wavelength_angstrom
from cryocloud.engine.records.particle_set import ImageReader, ParticleSet

_EDGE_ANGSTROM = 15.0
_SPREAD_DETAIL_ANGSTROM = 10.0
_MIN_BOX_PX = 24
_KEPT_BYTES = 1 << 29


@dataclass(frozen=True)
class WorkingImages:
    """Particles resampled to a small box: their pixels, band limits and masks.

    ``mask`` [d, d] cuts out class averages; the wider ``window`` is multiplied into images, so that signal
    which the defocus has spread beyond the particle still counts. ``first_ring_px`` is the band limit of the
    start, ``pixels.r_max_px`` that of the end.

    ``particles`` read images of the small box and have its pixel size. ``mask_radius_px`` and ``window_radius_px``
    reach to the middle of the soft edges (15 Angstrom wide), in working pixels.
    """

    particles: ParticleSet
    pixels: PixelList
    mask: Tensor
    window: Tensor
    mask_radius_px: float
    window_radius_px: float
    first_ring_px: int


@dataclass(frozen=True)
class ImageBatch:
    """Coefficients [b, n] of windowed images (for scores) and whole ones (for averages), and their CTF.

    Unitary, complex64; ``windowed_images`` float32 [b, d, d] are kept for the polar score, ``transfer`` float32 [b,
    n]. Scores use windowed images, as neighbors would only disturb them; averages use whole ones, as a window would
    blur their transforms.
    """

    windowed_images: Tensor
    windowed: Tensor
    whole: Tensor
    transfer: Tensor


def working_images(particles: ParticleSet, parameters: ClassificationParameters) -> WorkingImages:
    """Choose the smallest quick box that holds ``max_resolution_angstrom`` and view the particles through it.

    The box is even, without prime factors above 5, has at least 24 px and two pixels and a bit for the finest detail,
    and is never larger than that of the images. The window is wider than the mask by the distance over which the
    median defocus spreads detail of 10 Angstrom, as far as the box allows.

    Raises
    ------
    InputError
        The mask does not fit into the box, or there are fewer than two particles a class.
    """
    box, pixel = particles.box_size_px, particles.pixel_size_angstrom
    if len(particles) < 2 * parameters.n_classes:
        raise InputError(
            f"{len(particles)} particles are too few for {parameters.n_classes} classes; "
            f"ask for at most {len(particles) // 2} classes"
        )
    if parameters.mask_diameter_angstrom > box * pixel:
        raise InputError(
            f"a mask of {parameters.mask_diameter_angstrom:.0f} Å is wider than the box of {box * pixel:.0f} Å; "
            "use a smaller mask or extract with a larger box"
        )
    r_max_px = min(box // 2 - 1, math.ceil(box * pixel / parameters.max_resolution_angstrom))
    small = min(box, _quick_size(max(_MIN_BOX_PX, 2 * (r_max_px + 1))))
    seen = replace(
        particles,
        read_images=_reduced_reader(particles, small),
        box_size_px=small,
        pixel_size_angstrom=pixel * box / small,
    )
    pixels = make_pixel_list(small, r_max_px).to(parameters.device)
    edge_px = _EDGE_ANGSTROM / seen.pixel_size_angstrom
    radius_px = parameters.mask_diameter_angstrom / 2 / seen.pixel_size_angstrom
    largest_px = small / 2 - edge_px
    radius_px = min(radius_px, largest_px)
    window_px = min(radius_px + _spread_angstrom(particles) / seen.pixel_size_angstrom, largest_px)
    return WorkingImages(
        seen,
        pixels,
        soft_circle(small, radius_px, edge_px, parameters.device),
        soft_circle(small, window_px, edge_px, parameters.device),
        radius_px + edge_px / 2,
        window_px + edge_px / 2,
        min(r_max_px, max(4, round(box * pixel / parameters.start_resolution_angstrom))),
    )


def read_batch(work: WorkingImages, rows: Tensor) -> ImageBatch:
    """Coefficients of the particles in ``rows`` int64 [b], on the device of the masks."""
    device = work.mask.device
    images = torch.from_numpy(work.particles.read_images(rows.numpy())).to(device)
    windowed = images * work.window
    return ImageBatch(
        windowed,
        image_coefficients(windowed, work.pixels),
        image_coefficients(images, work.pixels),
        ctf(work.particles.ctf.select(rows).to(device), work.pixels, work.particles.pixel_size_angstrom),
    )


def _reduced_reader(particles: ParticleSet, small: int) -> ImageReader:
    """Reads images Fourier-cropped to ``small``; as many as fit into half a gigabyte are cropped only once."""
    kept = np.empty((min(len(particles), _KEPT_BYTES // (4 * small**2)), small, small), np.float32)
    known = np.zeros(len(kept), np.bool_)

    def read(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        images = np.empty((len(rows), small, small), np.float32)
        old = (rows < len(kept)) & known[np.minimum(rows, len(kept) - 1)]
        images[old] = kept[rows[old]]
        if not old.all():
            whole = torch.from_numpy(particles.read_images(rows[~old]))
            images[~old] = fourier_crop(whole, small).numpy()
            fresh = ~old & (rows < len(kept))
            kept[rows[fresh]] = images[fresh]
            known[rows[fresh]] = True
        return images

    return read


def _spread_angstrom(particles: ParticleSet) -> float:
    """How far the median defocus displaces detail of 10 Angstrom: wavelength * defocus / 10 Angstrom."""
    wavelength = electron_wavelength_angstrom(particles.ctf.voltage_kv)
    return float((wavelength * particles.ctf.defocus_u_angstrom.abs()).median()) / _SPREAD_DETAIL_ANGSTROM


def _quick_size(at_least_px: int) -> int:
    """Smallest even product of 2, 3 and 5 that is not below ``at_least_px``."""
    size = at_least_px + at_least_px % 2
    while True:
        rest = size
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 2
