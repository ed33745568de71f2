"""A laboratory that has worked for a while: projects, a finished run, jobs in every state, files on disk."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryocloud.catalog import load_job_type, load_workflow
from cryocloud.web.core.clock import now
from cryocloud.web.core.places import attempt_folder, result_folder
from cryocloud.web.data.models import Dataset, DatasetFile, StoredObject
from cryocloud.web.metering.models import UsageRecord
from cryocloud.web.projects.models import Project
from cryocloud.web.results.models import Artifact
from cryocloud.web.runs.models import Attempt, Job, Run

REQUIRED = {"particle_diameter_angstrom": 125.0, "box_size_px": 128}
PROFILE = {
    "pixel_size_angstrom": 1.5,
    "voltage_kv": 300.0,
    "spherical_aberration_mm": 0.01,
    "amplitude_contrast": 0.07,
}
# Job type, number of the job that it reads (0: the dataset), file, metrics, duration in seconds.
CHAIN = [
    ("import_micrographs", 0, "", {"micrographs": 48, "pixel_size_angstrom": 1.5}, 41),
    ("ctf", 1, "micrographs.star", {"micrographs": 48, "fit_resolution_median_angstrom": 4.31}, 96),
    ("curate", 2, "micrographs.star", {"micrographs": 48, "accepted": 44, "rejected": 4}, 9),
    ("pick", 3, "micrographs.star", {"picks": 12873, "picks_per_micrograph_median": 291.0}, 154),
    ("extract", 4, "picks.star", {"particles": 12801, "box_size_px": 64, "pixel_size_angstrom": 3.0}, 88),
    ("class2d", 5, "particles.star", {"particles": 12801, "resolution_best_angstrom": 8.9}, 611),
    ("select2d", 6, "particles.star", {"particles": 10240, "rejected_particles": 2561}, 7),
    ("abinitio", 7, "particles.star", {"resolution_angstrom": 11.8, "trusted": 1}, 322),
    (
        "extract",
        7,
        "particles.star",
        {"particles": 10240, "box_size_px": 128, "pixel_size_angstrom": 1.5},
        120,
    ),
    ("refine", 9, "particles.star", {"resolution_angstrom": 4.02, "particles": 10240}, 1904),
    ("postprocess", 10, "", {"resolution_angstrom": 3.94, "b_factor_angstrom2": -112.4}, 35),
    ("extract", 4, "picks.star", {"particles": 10240}, 77),
    ("refine", 12, "particles.star", {"resolution_angstrom": 17.2, "particles": 10240}, 1655),
]
DECISION = {
    "what": "2D classes",
    "value": 50,
    "why": "about 80 particles a class, from 10 to 50 classes",
    "evidence": {"particles": 12801},
}
EVIDENCE = {
    "job": "",
    "what": "evidence",
    "value": "detail finer than 17.2 Å",
    "why": "noise boxes reach that resolution in the same refinement",
    "evidence": {"unmasked_resolution_angstrom": 4.63, "null_control_resolution_angstrom": 17.2},
}


@dataclass(frozen=True)
class Laboratory:
    dataset: Dataset
    project: Project
    run: Run
    jobs: list[Job]
    running: Job
    failed: Job
    excepted: Job


def seed_laboratory(owner, plots: Path | None = None) -> Laboratory:
    """Write it all; ``plots`` is a workflow's folder to take real plots from, otherwise small ones are made."""
    own = {"organization": owner.organization, "created_by_id": owner.user.pk}
    dataset = Dataset.unscoped.create(name="Apoferritin, grid 3", profile=PROFILE, is_sample=True, **own)
    for number in (1, 2):
        stored = StoredObject.unscoped.create(
            organization=owner.organization, key=f"mic{number}", size_bytes=1, sha256=""
        )
        DatasetFile.unscoped.create(
            organization=owner.organization, dataset=dataset, path=f"mic_{number}.mrc", stored=stored
        )
    project = Project.unscoped.create(
        name="Apoferritin",
        description="Test grid of 12 March, Krios 2, 300 kV. Is the new ice good enough?",
        **own,
    )
    for name, text in (
        ("Ribosome 70S", "Time series, 4 °C"),
        ("TRPV1 in nanodiscs", ""),
        ("β-galactosidase", ""),
    ):
        Project.unscoped.create(name=name, description=text, **own)
    run = _seed_run(owner, project, dataset)
    jobs = [_seed_job(owner, project, run, dataset, number, plots) for number in range(1, len(CHAIN) + 1)]
    run.decisions = [{"job": jobs[5].pk, **DECISION}, EVIDENCE]
    run.result_job_id = jobs[10].pk
    run.save()
    excepted = _state(jobs[1], Job.State.EXCEPTIONS, exceptions=2)
    (result_folder(excepted.pk, excepted.attempts.get().pk) / "exceptions.csv").write_text(
        "item,reason\nmic_0013.mrc,the file ends after 12 of 16 MB\nmic_0031.mrc,<b>no Thon rings</b>\n",
        encoding="utf-8",
    )
    running = _seed_running(owner, project, jobs[8])
    failed = _make(owner, project, None, 15, "abinitio", {"input": f"job:{jobs[6].pk}/particles.star"})
    failed = _state(
        failed,
        Job.State.FAILED,
        message="--mask-diameter-angstrom 500: is larger than the box of 384 Å; take at most 384",
    )
    _make(owner, project, None, 16, "class2d", {"input": f"job:{jobs[4].pk}/particles.star"})
    return Laboratory(dataset, project, run, jobs, running, failed, excepted)


def _seed_run(owner, project, dataset):
    model = load_workflow("spa").parameters
    return Run.unscoped.create(
        organization=owner.organization,
        project=project,
        number=1,
        workflow="spa",
        parameters=model(particle_diameter_angstrom=125.0, symmetry="O", **PROFILE).model_dump(mode="json"),
        inputs={"micrographs": f"dataset:{dataset.pk}"},
        state=Run.State.DONE,
        key_numbers={"particles": 10240, "resolution_angstrom": 3.94, "b_factor_angstrom2": -112.4},
        warnings=["The map shows one preferred view; directions differ in resolution by a factor of 1.4."],
        created_by_id=owner.user.pk,
        finished_at=now() - timedelta(hours=2),
    )


def _make(owner, project, run, number, job_type, inputs, **changes):
    known = load_job_type(job_type)
    given = {name: value for name, value in REQUIRED.items() if name in known.parameters.model_fields}
    return Job.unscoped.create(
        organization=owner.organization,
        project=project,
        run=run,
        number=number,
        job_type=job_type,
        version=known.version,
        parameters=known.parameters(**given | changes).model_dump(mode="json"),
        inputs=inputs,
        created_by_id=owner.user.pk,
    )


def _state(job, state, **values):
    Job.unscoped.filter(pk=job.pk).update(state=state, **values)
    job.refresh_from_db()
    return job


def _seed_job(owner, project, run, dataset, number, plots):
    job_type, reads, file, metrics, seconds = CHAIN[number - 1]
    reference = f"dataset:{dataset.pk}"
    if reads:
        maker = Job.unscoped.get(project=project, number=reads)
        reference = f"job:{maker.pk}/{file}" if file else f"job:{maker.pk}"
    name = load_job_type(job_type).inputs[0].name
    inputs = {name: reference}
    if job_type == "refine":
        inputs["reference"] = f"job:{Job.unscoped.get(project=project, number=8).pk}/volume_class1.mrc"
    changes = {"classes": 42} if job_type == "class2d" else {}
    job = _make(owner, project, run, number, job_type, inputs, **changes)
    started = now() - timedelta(hours=5) + timedelta(minutes=10 * number)
    job = _state(
        job,
        Job.State.DONE,
        metrics=metrics,
        progress=1.0,
        started_at=started,
        finished_at=started + timedelta(seconds=seconds),
    )
    _seed_result(job, seconds, plots)
    return job


def _seed_result(job, seconds, plots):
    attempt = Attempt.unscoped.create(
        organization_id=job.organization_id,
        job=job,
        number=1,
        state=Attempt.State.SUCCEEDED,
        fence=1,
        exit_code=0,
        wall_s=seconds,
        cpu_s=1.9 * seconds,
        peak_memory_bytes=2_150_000_000,
    )
    UsageRecord.unscoped.create(
        organization_id=job.organization_id,
        attempt_id=attempt.pk,
        job_id=job.pk,
        run_id=job.run_id or "",
        project_id=job.project_id,
        job_type=job.job_type,
        until_s=seconds,
        wall_s=seconds,
        cpu_s=1.9 * seconds,
        peak_memory_bytes=2_150_000_000,
        read_bytes=31_000_000_000,
        written_bytes=1_200_000_000,
        billed_s=int(seconds),
        ended="succeeded",
        exit_code=0,
        cause="done",
        started_at=job.started_at,
        finished_at=job.finished_at,
    )
    folder = result_folder(job.pk, attempt.pk)
    (folder / "plots").mkdir(parents=True)
    (folder / "log.txt").write_text(f"{job.job_type}: {json.dumps(job.metrics)}\n" * 20, encoding="utf-8")
    real = sorted(plots.glob(f"*_{job.job_type}/plots/*.png")) if plots else []
    for path in real:
        shutil.copy(path, folder / "plots" / path.name)
    if not real:
        (folder / "plots" / "overview.png").write_bytes(small_png())
    for name in (*load_job_type(job.job_type).outputs, "metrics.json"):
        (folder / name).write_bytes(b"data of " + name.encode())
        Artifact.unscoped.create(
            organization_id=job.organization_id,
            job=job,
            attempt=attempt,
            path=name,
            size_bytes=8_300_000,
            sha256="0" * 64,
        )


def _seed_running(owner, project, maker):
    job = _make(
        owner,
        project,
        None,
        14,
        "refine",
        {
            "input": f"job:{maker.pk}/particles.star",
            "reference": f"job:{Job.unscoped.get(project=project, number=8).pk}/volume_class1.mrc",
        },
        symmetry="O",
    )
    job = _state(
        job,
        Job.State.RUNNING,
        progress=0.42,
        progress_message="iteration 6: 5.8 Å",
        started_at=now() - timedelta(minutes=11),
    )
    attempt = Attempt.unscoped.create(
        organization_id=job.organization_id, job=job, number=1, state=Attempt.State.RUNNING, fence=1
    )
    folder = attempt_folder(attempt.pk)
    (folder / "out" / "plots").mkdir(parents=True)
    (folder / "out" / "plots" / "fsc_iteration_06.png").write_bytes(small_png())
    (folder / "out" / "log.txt").write_text(
        "".join(f"iteration {n}: {9 - n / 2:.1f} Å\n" for n in range(7))
        + f"{folder}/out/map.mrc is written\n",
        encoding="utf-8",
    )
    return job


def small_png(width: int = 64, height: int = 40) -> bytes:
    """A gray gradient."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    rows = b"".join(b"\0" + bytes((x * 3 + y) % 256 for x in range(width)) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
