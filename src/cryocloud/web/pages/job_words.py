"""What pages say of a job in a few words: its one number, what it reads, how its parameters differ."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cryocloud.catalog import UnknownName, load_job_type, load_workflow
from cryocloud.catalog.fields import default_value, shown_value, title, unit
from cryocloud.catalog.metrics import spoken_number
from cryocloud.catalog.units import split_unit
from cryocloud.web.accounts.actor import Actor
from cryocloud.web.data.models import Dataset, DatasetFile
from cryocloud.web.edits.models import KeptEdits
from cryocloud.web.edits.services import summary_of
from cryocloud.web.organizations.access import visible
from cryocloud.web.runs.models import Job

KEY_METRICS = (
    "resolution_angstrom",
    "fit_resolution_median_angstrom",
    "accepted",
    "picks",
    "particles",
    "micrographs",
)
COUNTED = {"accepted", "picks", "particles", "micrographs"}


@dataclass(frozen=True)
class ParameterLine:
    """A parameter as a table shows it."""

    name: str
    title: str
    help: str
    text: str
    default: str
    is_changed: bool


def key_number(job: Job) -> str:
    """The number that matters most, with its unit: "7.1 Å", "12,345 particles"."""
    for name in KEY_METRICS:
        if job.metrics.get(name) is not None:
            spoken = spoken_number(name, job.metrics[name])
            return f"{spoken.text} {spoken.label}" if name in COUNTED else spoken.text
    return ""


def input_targets(job: Job) -> list[tuple[str, str]]:
    """What the inputs point at: ("job", id), ("dataset", id) or ("file", id)."""
    found = []
    for text in job.inputs.values():
        kind, colon, rest = str(text).partition(":")
        if colon and kind in ("dataset", "file", "job"):
            found.append((kind, rest.partition("/")[0]))
    return found


def edits_label(actor: Actor, edits_id: str) -> str:
    """Edits by hand in a few words; empty for those that are not the actor's to see."""
    kept = visible(actor, KeptEdits).filter(pk=edits_id).first()
    return f"by hand: {summary_of(kept)}" if kept else ""


@dataclass(frozen=True)
class Source:
    """A dataset or one of its files, as an input is labeled."""

    label: str
    url: str


def sources_of(actor: Actor, jobs: Iterable[Job]) -> dict[str, Source]:
    """Labels by id of the datasets and files that the jobs read; deleted ones are missing."""
    targets = {target for job in jobs for target in input_targets(job)}
    dataset_ids = [pk for kind, pk in targets if kind == "dataset"]
    file_ids = [pk for kind, pk in targets if kind == "file"]
    found = {}
    if dataset_ids:
        names = visible(actor, Dataset).filter(pk__in=dataset_ids).values_list("pk", "name")
        found = {pk: Source(name, f"/datasets/{pk}/") for pk, name in names}
    if file_ids:
        rows = visible(actor, DatasetFile).filter(pk__in=file_ids).values_list("pk", "dataset_id", "path")
        found |= {pk: Source(path.rsplit("/", 1)[-1], f"/datasets/{dataset}/") for pk, dataset, path in rows}
    return found


def parameter_lines(kind: str, name: str, values: dict[str, Any]) -> list[ParameterLine]:
    """The parameters of a job (``kind`` "job") or a run, changed ones first."""
    try:
        fields = (load_job_type if kind == "job" else load_workflow)(name).parameters.model_fields
    except UnknownName:
        fields = {}
    lines = []
    for parameter, value in values.items():
        field = fields.get(parameter)
        default = default_value(field) if field else None
        stored = list(default) if isinstance(default, tuple) else default
        own_unit = unit(field) if field else split_unit(parameter)[1]
        lines.append(
            ParameterLine(
                name=parameter,
                title=title(parameter),
                help=(field.description or "") if field else "",
                text=shown_value(value, own_unit),
                default="required" if field and field.is_required() else shown_value(default, own_unit),
                is_changed=value != stored,
            )
        )
    return sorted(lines, key=lambda line: not line.is_changed)
