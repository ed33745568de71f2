"""What a person may choose as an input: results of the project and files of its organization."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryocloud.catalog import UnknownName, load_job_type
from cryocloud.catalog.base import Input
from cryocloud.web.accounts.actor import Actor
from cryocloud.web.data.models import Dataset, DatasetFile
from cryocloud.web.organizations import access
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Job
from cryocloud.web.runs.references import path_of

MAPS = (".mrc", ".map")
STACKS = (".mrcs", ".mrc")
MODELS = (".pdb", ".cif", ".ent")
CHOICES_MAX = 200


@dataclass(frozen=True)
class Choice:
    reference: str
    label: str


@dataclass(frozen=True)
class _Fit:
    """What satisfies an input: names among a job's outputs, endings of uploaded files, or a whole dataset."""

    outputs: tuple[str, ...] = ()
    output_suffixes: tuple[str, ...] = ()
    file_suffixes: tuple[str, ...] = ()
    takes_datasets: bool = False
    folder_with: tuple[str, ...] = ()


_FITS = {
    "micrograph_files": _Fit(("micrographs.star",), (), (".star", *MAPS), takes_datasets=True),
    "micrographs": _Fit(("micrographs.star", "rejected.star"), (), (".star",)),
    "particle_files": _Fit(("particles.star",), (), (".star", ".cs")),
    "particles": _Fit(("particles.star", "excluded.star"), (), (".star",)),
    "coordinate_files": _Fit((), (), (".star", ".cs", ".box", ".txt", ".csv", ".tsv"), takes_datasets=True),
    "picks": _Fit(("picks.star", "particles.star", "excluded.star"), (), (".star",)),
    "map": _Fit((), MAPS, MAPS),
    "images": _Fit(("classes.mrcs",), MAPS, STACKS),
    "atomic_model": _Fit((), MODELS, MODELS),
    "model": _Fit((), (*MODELS, *MAPS), (*MODELS, *MAPS)),
    "truth": _Fit(("truth.star",), (), (".star",)),
    "folder": _Fit(folder_with=("half1.mrc",)),
}
_ANYTHING = _Fit(output_suffixes=("",), file_suffixes=("",))


def input_choices(actor: Actor, project: Project, declared: Input) -> list[Choice]:
    """Newest results first, then datasets and files, then the words that stand for themselves."""
    fit = _FITS.get(declared.kind, _ANYTHING)
    words = [Choice(word, word) for word in declared.literals]
    return [*_results(actor, project, fit), *_datasets(actor, project, fit), *words][: 3 * CHOICES_MAX]


def _results(actor: Actor, project: Project, fit: _Fit) -> list[Choice]:
    results = access.visible(actor, Job).filter(project=project, state__in=Job.SUCCEEDED, control=False)
    jobs = results.order_by("-number")
    found = []
    for job in jobs[:CHOICES_MAX]:
        outputs = _outputs(job)
        if fit.folder_with and set(fit.folder_with) <= set(outputs):
            found.append(Choice(f"job:{job.pk}", _label(job)))
        found += [
            Choice(f"job:{job.pk}/{name}", f"{_label(job)} · {name}") for name in outputs if _fits(fit, name)
        ]
    return found


def _fits(fit: _Fit, name: str) -> bool:
    return name in fit.outputs or (bool(fit.output_suffixes) and name.endswith(fit.output_suffixes))


def _outputs(job: Job) -> list[str]:
    """Names by the catalog: looking into hundreds of folders would make a form slow."""
    try:
        outputs = load_job_type(job.job_type).outputs
    except UnknownName:
        return []
    more = range(2, int(job.parameters.get("classes", 1)) + 1) if "volume_class1.mrc" in outputs else ()
    return [*outputs, *(f"volume_class{number}.mrc" for number in more)]


def _label(job: Job) -> str:
    try:
        title = load_job_type(job.job_type).title
    except UnknownName:
        title = job.job_type
    return f"Job {job.number} · {title}"


def _datasets(actor: Actor, project: Project, fit: _Fit) -> list[Choice]:
    own = access.visible(actor, Dataset).filter(organization_id=project.organization_id, trashed_at=None)
    whole = [
        Choice(f"dataset:{one.pk}", f"Dataset “{one.name}”")
        for one in own.order_by("-created_at")[:CHOICES_MAX]
    ]
    return [*(whole if fit.takes_datasets else ()), *_files(actor, project, fit)]


def _files(actor: Actor, project: Project, fit: _Fit) -> list[Choice]:
    """Single files; of a dataset of thousands of images nobody picks one from a list."""
    suffixes = tuple(one for one in fit.file_suffixes if not (fit.takes_datasets and one in MAPS))
    if not suffixes:
        return []
    files = (
        access.visible(actor, DatasetFile)
        .filter(organization_id=project.organization_id, dataset__trashed_at=None)
        .exclude(state=DatasetFile.State.DAMAGED)
        .filter(path__iregex="(" + "|".join(suffix.replace(".", r"\.") for suffix in suffixes) + ")$")
        .select_related("dataset")
        .order_by("-created_at")
    )
    return [Choice(f"file:{one.pk}", f"{one.dataset.name} / {one.path}") for one in files[:CHOICES_MAX]]


def resolve(project: Project, declared: Input, text: str, links: Path) -> str:
    """What a job gets for a reference when it starts: a path, or a word that stands for itself."""
    return text if text in declared.literals else str(path_of(project, text, links))
