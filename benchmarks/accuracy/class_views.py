"""2D classification at low SNR: how near the views of a class are, and its particles' in-plane angles.

``python -m benchmarks.accuracy.class_views ours lowsnr --seeds 3`` prints a row for each seed; ``relion`` runs
RELION's side on the small set alone (kept in the work folder).
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.accuracy.classification import RELION, relion_options
from benchmarks.datasets import LOW_SNR_SETS, LOW_SNR_SMALL_SET, WEAK_SETS, ParticleBenchmark, prepare
from benchmarks.peer import OURS, key_of, run_program, version
from cryocloud.engine.geometry import rotation_from_euler
from cryocloud.engine.io.tables import ParticleTables, read_particles

WEAK_C1_SETS = tuple(b for b in WEAK_SETS if b.symmetry == "C1")
SETS: dict[str, ParticleBenchmark] = {b.name: b for b in (*LOW_SNR_SETS, LOW_SNR_SMALL_SET, *WEAK_C1_SETS)}
CLASSES = dict.fromkeys(SETS, 20) | {LOW_SNR_SMALL_SET.name: 8}
MASK_DIAMETER_ANGSTROM = dict.fromkeys(SETS, 190.0) | {"lowsnr_large": 230.0, "lowsnr_wide": 250.0}
NEAR_DEG, IN_PLANE_DEG = 45.0, 15.0
RELION_OPTIONS = relion_options(
    CLASSES[LOW_SNR_SMALL_SET.name], MASK_DIAMETER_ANGSTROM[LOW_SNR_SMALL_SET.name]
)


def relion_result(work: Path) -> Path:
    """Where RELION's result is kept, by a key of all that it depends on."""
    key = key_of(benchmark=asdict(LOW_SNR_SMALL_SET), options=RELION_OPTIONS, version=version(RELION))
    return work / f"relion_class_views_{key}.json"


def run_relion(work: Path) -> dict[str, Any]:
    """RELION's row, from the work folder if the same run was done before."""
    stored = relion_result(work)
    data = prepare(LOW_SNR_SMALL_SET, work)
    folder = stored.with_suffix("")
    if not stored.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        command = [RELION, "--i", "particles.star", "--o", str(folder / "run"), *RELION_OPTIONS]
        finished = run_program(command, data, folder / "log.txt")
        stored.write_text(json.dumps({"command": command, "cpu_s": finished.cpu_s}, indent=1))
    head = {"program": version(RELION), "cpu_s": json.loads(stored.read_text())["cpu_s"]}
    return head | measured(folder / "run_it025_data.star", LOW_SNR_SMALL_SET, work)


def run_ours(benchmark: ParticleBenchmark, seed: int, work: Path) -> dict[str, Any]:
    """Our job through the command line with its defaults."""
    data = prepare(benchmark, work)
    folder = work / f"class_views_{benchmark.name}_{seed}"
    options = {
        "--input": data / "particles.star",
        "--classes": CLASSES[benchmark.name],
        "--mask-diameter-angstrom": MASK_DIAMETER_ANGSTROM[benchmark.name],
        "--seed": seed,
        "--threads": 1,
        "--out": folder,
    }
    words = [str(word) for pair in options.items() for word in pair]
    finished = run_program([*OURS, "run", "class2d", *words, "--overwrite"], work, folder.with_suffix(".log"))
    head = {"program": "cryocloud", "seed": seed, "cpu_s": finished.cpu_s}
    return head | measured(folder / "particles.star", benchmark, work)


def measured(star: Path, benchmark: ParticleBenchmark, work: Path) -> dict[str, Any]:
    """Classes and in-plane angles in ``star`` against the true poses.

    ``view_distance_deg`` is the median angle between the view directions of two particles of a class, over all
    such pairs; the same for classes drawn at random and for as many neighborhoods of equal views as there are
    classes. ``near`` is the share of particles within 45 degrees of the frame that most of their class agree on;
    ``in_plane`` the share of all particles whose in-plane angle is within 15 degrees of that frame, and
    ``in_plane_near`` that among the near ones.
    """
    tables = read_particles(star)
    row = torch.tensor([int(name.split("@")[0]) - 1 for name in tables.particles["rlnImageName"]])
    class_index = torch.tensor(tables.particles["rlnClassNumber"].to_numpy(dtype=int)) - 1
    truth = _rotations(read_particles(prepare(benchmark, work) / "truth.star"))[row]
    frames = truth @ _rotations(tables).transpose(1, 2)
    view = truth[:, :, 2]
    distance_deg = torch.empty(len(row), dtype=torch.float64)
    turn_deg = torch.empty(len(row), dtype=torch.float64)
    for k in class_index.unique().tolist():
        members = (class_index == k).nonzero()[:, 0]
        offset = consensus(frames[members]).T @ frames[members]
        distance_deg[members] = _tilt_deg(offset)
        turn_deg[members] = _twist_deg(offset).abs()
    near, right = distance_deg < NEAR_DEG, turn_deg < IN_PLANE_DEG
    drawn = class_index[torch.randperm(len(row), generator=torch.Generator().manual_seed(0))]
    return {
        "set": benchmark.name,
        "particles": len(row),
        "classes_used": len(class_index.unique()),
        "largest_class": int(torch.bincount(class_index).max()),
        "view_distance_deg": view_distance_deg(view, class_index),
        "by_chance_deg": view_distance_deg(view, drawn),
        "at_best_deg": view_distance_deg(view, neighborhoods(view, CLASSES[benchmark.name])),
        "near": float(near.double().mean()),
        "in_plane": float(right.double().mean()),
        "in_plane_near": float(right[near].double().mean()),
    }


def view_distance_deg(view: Tensor, class_index: Tensor) -> float:
    """Median angle between two of the directions [n, 3] that share a class, over all pairs."""
    angles = []
    for k in class_index.unique().tolist():
        cosine = view[class_index == k] @ view[class_index == k].T
        above = torch.triu_indices(len(cosine), len(cosine), 1)
        angles.append(torch.acos(cosine[above[0], above[1]].clamp(-1, 1)))
    return float(torch.rad2deg(torch.cat(angles).median()))


def neighborhoods(view: Tensor, count: int) -> Tensor:
    """Directions [n, 3] sorted into ``count`` neighborhoods by 50 steps of k-means on the sphere: int64 [n]."""
    center = view[torch.randperm(len(view), generator=torch.Generator().manual_seed(0))[:count]]
    for _ in range(50):
        nearest = (view @ center.T).argmax(1)
        total = torch.zeros_like(center).index_add_(0, nearest, view)
        center = total / total.norm(dim=1, keepdim=True)
    return (view @ center.T).argmax(1)


def consensus(frames: Tensor) -> Tensor:
    """The member of rotations [m, 3, 3] that most others agree with, in view and in plane."""
    relative = torch.einsum("aji,bjk->abik", frames, frames)
    agrees = (_tilt_deg(relative) < NEAR_DEG) & (_twist_deg(relative).abs() < IN_PLANE_DEG)
    return frames[int(agrees.sum(1).argmax())]


def _rotations(tables: ParticleTables) -> Tensor:
    """Of the angles alone: the images of RELION's table are named from another folder."""
    labels = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
    angles = tables.particles.reindex(columns=labels, fill_value=0.0).to_numpy(dtype=float, copy=True)
    return rotation_from_euler(*torch.from_numpy(angles).T)


def _tilt_deg(rotation: Tensor) -> Tensor:
    """Angle between the z axis and where a rotation carries it."""
    return torch.rad2deg(torch.acos(rotation[..., 2, 2].clamp(-1, 1)))


def _twist_deg(rotation: Tensor) -> Tensor:
    """The turn about z that comes nearest to a rotation."""
    return torch.rad2deg(
        torch.atan2(rotation[..., 1, 0] - rotation[..., 0, 1], rotation[..., 0, 0] + rotation[..., 1, 1])
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=["relion", "ours"])
    parser.add_argument("set", nargs="?", choices=list(SETS), default="lowsnr_small")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("benchmarks/work"))
    given = parser.parse_args()
    work = given.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    if given.side == "relion":
        print(json.dumps(run_relion(work)))
        return
    for seed in range(1, given.seeds + 1):
        print(json.dumps(run_ours(SETS[given.set], seed, work)), flush=True)


if __name__ == "__main__":
    main()
