"""What is said of an order before it is placed, and what may be chosen for it."""

from __future__ import annotations

from typing import Any

import pytest

from cryocloud.catalog import load_job_type, load_workflow
from cryocloud.web.configuration import configuration
from cryocloud.web.core.errors import Refused
from cryocloud.web.pages.input_choices import input_choices
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Job
from cryocloud.web.runs.preflight import Finding, check_order
from cryocloud.web.runs.services import create_job
from platform_orders import OPTICS, finished_job, make_dataset, make_project

MICROGRAPHS = {"a.mrc": b"", "folder/b.mrc": b"", "notes.txt": b""}


def check(member: Any, project: Project, name: str, parameters: Any, inputs: Any) -> list[Finding]:
    kind = "workflow" if name == "spa" else "job"
    checked = check_order(
        actor=member.actor, project=project, kind_and_name=(kind, name), parameters=parameters, inputs=inputs
    )
    return checked.findings


def levels(findings: list[Finding]) -> set[tuple[str, str]]:
    return {(finding.field, finding.level) for finding in findings}


def test_all_that_is_wrong_with_an_order_is_said_at_once(owner: Any, project: Project) -> None:
    found = check(owner, project, "spa", {"voltage_kv": "x", "particle_diameter_angstrom": 1}, {})
    assert {
        ("micrographs", "error"),
        ("voltage_kv", "error"),
        ("particle_diameter_angstrom", "error"),
    } <= levels(found)


def test_cost_comes_from_file_headers_and_the_pixel_size_is_compared(owner: Any, project: Project) -> None:
    dataset = make_dataset(owner, MICROGRAPHS)
    header = {"width_px": 4096, "height_px": 4096, "pixel_size_angstrom": 1.2}
    dataset.files.filter(path__endswith=".mrc").update(header=header)
    found = check(owner, project, "import_micrographs", OPTICS, {"input": f"dataset:{dataset.pk}"})
    assert ("pixel_size_angstrom", "warning") in levels(found)
    assert not any(finding.level == "error" for finding in found)
    body = {
        "job_type": "import_micrographs",
        "parameters": OPTICS,
        "inputs": {"input": f"dataset:{dataset.pk}"},
    }
    told = owner.api("POST", f"/projects/{project.pk}/preflight", body).json()
    assert any("for 2 items" in finding["text"] and "of memory" in finding["text"] for finding in told)


def test_cost_of_a_later_job_comes_from_the_jobs_before_it(owner: Any, project: Project) -> None:
    size = {"image_width_px": 1000, "image_height_px": 1000, "micrographs": 30}
    first = finished_job(owner, project, "import_micrographs", ("micrographs.star",), metrics=size)
    ctf = finished_job(
        owner, project, "ctf", ("micrographs.star",), metrics={"micrographs": 28},
        inputs={"input": f"job:{first.pk}/micrographs.star"},
    )  # fmt: skip
    inputs = {"input": f"job:{ctf.pk}/micrographs.star"}
    body = {"job_type": "pick", "parameters": {"particle_diameter_angstrom": 120}, "inputs": inputs}
    told = owner.api("POST", f"/projects/{project.pk}/preflight", body).json()
    assert any("28 items" in finding["text"] for finding in told)
    huge = {**size, "image_width_px": 10**7, "image_height_px": 10**7}
    Job.unscoped.filter(pk=first.pk).update(metrics=huge)
    found = check(owner, project, "pick", {"particle_diameter_angstrom": 120}, inputs)
    assert any(finding.level == "error" and "memory" in finding.text for finding in found)
    with pytest.raises(Refused, match="memory"):
        create_job(
            actor=owner.actor, project=project, job_type="pick",
            parameters={"particle_diameter_angstrom": 120}, inputs=inputs,
        )  # fmt: skip


def test_too_little_compute_is_a_warning_and_none_an_error(
    owner: Any, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    none_left = configuration().model_copy(update={"trial_compute_hours": 0})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: none_left)
    found = check(owner, project, "simulate_map", {}, {"model": "procedural"})
    assert ("", "error") in levels(found)


def test_choices_fit_the_input_and_are_one_s_own(owner: Any, stranger: Any, project: Project) -> None:
    dataset = make_dataset(owner, {**MICROGRAPHS, "reference.mrc": b"", "start.PDB": b""})
    theirs = make_dataset(stranger, {"secret.mrc": b""})
    finished_job(stranger, make_project(stranger), "refine", ("map.mrc",))
    refine = finished_job(owner, project, "refine", ("map.mrc", "half1.mrc"))
    abinitio = finished_job(owner, project, "abinitio", (), parameters={"classes": 2})
    finished_job(owner, project, "refine", (), state="failed")

    def references(job_type: str, number: int = 0) -> list[str]:
        return [
            choice.reference
            for choice in input_choices(owner.actor, project, load_job_type(job_type).inputs[number])
        ]

    assert references("postprocess") == [f"job:{refine.pk}"]
    maps = references("refine", 1)
    assert {f"job:{refine.pk}/map.mrc", f"job:{abinitio.pk}/volume_class2.mrc"} <= set(maps)
    assert f"file:{dataset.files.get(path='reference.mrc').pk}" in maps
    assert not any(str(file.pk) in text for file in theirs.files.all() for text in maps)
    micrographs = input_choices(owner.actor, project, load_workflow("spa").inputs[0])
    assert [choice.reference for choice in micrographs] == [f"dataset:{dataset.pk}"]
    assert references("simulate_map")[-1] == "procedural"
    assert references("ctf") == []


def test_every_kind_of_input_in_the_catalog_is_known(owner: Any) -> None:
    from cryocloud.catalog import job_type_names
    from cryocloud.web.pages.input_choices import _FITS

    kinds = {one.kind for name in job_type_names() for one in load_job_type(name).inputs}
    assert kinds <= set(_FITS)
