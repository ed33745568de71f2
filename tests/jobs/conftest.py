"""Job bodies run inside the test process: quicker than the command line, and they can be looked into."""

from __future__ import annotations

import csv
import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cryocloud.catalog import load_job_type
from cryocloud.compute.attempt import Attempt, AttemptSpec
from cryocloud.compute.context import JobContext


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
