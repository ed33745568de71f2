"""What can be said of an order before it is placed: complaints, expected cost, and whether it fits."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from django.db.models import QuerySet
from pydantic import ValidationError

from cryocloud.catalog.base import Facts, Forecast, JobType
from cryocloud.catalog.messages import field_complaints
from cryocloud.catalog.workflow import Workflow
from cryocloud.web.accounts.actor import Actor
from cryocloud.web.configuration import configuration
from cryocloud.web.core.errors import PlatformError, Refused
from cryocloud.web.data.models import Dataset, DatasetFile
from cryocloud.web.metering.services import remaining_compute_s
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Organization
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.finding import Finding
from cryocloud.web.runs.images import diameter_findings, micrograph_findings, optics_findings
from cryocloud.web.runs.lineage import references_of
from cryocloud.web.runs.models import Job
from cryocloud.web.runs.orders import (
    input_complaints,
    known_job_type,
    known_workflow,
)
from cryocloud.web.runs.references import IMAGE_SUFFIXES, parse_reference

DISK_RESERVE_BYTES = 1_000_000_000
GENERATIONS_MAX = 20
ITEM_METRICS = {
    "micrographs.star": ("accepted", "micrographs"),
    "picks.star": ("picks",),
    "particles.star": ("particles",),
}


def check_order(
    *,
    actor: Actor,
    project: Project,
    kind_and_name: tuple[str, str],
    parameters: Mapping[str, Any],
    inputs: Mapping[str, str],
) -> list[Finding]:
    """All findings; an order with an error among them would be refused or fail. The kind is ``job`` or ``workflow``."""
    kind, name = kind_and_name
    ordered: JobType | Workflow = known_workflow(name) if kind == "workflow" else known_job_type(name)
    complaints = input_complaints(actor, project, ordered.inputs, inputs)
    findings = [Finding(field, "error", text) for field, text in complaints.items()]
    complete = None
    try:
        complete = ordered.parameters.model_validate(dict(parameters))
    except ValidationError as error:
        findings += [
            Finding(field, "error", text)
            for field, text in field_complaints(error, ordered.parameters.model_fields).items()
        ]
    facts, pixel_size_angstrom = known_facts(actor, project, inputs)
    findings += _images(actor, ordered, complete, inputs)
    if complete is not None:
        findings += _diameters(complete, facts, pixel_size_angstrom)
        findings += _pixel_size(complete, pixel_size_angstrom, ordered.parameters.model_fields)
        if isinstance(ordered, JobType) and facts.items:
            findings += _cost(project, ordered.forecast(complete, facts), facts)
    return findings + list(_compute(project))


def require_possible(
    actor: Actor,
    project: Project,
    ordered: JobType | Workflow,
    complete: Mapping[str, Any],
    inputs: Mapping[str, str],
) -> None:
    """Refuse what could never succeed: by its inputs, or on this computer however long it waits."""
    facts, pixel_size_angstrom = known_facts(actor, project, inputs)
    parameters = ordered.parameters.model_validate(dict(complete))
    findings = [
        *_images(actor, ordered, parameters, inputs),
        *_diameters(parameters, facts, pixel_size_angstrom),
    ]
    impossible = {found.field: found.text for found in findings if found.level == "error"}
    if impossible:
        raise Refused("This order cannot succeed", impossible)
    if isinstance(ordered, JobType) and facts.items:
        forecast = ordered.forecast(parameters, facts)
        if forecast.memory_bytes > _memory_bytes():
            raise Refused(_too_large(forecast))


def _too_large(forecast: Forecast) -> str:
    return (
        f"Needs about {_size(forecast.memory_bytes)} of memory; the computer has {_size(_memory_bytes())}. Use a "
        "smaller box, fewer classes or fewer items."
    )


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def known_facts(actor: Actor, project: Project, inputs: Mapping[str, str]) -> tuple[Facts, float | None]:
    """Number and size of the items, and their pixel size, from file headers and from the jobs that made the inputs."""
    facts, pixel_size_angstrom = Facts(), None
    for text in inputs.values():
        reference = parse_reference(text)
        if reference is None or reference.kind == "edits":
            continue
        try:
            if reference.kind == "job":
                job = access.get(actor, Job, reference.id)
                facts = _facts_of_job(job, reference.name, facts)
                pixel_size_angstrom = pixel_size_angstrom or _pixel_size_of_job(job)
            else:
                facts, size = _facts_of_files(actor, reference.kind, reference.id, facts)
                pixel_size_angstrom = pixel_size_angstrom or size
        except PlatformError:
            continue  # a complaint beside the input says what is wrong with it
    return facts, pixel_size_angstrom


def _facts_of_files(actor: Actor, kind: str, object_id: str, facts: Facts) -> tuple[Facts, float | None]:
    if kind == "dataset":
        files = access.get(actor, Dataset, object_id).files.all()
    else:
        files = access.visible(actor, DatasetFile).filter(pk=object_id)
    return _facts_of_images(files, facts)


def facts_behind(job: Job) -> Facts:
    """The same for an order that was checked when it came."""
    facts = Facts()
    for reference in references_of(job):
        own = {"organization_id": job.organization_id}
        if reference.kind == "job":
            maker = Job.unscoped.filter(pk=reference.id, **own).first()
            facts = facts if maker is None else _facts_of_job(maker, reference.name, facts)
        else:
            of = {"dataset_id" if reference.kind == "dataset" else "pk": reference.id}
            facts, _ = _facts_of_images(DatasetFile.unscoped.filter(**own, **of), facts)
    return facts


def _facts_of_images(files: QuerySet[DatasetFile], facts: Facts) -> tuple[Facts, float | None]:
    images = [one for one in files.values_list("path", "header") if one[0].lower().endswith(IMAGE_SUFFIXES)]
    header: dict[str, Any] = next((header for _, header in images if header.get("width_px")), {})
    found = replace(
        facts,
        items=facts.items or len(images),
        image_height_px=facts.image_height_px or header.get("height_px", 0),
        image_width_px=facts.image_width_px or header.get("width_px", 0),
    )
    return found, header.get("pixel_size_angstrom")


def _generations(job: Job) -> Iterator[list[Job]]:
    """The job, those that it reads, those that these read, and so on."""
    generation: list[Job] = [job]
    for _ in range(GENERATIONS_MAX):
        yield generation
        ids = [one.id for job in generation for one in references_of(job) if one.kind == "job"]
        generation = list(Job.unscoped.filter(pk__in=ids, project_id=job.project_id))
        if not generation:
            return


def _pixel_size_of_job(job: Job) -> float | None:
    """Of the nearest job that tells one."""
    told = (one.metrics.get("pixel_size_angstrom") for generation in _generations(job) for one in generation)
    return next((float(size) for size in told if isinstance(size, int | float) and size > 0), None)


def _facts_of_job(job: Job, name: str, facts: Facts) -> Facts:
    """Its own numbers first, then those of the jobs before it: a CTF job does not repeat the image size."""
    items = next(
        (job.metrics[key] for key in ITEM_METRICS.get(name, ("particles",)) if job.metrics.get(key)), 0
    )
    found = replace(facts, items=facts.items or int(items))
    for generation in _generations(job):
        for one in generation:
            found = replace(
                found,
                image_height_px=found.image_height_px or int(one.metrics.get("image_height_px") or 0),
                image_width_px=found.image_width_px or int(one.metrics.get("image_width_px") or 0),
                box_size_px=found.box_size_px or int(one.metrics.get("box_size_px") or 0),
                items=found.items or int(one.metrics.get("particles") or 0),
            )
    return found


def _images(
    actor: Actor, ordered: JobType | Workflow, complete: Any, inputs: Mapping[str, str]
) -> Iterator[Finding]:
    """About datasets that are given as micrographs."""
    for declared in ordered.inputs:
        reference = parse_reference(inputs.get(declared.name, ""))
        if declared.kind != "micrograph_files" or reference is None or reference.kind != "dataset":
            continue
        dataset = access.visible(actor, Dataset).filter(pk=reference.id).first()
        if dataset is not None:
            yield from micrograph_findings(declared.name, dataset.files.all())
            if complete is not None:
                first = dataset.files.filter(header__has_key="width_px").first()
                yield from optics_findings(complete, dataset.files.all(), first.header if first else {})


def _diameters(complete: Any, facts: Facts, header_angstrom: float | None) -> Iterator[Finding]:
    pixel_size_angstrom = getattr(complete, "pixel_size_angstrom", None) or header_angstrom
    diameter_angstrom = getattr(complete, "particle_diameter_angstrom", None)
    if diameter_angstrom and pixel_size_angstrom:
        image_px = (facts.image_width_px, facts.image_height_px)
        yield from diameter_findings(diameter_angstrom, pixel_size_angstrom, image_px)
    mask_angstrom = getattr(complete, "mask_diameter_angstrom", None)
    if mask_angstrom and pixel_size_angstrom and mask_angstrom > facts.box_size_px * pixel_size_angstrom > 0:
        box_angstrom = facts.box_size_px * pixel_size_angstrom
        text = f"Wider than the box of {box_angstrom:,.0f} Å; take less, or extract with a larger box."
        yield Finding("mask_diameter_angstrom", "error", text)


def _pixel_size(complete: Any, header_angstrom: float | None, fields: Mapping[str, Any]) -> list[Finding]:
    given = getattr(complete, "pixel_size_angstrom", None)
    if "pixel_size_angstrom" not in fields or not header_angstrom:
        return []
    if given is None:
        return [Finding("pixel_size_angstrom", "info", f"The files say {header_angstrom:g} Å; that is used.")]
    if abs(given - header_angstrom) > 0.01 * header_angstrom:
        text = f"The files say {header_angstrom:g} Å, not {given:g} Å; yours is used. Check it: a wrong one spoils all."
        return [Finding("pixel_size_angstrom", "warning", text)]
    return []


def _cost(project: Project, forecast: Forecast, facts: Facts) -> list[Finding]:
    settings = configuration()
    threads = settings.threads_per_job or max(1, (os.cpu_count() or 1) // settings.slots)
    text = (
        f"About {_duration(forecast.cpu_s / threads)} for {facts.items:,} items on {threads} CPU threads, "
        f"{_size(forecast.memory_bytes)} of memory, {_size(forecast.disk_bytes)} of disk."
    )
    findings = [Finding("", "info", text)]
    if forecast.memory_bytes > _memory_bytes():
        findings.append(Finding("", "error", _too_large(forecast)))
    free_bytes = shutil.disk_usage(settings.home).free - DISK_RESERVE_BYTES
    if forecast.disk_bytes > free_bytes:
        text = (
            f"Writes about {_size(forecast.disk_bytes)}; {_size(max(0, free_bytes))} of disk are free. Ask the "
            "operator for space."
        )
        findings.append(Finding("", "error", text))
    remaining_s = remaining_compute_s(Organization.objects.get(pk=project.organization_id))
    if remaining_s is not None and 0 < remaining_s < forecast.cpu_s / threads:
        text = f"Takes longer than the {_duration(remaining_s)} of compute that are left; it would stop in between."
        findings.append(Finding("", "warning", text))
    return findings


def _compute(project: Project) -> Iterator[Finding]:
    remaining_s = remaining_compute_s(Organization.objects.get(pk=project.organization_id))
    if remaining_s is None:
        return
    if remaining_s <= 0:
        yield Finding(
            "", "error", f"No compute is left. Write to {configuration().contact_words} for a plan."
        )
    else:
        yield Finding("", "info", f"{_duration(remaining_s)} of compute are left.")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _size(count_bytes: float) -> str:
    return f"{count_bytes / 1e9:.1f} GB" if count_bytes >= 1e9 else f"{max(1, round(count_bytes / 1e6))} MB"
