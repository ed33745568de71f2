"""Simulated particles for the benchmarks: made once from a seed, with truth, kept in the work folder."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from cryocloud.engine.fourier import coefficients_to_images, make_pixel_list, phase_ramps
from cryocloud.engine.fourier.space import sample_space, space_grid
from cryocloud.engine.geometry import random_rotations, rotation_from_euler, rotation_from_vector
from cryocloud.engine.io.atomic_model import read_atomic_model
from cryocloud.engine.io.mrc import MrcStackWriter, write_mrc
from cryocloud.engine.io.table_records import with_poses
from cryocloud.engine.io.tables import ParticleTables, write_particles
from cryocloud.engine.optics import ctf
from cryocloud.engine.records.atomic_model import AtomicModel
from cryocloud.engine.records.ctf_parameters import CtfParameters
from cryocloud.engine.simulate.density import density_map
from cryocloud.engine.simulate.protein import procedural_model

# As the tests: public data that are no part of the repository.
DEFAULT_DATA = Path(__file__).parents[2] / "shared" / "data"
MODELS = Path(os.environ.get("CRYO_TEST_DATA", DEFAULT_DATA)) / "models"
PARTICLES_A_MICROGRAPH = 50
BATCH = 500


@dataclass(frozen=True)
class ParticleBenchmark:
    """What is simulated. ``snr`` is the variance of the CTF-modulated signal over that of the white noise, both
    over the whole box; the object's amplitudes fall off with an overall B-factor, as in real data; shifts are
    Gaussian with 2 px, orientations uniform.
    """

    name: str
    symmetry: str
    particles: int
    box_size_px: int
    pixel_size_angstrom: float
    snr: float
    b_factor_angstrom2: float = 100.0
    seed: int = 1
    mass_kda: float | None = None
    model: str = ""
    chains: str = "ABCD"
    ball_angstrom: float = 1e3

    def atoms(self) -> AtomicModel:
        """The object: made up from the seed, or what a ball off the center holds of some chains of a model file."""
        if not self.model:
            return procedural_model(self.symmetry, np.random.default_rng(self.seed), mass_kda=self.mass_kda)
        model = read_atomic_model(MODELS / self.model)
        first = model.positions_angstrom[model.chain == self.chains[0]].mean(0)
        center = (first + model.positions_angstrom.mean(0)) / 2
        near = np.linalg.norm(model.positions_angstrom - center, axis=1) < self.ball_angstrom
        return _centered(model, near & np.isin(model.chain, list(self.chains)))


@dataclass(frozen=True)
class FewViews(ParticleBenchmark):
    """Particles of ``views`` directions with any in-plane angle."""

    views: int = 10


@dataclass(frozen=True)
class PreferredViews(ParticleBenchmark):
    """A share ``preferred`` of the particles lies about four directions, with 15 degrees of spread."""

    preferred: float = 0.0


SETS = (
    ParticleBenchmark("c1", "C1", 3000, 96, 2.4, 0.05),
    ParticleBenchmark("d2", "D2", 2000, 128, 1.8, 0.05),
)
ABINITIO_SETS = (
    *SETS,
    ParticleBenchmark("d7", "D7", 2000, 128, 1.8, 0.05),
    ParticleBenchmark("o", "O", 2000, 96, 2.4, 0.1),
    ParticleBenchmark("noise", "C1", 2000, 96, 2.4, 0.0),
)
# Weak and without symmetry: a long, a flat and a round object; the last has no shape that would tell its views apart.
WEAK_SETS = (
    ParticleBenchmark("weak_protein", "C1", 3000, 96, 2.8, 0.03, mass_kda=400.0),
    ParticleBenchmark("weak_trpv1", "C1", 3000, 96, 2.8, 0.03, model="3j5p_refined.pdb", chains="AB"),
    ParticleBenchmark("weak_ball", "C1", 3000, 96, 2.8, 0.03, model="5a1a_betagal.pdb", ball_angstrom=70.0),
    ParticleBenchmark("weak_d2", "D2", 2000, 128, 1.8, 0.035),
)
VIEWS_SET = FewViews("views", "C1", 1500, 64, 3.6, 0.1)
# As hard as SNR 0.03 and 0.022 in boxes of 96 px, which hold the same signal and 2.25 times the noise; and such a box.
LOW_SNR_SETS = (
    PreferredViews("lowsnr", "C1", 2000, 64, 3.6, 0.0675),
    PreferredViews("lowsnr_large", "C1", 2000, 64, 4.2, 0.05, seed=7, mass_kda=450.0, preferred=0.6),
    PreferredViews("lowsnr_wide", "C1", 3000, 96, 2.8, 0.03, seed=11, mass_kda=600.0, preferred=0.4),
)
# Small enough for RELION's 25 iterations in full; as hard as SNR 0.03 in a box of 96 px.
LOW_SNR_SMALL_SET = PreferredViews("lowsnr_small", "C1", 800, 48, 4.8, 0.12)


def prepare(benchmark: ParticleBenchmark, work: Path) -> Path:
    """Folder with map.mrc (truth), particles.mrcs, particles.star (no poses), truth.star."""
    folder = work / f"data_{benchmark.name}"
    record = folder / "benchmark.json"
    if record.is_file() and json.loads(record.read_text()) == asdict(benchmark):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    box, pixel = benchmark.box_size_px, benchmark.pixel_size_angstrom
    volume = density_map(
        benchmark.atoms(),
        box_size_px=box,
        pixel_size_angstrom=pixel,
        b_factor_angstrom2=benchmark.b_factor_angstrom2,
    )
    write_mrc(folder / "map.mrc", volume.numpy(), pixel)
    _write_particles(benchmark, volume, folder)
    record.write_text(json.dumps(asdict(benchmark)))
    return folder


def _write_particles(benchmark: ParticleBenchmark, volume: torch.Tensor, folder: Path) -> None:
    box, n = benchmark.box_size_px, benchmark.particles
    generator = torch.Generator().manual_seed(benchmark.seed)
    rotation = random_rotations(n, generator)
    if isinstance(benchmark, FewViews):
        rotation = _of_few_views(rotation, benchmark.views, generator)
    if isinstance(benchmark, PreferredViews) and benchmark.preferred:
        rotation = _gathered(rotation, benchmark.preferred, generator)
    shift_px = 2 * torch.randn(n, 2, generator=generator, dtype=torch.float64)
    parameters = _optics(n, generator)
    pixels = make_pixel_list(box, box // 2 - 1)
    grid = space_grid(volume, box // 2 - 1)
    points = torch.stack([pixels.kx, pixels.ky, torch.zeros_like(pixels.kx)], 1)
    scale = 0.0
    with MrcStackWriter(folder / "particles.mrcs", box, benchmark.pixel_size_angstrom) as stack:
        for start in range(0, n, BATCH):
            rows = slice(start, min(start + BATCH, n))
            signal = sample_space(grid, rotation[rows], points)
            signal = signal * ctf(parameters.select(rows), pixels, benchmark.pixel_size_angstrom)
            images = coefficients_to_images(signal * phase_ramps(-shift_px[rows], pixels), pixels)
            # One gray scale for all, from the first batch.
            scale = scale or benchmark.snr**0.5 / float(images.std())
            stack.append((images * scale + torch.randn(images.shape, generator=generator)).numpy())
    blank = ParticleTables(*_tables(benchmark, parameters), folder)
    write_particles(folder / "particles.star", blank)
    write_particles(folder / "truth.star", with_poses(blank, rotation, shift_px))


def _centered(model: AtomicModel, rows: NDArray[np.bool_]) -> AtomicModel:
    kept = {field.name: getattr(model, field.name)[rows] for field in fields(model)}
    positions = kept.pop("positions_angstrom")
    middle = (positions.max(0) + positions.min(0)) / 2
    return AtomicModel(positions_angstrom=positions - middle, **kept)


def view_of(row: int, views: int) -> int:
    """Which view a particle shows."""
    return row % views


def _of_few_views(rotation: torch.Tensor, views: int, generator: torch.Generator) -> torch.Tensor:
    """The first poses, each again and again with another in-plane angle."""
    psi_deg = 360 * torch.rand(len(rotation), generator=generator, dtype=torch.float64)
    zero = torch.zeros_like(psi_deg)
    view = torch.tensor([view_of(row, views) for row in range(len(rotation))])
    return rotation[view] @ rotation_from_euler(zero, zero, psi_deg)


def _gathered(rotation: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """A share of the poses, each moved to near one of the first four directions."""
    n = round(share * len(rotation))
    tilt = torch.deg2rad(15 * torch.randn(n, 2, generator=generator, dtype=torch.float64))
    wobble = rotation_from_vector(torch.cat([tilt, torch.zeros(n, 1, dtype=torch.float64)], 1))
    psi_deg = 360 * torch.rand(n, generator=generator, dtype=torch.float64)
    zero = torch.zeros_like(psi_deg)
    near = rotation[torch.arange(n) % 4] @ wobble @ rotation_from_euler(zero, zero, psi_deg)
    order = torch.randperm(len(rotation), generator=generator)
    return torch.cat([near, rotation[n:]])[order]


def _optics(n: int, generator: torch.Generator) -> CtfParameters:
    """One defocus a micrograph, 0.8 to 2.5 um, with up to 300 Angstrom of astigmatism; 300 kV, 2.7 mm."""
    micrograph = torch.arange(n) // PARTICLES_A_MICROGRAPH
    uniform = torch.rand(3, int(micrograph[-1]) + 1, generator=generator, dtype=torch.float64)
    defocus, half_astigmatism, angle = (u[micrograph] for u in uniform)
    mean = 8000 + 17000 * defocus
    constants = (torch.full((n,), value, dtype=torch.float64) for value in (300.0, 2.7, 0.1, 0.0, 0.0))
    return CtfParameters(
        mean + 150 * half_astigmatism, mean - 150 * half_astigmatism, 180 * angle, *constants
    )


def _tables(benchmark: ParticleBenchmark, parameters: CtfParameters) -> tuple[pd.DataFrame, pd.DataFrame]:
    n = benchmark.particles
    optics = {
        "rlnOpticsGroup": 1,
        "rlnOpticsGroupName": "opticsGroup1",
        "rlnVoltage": 300.0,
        "rlnSphericalAberration": 2.7,
        "rlnAmplitudeContrast": 0.1,
        "rlnImagePixelSize": benchmark.pixel_size_angstrom,
        "rlnImageSize": benchmark.box_size_px,
        "rlnImageDimensionality": 2,
    }
    particles = {
        "rlnImageName": [f"{row + 1:06d}@particles.mrcs" for row in range(n)],
        "rlnMicrographName": [f"micrograph{row // PARTICLES_A_MICROGRAPH + 1:03d}.mrc" for row in range(n)],
        "rlnOpticsGroup": np.ones(n, dtype=np.int64),
        "rlnDefocusU": parameters.defocus_u_angstrom.numpy(),
        "rlnDefocusV": parameters.defocus_v_angstrom.numpy(),
        "rlnDefocusAngle": parameters.defocus_angle_deg.numpy(),
        # Fixed halves, so that both programs split the particles alike.
        "rlnRandomSubset": np.arange(n) % 2 + 1,
    }
    return pd.DataFrame([optics]), pd.DataFrame(particles)
