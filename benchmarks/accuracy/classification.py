"""2D classification of few views: RELION's EM and ours; purity, resolution of the averages, CPU seconds.

``python -m benchmarks.accuracy.classification relion`` runs RELION's side alone (kept in the work folder).
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.datasets import VIEWS_SET, prepare, view_of
from benchmarks.peer import OURS, key_of, run_program, version
from cryocloud.engine.fourier import coefficients_to_images, make_pixel_list, rfft2, ring_average
from cryocloud.engine.geometry import rotation_from_euler
from cryocloud.engine.io.mrc import read_mrc
from cryocloud.engine.io.table_records import particle_set
from cryocloud.engine.io.tables import read_particles
from cryocloud.engine.masking import soft_circle
from cryocloud.engine.reconstruction import slice_volume, volume_transform

RELION = "relion_refine"
CLASSES = 10
MASK_DIAMETER_ANGSTROM = 190.0
ANGLES = 180


def relion_options(classes: int, mask_diameter_angstrom: float) -> list[str]:
    """25 iterations of EM with the interface's sampling, 6 degrees after oversampling."""
    return (
        f"--K {classes} --iter 25 --tau2_fudge 2 --particle_diameter {mask_diameter_angstrom} --psi_step 12 "
        "--oversampling 1 --offset_range 5 --offset_step 2 --ctf --norm --scale --zero_mask --flatten_solvent "
        "--pad 2 --pool 3 --j 1 --preread_images --dont_combine_weights_via_disc --random_seed 1"
    ).split()


RELION_OPTIONS = relion_options(CLASSES, MASK_DIAMETER_ANGSTROM)


def relion_result(work: Path) -> Path:
    """Where RELION's result is kept, by a key of all that it depends on."""
    key = key_of(benchmark=asdict(VIEWS_SET), options=RELION_OPTIONS, version=version(RELION))
    return work / f"relion_class2d_{key}.json"


def run_relion(work: Path) -> dict[str, Any]:
    """RELION's result, from the work folder if the same run was done before."""
    stored = relion_result(work)
    if stored.is_file():
        result: dict[str, Any] = json.loads(stored.read_text())
        return result
    data = prepare(VIEWS_SET, work)
    folder = stored.with_suffix("")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = [RELION, "--i", "particles.star", "--o", str(folder / "run"), *RELION_OPTIONS]
    finished = run_program(command, data, folder / "log.txt")
    result = {
        "program": version(RELION),
        "command": command,
        "cpu_s": finished.cpu_s,
        "star": str(folder / "run_it025_data.star"),
        "averages": str(folder / "run_it025_classes.mrcs"),
    }
    stored.write_text(json.dumps(result, indent=1))
    return result


def run_ours(work: Path) -> dict[str, Any]:
    """Our job through the command line with its defaults."""
    data = prepare(VIEWS_SET, work)
    folder = work / "class2d"
    options = f"--classes {CLASSES} --mask-diameter-angstrom {MASK_DIAMETER_ANGSTROM} --threads 1 --overwrite"
    files = ["--input", str(data / "particles.star"), "--out", str(folder)]
    command = [*OURS, "run", "class2d", *files, *options.split()]
    finished = run_program(command, work, work / "class2d.log")
    return {
        "program": "cryocloud",
        "command": command,
        "cpu_s": finished.cpu_s,
        "star": str(folder / "particles.star"),
        "averages": str(folder / "classes.mrcs"),
    }


def measured(result: dict[str, Any], work: Path) -> dict[str, Any]:
    """Purity: share of particles that belong to their class' most common view. FRC 0.5 of the averages with the
    projection that they fit best, mean over particles.
    """
    data = prepare(VIEWS_SET, work)
    particles = read_particles(Path(result["star"])).particles
    views = VIEWS_SET.views
    row = np.array([int(name.split("@")[0]) - 1 for name in particles["rlnImageName"]])
    view = np.array([view_of(int(r), views) for r in row])
    class_index = particles["rlnClassNumber"].to_numpy(dtype=int) - 1
    count = np.zeros((CLASSES, views), dtype=int)
    np.add.at(count, (class_index, view), 1)
    resolution = frc_resolutions(torch.tensor(read_mrc(Path(result["averages"]))[0]), data)
    weight = count.sum(1)
    return {
        "program": result["program"],
        "cpu_s": result["cpu_s"],
        "purity": count.max(1).sum() / count.sum(),
        "views_found": len(set(count[weight > 0].argmax(1).tolist())),
        "frc_05_angstrom": float((resolution.numpy() * weight).sum() / weight.sum()),
    }


def frc_resolutions(averages: Tensor, data: Path) -> Tensor:
    """Resolution at FRC 0.5 of each average [k, D, D] with its best match among all turns of the true views."""
    box, pixel = VIEWS_SET.box_size_px, VIEWS_SET.pixel_size_angstrom
    pixels = make_pixel_list(box, box // 2 - 1)
    truth = particle_set(read_particles(data / "truth.star")).rotation[: VIEWS_SET.views]
    psi = torch.arange(ANGLES, dtype=torch.float64) * 360 / ANGLES
    zero = torch.zeros_like(psi)
    turned = torch.einsum("vij,pjk->vpik", truth, rotation_from_euler(zero, zero, psi)).reshape(-1, 3, 3)
    volume = torch.tensor(read_mrc(data / "map.mrc")[0])
    circle = soft_circle(box, MASK_DIAMETER_ANGSTROM / 2 / pixel, 3.0)
    slices = slice_volume(volume_transform(volume), turned, pixels)
    references = rfft2(coefficients_to_images(slices, pixels) * circle).flatten(1)[:, pixels.flat_index]
    references = references / references.norm(dim=1, keepdim=True)
    found = []
    for average in rfft2(averages * circle).flatten(1)[:, pixels.flat_index]:
        correlation = coefficients_to_images(average * references.conj(), pixels)
        best = int(correlation.flatten(1).amax(1).argmax())
        y, x = divmod(int(correlation[best].flatten().argmax()), box)
        angle = -2 * torch.pi / box * ((x - box // 2) * pixels.kx + (y - box // 2) * pixels.ky)
        reference = references[best] * torch.polar(torch.ones_like(angle), angle)
        pairs = torch.stack([(average * reference.conj()).real, average.abs() ** 2, reference.abs() ** 2])
        cross, power, reference_power = ring_average(pairs, pixels)
        curve = cross / (power * reference_power).sqrt().clamp(min=1e-30)
        below = (curve[1:] < 0.5).nonzero()
        ring = int(below[0]) + 1 if len(below) else box // 2 - 1
        found.append(box * pixel / ring)
    return torch.tensor(found, dtype=torch.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=["relion", "ours"])
    parser.add_argument("--work", type=Path, default=Path("benchmarks/work"))
    given = parser.parse_args()
    work = given.work.absolute()
    result = run_relion(work) if given.side == "relion" else run_ours(work)
    print(json.dumps(measured(result, work), indent=1))


if __name__ == "__main__":
    main()
