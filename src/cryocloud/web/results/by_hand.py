"""Orders that are made of a result and of what a person changed in it: edited picks, a curated set, a mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from cryocloud.catalog import UnknownName, load_job_type
from cryocloud.catalog.base import Input
from cryocloud.catalog.edits import Edits
from cryocloud.web.accounts.actor import Actor
from cryocloud.web.core.errors import Refused
from cryocloud.web.edits.services import checked_edits, draft_of, keep_edits
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Role
from cryocloud.web.runs.models import Job
from cryocloud.web.runs.services import create_job

JOB_TYPES = {"picks": "edit_picks", "micrographs": "curate", "mask": "make_mask"}
LIST, PICKS = "micrographs.star", "picks.star"


def order_by_hand(*, actor: Actor, job: Job, kind: str, parameters: Mapping[str, Any], file: str = "") -> Job:
    """A job of the person's draft; the draft stays, so that it can be changed and used again.

    ``file`` is the map of the result that a mask is for.
    """
    access.require_role(actor, job.organization_id, Role.EDITOR)
    draft = draft_of(actor=actor, source_id=job.pk, kind=kind)
    edits = checked_edits(kind, draft.content.get("edits", {}))
    inputs = _inputs(job, kind, edits, file)
    with transaction.atomic():
        if edits.summary():
            kept = keep_edits(actor=actor, project=job.project, kind=kind, edits=edits)
            inputs["edits"] = f"edits:{kept.pk}"
        return create_job(
            actor=actor,
            project=job.project,
            job_type=JOB_TYPES[kind],
            parameters=parameters,
            inputs=inputs,
        )


def _inputs(job: Job, kind: str, edits: Edits, file: str) -> dict[str, str]:
    if kind == "mask":
        return {"input": f"job:{job.pk}/{file}"}
    micrographs = micrographs_of(job)
    if not micrographs:
        raise Refused("The list of micrographs behind this result is not known; begin with a CTF job.")
    if kind == "micrographs":
        return {"input": micrographs}
    if has_picks(job):
        return {"micrographs": micrographs, "picks": f"job:{job.pk}/{PICKS}"}
    if not edits.summary():
        raise Refused("No particle has been picked yet. Tap on some of them first.")
    return {"micrographs": micrographs}


def micrographs_of(job: Job) -> str:
    """Reference to the list of micrographs that a result is, or was made from; empty if there is none."""
    if LIST in _outputs(job):
        return f"job:{job.pk}/{LIST}"
    given = (job.inputs.get(one.name, "") for one in _declared(job) if one.kind == "micrographs")
    return next((text for text in map(str, given) if text.startswith(("job:", "file:"))), "")


def has_picks(job: Job) -> bool:
    return PICKS in _outputs(job)


def _outputs(job: Job) -> tuple[str, ...]:
    try:
        return load_job_type(job.job_type).outputs
    except UnknownName:
        return ()


def _declared(job: Job) -> tuple[Input, ...]:
    try:
        return load_job_type(job.job_type).inputs
    except UnknownName:
        return ()
