"""2D classification, ab-initio maps and refinement of one simulated set, on the device and on the CPU."""

from __future__ import annotations

import importlib
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from benchmarks.accuracy.evaluation import RefinedMaps, evaluate
from benchmarks.datasets import ParticleBenchmark, prepare
from benchmarks.device.rows import Row
from cryocloud.catalog import load_job_type
from cryocloud.compute.attempt import Attempt, AttemptSpec
from cryocloud.compute.context import JobContext
from cryocloud.engine.fourier import fsc
from cryocloud.engine.geometry import angular_distance_deg, symmetry_operators
from cryocloud.engine.io.mrc import read_mrc
from cryocloud.engine.io.table_records import particle_set
from cryocloud.engine.io.tables import read_particles
from cryocloud.engine.masking import soft_sphere
from cryocloud.engine.simulate.comparison import compare_maps

MASK_DIAMETER_ANGSTROM = 190.0
RIGHT_CORRELATION = 0.9  # of an ab-initio map with the truth, as in the accuracy benchmarks
SAME_CORRELATION = 0.9
SAME_CLASS = 0.5  # classes of random starts divide a continuum of views alike only in part
SAME_FSC, SAME_POSE_DEG = 0.95, 2.0  # both runs refine one start map; only rounding and drawn grids differ


@dataclass(frozen=True)
class Trial:
    """A set of particles and how hard the jobs try."""

    benchmark: ParticleBenchmark
    class2d: dict[str, Any]
    abinitio: dict[str, Any]
    refine: dict[str, Any]
    strict: bool


_MASK = {"mask_diameter_angstrom": MASK_DIAMETER_ANGSTROM}
FULL = Trial(
    ParticleBenchmark("device", "C1", 10_000, 64, 3.6, 0.1),
    class2d={"classes": 50, **_MASK},
    abinitio=_MASK,
    refine={"start_resolution_angstrom": 30.0, **_MASK},
    strict=True,
)
SMALL = Trial(
    ParticleBenchmark("device_small", "C1", 240, 32, 7.2, 0.3),
    class2d={"classes": 4, "online_updates": 2, "full_passes": 1, **_MASK},
    abinitio={
        "updates": 10,
        "passes": 1,
        "max_starts": 2,
        "first_batch": 50,
        "last_batch": 50,
        "last_resolution_angstrom": 20.0,
        **_MASK,
    },
    refine={"start_resolution_angstrom": 40.0, "max_iterations": 2, "max_orientations": 600, **_MASK},
    strict=False,
)


def make_data(trials: tuple[Trial, ...], work: Path) -> Iterator[Row]:
    """Simulate the particles."""
    for trial in trials:
        size = (prepare(trial.benchmark, work) / "particles.mrcs").stat().st_size
        yield Row("particles", float(trial.benchmark.particles), note=f"{size / 1e6:.0f} MB")


def run_job(name: str, trial: Trial, device: str, work: Path, warm_up: Trial | None = None) -> Iterator[Row]:
    """The seconds, peak memory and metrics of a job; ``warm_up`` runs first and compiles the kernels."""
    if warm_up is not None:
        _run_body(name, warm_up, device, work)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    taken = _run_body(name, trial, device, work)
    yield Row(f"{name} on {device}", taken, "s")
    if device == "cuda":
        yield Row(f"{name}: peak GPU memory", torch.cuda.max_memory_allocated() / 1e9, "GB")
    for key, value in json.loads((result_folder(name, device, work) / "metrics.json").read_text()).items():
        yield Row(f"{name} on {device}: {key}", value)


def _run_body(name: str, trial: Trial, device: str, work: Path) -> float:
    """Seconds of the job's body, files included, in this process."""
    data = prepare(trial.benchmark, work)
    parameters = getattr(trial, name)
    inputs = {"input": str(data / "particles.star")}
    if name == "refine":
        inputs["reference"] = str(data / "map.mrc")
    out = result_folder(name, device, work)
    shutil.rmtree(out, ignore_errors=True)
    attempt = Attempt(out / ".attempt")
    attempt.folder.mkdir(parents=True)
    job_type = load_job_type(name)
    spec = AttemptSpec(f"{name}-{device}", name, job_type.version, parameters, inputs, str(out), seed=1)
    job = JobContext(attempt, spec, job_type.parameters.model_validate(parameters), device)
    body = importlib.import_module(f"cryocloud.jobs.{name}")
    start = time.perf_counter()
    with (out / "log.txt").open("w") as log, redirect_stdout(log):
        body.run(job)
    return time.perf_counter() - start


def result_folder(name: str, device: str, work: Path) -> Path:
    """Where a job's results lie."""
    return work / f"{name}_{device}"


def judge(name: str, trial: Trial, device: str, work: Path) -> Iterator[Row]:
    """The device's result against the truth, and against the CPU's where that is there."""
    reference = result_folder(name, "cpu", work)
    others = [reference] if device != "cpu" and (reference / "metrics.json").is_file() else []
    measures = {"class2d": _judge_classes, "abinitio": _judge_maps, "refine": _judge_poses}
    for row in measures[name](trial, result_folder(name, device, work), others):
        yield row if trial.strict else Row(row.name, row.value, row.unit, row.reference, note=row.note)


def _judge_classes(trial: Trial, out: Path, others: list[Path]) -> Iterator[Row]:
    own = _class_numbers(out)
    yield Row("classes with particles", float(len(np.unique(own))))
    for other in others:
        theirs = _class_numbers(other)
        count = np.zeros((own.max() + 1, theirs.max() + 1))
        np.add.at(count, (own, theirs), 1)
        share = float(count[linear_sum_assignment(-count)].sum() / len(own))
        yield Row("particles in the CPU's class", share, "", 1.0, share >= SAME_CLASS)


def _class_numbers(out: Path) -> Any:
    return read_particles(out / "particles.star").particles["rlnClassNumber"].to_numpy(dtype=int)


def _judge_maps(trial: Trial, out: Path, others: list[Path]) -> Iterator[Row]:
    truth = prepare(trial.benchmark, out.parent) / "map.mrc"
    correlation = _correlation(out / "volume_class1.mrc", truth)
    yield Row("correlation with the truth at 20 A", correlation, "", 1.0, correlation >= RIGHT_CORRELATION)
    for other in others:
        theirs = _correlation(other / "volume_class1.mrc", truth)
        yield Row("the CPU's correlation with the truth", theirs, "", 1.0)
        between = _correlation(out / "volume_class1.mrc", other / "volume_class1.mrc")
        yield Row("correlation with the CPU's map at 20 A", between, "", 1.0, between >= SAME_CORRELATION)


def _correlation(path: Path, truth: Path) -> float:
    (found, pixel), (true, true_pixel) = read_mrc(path), read_mrc(truth)
    return compare_maps(torch.tensor(found), pixel, torch.tensor(true), true_pixel).low_pass_correlation


def _judge_poses(trial: Trial, out: Path, others: list[Path]) -> Iterator[Row]:
    data = prepare(trial.benchmark, out.parent)
    for folder in (out, *others):
        halves = (folder / "half1.mrc", folder / "half2.mrc")
        refined = RefinedMaps(folder / "particles.star", halves, folder / "map.mrc")
        for name, value in evaluate(refined, data, "C1").items():
            yield Row(f"{folder.name}: {name}", value)
    for other in others:
        (found, _), (theirs, pixel) = (read_mrc(folder / "map.mrc") for folder in (out, other))
        box = len(found)
        sphere = soft_sphere(box, MASK_DIAMETER_ANGSTROM / 2 / pixel, 5.0)
        curve = fsc(torch.tensor(found) * sphere, torch.tensor(theirs) * sphere)
        ring = round(box * pixel / 12.0)
        least = float(curve[1:ring].min())
        yield Row("least FSC with the CPU's map to 12 A", least, "", 1.0, least >= SAME_FSC)
        rotations = [
            particle_set(read_particles(folder / "particles.star")).rotation for folder in (out, other)
        ]
        angle = float(angular_distance_deg(*rotations, symmetry_operators("C1")).median())
        yield Row("median angle to the CPU's poses", angle, "degrees", SAME_POSE_DEG, angle <= SAME_POSE_DEG)
