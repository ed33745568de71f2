"""What a page about a result begins with: the map as it turns, its resolution with what limits it, its downloads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cryocloud.catalog.metrics import Spoken, spoken_number
from cryocloud.web.results.files import ResultFile, artifacts_of
from cryocloud.web.results.previews import finest_detail_angstrom
from cryocloud.web.results.viewers import PlotLink, ViewerLink, plots_of, preview_index, viewers_of
from cryocloud.web.runs.models import Job

PLOTS_SHOWN = 12
LIMITS = ("resolution_angstrom", "fsc_0_5_angstrom", "resolution_unmasked_angstrom")


@dataclass(frozen=True)
class Lead:
    """``limits`` begin with the resolution itself; ``curve`` names the chart drawn beside the map."""

    job: Job
    previews: str
    turns: bool
    curve: str
    limits: list[Spoken]
    files: list[ResultFile]
    file_count: int
    viewers: list[ViewerLink]
    plots: list[PlotLink]


def lead_of(job: Job) -> Lead:
    index = preview_index(job)
    curve = next((chart["name"] for chart in index.get("charts", []) if chart["name"] == "fsc"), "")
    plots = [plot for plot in plots_of(job) if plot.name != curve]
    files = artifacts_of(job)
    return Lead(
        job=job,
        previews=f"/jobs/{job.pk}/previews/",
        turns="turning" in index,
        curve=curve,
        limits=[*_limits(job.metrics), *_pixel_limit(index)],
        files=[file for file in files if file.is_main],
        file_count=len(files),
        viewers=viewers_of(job),
        plots=plots[:PLOTS_SHOWN],
    )


def _limits(metrics: dict[str, Any]) -> list[Spoken]:
    return [spoken_number(name, metrics[name]) for name in LIMITS if metrics.get(name) is not None]


def _pixel_limit(index: dict[str, Any]) -> list[Spoken]:
    finest = finest_detail_angstrom(index)
    help_text = "No map has detail finer than two of its pixels."
    return [Spoken("", "two pixels", f"{finest:.2f} Å", help_text)] if finest else []
