"""What an input of a job refers to: a dataset, one of its files, a job's result folder or one of its files, edits."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cryocloud.catalog import job_type_names, load_job_type
from cryocloud.catalog.base import Input
from cryocloud.compute.plain_names import FOLDER_MARK
from cryocloud.web.accounts.actor import Actor
from cryocloud.web.core.errors import NotFound, Refused
from cryocloud.web.core.places import dataset_folder, result_folder
from cryocloud.web.data.file_names import COMPONENT_BYTES
from cryocloud.web.data.models import Dataset, DatasetFile
from cryocloud.web.edits.models import KeptEdits
from cryocloud.web.organizations import access
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Attempt, Job

IMAGE_SUFFIXES = (".mrc", ".map", ".mrcs")
PARTICLE_KINDS = ("particles", "particle_files")


class InputGone(Exception):
    """What an order refers to is not there any more; the message is for the person who ordered."""


@dataclass(frozen=True)
class Reference:
    """``dataset:ID``, ``file:ID``, ``job:ID``, ``job:ID/NAME`` or ``edits:ID``."""

    kind: str
    id: str
    name: str = ""


def parse_reference(text: str) -> Reference | None:
    """None for a text that is no reference."""
    if not text.isprintable():
        return None
    kind, colon, rest = text.partition(":")
    target, slash, name = rest.partition("/")
    if (
        not colon
        or not target
        or kind not in ("dataset", "file", "job", "edits")
        or (slash and kind != "job")
    ):
        return None
    if slash and not _is_plain(name):
        return None
    return Reference(kind, target, name)


def _is_plain(name: str) -> bool:
    path = PurePosixPath(name)
    is_local = not path.is_absolute() and not any(part.startswith(".") for part in path.parts)
    is_short = all(len(part.encode()) <= COMPONENT_BYTES for part in path.parts)
    return bool(name) and is_local and is_short and str(path) == name


def check_reference(actor: Actor, project: Project, text: str) -> None:
    """Raise unless the actor may give this to a job of the project, and it is there."""
    reference = parse_reference(text)
    if reference is None:
        raise Refused(f"“{text[:80]}” names no input; choose a dataset, a file or a result of this project.")
    match reference.kind:
        case "dataset":
            _require_usable(access.get(actor, Dataset, reference.id), project)
        case "file":
            _require_usable(access.get(actor, DatasetFile, reference.id).dataset, project)
        case "edits":
            if access.get(actor, KeptEdits, reference.id).project_id != project.pk:
                raise Refused("These edits are of another project.")
        case _:
            _require_result(access.get(actor, Job, reference.id), project, reference.name)


def _require_usable(dataset: Dataset, project: Project) -> None:
    if dataset.organization_id != project.organization_id:
        raise NotFound
    if dataset.trashed_at is not None:
        raise Refused(f"The dataset “{dataset.name}” is in the trash; restore it first.")


def _require_result(job: Job, project: Project, name: str) -> None:
    if job.organization_id != project.organization_id:
        raise NotFound
    if job.project_id != project.pk:
        raise Refused(f"Job {job.number} is of another project.")
    if job.state not in Job.SUCCEEDED:
        raise Refused(f"Job {job.number} is {job.get_state_display()}; wait until it is done.")
    if name and not (published_folder(job) / name).is_file():
        raise Refused(f"Job {job.number} has no file “{name}”.")


def require_images(project: Project, declared: Input, text: str) -> None:
    """Raise if a job would have to read images that were deleted to free space."""
    gone = images_gone(project, declared, text)
    if gone:
        raise Refused(gone)


def images_gone(project: Project, declared: Input, text: str) -> str:
    """What to say if the images behind a table of particles were deleted; empty if they are there."""
    if declared.kind not in PARTICLE_KINDS or not declared.reads_images:
        return ""
    maker = _maker_of_images(project, parse_reference(text))
    if maker is None or maker.freed_at is None:
        return ""
    return (
        f"The particle images of job {maker.number} were deleted to free space. Restore them from the trash, or "
        f"compute job {maker.number} again and use the new job; particles of a selection can be extracted again."
    )


def _maker_of_images(project: Project, reference: Reference | None) -> Job | None:
    """The job that left the images which a table names: tables are handed on, images stay where they were made."""
    seen: set[str] = set()
    while reference is not None and reference.kind == "job" and reference.id not in seen:
        seen.add(reference.id)
        job = Job.unscoped.filter(pk=reference.id, project=project).first()
        if job is None or job.job_type not in job_type_names():
            return None
        known = load_job_type(job.job_type)
        if known.rebuildable:
            return job
        texts = [job.inputs.get(one.name, "") for one in known.inputs if one.kind in PARTICLE_KINDS]
        reference = next((found for found in map(parse_reference, texts) if found), None)
    return None


def published_folder(job: Job) -> Path:
    """Where the results of a job that succeeded lie."""
    attempt = job.attempts.filter(state=Attempt.State.SUCCEEDED).order_by("-number").first()
    if attempt is None:
        raise InputGone(f"job {job.number} has no result")
    return result_folder(job.pk, attempt.pk)


def ending_in(suffixes: Iterable[str]) -> str:
    """Pattern of paths with one of these endings, for the database."""
    return "(" + "|".join(re.escape(suffix) for suffix in suffixes) + ")$"


def resolve(project: Project, declared: Input, text: str, links: Path) -> str:
    """What a job gets for an input when it starts: a path, or a word that stands for itself."""
    if text in declared.literals:
        return text
    gone = images_gone(project, declared, text)
    if gone:
        raise InputGone(gone)
    return str(path_of(project, text, links))


def path_of(project: Project, text: str, links: Path) -> Path:
    """The path a job reads, made at dispatch; ``links`` is a folder for links if they are needed."""
    reference = parse_reference(text)
    if reference is None:
        raise InputGone(f"“{text}” names no input")
    own = {"pk": reference.id, "organization_id": project.organization_id}
    match reference.kind:
        case "dataset":
            return _dataset_path(Dataset.unscoped.filter(**own, trashed_at=None).first(), links)
        case "file":
            file = DatasetFile.unscoped.filter(**own, dataset__trashed_at=None).first()
            if file is None:
                raise InputGone("an input file has been deleted; choose another one")
            path = dataset_folder(file.dataset_id) / file.path
        case "edits":
            path = _edits_file(KeptEdits.unscoped.filter(**own, project=project).first(), links)
        case _:
            job = Job.unscoped.filter(**own, project=project).first()
            if job is None:
                raise InputGone("the job that made an input is not there any more")
            path = published_folder(job) / reference.name
    if not path.exists():
        raise InputGone(f"{path.name}: the file is not there any more; make or upload it again")
    return path


def _edits_file(kept: KeptEdits | None, links: Path) -> Path:
    if kept is None:
        raise InputGone("the edits by hand are not there any more; make them again")
    path = links.with_suffix(".json")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_text(json.dumps(kept.content), encoding="utf-8")
    return path


def _dataset_path(dataset: Dataset | None, links: Path) -> Path:
    """The folder of the files; if they lie in folders of their own, one flat folder of links to all images."""
    if dataset is None:
        raise InputGone("the input dataset has been deleted; choose another one")
    folder = dataset_folder(dataset.pk)
    paths = list(dataset.files.order_by("path").values_list("path", flat=True))
    images = [path for path in paths if path.lower().endswith(IMAGE_SUFFIXES)]
    if not images:
        raise InputGone(f"the dataset “{dataset.name}” holds no {', '.join(IMAGE_SUFFIXES)} file")
    if all("/" not in path and path.endswith(IMAGE_SUFFIXES) for path in images):
        return folder
    links.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in images:
        name = path.replace("/", FOLDER_MARK)
        stem, suffix = name.rsplit(".", 1)
        link = links / f"{stem}.{suffix.lower()}"
        link.unlink(missing_ok=True)
        link.symlink_to(folder / path)
    return links
