"""What can be chosen as an input: typed, named as people call it, the same branch first, found by words."""

from __future__ import annotations

from typing import Any

import pytest

from cryocloud.catalog import load_job_type
from cryocloud.web.data.models import DatasetFile, StoredObject
from cryocloud.web.pages.input_choices import SHOWN, Choice, input_choices
from cryocloud.web.runs.models import Job
from platform_orders import make_dataset
from web.pages.laboratory import Laboratory


def choices(owner: Any, lab: Laboratory, job_type: str, number: int = 0, **options: str) -> list[Choice]:
    declared = load_job_type(job_type).inputs[number]
    return input_choices(owner.actor, lab.project, declared, **options)


def labels(found: list[Choice]) -> list[str]:
    return [choice.label for choice in found]


def test_results_are_called_what_they_are(owner: Any, laboratory: Laboratory) -> None:
    assert labels(choices(owner, laboratory, "pick"))[:3] == [
        "Accepted micrographs of #3 Curate micrographs (44 accepted)",
        "Rejected micrographs of #3 Curate micrographs (44 accepted)",
        "Micrographs with CTF of #2 CTF estimation (4.31 Å)",
    ]
    assert labels(choices(owner, laboratory, "postprocess"))[-1] == "Half maps of #10 3D refinement (4.02 Å)"
    assert not any(label.startswith("Mask of") for label in labels(choices(owner, laboratory, "refine", 1)))


def test_the_same_branch_comes_first(owner: Any, laboratory: Laboratory) -> None:
    jobs = laboratory.jobs
    other = Job.unscoped.create(
        organization=owner.organization, project=laboratory.project, number=90, job_type="abinitio", version=1,
        parameters={}, inputs={"input": f"job:{jobs[4].pk}/particles.star"}, state=Job.State.DONE,
        created_by_id=owner.user.pk,
    )  # fmt: skip
    beside = f"job:{jobs[8].pk}/particles.star"
    found = choices(owner, laboratory, "refine", 1, beside=beside)
    near = [choice.reference.split("/")[0] for choice in found if choice.reference.startswith("job:")]
    assert near.index(f"job:{jobs[7].pk}") < near.index(f"job:{other.pk}"), "it shares the selected particles"
    other_branch = choices(owner, laboratory, "refine", 1, beside=f"job:{other.pk}/particles.star")
    assert other_branch[0].reference == f"job:{other.pk}/volume_class1.mrc"


def test_a_chain_of_thousands_of_jobs_is_no_trouble(owner: Any, laboratory: Laboratory) -> None:
    previous, made = laboratory.jobs[6].pk, []
    for number in range(100, 2600):
        made.append(
            Job(
                organization=owner.organization, project=laboratory.project, number=number, job_type="extract",
                version=1, parameters={}, inputs={"input": f"job:{previous}/particles.star"},
                state=Job.State.DONE, created_by_id=owner.user.pk,
            )
        )  # fmt: skip
        previous = made[-1].pk
    Job.unscoped.bulk_create(made)
    found = choices(owner, laboratory, "class2d")
    assert found[0].reference == f"job:{previous}/particles.star" and len(found) == SHOWN


def test_a_map_is_not_offered_as_its_own_model(owner: Any, laboratory: Laboratory) -> None:
    file = make_dataset(owner, {"map.mrc": b""}).files.get()
    models = choices(owner, laboratory, "map_to_model", 1, beside=f"file:{file.pk}")
    assert not any(choice.reference == f"file:{file.pk}" for choice in models)
    assert not any("refinement" in choice.label for choice in models)


def test_five_thousand_files_are_no_list_but_are_found(owner: Any, laboratory: Laboratory) -> None:
    dataset = make_dataset(owner, {"maps/first.mrc": b""})
    stored = StoredObject.unscoped.bulk_create(
        StoredObject(organization=owner.organization, key=f"m{n}", size_bytes=1, sha256="")
        for n in range(5000)
    )
    DatasetFile.unscoped.bulk_create(
        DatasetFile(organization=owner.organization, dataset=dataset, path=f"maps/m{n:04d}.mrc", stored=one)
        for n, one in enumerate(stored)
    )
    found = choices(owner, laboratory, "refine", 1)
    assert len([choice for choice in found if choice.reference.startswith("file:")]) == SHOWN
    assert labels(choices(owner, laboratory, "refine", 1, text="SESSION m0042")) == [
        "Session 1 / maps/m0042.mrc"
    ]
    path = f"/projects/{laboratory.project.pk}/jobs/refine/new/"
    page = owner.client.get(path, {"find-reference": "first.mrc"}).content.decode()
    assert "maps/first.mrc" in page and "m0042" not in page
    assert 'type="search"' in page and len(page) < 60_000


@pytest.mark.parametrize("text", ["%", "'", "\\", "(", "\x00", "é" * 200])
def test_any_text_can_be_searched(owner: Any, laboratory: Laboratory, text: str) -> None:
    path = f"/projects/{laboratory.project.pk}/jobs/refine/new/"
    assert owner.client.get(path, {"find-reference": text, "find-input": text}).status_code == 200


def test_what_is_chosen_is_shown_and_survives_a_search(owner: Any, laboratory: Laboratory) -> None:
    reference = f"job:{laboratory.jobs[7].pk}/volume_class1.mrc"
    path = f"/projects/{laboratory.project.pk}/jobs/refine/new/"
    page = owner.client.get(path, {"input-reference": reference}).content.decode()
    assert f'src="/jobs/{laboratory.jobs[7].pk}/plots/' in page
    searched = owner.client.get(
        path, {"input-reference": reference, "find-reference": "nothing"}
    ).content.decode()
    assert f'<option value="{reference}" selected>Map of #8 Ab-initio map (11.8 Å)' in searched
    hidden = owner.client.get(
        path, {"input-reference": f"job:{laboratory.jobs[9].pk}/half1.mrc"}
    ).content.decode()
    assert "selected>Half1.mrc of #10 3D refinement (4.02 Å)" in hidden


def test_what_belongs_to_others_is_not_named(owner: Any, stranger: Any, laboratory: Laboratory) -> None:
    theirs = make_dataset(stranger, {"secret.star": b""})
    path = f"/projects/{laboratory.project.pk}/jobs/refine/new/"
    for reference in (f"file:{theirs.files.get().pk}", f"dataset:{theirs.pk}", "job:nothing/map.mrc", "x"):
        page = owner.client.get(path, {"input-input": reference}).content.decode()
        assert "secret" not in page and theirs.pk not in page
