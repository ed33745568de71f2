"""Accept or reject micrographs by the evidence of their CTF fits."""

from __future__ import annotations

import csv
import math

import numpy as np
from numpy.typing import NDArray

from cryocloud.catalog.base import Facts
from cryocloud.catalog.edits import CurationEdits
from cryocloud.catalog.types.curate import JOB_TYPE, CurateParameters
from cryocloud.compute.context import JobContext
from cryocloud.engine.curation import (
    CRITERIA,
    Criterion,
    Limit,
    derive_limit,
    given_limit,
    range_text,
    reasons_against,
)
from cryocloud.engine.errors import InputError
from cryocloud.engine.io.tables import MicrographTables, read_micrographs, write_micrographs
from cryocloud.jobs.kit.curation import Evidence, evidence_of, limit_names, mildest_limit
from cryocloud.jobs.kit.edits import read_edits, row_of, rows_by_file_name
from cryocloud.jobs.kit.plots import Mark, draw_histogram, panels, plot_scatter
from cryocloud.jobs.kit.preflight import require_resources

REJECTED_BY_HAND = "rejected by hand"


def run(job: JobContext) -> None:
    """Judge all micrographs and write the accepted and the rejected ones."""
    tables = read_micrographs(job.inputs["input"])
    require_resources(JOB_TYPE.forecast(job.parameters, Facts(items=len(tables))), job.out)
    evidence = _evidence(job, tables)
    limits = _limits(job, evidence, tables)
    reasons = _by_hand(job, tables, reasons_against(evidence, limits))
    accepted = np.array([not against for against in reasons])
    write_micrographs(job.out / "rejected.star", tables.select(~accepted))
    _write_reasons(job, tables, reasons)
    _plot(job, evidence, limits, accepted)
    job.metrics(micrographs=len(tables), accepted=int(accepted.sum()), rejected=int((~accepted).sum()))
    if not accepted.any():
        raise InputError(
            f"all {len(tables)} micrographs were rejected; the reasons are in {job.out}/rejected.csv, loosen the "
            "limits there named"
        )
    write_micrographs(job.out / "micrographs.star", tables.select(accepted))
    job.progress(1.0)


def _evidence(job: JobContext, tables: MicrographTables) -> Evidence:
    if len(tables) == 0:
        raise InputError(f"{job.inputs['input']}: lists no micrographs; an earlier step left none")
    evidence = evidence_of(tables)
    if not evidence:
        raise InputError(
            f"{job.inputs['input']}: has no column to judge by; estimate the CTF first (cryocloud run ctf)"
        )
    missing = [criterion.label for criterion in CRITERIA if criterion.name not in evidence]
    if missing:
        job.log(f"not judged, since the input lacks the columns: {', '.join(missing)}")
    return evidence


def _by_hand(job: JobContext, tables: MicrographTables, reasons: list[list[str]]) -> list[list[str]]:
    """What a person accepted or rejected, whatever the limits say."""
    edits = read_edits(job, CurationEdits)
    rows_of = rows_by_file_name(str(name) for name in tables.micrographs["rlnMicrographName"])
    judged = [*reasons]
    known: list[int] = []
    for names, against in ((edits.accepted, []), (edits.rejected, [REJECTED_BY_HAND])):
        found = [row_of(job, rows_of, name, "what was decided about it is left out") for name in names]
        rows = [row for row in found if row is not None]
        for row in rows:
            judged[row] = [*against]
        known.append(len(rows))
    job.metrics(accepted_by_hand=known[0], rejected_by_hand=known[1])
    if edits.summary():
        job.decision("decided by hand", edits.summary(), "whatever the limits say")
    return judged


def _limits(job: JobContext, evidence: Evidence, tables: MicrographTables) -> dict[str, Limit]:
    limits: dict[str, Limit] = {}
    for criterion in CRITERIA:
        asked = _given_sides(job.parameters, criterion)
        if criterion.name not in evidence:
            if asked != (None, None):
                raise InputError(
                    f"a limit for {criterion.name} is given, but the input has no column _{criterion.label}"
                )
            continue
        limit = None
        if job.parameters.limits == "auto":
            limit = derive_limit(
                criterion, evidence[criterion.name], mildest=mildest_limit(criterion, tables)
            )
        limit = given_limit(limit, *asked)
        if limit is not None:
            limits[criterion.name] = limit
            words = criterion.name.removesuffix("_angstrom").replace("_", " ")
            job.decision(f"limit of {words}", range_text(criterion, limit), limit.why)
    return limits


def _given_sides(parameters: CurateParameters, criterion: Criterion) -> tuple[float | None, float | None]:
    given = parameters.model_dump()
    lower, upper = limit_names(criterion)
    return given.get(lower), given.get(upper)


def _write_reasons(job: JobContext, tables: MicrographTables, reasons: list[list[str]]) -> None:
    with (job.out / "rejected.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(["micrograph", "reasons"])
        for name, against in zip(tables.micrographs["rlnMicrographName"], reasons, strict=True):
            if against:
                table.writerow([job.known_as(name), "; ".join(against)])
                job.log(f"rejected {name}: {'; '.join(against)}")


def _plot(job: JobContext, evidence: Evidence, limits: dict[str, Limit], accepted: NDArray[np.bool_]) -> None:
    shown = [criterion for criterion in CRITERIA if criterion.name in evidence]
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    title = f"{accepted.sum()} of {len(accepted)} micrographs accepted"
    with panels(job.plots / "curation.png", rows, columns, size_in=(3.6, 2.9), title=title) as axes:
        for cell in axes.flat[len(shown) :]:
            cell.set_axis_off()
        for cell, criterion in zip(axes.flat, shown, strict=False):
            values = evidence[criterion.name]
            draw_histogram(
                cell, [("accepted", values[accepted]), ("rejected", values[~accepted])],
                x_label=_axis_label(criterion), y_label="micrographs", marks=_marks(limits.get(criterion.name)),
            )  # fmt: skip
    if {"defocus_angstrom", "fit_resolution_angstrom"} <= evidence.keys():
        groups = [
            (name, evidence["defocus_angstrom"][chosen], evidence["fit_resolution_angstrom"][chosen])
            for name, chosen in (("accepted", accepted), ("rejected", ~accepted))
        ]
        plot_scatter(
            job.plots / "defocus_resolution.png", groups, x_label="defocus (Å)", y_label="fit resolution (Å)",
            marks=[*_marks(limits.get("fit_resolution_angstrom"), "y"), *_marks(limits.get("defocus_angstrom"))],
        )  # fmt: skip


def _axis_label(criterion: Criterion) -> str:
    words = criterion.name.removesuffix("_angstrom").replace("_", " ")
    return f"{words} ({criterion.unit})" if criterion.unit else words


def _marks(limit: Limit | None, axis: str = "x") -> list[Mark]:
    sides = [] if limit is None else [side for side in (limit.lower, limit.upper) if math.isfinite(side)]
    return [Mark(side, axis="y" if axis == "y" else "x") for side in sides]
