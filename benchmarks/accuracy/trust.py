"""Are ab-initio maps trusted if, and only if, they are right? Hundreds of small maps from weak particles with junk.

``python -m benchmarks.accuracy.trust --results FILE`` makes the cases that the file of JSON lines lacks, and prints how
often trusted maps were right and right ones trusted. Each line holds the truth and every number that a rule of trust
might use, so that rules are compared without making the maps again.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import beta
from torch import Tensor

from benchmarks.accuracy.trust_cases import (
    OBJECTS,
    PIXEL_ANGSTROM,
    SNRS,
    Case,
    CaseData,
    all_cases,
    make_map,
    simulate_case,
    symmetry_of,
)
from cryocloud.engine.abinitio import (
    AbInitioParameters,
    AbInitioState,
    Observations,
    Solution,
    StartComparison,
    TrustEvidence,
    judge,
    load_observations,
    reconstruct,
    start_ab_initio,
    trust_evidence,
)
from cryocloud.engine.abinitio.symmetry import without_rotational_average
from cryocloud.engine.alignment.volumes import align_volumes, apply_alignment, poses_in_fixed_frame
from cryocloud.engine.fourier import fsc, low_pass, resolution_angstrom
from cryocloud.engine.geometry import angular_distance_deg, symmetry_operators
from cryocloud.engine.simulate.comparison import compare_maps

SUCCESS_CC = 0.9
MASK_PER_DIAMETER = 1.12
LAST_RESOLUTION_ANGSTROM = 18.0
BANDS_ANGSTROM = (40.0, 30.0, 25.0, 20.0)
# Fewer and smaller batches than by default: enough for such small particles, at 10 to 20 CPU-s a map.
N_UPDATES, FIRST_BATCH, LAST_BATCH, N_PASSES = 50, 60, 160, 2
SAME_POSE_DEG = (15.0, 30.0)
Row = dict[str, Any]


@dataclass(frozen=True)
class Order:
    """What a process needs to make one map. Cases that begin after ``until`` (seconds of the clock) are left out."""

    case: Case
    work: Path
    device: str
    keep_maps: bool
    until: float


def run_case(order: Order) -> Row | None:
    """The row of one case; none when the time is over."""
    if time.time() > order.until:
        return None
    torch.set_num_threads(1)
    began_s = time.process_time()
    case = order.case
    data = simulate_case(case, torch.from_numpy(np.load(_map_file(order.work, case.object_name))))
    parameters = AbInitioParameters(
        mask_diameter_angstrom=MASK_PER_DIAMETER * data.diameter_px * PIXEL_ANGSTROM,
        operators=symmetry_operators(symmetry_of(case.object_name)),
        last_resolution_angstrom=LAST_RESOLUTION_ANGSTROM,
        n_updates=N_UPDATES,
        first_batch=FIRST_BATCH,
        last_batch=LAST_BATCH,
        n_passes=N_PASSES,
        seed=case.seed,
        device=torch.device(order.device),
    )
    observations = load_observations(data.particles, parameters)
    state = start_ab_initio(observations, parameters)
    for following in reconstruct(observations, state, parameters):
        state = following
    row = {
        "key": case.key,
        **asdict(case),
        "particles": case.particles,
        **_truth(state, observations, data),
        **_features(state, observations, parameters),
        "cpu_s": round(time.process_time() - began_s, 1),
    }
    if order.keep_maps:
        _keep_maps(order, state)
    return row


def _truth(state: AbInitioState, observations: Observations, data: CaseData) -> Row:
    """How near the map came to the truth, in either hand."""
    found = observations.full_size(state.solution.volumes[0]).cpu()
    compared = compare_maps(found, PIXEL_ANGSTROM, data.truth, PIXEL_ANGSTROM)
    return {
        "cc_20A": compared.low_pass_correlation,
        "resolution_to_truth_angstrom": resolution_angstrom(
            compared.fsc_masked, 0.5, data.truth.shape[-1], PIXEL_ANGSTROM
        ),
    }


def _features(state: AbInitioState, observations: Observations, parameters: AbInitioParameters) -> Row:
    """What today's rule is about, and whatever another might use."""
    assert state.comparison is not None
    best = state.finished[state.comparison.best]
    partner = state.finished[_partner(state.comparison)]
    box, pixel = observations.box_size_px, observations.pixel_size_angstrom
    solution = state.solution
    return {
        "evidence": asdict(trust_evidence(state, len(parameters.operators))),
        "comparison": asdict(state.comparison),
        "halves_fsc": solution.agreement[0].tolist(),
        "halves_resolution_angstrom": resolution_angstrom(solution.agreement[0], 0.5, box, pixel),
        "pose_probability": _quartiles(solution.probability),
        "noise_share": (solution.sigma2 / observations.power).tolist(),
        "box_angstrom": box * pixel,
        "best_to_partner": _likeness(partner, best, observations, None),
        "final_to_partner": _likeness(partner, solution, observations, parameters.operators),
    }


def _partner(comparison: StartComparison) -> int:
    """The start most like the best one."""
    likeness = zip(comparison.correlation, comparison.pairs, strict=True)
    pair = max((cc, pair) for cc, pair in likeness if comparison.best in pair)[1]
    return pair[1] if pair[0] == comparison.best else pair[0]


def _likeness(
    moving: Solution,
    fixed: Solution,
    observations: Observations,
    operators: Tensor | None,
) -> Row:
    """Two maps laid on each other: correlations by band, FSC, the same of opposite halves, and of poses."""
    pixel = observations.pixel_size_angstrom
    target = fixed.volumes[0]
    alignment = align_volumes(
        moving.volumes[0], target, pixel_size_angstrom=pixel, resolution_angstrom=LAST_RESOLUTION_ANGSTROM
    )
    aligned = apply_alignment(moving.volumes[0], alignment)
    halves = [apply_alignment(volume, alignment) for volume in moving.half_volumes[0]]
    opposite = [(halves[h], fixed.half_volumes[0, 1 - h]) for h in (0, 1)]
    same = [(halves[h], fixed.half_volumes[0, h]) for h in (0, 1)]
    rotation, _ = poses_in_fixed_frame(alignment, moving.rotation, moving.shift_px)
    angle_deg = angular_distance_deg(rotation, fixed.rotation, operators)
    return {
        "cc": _band_correlations([(aligned, target)], pixel),
        "cc_plain": _band_correlations([(aligned, target)], pixel, plain=True),
        "cc_opposite_halves": _band_correlations(opposite, pixel),
        "cc_same_halves": _band_correlations(same, pixel),
        "fsc": fsc(aligned, target).tolist(),
        "fsc_opposite_halves": torch.stack([fsc(*pair) for pair in opposite]).mean(0).tolist(),
        "same_pose_share": [float((angle_deg < limit).double().mean()) for limit in SAME_POSE_DEG],
        "angle_deg": _quartiles(angle_deg),
    }


def _band_correlations(
    pairs: list[tuple[Tensor, Tensor]], pixel_angstrom: float, *, plain: bool = False
) -> list[float]:
    """Mean correlation of pairs of maps at each band, without their rotational averages unless ``plain``."""
    found = []
    for band in BANDS_ANGSTROM:
        values = []
        for pair in pairs:
            maps = pair if plain else [without_rotational_average(volume) for volume in pair]
            flat = torch.stack([low_pass(volume, band, pixel_angstrom).flatten() for volume in maps])
            values.append(float(torch.corrcoef(flat)[0, 1]))
        found.append(sum(values) / len(values))
    return found


def _quartiles(values: Tensor) -> list[float]:
    at = torch.tensor([0.25, 0.5, 0.75], dtype=values.dtype)
    return [float(value) for value in torch.quantile(values, at)]


def _keep_maps(order: Order, state: AbInitioState) -> None:
    maps = [state.solution.volumes[0], *(solution.volumes[0] for solution in state.finished)]
    folder = order.work / "maps"
    folder.mkdir(exist_ok=True)
    name = order.case.key.replace("/", "_")
    np.savez_compressed(folder / f"{name}.npz", *(volume.to(torch.float16).cpu().numpy() for volume in maps))


def _map_file(work: Path, name: str) -> Path:
    return work / f"truth_{name}.npy"


def _make_truth(task: tuple[Path, str]) -> None:
    work, name = task
    torch.set_num_threads(1)
    np.save(_map_file(work, name), make_map(name).numpy())


def _known(results: Path) -> list[Row]:
    if not results.exists():
        return []
    return [json.loads(line) for line in results.read_text().splitlines()]


def run(orders: list[Order], results: Path, processes: int) -> Iterator[Row]:
    """Rows as they come; each is in the file before it is seen here."""
    maps = {(order.work, order.case.object_name) for order in orders}
    missing = sorted(task for task in maps if not _map_file(*task).exists())
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes) as pool, results.open("a") as stream:
        pool.map(_make_truth, missing, chunksize=1)
        for row in pool.imap_unordered(run_case, orders, chunksize=1):
            if row is not None:
                stream.write(json.dumps(row) + "\n")
                stream.flush()
                yield row


def doubts(row: Row) -> tuple[str, ...]:
    """What today's rule has against the map of a row."""
    evidence = dict(row["evidence"])
    for name in ("symmetry_fit", "symmetry_fit_by_chance"):
        evidence[name] = tuple(evidence[name])
    return judge(TrustEvidence(**evidence)).reasons


def table(rows: list[Row]) -> list[Row]:
    """Today's rule on all rows, on each half of the objects (do they agree?), and by SNR."""
    half = {thing.name for thing in OBJECTS[::2]}
    groups = {
        "all": rows,
        "half of the objects": [row for row in rows if row["object_name"] in half],
        "the other half": [row for row in rows if row["object_name"] not in half],
        **{f"SNR {snr:g}": [row for row in rows if row["snr"] == snr] for snr in (*SNRS, 0.0)},
    }
    return [{"maps": name, **_counts(group)} for name, group in groups.items() if group]


def _counts(rows: list[Row]) -> Row:
    right = [row["snr"] > 0 and row["cc_20A"] > SUCCESS_CC for row in rows]
    trusted = [not doubts(row) for row in rows]
    both = sum(r and t for r, t in zip(right, trusted, strict=True))
    return {
        "number": len(rows),
        "right": sum(right),
        "trusted": sum(trusted),
        "right_and_trusted": both,
        "right_of_trusted": _share(both, sum(trusted)),
        "trusted_of_right": _share(both, sum(right)),
        "mean_cpu_s": sum(row["cpu_s"] for row in rows) / len(rows),
    }


def _share(successes: int, trials: int) -> str:
    """With the lower bound of Clopper and Pearson that the true share exceeds with 95 % confidence."""
    if not trials:
        return "none"
    lowest = float(beta.ppf(0.05, successes, trials - successes + 1)) if successes else 0.0
    return f"{successes / trials:.3f}, above {lowest:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/work/trust.jsonl"))
    parser.add_argument("--work", type=Path, default=Path("benchmarks/work"), help="true maps")
    parser.add_argument("--objects", nargs="+", default=[thing.name for thing in OBJECTS])
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda; processes share one GPU")
    parser.add_argument("--limit-s", type=float, default=1e9, help="begin no case after so many seconds")
    parser.add_argument(
        "--keep-maps", action="store_true", help="as work/maps/CASE.npz: the map, then the starts"
    )
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    known = {row["key"] for row in _known(given.results)}
    until = time.time() + given.limit_s
    orders = [
        Order(case, given.work.absolute(), given.device, given.keep_maps, until)
        for case in all_cases(given.objects)
        if case.key not in known
    ]
    for row in run(orders, given.results, given.processes):
        print(row["key"], f"{row['cc_20A']:.3f}", *doubts(row), f"{row['cpu_s']} s", sep="; ", flush=True)
    print(json.dumps(table(_known(given.results)), indent=1))


if __name__ == "__main__":
    main()
