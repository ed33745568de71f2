"""Previews of a result, made in the background once it is published."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from django_tasks import task

from cryocloud.compute.files import write_text
from cryocloud.compute.foreign import is_own_file, remove_tree
from cryocloud.compute.sandbox import ToolFailed, run_tool
from cryocloud.web.core.disk_room import require_room
from cryocloud.web.core.events import job_topic, project_topic, publish
from cryocloud.web.core.isolation import confinement
from cryocloud.web.core.tasks import DRAWING
from cryocloud.web.results.by_hand import has_picks, micrographs_of
from cryocloud.web.results.files import job_folder, preview_folder_of
from cryocloud.web.results.previews import (
    chart_tables,
    finest_detail_angstrom,
    is_preview_name,
    orientation_rows,
)
from cryocloud.web.results.viewers import INDEX
from cryocloud.web.runs.lineage import data_behind
from cryocloud.web.runs.log import without_places
from cryocloud.web.runs.models import Job
from cryocloud.web.runs.references import InputGone, path_of

TOOL = "cryocloud.jobs.result_previews"
# Together less than the lease of a background task; micrographs stop by themselves before they are stopped.
PART_SECONDS = {
    "maps": 180,
    "classes": 60,
    "curves": 30,
    "orientations": 60,
    "micrographs": 180,
    "curation": 60,
}
PART_FILES = {
    "maps": ("map*.mrc", "half?.mrc", "mask.mrc", "volume_class*.mrc", "model_placed.mrc"),
    "classes": ("classes.mrcs", "selection.csv"),
    "curves": ("fsc.star", "micrographs.star"),
    "orientations": ("particles.star",),
    "micrographs": ("picks.star", "micrographs.star"),
    "curation": ("micrographs.star",),
}
MEMORY_BYTES = 3 << 30
PREVIEWS_BYTES_MAX = 1 << 30
_STOP_BEFORE_S = 20

_log = logging.getLogger("cryocloud.results")


@task(priority=DRAWING)
def make_previews(job_id: str, *, organization_id: str) -> None:
    """Make them anew; those there are stay until the new ones are complete."""
    require_room()
    own = Job.unscoped.filter(pk=job_id, organization_id=organization_id)
    job = own.filter(state__in=Job.SUCCEEDED).first()
    folder = job_folder(job) if job else None
    if job is None or folder is None:
        return
    kept = preview_folder_of(job)
    fresh = kept.with_name(".previews.new")
    remove_tree(fresh)
    fresh.mkdir(parents=True, mode=0o700)
    index: dict[str, Any] = {"problems": []}
    for part in _parts_of(folder):
        found = _run_part(job, part, folder, fresh)
        index["problems"] += found.pop("problems", [])
        index |= found
    _drop_strangers(fresh)
    index["viewers"] = _viewers(index)
    # By rename: what lies there was left by the tool, a link to one of our own files perhaps.
    write_text(fresh / INDEX, json.dumps(index))
    _swap(fresh, kept)
    topics = [job_topic(job.pk), project_topic(job.project_id)]
    publish(job.organization_id, topics, "previews", {"id": job.pk, "viewers": index["viewers"]})


def _drop_strangers(fresh: Path) -> None:
    """Keep previews of a bounded size: what else the tool left would count for nobody and stay for ever."""
    fresh.chmod(0o700)
    left_bytes = PREVIEWS_BYTES_MAX
    with os.scandir(fresh) as entries:
        for entry in entries:
            path = Path(entry.path)
            if is_preview_name(entry.name) and is_own_file(path, left_bytes):
                left_bytes -= 512 * path.lstat().st_blocks
            else:
                remove_tree(path)


def _parts_of(folder: Path) -> list[str]:
    return [part for part, patterns in PART_FILES.items() if any(any(folder.glob(p)) for p in patterns)]


def _run_part(job: Job, part: str, folder: Path, out: Path) -> dict[str, Any]:
    readable = data_behind(job)
    order = {
        "part": part,
        "folder": str(folder),
        "out": str(out),
        "upstream": [str(place) for place in _upstream_folders(job)],
        "readable": [str(place) for place in readable],
        "seconds": PART_SECONDS[part] - _STOP_BEFORE_S,
        "micrographs": str(_picked_list(job) or ""),
        "symmetry": str(job.parameters.get("symmetry") or "C1"),
    }
    walls = confinement(readable=[folder, *readable], writable=[out], memory_bytes=MEMORY_BYTES)
    try:
        found = run_tool(TOOL, order, timeout_s=PART_SECONDS[part], confinement=walls)
        _require_shown(found)
        return found | {"problems": [_plain_problem(one) for one in found.get("problems", [])]}
    except ToolFailed as error:
        _log.warning("previews failed", extra={"job_id": job.pk, "part": part, "reason": str(error)})
        return {
            "problems": [{"file": part, "reason": "no preview could be made of this; the files are whole"}]
        }


def _plain_problem(problem: Any) -> Any:
    """Without folders of the server."""
    if not isinstance(problem, dict):
        return problem
    return {name: without_places(text) if isinstance(text, str) else text for name, text in problem.items()}


def _require_shown(found: dict[str, Any]) -> None:
    """Pages are made of it: what they cannot show is no answer."""
    try:
        chart_tables(found)
        orientation_rows(found)
        finest_detail_angstrom(found)
        _viewers(found)
        [*found.get("problems", [])]
    except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise ToolFailed(f"{TOOL} answered what no page can show ({error})") from None


def _upstream_folders(job: Job) -> list[Path]:
    ids = [text.removeprefix("job:").split("/")[0] for text in _references(job) if text.startswith("job:")]
    jobs = Job.unscoped.filter(pk__in=ids, organization_id=job.organization_id)
    return [folder for one in jobs if (folder := job_folder(one))]


def _picked_list(job: Job) -> Path | None:
    """The list of micrographs that the job's picks were made on."""
    reference = micrographs_of(job) if has_picks(job) else ""
    if not reference:
        return None
    try:
        return path_of(job.project, reference, preview_folder_of(job))
    except InputGone:
        return None


def _references(job: Job) -> list[str]:
    given = job.inputs.values() if isinstance(job.inputs, dict) else []
    return [text for text in given if isinstance(text, str)]


def _viewers(index: dict[str, Any]) -> list[str]:
    has = {
        "map": bool(index.get("maps")),
        "slices": bool(index.get("maps")),
        "curves": bool(index.get("charts")),
        "orientations": "orientations" in index,
        "classes": "classes" in index,
        "micrographs": bool(index.get("micrographs", {}).get("shown")),
        "curation": "curation" in index,
        "mask": any(one["name"] != "mask" for one in index.get("maps", [])),
    }
    return [name for name, there in has.items() if there]


def _swap(fresh: Path, kept: Path) -> None:
    old = kept.with_name(".previews.old")
    remove_tree(old)
    if kept.exists():
        kept.rename(old)
    fresh.rename(kept)
    remove_tree(old)
