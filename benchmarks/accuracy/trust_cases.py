"""Small sets of simulated particles to calibrate trust with: ten objects, weak signal, junk among the particles."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryocloud.engine.fourier.resample import pad_or_cut
from cryocloud.engine.records.particle_set import ParticleSet
from cryocloud.engine.simulate.microscope import DefocusRange, Microscope, Views
from cryocloud.engine.simulate.objects import map_diameter_px, procedural_map
from cryocloud.engine.simulate.particles import NoiseColor, ParticleImager, ParticleRecipe, draw_particles

Image = NDArray[np.float32]

PIXEL_ANGSTROM = 5.0
SNRS = (0.02, 0.03, 0.05, 0.1)
JUNK_SHARES = (0.0, 0.2, 0.4)
SEEDS = 3
NULL_SEEDS = 20
PARTICLES = (800, 500, 1200)
"""Particles of seeds 1, 2, 3 and so on in turn."""
BOX_PER_DIAMETER = 1.5
_MICROSCOPE = Microscope(300.0, 2.7, 0.1, 0.0)
_DEFOCUS = DefocusRange(8000.0, 25000.0, 300.0)
_PER_MICROGRAPH = 50
_SHIFT_SD_PX = 1.0
_OFF_CENTER = (0.35, 0.6)
"""How far an off-center particle and its neighbor lie from the middle, in diameters."""
_BLOB_WIDTHS = (0.12, 0.3)
"""Standard deviations of a featureless blob, in diameters."""


@dataclass(frozen=True)
class TrueObject:
    """A made-up protein."""

    name: str
    symmetry: str
    mass_kda: float
    seed: int


OBJECTS = (
    TrueObject("c1_60", "C1", 60, 1),
    TrueObject("c1_75", "C1", 75, 2),
    TrueObject("c1_90", "C1", 90, 3),
    TrueObject("c1_110", "C1", 110, 4),
    TrueObject("c1_80", "C1", 80, 5),
    TrueObject("c2_120", "C2", 120, 6),
    TrueObject("c4_160", "C4", 160, 7),
    TrueObject("d2_150", "D2", 150, 8),
    TrueObject("d3_160", "D3", 160, 9),
    TrueObject("o_200", "O", 200, 10),
)


@dataclass(frozen=True)
class Case:
    """One map to be made. ``snr`` is the variance of a particle's signal over that of the noise in the whole box."""

    object_name: str
    snr: float
    junk_share: float
    seed: int

    @property
    def key(self) -> str:
        return "/".join(str(value) for value in asdict(self).values())

    @property
    def particles(self) -> int:
        return PARTICLES[(self.seed - 1) % len(PARTICLES)]


@dataclass(frozen=True)
class CaseData:
    """Particles of a case with the truth; lengths in pixels of ``PIXEL_ANGSTROM``."""

    particles: ParticleSet
    truth: Tensor
    diameter_px: float


def all_cases(names: list[str]) -> list[Case]:
    """Cases of the objects in an order in which any beginning covers them evenly; noise has SNR 0."""
    grid = [Case(*values) for values in product(names, SNRS, JUNK_SHARES, range(1, SEEDS + 1))]
    null = [Case(names[seed % len(names)], 0.0, 0.0, seed) for seed in range(1, NULL_SEEDS + 1)]
    cases = grid + null
    return [cases[index] for index in np.random.default_rng(0).permutation(len(cases))]


def make_map(name: str) -> Tensor:
    """The true map [d, d, d] of an object in its box."""
    chosen = next(thing for thing in OBJECTS if thing.name == name)
    rng = np.random.default_rng(chosen.seed)
    volume = procedural_map(
        chosen.symmetry, rng, mass_kda=chosen.mass_kda, pixel_size_angstrom=PIXEL_ANGSTROM
    )
    box = 2 * round(BOX_PER_DIAMETER * map_diameter_px(volume) / 2)
    return pad_or_cut(volume, box)


def symmetry_of(name: str) -> str:
    return next(thing.symmetry for thing in OBJECTS if thing.name == name)


def simulate_case(case: Case, truth: Tensor) -> CaseData:
    """Images with noise of variance 1. Junk is noise, off center beside a neighbor, or a blob, in equal shares."""
    recipe = ParticleRecipe(
        count=case.particles,
        snr=case.snr or 1.0,
        microscope=_MICROSCOPE,
        defocus=_DEFOCUS,
        views=Views(0.0, 0.0),
        per_micrograph=_PER_MICROGRAPH,
        shift_sd_px=_SHIFT_SD_PX,
        noise=NoiseColor.WHITE,
        junk_share=0.0,
        seed=zlib.crc32(case.key.encode()),
    )
    n, diameter_px = recipe.count, map_diameter_px(truth)
    poses = draw_particles(recipe)
    signal = ParticleImager(truth, recipe, poses, PIXEL_ANGSTROM).signal(np.arange(n)).numpy()
    rng = np.random.default_rng([recipe.seed, 3])
    images = signal * (case.snr > 0)
    junk = np.flatnonzero(rng.random(n) < case.junk_share)
    for row, image in zip(junk, _junk(len(junk), signal, diameter_px, rng), strict=True):
        images[row] = image
    images = images + rng.standard_normal(images.shape, dtype=np.float32)
    particles = ParticleSet(
        read_images=lambda rows: images[rows],
        box_size_px=truth.shape[-1],
        pixel_size_angstrom=PIXEL_ANGSTROM,
        ctf=poses.ctf,
        rotation=torch.eye(3, dtype=torch.float64).expand(n, 3, 3).clone(),
        shift_px=torch.zeros(n, 2, dtype=torch.float64),
        half_set=torch.zeros(n, dtype=torch.int64),
        class_number=torch.zeros(n, dtype=torch.int64),
    )
    return CaseData(particles, truth, diameter_px)


def _junk(count: int, signal: Image, diameter_px: float, rng: np.random.Generator) -> Iterator[Image]:
    for kind in rng.integers(0, 3, count):
        if kind == 0:
            yield np.zeros(signal.shape[1:], np.float32)
        elif kind == 1:
            yield _off_center(signal[rng.integers(len(signal), size=2)], diameter_px, rng)
        else:
            yield _blob(signal, diameter_px, rng)


def _off_center(pair: Image, diameter_px: float, rng: np.random.Generator) -> Image:
    """Two particles on opposite sides of the middle."""
    angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(*_OFF_CENTER) * diameter_px
    dy, dx = (round(reach * value) for value in (np.sin(angle), np.cos(angle)))
    return _moved(pair[0], dy, dx) + _moved(pair[1], -dy, -dx)


def _moved(image: Image, dy: int, dx: int) -> Image:
    box = len(image)
    room = np.pad(image, box)
    return room[box - dy : 2 * box - dy, box - dx : 2 * box - dx]


def _blob(signal: Image, diameter_px: float, rng: np.random.Generator) -> Image:
    """An elliptic Gaussian with the root mean square of the particles."""
    box = signal.shape[-1]
    line = np.arange(box) - box // 2
    angle, widths = rng.uniform(0, np.pi), rng.uniform(*_BLOB_WIDTHS, 2) * diameter_px
    y, x = line[:, None], line[None]
    along = (np.cos(angle) * x + np.sin(angle) * y) / widths[0]
    across = (-np.sin(angle) * x + np.cos(angle) * y) / widths[1]
    blob = np.exp(-(along**2 + across**2) / 2)
    scaled: Image = ((blob - blob.mean()) * (signal.std() / blob.std())).astype(np.float32)
    return scaled
