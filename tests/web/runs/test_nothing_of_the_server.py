"""However a job ends, what people see of it names their files, and nothing of the server or of the program's inside."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cryocloud.web.core.places import attempt_folder
from cryocloud.web.projects.models import Project
from cryocloud.web.results.models import Artifact
from cryocloud.web.runs.models import Job
from cryocloud.web.runs.services import create_job
from platform_orders import OPTICS, make_dataset
from web.runs.test_real_job import micrograph
from web.sweep.test_strangers import content_of

Turn = Callable[..., None]
INSIDE = ("Traceback", "Warning:", ".py", "site-packages", "/tmp/", "__", "\u2215")
PICTURES = (".png", ".svg")
OPTICS_TABLE = (
    "data_optics\n\nloop_\n_rlnOpticsGroupName #1\n_rlnOpticsGroup #2\n_rlnVoltage #3\n_rlnSphericalAberration #4\n"
    "_rlnAmplitudeContrast #5\n_rlnImagePixelSize #6\n_rlnImageSize #7\n_rlnImageDimensionality #8\n"
    "og1 1 300 2.7 0.1 2.0 32 2\n\n"
)


def ended(
    owner: Any, project: Project, turn_until: Turn, job_type: str, inputs: dict[str, str], **parameters: Any
) -> Job:
    job = create_job(
        actor=owner.actor, project=project, job_type=job_type, parameters=parameters, inputs=inputs
    )

    def has_ended() -> bool:
        job.refresh_from_db()
        return job.state in Job.ENDED

    turn_until(has_ended)
    return job


def all_shown(owner: Any, job: Job) -> str:
    """What pages, the API and downloads say of a job."""
    addresses = [
        f"/jobs/{job.pk}/", f"/jobs/{job.pk}/log/", f"/projects/{job.project_id}/", f"/compare/?a={job.pk}&b={job.pk}",
        f"/jobs/{job.pk}/files/",
        *(f"/api/v1/jobs/{job.pk}{part}" for part in ("", "/log", "/events", "/artifacts", "/plots")),
    ]  # fmt: skip
    answers = [owner.client.get(address) for address in addresses]
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    texts = [answer.content.decode() for answer in answers]
    if Artifact.unscoped.filter(job=job).exists():
        packed = content_of(owner.client.get(f"/api/v1/jobs/{job.pk}/archive"))
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            texts += archive.namelist()
            texts += [
                archive.read(name).decode() for name in archive.namelist() if not name.endswith(PICTURES)
            ]
    return "\n".join(texts)


def assert_clean(text: str, home: Path) -> None:
    for word in (str(home), str(home.resolve()), *INSIDE):
        at = text.find(word)
        assert at < 0, f"{word}: {text[max(0, at - 200) : at + 200]}"


@pytest.mark.requirement("LOG-02")
@pytest.mark.parametrize(
    ("mishap", "state", "words"),
    [
        ("bug", "failed", "a fault of the program stopped this job, not your data"),
        ("segfault", "failed", "a fault of the program stopped this job, not your data"),
        ("memory", "failed", "not enough memory (7 GB more were needed)"),
        ("disk_full", "failed", "disk full while writing sum.txt"),
        ("bad_input", "failed", "pixel size 0: give “Pixel size”"),
        ("doubt", "done", "sum.txt may be"),
        ("library_warning", "done", "some numbers grew too large to be computed with"),
    ],
)
def test_a_mishap_is_one_plain_sentence(
    owner: Any, project: Project, turn_until: Turn, home: Path, mishap: str, state: str, words: str
) -> None:
    job = ended(owner, project, turn_until, "counting", {}, steps=2, mishap=mishap, mishap_step=1)
    assert job.state == state
    shown = all_shown(owner, job)
    assert words in (job.message or job.warnings[0]) and words in shown
    assert_clean(shown, home)


def test_the_operator_finds_the_trace_by_the_number_that_the_user_quotes(
    owner: Any, project: Project, turn_until: Turn
) -> None:
    job = ended(owner, project, turn_until, "counting", {}, steps=2, mishap="bug", mishap_step=1)
    attempt = job.attempts.get()
    assert f"tell whoever runs the platform the number {attempt.pk}" in job.message
    assert "KeyError: 'a bug'" in (attempt_folder(attempt.pk) / "trace.txt").read_text()


def test_a_warning_of_a_library_is_told_once_and_kept_in_full(
    owner: Any, project: Project, turn_until: Turn
) -> None:
    job = ended(owner, project, turn_until, "counting", {}, steps=2, mishap="library_warning", mishap_step=1)
    assert len(job.warnings) == 1
    trace = (attempt_folder(job.attempts.get().pk) / "trace.txt").read_text()
    assert "FutureWarning: this is deprecated" in trace and "overflow encountered" in trace


def test_files_in_folders_are_set_aside_under_the_names_that_they_were_given(
    owner: Any, project: Project, turn_until: Turn, home: Path, tmp_path: Path
) -> None:
    good = micrograph(tmp_path / "good.mrc", 1)
    content = {
        "day one/a.mrc": good,
        "day one/again.mrc": good,
        "day two/short.mrc": good[:2000],
        "text.mrc": b"none",
    }
    dataset = make_dataset(owner, content)
    first = ended(
        owner, project, turn_until, "import_micrographs", {"input": f"dataset:{dataset.pk}"}, **OPTICS
    )
    shown = all_shown(owner, first)
    assert first.exceptions == 3
    for name in ("Session 1/day one/again.mrc", "Session 1/day two/short.mrc", "Session 1/text.mrc"):
        assert f">{name}<" in shown
    assert "has the same pixels as Session 1/day one/a.mrc" in shown and '"path": "Session 1"' in shown
    assert_clean(shown, home)
    micrographs = {"input": f"job:{first.pk}/micrographs.star"}
    later = ended(owner, project, turn_until, "curate", micrographs, limits="given", intensity_min=1000.0)
    assert later.message == "job 1/micrographs.star: has no column to judge by; estimate the CTF first"
    assert_clean(all_shown(owner, later), home)


def test_what_a_table_names_elsewhere_is_told_in_the_words_of_the_table(
    owner: Any, project: Project, turn_until: Turn, home: Path
) -> None:
    rows = "000001@/etc/passwd 1 10000 9900 20\n000001@../../other/s.mrcs 1 10000 9900 20\n"
    labels = ("ImageName", "OpticsGroup", "DefocusU", "DefocusV", "DefocusAngle")
    head = "data_particles\n\nloop_\n" + "".join(f"_rln{one} #{i}\n" for i, one in enumerate(labels, 1))
    dataset = make_dataset(owner, {"p.star": (OPTICS_TABLE + head + rows).encode()})
    file = dataset.files.get()
    job = ended(owner, project, turn_until, "import_particles", {"input": f"file:{file.pk}"})
    assert job.state == "failed" and "names a file outside the inputs of this job" in job.message
    assert_clean(all_shown(owner, job), home)
