"""A first map without a question asked: the sample dataset, its project and its run."""

from __future__ import annotations

from django.db import transaction

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.data.sample import PARTICLE, PROFILE, use_sample_data
from cryocloud.web.organizations.access import visible
from cryocloud.web.organizations.models import Organization
from cryocloud.web.projects.services import create_project
from cryocloud.web.runs.models import Run
from cryocloud.web.runs.services import start_run

NAME = "Sample"
DESCRIPTION = "Simulated micrographs of a protein that does not exist, processed with the defaults."


@transaction.atomic
def start_sample_run(*, actor: Actor, organization: Organization) -> Run:
    """All of it or nothing: a refusal leaves no empty project behind. Who asks again gets the run that is at work.

    Adding the dataset locks the organization until the end, so that two clicks are one after the other.
    """
    dataset = use_sample_data(actor=actor, organization=organization)
    inputs = {"micrographs": f"dataset:{dataset.pk}"}
    at_work = visible(actor, Run).filter(organization=organization, state__in=Run.OPEN, inputs=inputs).first()
    if at_work is not None:
        return at_work
    project = create_project(actor=actor, organization=organization, name=NAME, description=DESCRIPTION)
    return start_run(
        actor=actor,
        project=project,
        workflow="spa",
        parameters={**PROFILE, **PARTICLE},
        inputs=inputs,
    )
