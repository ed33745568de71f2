"""Running other programs, and one small set of simulated particles that they and we read."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from cryocloud.engine.fourier import coefficients_to_images, make_pixel_list, phase_ramps
from cryocloud.engine.geometry import random_rotations, symmetry_operators
from cryocloud.engine.io.mrc import write_mrc
from cryocloud.engine.io.table_records import with_poses
from cryocloud.engine.io.tables import ParticleTables, write_particles
from cryocloud.engine.optics import ctf
from cryocloud.engine.records.ctf_parameters import CtfParameters

PIXEL_SIZE = 3.0
Runner = Callable[..., str]


@pytest.fixture
def run_relion(relion: None, tmp_path: Path) -> Runner:
    """Runs one of RELION's programs in the test's folder; returns what it printed."""

    def run(program: str, *arguments: object) -> str:
        command = [program, *(str(argument) for argument in arguments)]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, f"{' '.join(command)}\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout

    return run


@dataclass(frozen=True)
class SimulatedParticles:
    """Noisy images with their true poses, in memory and as ``particles.star`` in ``folder``."""

    folder: Path
    images: Tensor
    rotation: Tensor
    shift_px: Tensor
    half_set: Tensor
    ctf: CtfParameters
    tables: ParticleTables


def _ctf_parameters(n: int, generator: torch.Generator) -> CtfParameters:
    defocus_u = 8000 + 12000 * torch.rand(n, generator=generator, dtype=torch.float64)
    defocus_v = defocus_u - 1500 * torch.rand(n, generator=generator, dtype=torch.float64)
    angle = 180 * torch.rand(n, generator=generator, dtype=torch.float64)
    optics = [torch.full((n,), value, dtype=torch.float64) for value in (300.0, 2.7, 0.1, 0.0, 0.0)]
    return CtfParameters(defocus_u, defocus_v, angle, *optics)


@pytest.fixture
def simulate(blobs, tmp_path: Path) -> Callable[..., SimulatedParticles]:
    """Particles of the blob object, made symmetric, with CTF, shifts and white noise."""

    def make(n: int, box: int = 32, *, symmetry: str = "C1", noise: float = 0.0) -> SimulatedParticles:
        generator = torch.Generator().manual_seed(11)
        pixels = make_pixel_list(box, box // 2 - 1)
        rotation = random_rotations(n, generator)
        copies = [blobs.rotated(g) for g in symmetry_operators(symmetry)]
        signal = torch.stack([c.slices(rotation, pixels.kx, pixels.ky, box) for c in copies]).sum(0)
        parameters = _ctf_parameters(n, generator)
        shift_px = 4 * torch.rand(n, 2, generator=generator, dtype=torch.float64) - 2
        # The model moves the object by minus the origin.
        signal = signal * ctf(parameters, pixels, PIXEL_SIZE) * phase_ramps(-shift_px, pixels)
        images = coefficients_to_images(signal, pixels)
        images = images / images.std() + noise * torch.randn(images.shape, generator=generator)
        half_set = torch.arange(n) % 2 + 1
        write_mrc(tmp_path / "particles.mrcs", images.numpy(), PIXEL_SIZE, stack=True)
        tables = with_poses(_tables(tmp_path, box, parameters, half_set), rotation, shift_px)
        write_particles(tmp_path / "particles.star", tables)
        return SimulatedParticles(tmp_path, images, rotation, shift_px, half_set, parameters, tables)

    return make


def _tables(folder: Path, box: int, parameters: CtfParameters, half_set: Tensor) -> ParticleTables:
    n = len(parameters)
    optics = pd.DataFrame(
        {
            "rlnOpticsGroup": [1],
            "rlnOpticsGroupName": ["opticsGroup1"],
            "rlnVoltage": [300.0],
            "rlnSphericalAberration": [2.7],
            "rlnAmplitudeContrast": [0.1],
            "rlnImagePixelSize": [PIXEL_SIZE],
            "rlnImageSize": [box],
            "rlnImageDimensionality": [2],
        }
    )
    particles = pd.DataFrame(
        {
            "rlnImageName": [f"{row + 1:06d}@particles.mrcs" for row in range(n)],
            "rlnMicrographName": "micrograph.mrc",
            "rlnOpticsGroup": np.ones(n, dtype=np.int64),
            "rlnDefocusU": parameters.defocus_u_angstrom.numpy(),
            "rlnDefocusV": parameters.defocus_v_angstrom.numpy(),
            "rlnDefocusAngle": parameters.defocus_angle_deg.numpy(),
            "rlnRandomSubset": half_set.numpy(),
        }
    )
    return ParticleTables(optics, particles, folder)
