"""Micrographs of many particles in ice: dark protein on bright ice, with counting noise, and their truth.

With c the contrast of protein and ice behind the CTF, a pixel counts a Poisson number of electrons about

    dose * pixel^2 * brightness * max(1 - c, 0)

The minus sign makes protein dark, as cameras see it. The variance of the relative counting noise is 1 /
(electrons a pixel); the ice takes its share of the whole on top of that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.fft
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor

from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import coefficients_to_images, make_pixel_list, phase_ramps
from cryocloud.engine.fourier.space import sample_space, space_grid
from cryocloud.engine.masking import soft_circle
from cryocloud.engine.optics import contrast_transfer, ctf
from cryocloud.engine.records.ctf_parameters import CtfParameters
from cryocloud.engine.simulate.damage import remaining_amplitude
from cryocloud.engine.simulate.ice import Lump, draw_lumps, ice_amplitude, lump_thickness, thickness_slope
from cryocloud.engine.simulate.microscope import DefocusRange, Microscope, Views, draw_ctf, draw_rotations

Float = NDArray[np.float64]

_SCALE_SAMPLE = 64
_TRIES_IN_VAIN = 1000
_LUMP_POTENTIAL = 12.0
_LUMP_ABSORPTION = 0.5


@dataclass(frozen=True)
class MicrographRecipe:
    """What to simulate.

    Attributes
    ----------
    particles, distance_px
        Number a micrograph at most; no two centers are nearer than the distance.
    snr
        Variance of a particle's contrast over its box (CTF and damage applied, mean over particles)
        divided by that of all noise, counting and ice.
    dose_e_per_angstrom2
        Electrons in all, before ice and contamination take theirs.
    ice_share
        Part of the noise variance that is the ice's, seen through the CTF, so that Thon rings appear; 0 to
        below 1.
    thickness_slope
        Relative change of brightness across the image.
    lumps
        Mean number of contaminations.
    seed
        The same recipe gives the same micrographs.
    """

    height_px: int
    width_px: int
    particles: int
    distance_px: float
    snr: float
    dose_e_per_angstrom2: float
    microscope: Microscope
    defocus: DefocusRange
    views: Views
    ice_share: float
    thickness_slope: float
    lumps: float
    seed: int


@dataclass(frozen=True)
class MicrographTruth:
    """What one micrograph shows.

    Attributes
    ----------
    center_px
        float64 [n, 2] (x, y; 0-based, pixel centers at whole numbers): where pixel D//2 of a particle's
        map projects. Some lie outside the image, whose particles reach in.
    rotation
        float64 [n, 3, 3], M from map to image.
    ctf
        One row.
    lumps
        Contaminations, which hold no particles.
    """

    center_px: Float
    rotation: Tensor
    ctf: CtfParameters
    lumps: tuple[Lump, ...]

    def inside(self, height_px: int, width_px: int) -> NDArray[np.bool_]:
        """Particles whose center lies on the image; others reach in from outside."""
        x, y = self.center_px.T
        return np.asarray((x >= 0) & (x <= width_px - 1) & (y >= 0) & (y <= height_px - 1))


@dataclass(frozen=True)
class Exposure:
    """A specimen before it is exposed, on a canvas with a margin.

    Attributes
    ----------
    protein, ice
        Transforms [h, w//2+1] of the contrast, the CTF still to be applied: relative change of brightness.
        Damage applies to the protein alone.
    brightness
        [h, w], the share of electrons that pass.
    frequency_per_angstrom
        Length of the frequency [h, w//2+1].
    shape, margin_px
        Of the canvas; pixel (margin, margin) is pixel (0, 0) of the micrograph. Particles of the margin
        reach in.
    """

    protein: NDArray[np.complex64]
    ice: NDArray[np.complex64]
    brightness: NDArray[np.float32]
    frequency_per_angstrom: Float
    shape: tuple[int, int]
    margin_px: int

    def cut(self, canvas: NDArray[np.float32], height_px: int, width_px: int) -> NDArray[np.float32]:
        """The image inside the margin."""
        m = self.margin_px
        return canvas[m : m + height_px, m : m + width_px]


class MicrographImager:
    """Makes the micrographs of a recipe, any of them, in any order, with the same result.

    Parameters
    ----------
    volume
        Map [D, D, D], origin at D//2; its scale does not matter. Projections fade out beyond 0.45 D from
        their center.

    Raises
    ------
    InputError
        The map does not fit the micrograph, or holds no signal.
    """

    def __init__(
        self, volume: Float32[Tensor, "d d d"], recipe: MicrographRecipe, pixel_size_angstrom: float
    ) -> None:
        self.recipe, self.pixel_size_angstrom = recipe, pixel_size_angstrom
        self._box = volume.shape[-1]
        if self._box > min(recipe.height_px, recipe.width_px):
            raise InputError(
                f"a map of {self._box} px does not fit a micrograph of {recipe.width_px} x {recipe.height_px} px; "
                "make the micrograph larger or crop the map"
            )
        self._pixels = make_pixel_list(self._box, self._box // 2 - 1).to(volume.device)
        self._grid = space_grid(volume, self._box // 2 - 1)
        self._plane = torch.stack([self._pixels.kx, self._pixels.ky, torch.zeros_like(self._pixels.kx)], 1)
        self._window = soft_circle(self._box, 0.45 * self._box, 0.05 * self._box, volume.device)
        self._outside = (self._window < 1) & (self._window > 0)
        self.electrons_px = recipe.dose_e_per_angstrom2 * pixel_size_angstrom**2
        self.noise_variance = 1 / self.electrons_px / (1 - recipe.ice_share)
        self.contrast_scale = math.sqrt(recipe.snr * self.noise_variance / self._signal_variance())

    def truth(self, number: int) -> MicrographTruth:
        """Where the particles of a micrograph lie, how they are turned, and its CTF."""
        rng = self._rng(number, 0)
        optics = draw_ctf(1, self.recipe.microscope, self.recipe.defocus, rng)
        lumps = draw_lumps(
            self.recipe.height_px, self.recipe.width_px, self.pixel_size_angstrom, self.recipe.lumps, rng
        )
        center = self._places(lumps, rng)
        return MicrographTruth(center, draw_rotations(len(center), self.recipe.views, rng), optics, lumps)

    def expose(self, number: int, truth: MicrographTruth) -> Exposure:
        """Put protein, ice and contamination on a canvas."""
        rng = self._rng(number, 1)
        margin = self._box // 2
        shape = (
            scipy.fft.next_fast_len(self.recipe.height_px + 2 * margin, real=True),
            scipy.fft.next_fast_len(self.recipe.width_px + 2 * margin, real=True),
        )
        protein = np.zeros(shape, np.float32)
        self._add_particles(protein, truth, margin)
        frequency = _frequencies(shape, self.pixel_size_angstrom)
        thickness = lump_thickness(truth.lumps, shape, margin, self.pixel_size_angstrom)
        ice = scipy.fft.rfft2(rng.standard_normal(shape, dtype=np.float32)) * self._ice_scale(
            frequency, truth, shape
        )
        # Lumps bend the wave as well as they absorb: their rims show fringes.
        ice += scipy.fft.rfft2(thickness * np.float32(_LUMP_POTENTIAL * math.sqrt(self.noise_variance)))
        slope = thickness_slope(shape, self.recipe.thickness_slope, rng)
        brightness = slope * np.exp(-_LUMP_ABSORPTION * thickness)
        return Exposure(
            scipy.fft.rfft2(protein), ice.astype(np.complex64), brightness, frequency, shape, margin
        )

    def micrograph(self, number: int, truth: MicrographTruth) -> Float32[Tensor, "h w"]:
        """Electrons counted in each pixel."""
        exposure = self.expose(number, truth)
        damage = self.remaining(exposure.frequency_per_angstrom, 0.0, self.recipe.dose_e_per_angstrom2)
        transform = (exposure.protein * damage + exposure.ice) * self.transfer(exposure.shape, truth)
        contrast = exposure.cut(
            scipy.fft.irfft2(transform, s=exposure.shape), self.recipe.height_px, self.recipe.width_px
        )
        brightness = exposure.cut(exposure.brightness, self.recipe.height_px, self.recipe.width_px)
        expected = self.electrons_px * brightness * np.maximum(1 - contrast, 0)
        return torch.from_numpy(self._rng(number, 2).poisson(expected).astype(np.float32))

    def transfer(self, shape: tuple[int, int], truth: MicrographTruth) -> NDArray[np.float32]:
        """CTF on the frequencies of a canvas."""
        height, width = shape
        sy = torch.fft.fftfreq(height, self.pixel_size_angstrom, dtype=torch.float64)
        sx = torch.fft.rfftfreq(width, self.pixel_size_angstrom, dtype=torch.float64)
        sy, sx = torch.meshgrid(sy, sx, indexing="ij")
        return contrast_transfer(truth.ctf, sx.flatten(), sy.flatten()).view(height, -1).numpy()

    def remaining(self, frequency: Float, first: float, last: float) -> NDArray[np.float32]:
        """Amplitude of protein that is left between two doses (electrons/Angstrom^2)."""
        return remaining_amplitude(frequency, first, last, self.recipe.microscope.voltage_kv).astype(
            np.float32
        )

    def _signal_variance(self) -> float:
        """Mean variance over the box of projections with CTF and damage, of a map as it is."""
        rng = np.random.default_rng([self.recipe.seed, 9])
        rotation = draw_rotations(_SCALE_SAMPLE, self.recipe.views, rng).to(self._plane.device)
        optics = draw_ctf(_SCALE_SAMPLE, self.recipe.microscope, self.recipe.defocus, rng).to(
            self._plane.device
        )
        radius = torch.hypot(self._pixels.kx, self._pixels.ky) / (self._box * self.pixel_size_angstrom)
        damage = self.remaining(radius.cpu().to(torch.float64).numpy(), 0.0, self.recipe.dose_e_per_angstrom2)
        seen = sample_space(self._grid, rotation, self._plane) * ctf(
            optics, self._pixels, self.pixel_size_angstrom
        )
        images = coefficients_to_images(seen * torch.from_numpy(damage).to(seen.device), self._pixels)
        variance = float(images.var(dim=(1, 2)).mean())
        if variance == 0:
            raise InputError(
                "the map is empty: its projections hold no signal; check which file it was read from"
            )
        return variance

    def _places(self, lumps: tuple[Lump, ...], rng: np.random.Generator) -> Float:
        """Random centers [n, 2], not nearer than the distance to each other, not under contamination.

        The density of particles is that of the recipe, also on the margin of half a box around the image.
        After 1000 places in a row without room the micrograph is full.
        """
        margin, shape = self._box / 2, np.array([self.recipe.width_px, self.recipe.height_px])
        area_share = float(np.prod(shape + 2 * margin) / np.prod(shape))
        wanted = round(self.recipe.particles * area_share)
        kept, rejected = np.empty((wanted, 2)), 0
        count = 0
        while count < wanted and rejected < _TRIES_IN_VAIN:
            place = rng.uniform(-margin, shape - 1 + margin)
            near = np.hypot(*(kept[:count] - place).T) < self.recipe.distance_px
            if near.any() or any(lump.covers(place, 0.5 * self.recipe.distance_px) for lump in lumps):
                rejected += 1
                continue
            kept[count], rejected = place, 0
            count += 1
        return kept[:count]

    def _add_particles(self, canvas: NDArray[np.float32], truth: MicrographTruth, margin: int) -> None:
        """Add the projections to the canvas: whole pixels by place, the rest of a pixel as a phase ramp."""
        corner = np.round(truth.center_px).astype(int)
        part = torch.from_numpy(truth.center_px - corner).to(self._plane.device)
        for start in range(0, len(corner), _SCALE_SAMPLE):
            rows = slice(start, start + _SCALE_SAMPLE)
            coefficients = sample_space(self._grid, truth.rotation[rows].to(self._plane.device), self._plane)
            moved = coefficients * phase_ramps(part[rows], self._pixels)
            images = coefficients_to_images(moved, self._pixels)
            # The list of pixels has no mean; around the object there is none to be added.
            images = (images - images[:, self._outside].mean(1)[:, None, None]) * self._window
            contrast = (images * self.contrast_scale).cpu().numpy()
            for image, (x, y) in zip(contrast, corner[rows], strict=True):
                _add(canvas, image, int(x) + margin - self._box // 2, int(y) + margin - self._box // 2)

    def _ice_scale(
        self, frequency: Float, truth: MicrographTruth, shape: tuple[int, int]
    ) -> NDArray[np.float32]:
        """Amplitude by which white noise becomes ice whose image, behind the CTF, has its share of the variance."""
        amplitude = ice_amplitude(frequency)
        power = (amplitude * self.transfer(shape, truth)) ** 2
        mean = power.mean()
        return (amplitude * math.sqrt(self.recipe.ice_share * self.noise_variance / mean)).astype(np.float32)

    def _rng(self, number: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.recipe.seed, 3, number, purpose])


def _frequencies(shape: tuple[int, int], pixel_size_angstrom: float) -> Float:
    sy, sx = np.fft.fftfreq(shape[0], pixel_size_angstrom), np.fft.rfftfreq(shape[1], pixel_size_angstrom)
    return np.asarray(np.hypot(sy[:, None], sx))


def _add(canvas: NDArray[np.float32], image: NDArray[np.float32], x: int, y: int) -> None:
    """Add an image to a canvas with its first pixel at (x, y); what hangs over is cut."""
    height, width = canvas.shape
    top, left = max(y, 0), max(x, 0)
    bottom, right = min(y + image.shape[0], height), min(x + image.shape[1], width)
    if top < bottom and left < right:
        canvas[top:bottom, left:right] += image[top - y : bottom - y, left - x : right - x]
