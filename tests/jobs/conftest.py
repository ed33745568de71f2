"""Job bodies run inside the test process: quicker than the command line, and they can be looked into."""

from __future__ import annotations

import csv
import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cryocloud.catalog import load_job_type
from cryocloud.compute.attempt import Attempt, AttemptSpec
from cryocloud.compute.context import JobContext
from cryocloud.engine.io.mrc import MrcStackWriter
from cryocloud.engine.io.tables import ParticleTables, write_particles
from cryocloud.engine.records.particle_set import ParticleSet


@dataclass(frozen=True)
class JobRun:
    """What a job body left behind."""

    out: Path
    job: JobContext

    @property
    def metrics(self) -> dict[str, float | None]:
        metrics: dict[str, float | None] = json.loads((self.out / "metrics.json").read_text())
        return metrics

    @property
    def exceptions(self) -> dict[str, str]:
        """Rows of ``exceptions.csv``."""
        with (self.out / "exceptions.csv").open(newline="") as table:
            return {row["item"]: row["reason"] for row in csv.DictReader(table)}


@pytest.fixture
def run_job(tmp_path: Path) -> Callable[..., JobRun]:
    """Run the body of a job type: ``run_job("ctf", {"input": path}, out="Ctf", some_parameter=1)``.

    A second run with the same ``out`` and ``resumed=True`` finds what the first one left.
    """

    def run(
        name: str,
        inputs: dict[str, Path],
        *,
        out: str = "out",
        seed: int = 0,
        device: str = "cpu",
        resumed: bool = False,
        **parameters: Any,
    ) -> JobRun:
        job_type = load_job_type(name)
        folder = tmp_path / out
        attempt = Attempt(folder / ".attempt")
        attempt.folder.mkdir(parents=True, exist_ok=True)
        spec = AttemptSpec(
            attempt_id=out,
            job_type=name,
            version=job_type.version,
            parameters=parameters,
            inputs={key: str(path) for key, path in inputs.items()},
            out=str(folder),
            seed=seed,
            resumed=resumed,
        )
        job = JobContext(attempt, spec, job_type.parameters.model_validate(parameters), device)
        importlib.import_module(f"cryocloud.jobs.{name}").run(job)
        return JobRun(folder, job)

    return run


@pytest.fixture
def write_particle_files(tmp_path: Path) -> Callable[..., Path]:
    """Write particles, without their poses, as a stack and a STAR file with further columns; returns its path."""

    def write(particles: ParticleSet, **columns: Any) -> Path:
        folder = tmp_path / "Extract"
        folder.mkdir()
        n, pixel = len(particles), particles.pixel_size_angstrom
        with MrcStackWriter(folder / "particles.mrcs", particles.box_size_px, pixel) as writer:
            writer.append(particles.read_images(np.arange(n)))
        optics = {
            "rlnOpticsGroup": 1,
            "rlnOpticsGroupName": "opticsGroup1",
            "rlnVoltage": 300.0,
            "rlnSphericalAberration": 2.7,
            "rlnAmplitudeContrast": 0.1,
            "rlnImagePixelSize": pixel,
            "rlnImageSize": particles.box_size_px,
            "rlnImageDimensionality": 2,
        }
        rows = {
            "rlnImageName": [f"{i + 1:06d}@particles.mrcs" for i in range(n)],
            "rlnMicrographName": [f"mic{i % 3}.mrc" for i in range(n)],
            "rlnOpticsGroup": 1,
            "rlnDefocusU": particles.ctf.defocus_u_angstrom.numpy(),
            "rlnDefocusV": particles.ctf.defocus_v_angstrom.numpy(),
            "rlnDefocusAngle": particles.ctf.defocus_angle_deg.numpy(),
            **columns,
        }
        tables = ParticleTables(pd.DataFrame([optics]), pd.DataFrame(rows), folder)
        write_particles(folder / "particles.star", tables)
        return folder / "particles.star"

    return write
