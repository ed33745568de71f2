"""What a person may choose as an input: groups of results, datasets, files, and words that stand for themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from django.db.models import Q

from cryocloud.catalog import UnknownName, load_job_type
from cryocloud.catalog.base import Group, Input
from cryocloud.web.accounts.actor import Actor
from cryocloud.web.data.models import Dataset, DatasetFile
from cryocloud.web.organizations import access
from cryocloud.web.pages.job_words import edits_label, input_targets, key_number
from cryocloud.web.pages.templatetags.wording import job_title
from cryocloud.web.projects.models import Project
from cryocloud.web.results.viewers import plots_of
from cryocloud.web.runs.models import Job
from cryocloud.web.runs.references import ending_in

MAPS = (".mrc", ".map")
STACKS = (".mrcs", ".mrc")
MODELS = (".pdb", ".cif", ".ent")
SHOWN = 60
"""Choices of one section; what lies beyond is found by its name."""
_JOBS_READ = 3000


@dataclass(frozen=True)
class Choice:
    reference: str
    label: str
    section: str


@dataclass(frozen=True)
class _Fit:
    """What satisfies a kind of input: kinds of results, endings of uploaded files, whole datasets."""

    groups: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    takes_datasets: bool = False


_FITS = {
    "micrograph_files": _Fit(("micrographs",), (".star", *MAPS), takes_datasets=True),
    "micrographs": _Fit(("micrographs",), (".star",)),
    "particle_files": _Fit(("particles",), (".star", ".cs")),
    "particles": _Fit(("particles",), (".star",)),
    "coordinate_files": _Fit((), (".star", ".cs", ".box", ".txt", ".csv", ".tsv"), takes_datasets=True),
    "picks": _Fit(("picks", "particles"), (".star",)),
    "map": _Fit(("map",), MAPS),
    "mask": _Fit(("mask",), MAPS),
    "images": _Fit(("images", "map"), STACKS),
    "atomic_model": _Fit(("atomic_model",), MODELS),
    "model": _Fit(("atomic_model",), (*MODELS, *MAPS)),
    "truth": _Fit(("truth",), (".star",)),
    "half_maps": _Fit(("half_maps",)),
    "edits": _Fit((), (".json",)),
    "folder": _Fit(("particles", "picks", "map")),
}
_ANYTHING = _Fit(suffixes=("",))


def input_choices(
    actor: Actor, project: Project, declared: Input, *, beside: str = "", text: str = ""
) -> list[Choice]:
    """Results of the project, datasets, files and words; the likeliest first.

    Parameters
    ----------
    beside
        Reference that the first input of the order has, which no other may have: results of its branch come first,
        those that went through the same last job before others. Without it the branch is that of the newest result.
    text
        Words that the labels must hold, in any case.
    """
    fit = _FITS.get(declared.kind, _ANYTHING)
    results = _matching(_results(actor, project, fit, beside), text)
    datasets = _matching(_datasets(actor, project, fit), text)
    words = _matching((Choice(word, f"{word} (made up by the job)", "") for word in declared.literals), text)
    found = [*_first(results), *_first(datasets), *_files(actor, project, fit, text), *words]
    return [choice for choice in found if choice.reference != beside]


def sections(choices: Iterable[Choice]) -> list[tuple[str, list[Choice]]]:
    """Choices under the headings of a list, in their order."""
    return [(title, list(members)) for title, members in groupby(choices, lambda choice: choice.section)]


def _first(choices: Iterable[Choice]) -> list[Choice]:
    return [choice for choice, _ in zip(choices, range(SHOWN), strict=False)]


def _matching(choices: Iterable[Choice], text: str) -> Iterator[Choice]:
    words = text.lower().split()
    return (choice for choice in choices if all(word in choice.label.lower() for word in words))


def _results(actor: Actor, project: Project, fit: _Fit, beside: str) -> Iterator[Choice]:
    """Groups of succeeded jobs; what is not to be trusted comes last, and a control not at all."""
    jobs = list(access.visible(actor, Job).filter(project=project).order_by("-number")[:_JOBS_READ])
    offered = [job for job in jobs if job.state in Job.SUCCEEDED and not job.control]
    wanted = [(job, group) for job in offered for group in _groups(job) if group.kind in fit.groups]
    rests_on = _foundations(jobs)
    anchor = beside.partition(":")[2].partition("/")[0] if beside.startswith("job:") else ""
    branch = rests_on.get(anchor or next((job.pk for job in offered), ""), 0)

    def rank(found: tuple[Job, Group]) -> tuple[bool, int, int, int]:
        job, group = found
        meeting = (rests_on[job.pk] & branch).bit_length()
        return bool(job.doubt), fit.groups.index(group.kind), -meeting, -job.number

    for job, group in sorted(wanted, key=rank):
        yield _result(job, group)


def _foundations(jobs: list[Job]) -> dict[str, int]:
    """Each job and all that it rests on, as bits, the newest highest: two jobs meet in the highest bit of both."""
    found: dict[str, int] = {}
    for place, job in enumerate(sorted(jobs, key=lambda job: job.number)):
        found[job.pk] = 1 << place
        for kind, target in input_targets(job):
            found[job.pk] |= found.get(target, 0) if kind == "job" else 0
    return found


def _groups(job: Job) -> list[Group]:
    """By the catalog: looking into hundreds of folders would make a form slow."""
    try:
        groups = list(load_job_type(job.job_type).groups)
    except UnknownName:
        return []
    count = int(job.parameters.get("classes", 1)) if job.job_type == "abinitio" else 1
    if count > 1:
        maps = [Group("map", f"volume_class{n}.mrc", f"map of class {n}") for n in range(1, count + 1)]
        groups = [*maps, *(group for group in groups if group.kind != "map")]
    return groups


def first_group(job: Job, declared: Input) -> Group | None:
    """The group of a job that an input asks for first."""
    kinds = _FITS.get(declared.kind, _ANYTHING).groups
    fitting = [group for group in _groups(job) if group.kind in kinds]
    return min(fitting, key=lambda group: kinds.index(group.kind), default=None)


def _result(job: Job, group: Group) -> Choice:
    reference = f"job:{job.pk}/{group.file}" if group.file else f"job:{job.pk}"
    facts = ", ".join(part for part in (key_number(job), "not to be trusted" if job.doubt else "") if part)
    title = group.title[:1].upper() + group.title[1:]
    label = f"{title} of #{job.number} {job_title(job.job_type)}"
    return Choice(reference, f"{label} ({facts})" if facts else label, "Results of this project")


def choice_of(actor: Actor, reference: str) -> Choice | None:
    """What a reference names, whether it is among the choices or not; none for what the person may not see."""
    kind, _, rest = reference.partition(":")
    target, _, name = rest.partition("/")
    if kind == "job":
        job = access.visible(actor, Job).filter(pk=target).first()
        if job is None:
            return None
        fitting = (group for group in _groups(job) if group.file == name)
        return replace(_result(job, next(fitting, Group("", name, name or "whole result"))), section="")
    if kind == "dataset":
        dataset = access.visible(actor, Dataset).filter(pk=target).first()
        return Choice(reference, f"Dataset “{dataset.name}”", "") if dataset else None
    if kind == "edits":
        made = edits_label(actor, target)
        return Choice(reference, made, "") if made else None
    file = access.visible(actor, DatasetFile).select_related("dataset").filter(pk=target).first()
    return Choice(reference, f"{file.dataset.name} / {file.path}", "") if kind == "file" and file else None


def picture_of(actor: Actor, reference: str) -> str:
    """Address of the first plot of the job that a reference names, or nothing."""
    kind, _, rest = reference.partition(":")
    job = access.visible(actor, Job).filter(pk=rest.partition("/")[0]).first() if kind == "job" else None
    return next((plot.url for plot in plots_of(job)), "") if job else ""


def _datasets(actor: Actor, project: Project, fit: _Fit) -> Iterator[Choice]:
    if fit.takes_datasets:
        own = access.visible(actor, Dataset).filter(organization_id=project.organization_id, trashed_at=None)
        for one in own.order_by("-created_at"):
            yield Choice(f"dataset:{one.pk}", f"Dataset “{one.name}”", "Datasets")


def _files(actor: Actor, project: Project, fit: _Fit, text: str) -> list[Choice]:
    """Single files; of a dataset of thousands of images nobody picks one from a list."""
    suffixes = tuple(one for one in fit.suffixes if not (fit.takes_datasets and one in MAPS))
    if not suffixes:
        return []
    files = (
        access.visible(actor, DatasetFile)
        .filter(organization_id=project.organization_id, dataset__trashed_at=None)
        .exclude(state=DatasetFile.State.DAMAGED)
        .filter(path__iregex=ending_in(suffixes))
        .select_related("dataset")
        .order_by("-created_at")
    )
    for word in text.split():
        files = files.filter(Q(path__icontains=word) | Q(dataset__name__icontains=word))
    return [
        Choice(f"file:{one.pk}", f"{one.dataset.name} / {one.path}", "Files of datasets")
        for one in files[:SHOWN]
    ]
