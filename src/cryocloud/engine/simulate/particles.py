"""Particle images of a map whose poses, optics and noise are known.

An image is ``scale * CTF * slice * exp(+2 pi i k.shift / D)`` plus noise of variance 1 a pixel, in the
conventions of the engine: white protein, shift = minus the displacement of the object, rotation M from map
to image. Slices are exact to about 1e-3 (Kaiser-Bessel interpolation), far below the noise. Radiation
damage is left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor

from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import (
    PixelList,
    coefficients_to_images,
    image_coefficients,
    make_pixel_list,
    phase_ramps,
)
from cryocloud.engine.fourier.space import SpaceGrid, sample_space, space_grid
from cryocloud.engine.optics import ctf
from cryocloud.engine.records.ctf_parameters import CtfParameters
from cryocloud.engine.simulate.microscope import (
    DefocusRange,
    Microscope,
    Views,
    background_amplitude,
    draw_ctf,
    draw_rotations,
)

PARTICLE, EMPTY, CONTAMINATION = 0, 1, 2
"""What an image shows: the object, nothing but noise, or a lump of ice."""

_SCALE_SAMPLE = 128
_LUMPS = (3, 9)
_LUMP_CONTRAST = 3.0


class NoiseColor(StrEnum):
    """Spectrum of the noise: flat, or rising towards low frequencies as that of ice does."""

    WHITE = "white"
    COLORED = "colored"


@dataclass(frozen=True)
class ParticleRecipe:
    """What to simulate.

    Attributes
    ----------
    count
        Number of images.
    snr
        Variance of the clean image (CTF applied, over the whole box, mean over particles) divided by that
        of the noise, which is 1. It depends on the box: the same object in a box twice as wide has a
        quarter of it.
    per_micrograph
        Particles of one micrograph share their CTF.
    shift_sd_px
        Standard deviation of each component of the shift.
    junk_share
        Share of the images that show no particle; half of those a lump of ice.
    seed
        The same recipe gives the same truth and the same pixels.
    """

    count: int
    snr: float
    microscope: Microscope
    defocus: DefocusRange
    views: Views
    per_micrograph: int
    shift_sd_px: float
    noise: NoiseColor
    junk_share: float
    seed: int


@dataclass(frozen=True)
class ParticleTruth:
    """Truth of n images, in the order of the images.

    Attributes
    ----------
    rotation
        float64 [n, 3, 3], M from map to image.
    shift_px
        float64 [n, 2] (x, y): origin as in RELION, minus the displacement of the object.
    micrograph
        Number of the micrograph, from 0.
    content
        `PARTICLE`, `EMPTY` or `CONTAMINATION`; poses of the latter two mean nothing.
    """

    rotation: Tensor
    shift_px: Tensor
    ctf: CtfParameters
    micrograph: NDArray[np.int64]
    content: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rotation)


def draw_particles(recipe: ParticleRecipe) -> ParticleTruth:
    """Random poses and optics: the same recipe gives the same truth."""
    rng = np.random.default_rng([recipe.seed, 0])
    n = recipe.count
    micrograph = np.arange(n) // recipe.per_micrograph
    per_micrograph = draw_ctf(int(micrograph[-1]) + 1, recipe.microscope, recipe.defocus, rng)
    rotation = draw_rotations(n, recipe.views, rng)
    shift_px = torch.from_numpy(rng.normal(0, recipe.shift_sd_px, (n, 2)))
    junk = rng.random(n) < recipe.junk_share
    content = np.where(junk, np.where(rng.random(n) < 0.5, EMPTY, CONTAMINATION), PARTICLE)
    optics = per_micrograph.select(torch.from_numpy(micrograph))
    return ParticleTruth(rotation, shift_px, optics, micrograph, content.astype(np.int64))


class ParticleImager:
    """Makes the images of a recipe; any part of them, in any order, with the same result.

    The scale that gives the SNR comes from the mean variance of 128 clean images, spread over the set.

    Parameters
    ----------
    volume
        Map [D, D, D], origin at D//2; its scale does not matter, white is dense.
    pixel_size_angstrom
        Of the map, hence of the images, whose box it shares.

    Raises
    ------
    InputError
        The map holds no signal.
    """

    def __init__(
        self,
        volume: Float32[Tensor, "d d d"],
        recipe: ParticleRecipe,
        truth: ParticleTruth,
        pixel_size_angstrom: float,
    ) -> None:
        box = volume.shape[-1]
        self._recipe, self._truth, self._pixel_size_angstrom = recipe, truth, pixel_size_angstrom
        self._pixels: PixelList = make_pixel_list(box, box // 2 - 1)
        self._grid: SpaceGrid = space_grid(volume, box // 2 - 1)
        plane = torch.stack([self._pixels.kx, self._pixels.ky, torch.zeros_like(self._pixels.kx)], 1)
        self._plane = plane.to(volume.device)
        self._noise_amplitude = _noise_amplitude(recipe.noise, box, pixel_size_angstrom)
        sample = np.linspace(0, len(truth) - 1, min(_SCALE_SAMPLE, len(truth))).astype(np.int64)
        variance = float(self._clean(sample).var(dim=(1, 2)).mean())
        if variance == 0:
            raise InputError(
                "the map is empty: its projections hold no signal; check which file it was read from"
            )
        self._scale = math.sqrt(recipe.snr / variance)

    def signal(self, rows: NDArray[np.int64]) -> Float32[Tensor, "b d d"]:
        """Images [b, D, D] without noise, white protein, scaled for the SNR; junk shows as it is."""
        images = self._clean(rows) * self._scale
        for place, row in enumerate(rows):
            if self._truth.content[row] == EMPTY:
                images[place] = 0
            elif self._truth.content[row] == CONTAMINATION:
                images[place] = torch.from_numpy(self._lumps(int(row), images.shape[-1]))
        return images

    def images(self, rows: NDArray[np.int64]) -> Float32[Tensor, "b d d"]:
        """Images [b, D, D] with noise of variance 1."""
        signal = self.signal(rows).cpu().numpy()
        noise = np.empty_like(signal)
        for place, row in enumerate(rows):
            noise[place] = self._rng(int(row)).standard_normal(signal.shape[1:], dtype=np.float32)
        if self._recipe.noise is NoiseColor.COLORED:
            noise = np.fft.irfft2(np.fft.rfft2(noise) * self._noise_amplitude, s=signal.shape[1:])
        return torch.from_numpy((signal + noise).astype(np.float32))

    def _clean(self, rows: NDArray[np.int64]) -> Tensor:
        """Projections with CTF and shift, in the scale of the map, without noise and mean."""
        index = torch.from_numpy(rows)
        coefficients = sample_space(
            self._grid, self._truth.rotation[index].to(self._plane.device), self._plane
        )
        pixels = self._pixels.to(self._plane.device)
        optics = self._truth.ctf.select(index).to(self._plane.device)
        moved = phase_ramps(-self._truth.shift_px[index].to(self._plane.device), pixels)
        return coefficients_to_images(
            coefficients * moved * ctf(optics, pixels, self._pixel_size_angstrom), pixels
        )

    def _rng(self, row: int) -> np.random.Generator:
        return np.random.default_rng([self._recipe.seed, 1, row])

    def _lumps(self, row: int, box: int) -> NDArray[np.float32]:
        """A few overlapping blobs a good deal stronger than a particle, seen through the CTF."""
        rng = np.random.default_rng([self._recipe.seed, 2, row])
        line = np.arange(box) - box // 2
        picture = np.zeros((box, box), np.float32)
        place = rng.uniform(-0.2, 0.2, 2) * box
        for _ in range(int(rng.integers(*_LUMPS))):
            place = np.clip(place + rng.normal(0, 0.09, 2) * box, -0.27 * box, 0.27 * box)
            width = rng.uniform(0.05, 0.12) * box
            falls = [np.exp(-((line - c) ** 2) / (2 * width**2)) for c in place]
            picture += rng.uniform(0.5, 1) * np.outer(*falls).astype(np.float32)
        coefficients = image_coefficients(torch.from_numpy(picture)[None], self._pixels)
        optics = self._truth.ctf.select(torch.tensor([row]))
        seen = coefficients * ctf(optics, self._pixels, self._pixel_size_angstrom)
        blurred = coefficients_to_images(seen, self._pixels)[0].numpy()
        strength = _LUMP_CONTRAST * self._recipe.snr**0.5 / blurred.std()
        return np.asarray(blurred * strength, dtype=np.float32)


def _noise_amplitude(color: NoiseColor, box: int, pixel_size_angstrom: float) -> NDArray[np.float64]:
    """Amplitude [D, D//2+1] that shapes white noise; its mean square over the plane is 1."""
    y, x = np.fft.fftfreq(box, pixel_size_angstrom), np.fft.rfftfreq(box, pixel_size_angstrom)
    frequency = np.hypot(y[:, None], x)
    if color is NoiseColor.WHITE:
        return np.ones_like(frequency)
    amplitude = background_amplitude(frequency)
    full = background_amplitude(np.hypot(y[:, None], y))
    return np.asarray(amplitude / np.sqrt((full**2).mean()))
