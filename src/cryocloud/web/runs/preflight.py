"""What can be said of an order before it is placed: complaints, expected cost, and whether it fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from cryocloud.catalog.base import Facts, JobType
from cryocloud.catalog.messages import field_complaints
from cryocloud.catalog.range_words import size_words
from cryocloud.catalog.rehearsal import Unforeseeable
from cryocloud.catalog.workflow import Workflow
from cryocloud.web.accounts.actor import Actor
from cryocloud.web.core.disk_room import room
from cryocloud.web.core.errors import Refused
from cryocloud.web.data.models import Dataset
from cryocloud.web.data.storage import storage_limit, storage_used
from cryocloud.web.metering.quota_words import used_up_words
from cryocloud.web.metering.services import remaining_compute_s
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Organization
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.finding import Finding
from cryocloud.web.runs.forecasts import OrderForecast, forecast_order, machine_memory_bytes
from cryocloud.web.runs.images import diameter_findings, micrograph_findings, optics_findings
from cryocloud.web.runs.orders import (
    input_complaints,
    known_job_type,
    known_workflow,
)
from cryocloud.web.runs.quotes import quote_of
from cryocloud.web.runs.references import parse_reference
from cryocloud.web.runs.sizes import known_facts


@dataclass(frozen=True)
class CheckedOrder:
    """All findings, and what the order will take where that can be foreseen."""

    findings: list[Finding]
    forecast: OrderForecast | None


def check_order(
    *,
    actor: Actor,
    project: Project,
    kind_and_name: tuple[str, str],
    parameters: Mapping[str, Any],
    inputs: Mapping[str, str],
) -> CheckedOrder:
    """An order with an error among its findings would be refused or fail. The kind is ``job`` or ``workflow``."""
    kind, name = kind_and_name
    ordered: JobType | Workflow = known_workflow(name) if kind == "workflow" else known_job_type(name)
    complaints = input_complaints(actor, project, ordered.inputs, inputs)
    findings = [Finding(field, "error", text) for field, text in complaints.items()]
    complete, forecast = None, None
    try:
        complete = ordered.parameters.model_validate(dict(parameters))
    except ValidationError as error:
        findings += [
            Finding(field, "error", text)
            for field, text in field_complaints(error, ordered.parameters.model_fields).items()
        ]
    facts = known_facts(actor, ordered.inputs, inputs)
    findings += _images(actor, ordered, complete, inputs)
    if complete is not None:
        findings += _diameters(complete, facts)
        findings += _pixel_size(complete, facts.pixel_size_angstrom, ordered.parameters.model_fields)
        if not complaints:
            forecast = _forecast(ordered, complete, inputs, facts)
    if forecast is not None:
        findings += [*_machine(forecast), *_left(project, ordered, forecast), *_storage(project, forecast)]
    return CheckedOrder(findings + list(_compute(project)), forecast)


def require_possible(
    actor: Actor, ordered: JobType | Workflow, complete: Mapping[str, Any], inputs: Mapping[str, str]
) -> OrderForecast | None:
    """Refuse what could never succeed: by its inputs, or on this computer however long it waits. What it will take."""
    facts = known_facts(actor, ordered.inputs, inputs)
    parameters = ordered.parameters.model_validate(dict(complete))
    findings = [*_images(actor, ordered, parameters, inputs), *_diameters(parameters, facts)]
    impossible = {found.field: found.text for found in findings if found.level == "error"}
    if impossible:
        raise Refused("This order cannot succeed", impossible)
    forecast = _forecast(ordered, parameters, inputs, facts)
    if forecast is not None:
        for found in _machine(forecast):
            if found.level == "error":
                raise Refused(found.text)
    return forecast


def _forecast(
    ordered: JobType | Workflow, complete: Any, inputs: Mapping[str, str], facts: Facts
) -> OrderForecast | None:
    try:
        return forecast_order(ordered, complete, inputs, facts)
    except (Unforeseeable, ValidationError):
        return None  # an optics or a diameter that no step can use is complained of elsewhere


def _machine(forecast: OrderForecast) -> Iterator[Finding]:
    """Does it fit into memory and onto the disk? Refused is only what does not even at the low end of the forecast."""
    memory, disk = forecast.memory_bytes, forecast.disk_bytes
    if memory.high > machine_memory_bytes():
        level: Literal["error", "warning"] = "warning"
        if forecast.least_memory_bytes > machine_memory_bytes():
            level = "error"
        has = _size(machine_memory_bytes())
        yield Finding(
            "",
            level,
            f"Needs {size_words(memory)} of memory; the computer has {has}. Use a smaller box, fewer classes or "
            "fewer items.",
        )
    found = room()
    free_bytes = max(0, found.free_bytes - found.reserved_bytes)
    if disk.high > free_bytes:
        level = "error" if disk.low > free_bytes else "warning"
        yield Finding(
            "",
            level,
            f"Writes {size_words(disk)}; {_size(free_bytes)} of disk are free. Delete results and datasets that are "
            "not needed, or ask the operator for space.",
        )


def _left(project: Project, ordered: JobType | Workflow, forecast: OrderForecast) -> Iterator[Finding]:
    """Is there enough compute for it? It is started all the same: what is done until then stays."""
    quote = quote_of(project, forecast.wall_s)
    remaining_s = quote.left_s
    if remaining_s == 0 and quote.is_capped:
        yield Finding(
            "", "warning", "The cap of the project is reached: it would wait until an admin raises it."
        )
    if remaining_s is None or not 0 < remaining_s < forecast.wall_s.high:
        return
    whose = "the cap of the project leaves" if quote.is_capped else "are left"
    left = f"the {_duration(remaining_s)} of compute that {whose}"
    if remaining_s < forecast.wall_s.low:
        text = f"Takes longer than {left}; it would pause in between."
    else:
        text = f"May take longer than {left}; then it would pause in between."
    if isinstance(ordered, JobType) and not ordered.keeps_checkpoints:
        rest = (
            "It keeps no checkpoint: it would begin anew as soon as there is compute, and that counts again."
        )
    else:
        rest = "What is done stays, and it goes on by itself as soon as there is compute again."
    yield Finding("", "warning", f"{text} {rest}")


def _storage(project: Project, forecast: OrderForecast) -> Iterator[Finding]:
    organization = Organization.objects.get(pk=project.organization_id)
    limit_bytes = storage_limit(organization).size_bytes
    if limit_bytes is None:
        return
    left_bytes = max(0, limit_bytes - storage_used(organization).size_bytes)
    if forecast.disk_bytes.high > left_bytes:
        yield Finding(
            "",
            "warning",
            f"Keeps {size_words(forecast.disk_bytes)} of results; {_size(left_bytes)} of the plan's storage are left.",
        )


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


def _diameters(complete: Any, facts: Facts) -> Iterator[Finding]:
    pixel_size_angstrom = getattr(complete, "pixel_size_angstrom", None) or facts.pixel_size_angstrom
    diameter_angstrom = getattr(complete, "particle_diameter_angstrom", None)
    if diameter_angstrom and pixel_size_angstrom:
        image_px = (facts.image_width_px, facts.image_height_px)
        yield from diameter_findings(diameter_angstrom, pixel_size_angstrom, image_px)
    mask_angstrom = getattr(complete, "mask_diameter_angstrom", None)
    if mask_angstrom and pixel_size_angstrom and mask_angstrom > facts.box_size_px * pixel_size_angstrom > 0:
        box_angstrom = facts.box_size_px * pixel_size_angstrom
        text = f"Wider than the box of {box_angstrom:,.0f} Å; take less, or extract with a larger box."
        yield Finding("mask_diameter_angstrom", "error", text)


def _pixel_size(complete: Any, header_angstrom: float, fields: Mapping[str, Any]) -> list[Finding]:
    given = getattr(complete, "pixel_size_angstrom", None)
    if "pixel_size_angstrom" not in fields or not header_angstrom:
        return []
    if given is None:
        return [Finding("pixel_size_angstrom", "info", f"The files say {header_angstrom:g} Å; that is used.")]
    if abs(given - header_angstrom) > 0.01 * header_angstrom:
        text = f"The files say {header_angstrom:g} Å, not {given:g} Å; yours is used. Check it: a wrong one spoils all."
        return [Finding("pixel_size_angstrom", "warning", text)]
    return []


def _compute(project: Project) -> Iterator[Finding]:
    organization = Organization.objects.get(pk=project.organization_id)
    remaining_s = remaining_compute_s(organization)
    if remaining_s is None:
        return
    if remaining_s <= 0:
        yield Finding("", "error", used_up_words(organization))
    else:
        yield Finding("", "info", f"{_duration(remaining_s)} of compute are left.")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _size(count_bytes: float) -> str:
    return f"{count_bytes / 1e9:.1f} GB" if count_bytes >= 1e9 else f"{max(1, round(count_bytes / 1e6))} MB"
