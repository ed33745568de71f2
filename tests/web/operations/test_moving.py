"""A platform is backed up while a job runs, and goes on elsewhere: same hashes, and the job comes to its end."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from cryocloud.client.demo_platform import running_platform, sign_up
from cryocloud.client.mail_sink import mail_sink
from cryocloud.client.platform import CryoCloud

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
OPTICS = {"voltage_kv": 300.0, "spherical_aberration_mm": 2.7, "amplitude_contrast": 0.1}
IMAGES = {"micrographs": 30, "particles_per_micrograph": 20, "width_px": 960, "height_px": 960}


def operate(*arguments: str) -> None:
    own = {name: text for name, text in os.environ.items() if not name.startswith(("CRYOCLOUD_", "DJANGO_"))}
    command = [sys.executable, "-m", "cryocloud.web", *arguments]
    subprocess.run(command, check=True, env=own, capture_output=True, text=True)


def hashes(client: CryoCloud, job_id: str) -> dict[str, str]:
    return {artifact.path: artifact.sha256 for artifact in client.artifacts(job_id)}


def ended(client: CryoCloud, job_id: str) -> str:
    for job in client.watch(job_id):
        state = job.state
    return state


def test_jobs_go_on_after_a_restore(tmp_path):
    home, kept, fresh = (tmp_path / name for name in ("home", "kept", "fresh"))
    with mail_sink() as sink:
        with running_platform(home, sink, {}) as address:
            secret = sign_up(address, sink)
            with CryoCloud(address, secret) as client:
                project = client.create_project("Simulation").id
                sampling = {"pixel_size_angstrom": 2.5, "symmetry": "O"}
                first = client.create_job(
                    project, "simulate_map", inputs={"model": "procedural"}, parameters=sampling
                )
                assert ended(client, first.id) == "done"
                before = hashes(client, first.id)
                second = client.create_job(
                    project,
                    "simulate_micrographs",
                    inputs={"map": f"job:{first.id}/map.mrc"},
                    parameters={**IMAGES, **OPTICS},
                )
                while client.job(second.id).progress == 0:
                    time.sleep(0.2)
                operate("backup", str(kept), "--home", str(home))
                assert client.job(second.id).state == "running"
                client.cancel_job(second.id)
                # On a busy machine the backup may take longer than the job.
                assert ended(client, second.id) in ("cancelled", "done")
        operate("restore", str(kept), "--home", str(fresh))
        with running_platform(fresh, sink, {}) as address, CryoCloud(address, secret) as client:
            assert hashes(client, first.id) == before
            assert ended(client, second.id) == "done"
            assert len(hashes(client, second.id)) > IMAGES["micrographs"]
            attempts = client.connection.get(f"/jobs/{second.id}")["attempts"]
            states = [attempt["state"] for attempt in attempts]
            assert states[-1] == "succeeded"
            assert states.count("succeeded") == 1
            artifact = next(one for one in client.artifacts(first.id) if one.path == "map.mrc")
            client.download(artifact, tmp_path)  # refuses a wrong checksum
