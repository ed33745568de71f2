"""Orders are checked against the catalog and through the one door before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from django.db import connection

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.models import ApiToken
from cryocloud.web.core.errors import Conflict, Forbidden, NotFound, Refused, TakesNothing
from cryocloud.web.core.models import Event
from cryocloud.web.organizations.models import Organization, Role
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Job, Run
from cryocloud.web.runs.services import (
    cancel_job,
    cancel_run,
    create_job,
    is_dispatch_paused,
    pause_dispatch,
    resume_dispatch,
    retry_job,
    set_job_notes,
    start_run,
)
from platform_orders import OPTICS, make_dataset, make_project


def order(member: Any, project: Project, reference: str, **changes: Any) -> Job:
    given = {"job_type": "import_micrographs", "parameters": OPTICS, "inputs": {"input": reference}} | changes
    return create_job(actor=member.actor, project=project, **given)


def test_an_order_is_complete_numbered_and_announced(owner: Any, project: Project) -> None:
    dataset = make_dataset(owner)
    first, second = (order(owner, project, f"dataset:{dataset.pk}") for _ in range(2))
    assert (first.number, second.number) == (1, 2)
    assert first.state == "queued" and first.parameters["voltage_kv"] == 300.0
    assert Event.objects.filter(topic=f"project:{project.pk}", kind="job").count() == 2


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"parameters": {**OPTICS, "voltage_kv": "many"}}, "voltage_kv"),
        ({"parameters": {**OPTICS, "typo": 1}}, "typo"),
        ({"parameters": {**OPTICS, "pixel_size_angstrom": -1}}, "pixel_size_angstrom"),
        ({"job_type": "import_micrograph"}, "job_type"),
        ({"job_type": "../../etc/passwd"}, "job_type"),
        ({"inputs": {}}, "input"),
        ({"inputs": {"input": "/etc/passwd"}}, "input"),
        ({"inputs": {"input": "job:x/../../../secret-key"}}, "input"),
        ({"inputs": {"input": "job:x//etc/passwd"}}, "input"),
        ({"seed": -1}, "seed"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_field(
    owner: Any, project: Project, changes: dict[str, Any], field: str
) -> None:
    dataset = make_dataset(owner)
    with pytest.raises(Refused) as refusal:
        order(owner, project, f"dataset:{dataset.pk}", **changes)
    assert field in refusal.value.fields
    assert not Job.unscoped.exists()


def test_inputs_of_another_organization_are_not_found(owner: Any, stranger: Any, project: Project) -> None:
    theirs = make_dataset(stranger)
    their_job = order(stranger, make_project(stranger), f"dataset:{theirs.pk}")
    for reference in (f"dataset:{theirs.pk}", "dataset:missing", f"job:{their_job.pk}", "file:missing"):
        with pytest.raises(NotFound):
            order(owner, project, reference)
    with pytest.raises(NotFound):
        order(stranger, project, f"dataset:{theirs.pk}")


def test_a_person_of_two_organizations_cannot_mix_their_data(
    owner: Any, stranger: Any, project: Project
) -> None:
    from cryocloud.web.organizations.models import Membership

    Membership.unscoped.create(organization=stranger.organization, user=owner.user, role=Role.OWNER)
    with pytest.raises(NotFound):
        order(owner, project, f"dataset:{make_dataset(stranger).pk}")


def test_a_viewer_and_a_reading_token_may_not_order(
    owner: Any, project: Project, make_member: Callable[..., Any]
) -> None:
    dataset = make_dataset(owner)
    viewer = make_member(owner.organization, Role.VIEWER, name="vera")
    with pytest.raises(Forbidden):
        order(viewer, project, f"dataset:{dataset.pk}")
    token = ApiToken.objects.get(user=owner.user)
    token.scope = ApiToken.Scope.READ
    with pytest.raises(Forbidden):
        create_job(
            actor=Actor(owner.user, token), project=project, job_type="import_micrographs",
            parameters=OPTICS, inputs={"input": f"dataset:{dataset.pk}"},
        )  # fmt: skip


def test_nothing_is_ordered_after_the_trial(owner: Any, project: Project) -> None:
    dataset = make_dataset(owner)
    Organization.objects.filter(pk=owner.organization.pk).update(state=Organization.State.TRIAL_ENDED)
    with pytest.raises(TakesNothing, match="its trial has ended"):
        order(owner, project, f"dataset:{dataset.pk}")


def test_a_queued_job_is_cancelled_at_once_noted_and_retried(owner: Any, project: Project) -> None:
    job = order(owner, project, f"dataset:{make_dataset(owner).pk}")
    set_job_notes(actor=owner.actor, job=job, notes="too dark")
    cancel_job(actor=owner.actor, job=job)
    assert (job.state, job.notes) == ("cancelled", "too dark")
    with pytest.raises(Conflict):
        cancel_job(actor=owner.actor, job=job)
    retry_job(actor=owner.actor, job=job)
    assert (job.state, job.cancel_requested_at, job.message) == ("queued", None, "")


def test_a_run_makes_its_first_job_and_is_cancelled_with_it(owner: Any, project: Project) -> None:
    parameters = {**OPTICS, "particle_diameter_angstrom": 125, "symmetry": "O"}
    run = start_run(
        actor=owner.actor, project=project, workflow="spa", parameters=parameters,
        inputs={"micrographs": f"dataset:{make_dataset(owner).pk}"},
    )  # fmt: skip
    job = run.jobs.get()
    assert (run.state, job.job_type) == ("running", "import_micrographs")
    assert job.inputs == {"input": run.inputs["micrographs"]}
    cancel_run(actor=owner.actor, run=run)
    assert (run.state, run.jobs.get().state) == ("cancelled", "cancelled")


def test_cancelling_the_only_job_of_a_run_ends_the_run(owner: Any, project: Project) -> None:
    run = start_run(
        actor=owner.actor, project=project, workflow="spa",
        parameters={**OPTICS, "particle_diameter_angstrom": 125},
        inputs={"micrographs": f"dataset:{make_dataset(owner).pk}"},
    )  # fmt: skip
    cancel_job(actor=owner.actor, job=run.jobs.get())
    assert Run.unscoped.get().state == "cancelled"


@pytest.mark.django_db(transaction=True)
def test_orders_at_the_same_moment_get_different_numbers(owner: Any, project: Project) -> None:
    reference = f"dataset:{make_dataset(owner).pk}"

    def place() -> None:
        try:
            order(owner, project, reference)
        finally:
            connection.close()

    threads = [Thread(target=place) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(Job.unscoped.values_list("number", flat=True)) == list(range(1, 9))


@pytest.mark.django_db
def test_pausing_twice_and_resuming(home: Path) -> None:
    pause_dispatch()
    pause_dispatch()
    assert is_dispatch_paused()
    resume_dispatch()
    assert not is_dispatch_paused()
