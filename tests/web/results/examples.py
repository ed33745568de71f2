"""Small results as jobs leave them, made of shapes that are known exactly."""

from __future__ import annotations

import hashlib
import json
import shutil

import numpy as np
import pandas as pd

from cryocloud.engine.io.mrc import MrcStackWriter, write_mrc
from cryocloud.engine.io.star import write_star

EDGE_PX = 48
PIXEL_ANGSTROM = 2.0


def blob(edge_px=EDGE_PX, *, center=(0.5, 0.5, 0.5), sigma_px=6.0):
    """A Gaussian [z, y, x]; ``center`` as shares of the edge along x, y, z."""
    z, y, x = np.mgrid[:edge_px, :edge_px, :edge_px] - np.array(center[::-1])[:, None, None, None] * edge_px
    return np.exp(-(x**2 + y**2 + z**2) / (2 * sigma_px**2)).astype(np.float32)


def write_refine(folder):
    noise = np.random.default_rng(0).normal(0, 0.02, (2, *(EDGE_PX,) * 3)).astype(np.float32)
    density = blob(center=(0.6, 0.5, 0.4))
    for name, volume in (("map", density), ("half1", density + noise[0]), ("half2", density + noise[1])):
        write_mrc(folder / f"{name}.mrc", volume, PIXEL_ANGSTROM)
    write_mrc(folder / "mask.mrc", (density > 0.2).astype(np.float32), PIXEL_ANGSTROM)
    shells = np.arange(EDGE_PX // 2)
    fsc = pd.DataFrame(
        {
            "rlnSpectralIndex": shells,
            "rlnResolution": shells / (EDGE_PX * PIXEL_ANGSTROM),
            "rlnFourierShellCorrelationUnmaskedMaps": np.clip(1 - shells / 20, -0.05, 1),
            "rlnFourierShellCorrelationMaskedMaps": np.clip(1 - shells / 30, -0.05, 1),
        }
    )
    write_star(folder / "fsc.star", {"fsc": fsc})
    draw = np.random.default_rng(1)
    particles = pd.DataFrame(
        {
            "rlnAngleRot": draw.uniform(-180, 180, 3000),
            "rlnAngleTilt": np.rad2deg(np.arccos(draw.uniform(-1, 1, 3000))),
            "rlnAnglePsi": 0.0,
        }
    )
    write_star(folder / "particles.star", {"particles": particles})
    plot(folder, "fsc.png")


def write_class2d(folder, classes=7):
    with MrcStackWriter(folder / "classes.mrcs", 32, 4.0) as stack:
        stack.append(np.stack([blob(32, sigma_px=2 + k)[16] for k in range(classes)]))
    numbers = np.arange(1, classes + 1)
    table = pd.DataFrame(
        {
            "rlnReferenceImage": [f"{n:06d}@classes.mrcs" for n in numbers],
            "rlnClassNumber": numbers,
            "rlnClassDistribution": numbers[::-1] / numbers.sum(),
            "rlnEstimatedResolution": 20.0 - numbers,
            "rlnClassScore": numbers / (classes + 1),
            "cryocloudClassParticles": 100 * numbers[::-1],
        }
    )
    write_star(folder / "classes.star", {"model_classes": table})
    particles = pd.DataFrame({"rlnImageName": ["000001@particles.mrcs"], "rlnClassNumber": [1]})
    write_star(folder / "particles.star", {"particles": particles})
    plot(folder, "classes.png")


def write_micrographs(folder, count=3, shape=(300, 400)):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        image = np.random.default_rng(number).normal(size=shape).astype(np.float32)
        image[100:140, 200:240] -= 6
        write_mrc(folder / f"mic_{number}.mrc", image, 1.5)


def write_picks(folder, names):
    """One pick in the middle of the dark square of each micrograph, others on noise."""
    rows = []
    for name in names:
        for x, y, score in ((219.5, 119.5, 0.9), (50, 60, 0.3), (350, 250, 0.2)):
            rows.append([name, x, y, score, 1, 15000.0, 14000.0, 30.0, 4.2])
    labels = [
        "rlnMicrographName",
        "rlnCoordinateX",
        "rlnCoordinateY",
        "rlnAutopickFigureOfMerit",
        "rlnOpticsGroup",
        "rlnDefocusU",
        "rlnDefocusV",
        "rlnDefocusAngle",
        "rlnCtfMaxResolution",
    ]
    write_star(folder / "picks.star", {"optics": optics(), "particles": pd.DataFrame(rows, columns=labels)})


def write_ctf(folder, names):
    (folder / "spectra").mkdir(exist_ok=True)
    y, x = np.mgrid[:256, :256] - 128
    rows = []
    for index, name in enumerate(names):
        write_mrc(folder / f"spectra/{index}.mrc", np.cos(np.hypot(x, y) ** 2 / 600).astype(np.float32), 1.5)
        rows.append([name, 1, 15000.0, 14000.0, 30.0, 4.2, f"spectra/{index}.mrc"])
    labels = [
        "rlnMicrographName",
        "rlnOpticsGroup",
        "rlnDefocusU",
        "rlnDefocusV",
        "rlnDefocusAngle",
        "rlnCtfMaxResolution",
        "rlnCtfImage",
    ]
    table = pd.DataFrame(rows, columns=labels)
    write_star(folder / "micrographs.star", {"optics": optics(), "micrographs": table})


def optics():
    return pd.DataFrame(
        {
            "rlnOpticsGroupName": ["group"],
            "rlnOpticsGroup": [1],
            "rlnVoltage": [300.0],
            "rlnSphericalAberration": [2.7],
            "rlnAmplitudeContrast": [0.1],
            "rlnMicrographPixelSize": [1.5],
        }
    )


def plot(folder, name):
    from PIL import Image

    (folder / "plots").mkdir(exist_ok=True)
    Image.fromarray(np.full((40, 60), 200, np.uint8)).save(folder / "plots" / name)


def publish(organization, user, job_type, write, *, project=None, inputs=None, parameters=None):
    """A job that has succeeded, its files and their artifacts, as the scheduler would leave them."""
    from cryocloud.web.core.clock import now
    from cryocloud.web.core.places import result_folder
    from cryocloud.web.projects.models import Project
    from cryocloud.web.results.models import Artifact
    from cryocloud.web.runs.models import Attempt, Job

    project = project or Project.unscoped.create(
        organization=organization, name="Apoferritin", created_by_id=user.pk
    )
    job = Job.unscoped.create(
        organization=organization,
        project=project,
        number=project.jobs.count() + 1,
        job_type=job_type,
        version=1,
        parameters=parameters or {},
        inputs=inputs or {},
        state=Job.State.DONE,
        created_by_id=user.pk,
        finished_at=now(),
    )
    attempt = Attempt.unscoped.create(
        organization=organization, job=job, number=1, state=Attempt.State.SUCCEEDED, fence=1
    )
    folder = result_folder(job.pk, attempt.pk)
    folder.mkdir(parents=True)
    write(folder)
    (folder / "job.json").write_text(json.dumps({"type": job_type}))
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            Artifact.unscoped.create(
                organization=organization,
                job=job,
                attempt=attempt,
                path=str(path.relative_to(folder)),
                size_bytes=path.stat().st_size,
                sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            )
    return job


def copy_of(source):
    """A writer that copies an existing result folder."""
    return lambda folder: shutil.copytree(source, folder, dirs_exist_ok=True)
