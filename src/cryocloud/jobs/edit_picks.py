"""Edited picks: those of an earlier job above a score, without what was erased, with what was added by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cryocloud.catalog.edits import PickEdits
from cryocloud.catalog.types.edit_picks import JOB_TYPE
from cryocloud.compute.context import JobContext
from cryocloud.engine.errors import InputError
from cryocloud.engine.extraction import COPY_DISTANCE_DIAMETERS, repeated_positions
from cryocloud.engine.io.mrc import read_mrc_header
from cryocloud.engine.io.star import read_star
from cryocloud.engine.io.tables import float_column, write_particles
from cryocloud.jobs.kit.edits import read_edits, row_of, rows_by_file_name
from cryocloud.jobs.kit.items import unique_stems
from cryocloud.jobs.kit.micrographs import MicrographList, list_micrographs
from cryocloud.jobs.kit.picks import picks_table, plot_picks
from cryocloud.jobs.kit.plots import CircleGroup
from cryocloud.jobs.kit.preflight import require_resources

SCORE = "rlnAutopickFigureOfMerit"
BY_HAND = "cryocloudPickedByHand"
# A person is as sure as a correlation can be; where scores are larger, as the best of them.
SCORE_BY_HAND = 1.0
# The browser knows places to a hundredth of its pixels, which are up to 16 of the micrograph's.
ERASED_WITHIN_PX = 1.0
ADDED_COLOR = "#4cd4ff"


@dataclass(frozen=True)
class Placed:
    """Picks row by row: their micrograph's row in the list, position, score (NaN: none), who made them."""

    micrograph: NDArray[np.int64]
    xy_px: NDArray[np.float64]
    score: NDArray[np.float64]
    by_hand: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.micrograph)

    def select(self, chosen: NDArray[np.bool_]) -> Placed:
        return Placed(self.micrograph[chosen], self.xy_px[chosen], self.score[chosen], self.by_hand[chosen])

    def joined(self, other: Placed) -> Placed:
        """Both, micrograph by micrograph."""
        both = [
            np.concatenate([getattr(self, name), getattr(other, name)])
            for name in ("micrograph", "xy_px", "score", "by_hand")
        ]
        order = np.argsort(both[0], kind="stable")
        return Placed(*(column[order] for column in both))


def run(job: JobContext) -> None:
    """Read, cut, erase, add and write ``picks.star``; takes seconds, so an interrupted run starts over."""
    micrographs = list_micrographs(job.inputs["micrographs"])
    require_resources(JOB_TYPE.forecast(job.parameters, micrographs.facts()), job.out)
    edits = read_edits(job, PickEdits)
    before = _earlier_picks(job, micrographs)
    if len(before) == 0 and edits.added == 0:
        raise InputError("there are no picks: give --picks, or add some by hand and give them with --edits")
    above = _above_score(job, before)
    erased, added = _edited(job, micrographs, edits, above)
    kept = above.select(~erased)
    added = _new_only(job, micrographs, kept, added)
    picks = kept.joined(added)
    if len(picks) == 0:
        raise InputError(
            f"none of {len(before):,} picks is left: {len(before) - len(above):,} lie below --score-min, "
            f"{int(erased.sum()):,} were erased"
        )
    _write(job, micrographs, picks)
    _report(job, micrographs, before=len(before), below=len(before) - len(above), erased=erased, picks=picks)
    _plot(job, micrographs, picks)
    job.progress(1.0, f"{len(picks)} picks")


def _nothing() -> Placed:
    return Placed(np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros(0), np.zeros(0, np.bool_))


def _earlier_picks(job: JobContext, micrographs: MicrographList) -> Placed:
    path = job.inputs.get("picks")
    if path is None:
        return _nothing()
    table = read_star(path).get("particles")
    labels = ("rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY")
    if table is None or any(label not in table for label in labels):
        raise InputError(f"{path}: has no data_particles with {', '.join(labels)}; give picks.star")
    rows_of = rows_by_file_name(micrographs.names)
    names = table["rlnMicrographName"].astype(str)
    files = names.str.rsplit("/", n=1).str[-1]
    known = {
        name: row
        for name, count in files.value_counts(sort=False).items()
        if (row := row_of(job, rows_of, str(name), f"its {count:,} picks are left out")) is not None
    }
    listed = files.isin(list(known)).to_numpy()
    table, files = table[listed], files[listed]
    score = float_column(table, SCORE) if SCORE in table else np.full(len(table), np.nan)
    by_hand = float_column(table, BY_HAND) > 0 if BY_HAND in table else np.zeros(len(table), np.bool_)
    xy_px = np.stack([float_column(table, label) for label in labels[1:]], axis=1)
    finite = np.asarray(np.isfinite(xy_px).all(axis=1))
    if not finite.all():
        job.warning(f"{int((~finite).sum()):,} picks of {path.name} have no position and are left out")
    placed = Placed(np.array([known[name] for name in files], np.int64), xy_px, score, by_hand)
    return placed.select(finite)


def _above_score(job: JobContext, picks: Placed) -> Placed:
    least = job.parameters.score_min
    if least is None or len(picks) == 0:
        return picks
    if not np.isfinite(picks.score).any():
        raise InputError(
            f"--score-min {least:g}: the picks have no scores (column _{SCORE}); leave the option out"
        )
    kept = np.asarray(picks.by_hand | (picks.score >= least))
    job.decision("score", f"at least {least:g}", f"{int((~kept).sum()):,} of {len(picks):,} picks lie below")
    return picks.select(kept)


def _edited(
    job: JobContext, micrographs: MicrographList, edits: PickEdits, picks: Placed
) -> tuple[NDArray[np.bool_], Placed]:
    """Which of the picks were erased, and what was added inside of the images."""
    erased, added = np.zeros(len(picks), np.bool_), _nothing()
    rows_of = rows_by_file_name(micrographs.names)
    not_found = outside = 0
    for name, edit in edits.micrographs.items():
        count = len(edit.added) + len(edit.erased)
        row = row_of(job, rows_of, name, f"its {count:,} edits are left out")
        if row is None:
            continue
        here = np.flatnonzero(picks.micrograph == row)
        gone = _nearest(picks.xy_px[here], np.reshape(edit.erased, (-1, 2)))
        erased[here[gone[gone >= 0]]] = True
        not_found += int((gone < 0).sum())
        try:
            inside = _inside(micrographs, row, np.reshape(edit.added, (-1, 2)))
        except InputError as error:
            job.quarantine(name, str(error))
            continue
        outside += len(edit.added) - len(inside)
        added = added.joined(_by_hand(row, inside, picks.score))
    if outside:
        job.warning(f"{outside:,} added picks lie outside of their micrographs and are left out")
    if not_found:
        job.log(f"{not_found:,} erased places hold no pick above the score; nothing was to be erased there")
    job.metrics(outside_image=outside)
    return erased, added


def _nearest(xy_px: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each place the pick there, or -1."""
    if len(xy_px) == 0 or len(wanted) == 0:
        return np.full(len(wanted), -1, np.int64)
    _, found = cKDTree(xy_px).query(wanted, distance_upper_bound=ERASED_WITHIN_PX)
    return np.where(found < len(xy_px), found, -1).astype(np.int64)


def _inside(micrographs: MicrographList, row: int, xy_px: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(xy_px) == 0:
        return xy_px
    _, height_px, width_px = read_mrc_header(micrographs.path(row)).shape_zyx
    inside = ((xy_px >= -0.5) & (xy_px < np.array([width_px, height_px]) - 0.5)).all(axis=1)
    kept: NDArray[np.float64] = xy_px[inside]
    return kept


def _by_hand(row: int, xy_px: NDArray[np.float64], scores: NDArray[np.float64]) -> Placed:
    best = max([SCORE_BY_HAND, *scores[np.isfinite(scores)].tolist()])
    count = len(xy_px)
    return Placed(np.full(count, row, np.int64), xy_px, np.full(count, best), np.ones(count, np.bool_))


def _new_only(job: JobContext, micrographs: MicrographList, kept: Placed, added: Placed) -> Placed:
    """Added picks that mean no particle that is there already, by a double click perhaps."""
    near_angstrom = COPY_DISTANCE_DIAMETERS * job.parameters.particle_diameter_angstrom
    micrograph = np.concatenate([kept.micrograph, added.micrograph])
    xy_px = np.concatenate([kept.xy_px, added.xy_px])
    xy_angstrom = xy_px * micrographs.pixel_size_angstrom[micrograph, None]
    repeats = repeated_positions(xy_angstrom, micrograph, near_angstrom)[len(kept) :] >= 0
    job.metrics(duplicates=int(repeats.sum()))
    if repeats.any():
        job.log(
            f"{int(repeats.sum()):,} added picks lie within {near_angstrom:.0f} Å of another and are left out"
        )
    return added.select(~repeats)


def _write(job: JobContext, micrographs: MicrographList, picks: Placed) -> None:
    has_scores = bool(np.isfinite(picks.score).all())
    tables = picks_table(micrographs, picks.micrograph, picks.xy_px, picks.score if has_scores else None)
    tables.particles[BY_HAND] = picks.by_hand.astype(np.int64)
    write_particles(job.out / "picks.star", tables)


def _report(
    job: JobContext,
    micrographs: MicrographList,
    *,
    before: int,
    below: int,
    erased: NDArray[np.bool_],
    picks: Placed,
) -> None:
    counts = np.bincount(picks.micrograph, minlength=len(micrographs.names))
    gone, by_hand = int(erased.sum()), int(picks.by_hand.sum())
    job.metrics(
        picks=len(picks),
        picks_before=before,
        below_score=below,
        erased=gone,
        added=len(picks) - (before - below - gone),
        by_hand=by_hand,
        micrographs=int((counts > 0).sum()),
        micrographs_without_picks=int((counts == 0).sum()),
        picks_per_micrograph_median=float(np.median(counts)),
    )
    source = f"of {before:,} picks of the earlier job" if before else "all were picked by hand"
    job.decision("edited by hand", f"{len(picks) - (before - below - gone):,} added, {gone:,} erased", source)


def _plot(job: JobContext, micrographs: MicrographList, picks: Placed) -> None:
    stems = unique_stems(micrographs.names)
    shown = np.unique(picks.micrograph)[: job.parameters.plot_count].tolist()
    for done, row in enumerate(shown):
        radius_px = (
            job.parameters.particle_diameter_angstrom / 2 / float(micrographs.pixel_size_angstrom[row])
        )
        here = picks.micrograph == row
        groups = [CircleGroup(picks.xy_px[here & ~picks.by_hand], radius_px, label="picked by the job")]
        if (here & picks.by_hand).any():
            own = picks.xy_px[here & picks.by_hand]
            groups.append(CircleGroup(own, radius_px, ADDED_COLOR, f"{len(own)} by hand"))
        try:
            plot_picks(job.plots / f"picks_{stems[row]}.png", micrographs, row, groups)
        except InputError as error:
            job.quarantine(micrographs.names[row], f"its picks are kept, but it cannot be drawn: {error}")
        job.progress(0.4 + 0.6 * done / len(shown), micrographs.names[row])
