"""Back-projection of a half set from known poses: relion_reconstruct and ours, on the refinement benchmark's data."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import torch

from benchmarks.datasets import ParticleBenchmark, prepare
from benchmarks.peer import run_program, version
from cryocloud.engine.fourier import fsc, image_coefficients, make_pixel_list, phase_ramps
from cryocloud.engine.geometry import symmetry_operators
from cryocloud.engine.io.mrc import read_mrc
from cryocloud.engine.io.table_records import particle_set
from cryocloud.engine.io.tables import read_particles
from cryocloud.engine.masking import soft_sphere
from cryocloud.engine.optics import ctf
from cryocloud.engine.reconstruction import Accumulator, solve

RELION = "relion_reconstruct"
BATCH = 500
COMPENSATION_ITERATIONS = 10


def compare(benchmark: ParticleBenchmark, work: Path) -> dict[str, object]:
    """CPU seconds of both programs for half 1, files read included, and how alike the maps are."""
    data = prepare(benchmark, work)
    start = time.process_time()
    ours = reconstruct(data / "truth.star", 1, benchmark.symmetry)
    ours_s = time.process_time() - start
    row: dict[str, object] = {"set": benchmark.name, "ours_cpu_s": ours_s}
    if shutil.which(RELION) is None:
        return row
    command = [RELION, "--i", "truth.star", "--o", str(work / "relion_half1.mrc"), "--ctf", "--subset", "1"]
    finished = run_program(
        [*command, "--sym", benchmark.symmetry.lower()], data, work / "relion_reconstruct.log"
    )
    theirs = torch.tensor(read_mrc(work / "relion_half1.mrc")[0])
    box = benchmark.box_size_px
    mask = soft_sphere(box, 0.4 * box, 5.0)
    agreement = fsc(ours * mask, theirs * mask)[1 : box // 2 - 4]
    return row | {
        "peer": version(RELION),
        "peer_cpu_s": finished.cpu_s,
        "ratio": finished.cpu_s / ours_s,
        "least_fsc_between": float(agreement.min()),
    }


def reconstruct(star: Path, half: int, symmetry: str) -> torch.Tensor:
    """Half map from the poses in a STAR file, with the same density compensation as RELION's."""
    particles = particle_set(read_particles(star))
    box, pixel = particles.box_size_px, particles.pixel_size_angstrom
    pixels = make_pixel_list(box, box // 2 - 1)
    accumulator = Accumulator(box, box // 2)
    for rows in (particles.half_set == half).nonzero()[:, 0].split(BATCH):
        images = torch.from_numpy(particles.read_images(rows.numpy()))
        transfer = ctf(particles.ctf.select(rows), pixels, pixel)
        centered = image_coefficients(images, pixels) * phase_ramps(particles.shift_px[rows], pixels)
        accumulator.insert(centered * transfer, transfer**2, particles.rotation[rows], pixels)
    operators = symmetry_operators(symmetry)
    return solve(accumulator, operators=operators, compensation_iterations=COMPENSATION_ITERATIONS)
