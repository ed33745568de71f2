"""Where the files of a job lie, and what they are for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryocloud.catalog import UnknownName, load_job_type
from cryocloud.web.configuration import configuration
from cryocloud.web.core.places import attempt_folder, result_folder
from cryocloud.web.core.zip_stream import ZipMember
from cryocloud.web.results.models import Artifact
from cryocloud.web.runs.models import Attempt, Job

MEANINGS = (
    (r"map\.mrc", "the density map"),
    (r"half[12]\.mrc", "half map, unfiltered: made from one half of the particles"),
    (r"map_sharpened\.mrc", "the map, sharpened and filtered to its resolution"),
    (r"map_sharpened_masked\.mrc", "the sharpened map inside its mask"),
    (r"map_aligned\.mrc", "the map, laid over the truth"),
    (r"model_placed\.mrc", "the atomic model as density, where it fits best"),
    (r"mask\.mrc", "the mask: 1 inside the particle, soft edge, 0 outside"),
    (r"volume_class\d+\.mrc", "map of one class"),
    (r"particles\.star", "list of the particles, for RELION 3.1 and later"),
    (r"particles\.mrcs", "images of the particles"),
    (r"micrographs\.star", "list of the micrographs, for RELION 3.1 and later"),
    (r"movies\.star", "list of the movies, for RELION 3.1 and later"),
    (r"picks\.star", "positions and scores of the picked particles"),
    (r"classes\.mrcs", "class averages"),
    (r"classes\.star", "size, resolution and score of each class"),
    (r"fsc\.star", "Fourier shell correlation curves"),
    (r"edits\.json", "what a person changed by hand"),
    (r"selection\.csv", "which classes were kept, and why"),
    (r"(excluded|rejected)\.(star|csv)", "what was left out, and why"),
    (r"exceptions\.csv", "items that could not be used, each with its reason"),
    (r"truth\.(star|json)", "the true values of a simulation"),
    (r"micrograph_envelopes\.star", "how much signal each micrograph keeps"),
    (r"model\.(pdb|cif)", "atomic model"),
    (r"validation\.json", "how well the model fits"),
    (r"job\.json", "type, parameters, inputs, seed, version and cost of the job: enough to repeat it"),
    (r"metrics\.json", "the key numbers"),
    (r"log\.txt", "the log"),
    (r"spectra/.+\.mrc", "power spectrum beside its fitted model"),
    (r"plots/.+\.png", "plot"),
)


@dataclass(frozen=True)
class ResultFile:
    """An artifact as a list shows it."""

    artifact: Artifact
    meaning: str
    is_main: bool


def job_folder(job: Job) -> Path | None:
    """The published result; while there is none, what the open attempt has written so far."""
    attempts = job.attempts.order_by("-number")
    succeeded = attempts.filter(state=Attempt.State.SUCCEEDED).first()
    if succeeded is not None:
        folder = result_folder(job.pk, succeeded.pk)
    else:
        open_attempt = attempts.filter(state__in=Attempt.OPEN).first()
        if open_attempt is None:
            return None
        folder = attempt_folder(open_attempt.pk) / "out"
    return folder if folder.is_dir() else None


def preview_folder_of(job: Job) -> Path:
    """Beside the results, so that they go together."""
    return configuration().home / "results" / job.pk / ".previews"


def artifacts_of(job: Job) -> list[ResultFile]:
    """What the job left: its main outputs first, plots and records last."""
    main = _outputs(job.job_type)
    rows = Artifact.unscoped.filter(job=job, attempt__state=Attempt.State.SUCCEEDED)
    files = [ResultFile(row, meaning_of(row.path), row.path in main) for row in rows]
    return sorted(files, key=_rank)


def _rank(file: ResultFile) -> tuple[bool, bool, bool, str]:
    path = file.artifact.path
    return not file.is_main, path.startswith("."), "/" in path, path


def meaning_of(path: str) -> str:
    return next((meaning for pattern, meaning in MEANINGS if re.fullmatch(pattern, path)), "")


def marked_name(job: Job, name: str) -> str:
    """A file's name once it has left the platform, where no banner goes with it."""
    if job.doubt:
        return f"not-to-be-trusted {name}"
    return f"control {name}" if job.control else name


def artifact_file(artifact: Artifact) -> Path:
    return result_folder(artifact.job_id, artifact.attempt_id) / artifact.path


def zip_members(artifacts: Sequence[Artifact]) -> list[ZipMember]:
    return [ZipMember(row.path, artifact_file(row), row.size_bytes, row.sha256) for row in artifacts]


def _outputs(job_type: str) -> frozenset[str]:
    try:
        return frozenset(load_job_type(job_type).outputs)
    except UnknownName:
        return frozenset()
