"""What a job offers for looking at."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cryocloud.web.results.files import job_folder, preview_folder_of
from cryocloud.web.runs.models import Job

TITLES = {
    "map": "Map in 3D",
    "slices": "Slices",
    "curves": "Curves",
    "orientations": "Orientations",
    "classes": "Classes",
    "micrographs": "Micrographs",
    "curation": "Curation",
    "mask": "Make a mask",
}
PLOTS_MAX = 200
PLOTS_LOOKED_AT = 10_000
INDEX = "index.json"
_INDEX_BYTES_MAX = 4 << 20
_PICTURE = re.compile(
    r"(aligned|class_history|classes|contact_sheet|ctf_.*|examples|mask|mic_.*|orientations|particles|picks_.*|projections"
    r"|slices.*|truth)$"
)
_PLOT = re.compile(r"[^/\\\x00-\x1f]{1,200}\.png")


@dataclass(frozen=True)
class ViewerLink:
    name: str
    title: str
    url: str


@dataclass(frozen=True)
class PlotLink:
    name: str
    url: str

    @property
    def is_picture(self) -> bool:
        """Of gray levels or colors that mean something, which no dark mode may turn round."""
        return _PICTURE.match(self.name) is not None


def viewers_of(job: Job) -> list[ViewerLink]:
    """Those for which previews have been made; none while they are being prepared."""
    offered = preview_index(job).get("viewers", [])
    return [
        ViewerLink(name, title, f"/jobs/{job.pk}/look/{name}/")
        for name, title in TITLES.items()
        if name in offered
    ]


def plots_of(job: Job) -> list[PlotLink]:
    """The plots of a result, or those that a running job has drawn so far."""
    return [
        PlotLink(name.removesuffix(".png"), f"/jobs/{job.pk}/plots/{quote(name)}/")
        for name in _plot_names(job)[:PLOTS_MAX]
    ]


def plot_file(job: Job, name: str) -> Path | None:
    """The plot of that name, which is compared with what is there and never made into a path by itself."""
    folder = job_folder(job)
    return folder / "plots" / name if folder and name in _plot_names(job) else None


def preview_index(job: Job) -> dict[str, Any]:
    """What ``make_previews`` found; empty before it has run."""
    path = preview_folder_of(job) / INDEX
    try:
        if path.stat().st_size > _INDEX_BYTES_MAX:
            return {}
        read = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def _plot_names(job: Job) -> list[str]:
    """In the folder itself: where a link leads that a running job made is not ours to show."""
    folder = job_folder(job)
    try:
        plots = os.open((folder or Path(os.devnull)) / "plots", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return []
    try:
        with os.scandir(plots) as entries:
            # A running job may leave millions, on a page that everybody waits for.
            looked_at = islice(entries, PLOTS_LOOKED_AT)
            return sorted(entry.name for entry in looked_at if _PLOT.fullmatch(entry.name))
    finally:
        os.close(plots)
