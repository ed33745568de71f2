"""Gold-standard refinement: RELION's auto-refine and ours from the same particles, halves and ab-initio map.

``python -m benchmarks.accuracy.refinement relion c1`` runs RELION's side alone (hours; kept in the work folder),
``... ours c1`` ours, ``... table`` prints what is there.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.accuracy.abinitio import start_map
from benchmarks.accuracy.evaluation import RefinedMaps, evaluate
from benchmarks.datasets import SETS, WEAK_SETS, ParticleBenchmark, prepare
from benchmarks.peer import OURS, PeerRun, key_of, run_program, run_ranks, version

RELION = "relion_refine_mpi"
MASK_DIAMETER_ANGSTROM = 190.0
START_ANGSTROM = 30.0
RANKS = 3


def relion_options(benchmark: ParticleBenchmark, data: Path, start: Path) -> list[str]:
    """As RELION's interface would give them, with the start map CTF-corrected but on another gray scale."""
    options: dict[str, Any] = {
        "--i": data / "particles.star",
        "--ref": start,
        "--sym": benchmark.symmetry.lower(),
        "--particle_diameter": MASK_DIAMETER_ANGSTROM,
        "--ini_high": START_ANGSTROM,
        "--healpix_order": 2,
        "--auto_local_healpix_order": 4,
        "--oversampling": 1,
        "--offset_range": 5,
        "--offset_step": 2,
        "--low_resol_join_halves": 40,
        "--pad": 2,
        "--j": 1,
        "--pool": 3,
        "--random_seed": 1,
    }
    switches = [
        *("--auto_refine", "--split_random_halves", "--firstiter_cc", "--ctf", "--ctf_corrected_ref"),
        *("--norm", "--scale", "--flatten_solvent", "--zero_mask"),
        *("--dont_combine_weights_via_disc", "--preread_images"),
    ]
    return [str(word) for pair in options.items() for word in pair] + switches


def relion_result(benchmark: ParticleBenchmark, work: Path, start: Path) -> Path:
    """Where RELION's result is kept, by a key of all that it depends on."""
    data = prepare(benchmark, work)
    names = [word for word in relion_options(benchmark, data, start) if not word.startswith("/")]
    key = key_of(benchmark=asdict(benchmark), options=names, start=start, version=version(RELION))
    return work / f"relion_refine_{benchmark.name}_{key}.json"


def run_relion(
    benchmark: ParticleBenchmark, work: Path, start: Path, *, ranks: int = RANKS
) -> dict[str, Any]:
    """RELION's result, from the work folder if the same run was done before."""
    stored = relion_result(benchmark, work, start)
    if stored.is_file():
        result: dict[str, Any] = json.loads(stored.read_text())
        return result
    data = prepare(benchmark, work)
    options = relion_options(benchmark, data, start)
    folder = stored.with_suffix("")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # RELION finds the images from its working directory.
    command = [RELION, *options, "--o", str(folder / "run")]
    finished = run_ranks(command, ranks, data, folder / "log.txt")
    result = _relion_result(finished, folder)
    stored.write_text(json.dumps(result, indent=1))
    return result


def _relion_result(finished: PeerRun, folder: Path) -> dict[str, Any]:
    iterations = len(list(folder.glob("run_it*_optimiser.star"))) - 1
    return {
        "program": version(RELION),
        "command": finished.command,
        # The leader distributes work and combines; it is left out, to RELION's advantage.
        "cpu_s": sum(finished.rank_cpu_s[1:]),
        "leader_cpu_s": finished.rank_cpu_s[0],
        "wall_s": finished.wall_s,
        "iterations": iterations,
        "star": str(folder / "run_data.star"),
        "map": str(folder / "run_class001.mrc"),
        "half_maps": [str(folder / f"run_half{half}_class001_unfil.mrc") for half in (1, 2)],
    }


def run_ours(benchmark: ParticleBenchmark, work: Path, start: Path) -> dict[str, Any]:
    """Our refine job through the command line, start-up and files included."""
    data = prepare(benchmark, work)
    folder = work / f"refine_{benchmark.name}"
    options = {
        "--input": data / "particles.star",
        "--reference": start,
        "--symmetry": benchmark.symmetry,
        "--mask-diameter-angstrom": MASK_DIAMETER_ANGSTROM,
        "--start-resolution-angstrom": START_ANGSTROM,
        "--threads": 1,
        "--out": folder,
    }
    command = [
        *OURS,
        "run",
        "refine",
        *(str(word) for pair in options.items() for word in pair),
        "--overwrite",
    ]
    finished = run_program(command, work, work / f"refine_{benchmark.name}.log")
    result = {
        "program": "cryocloud",
        "command": command,
        "cpu_s": finished.cpu_s,
        "wall_s": finished.wall_s,
        "iterations": json.loads((folder / "metrics.json").read_text())["iterations"],
        "star": str(folder / "particles.star"),
        "map": str(folder / "map.mrc"),
        "half_maps": [str(folder / f"half{half}.mrc") for half in (1, 2)],
    }
    (work / f"refine_{benchmark.name}.json").write_text(json.dumps(result, indent=1))
    return result


def measured(result: dict[str, Any], benchmark: ParticleBenchmark, work: Path) -> dict[str, Any]:
    """A run's cost and quality in one row."""
    half_1, half_2 = (Path(path) for path in result["half_maps"])
    data = prepare(benchmark, work)
    maps = RefinedMaps(Path(result["star"]), (half_1, half_2), Path(result["map"]))
    quality = evaluate(maps, data, benchmark.symmetry)
    cost = {name: result[name] for name in ("program", "cpu_s", "wall_s", "iterations")}
    return {"set": benchmark.name, **cost, **quality}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=["relion", "ours"])
    parser.add_argument("set", choices=[b.name for b in (*SETS, *WEAK_SETS)])
    parser.add_argument("--work", type=Path, default=Path("benchmarks/work"))
    parser.add_argument("--ranks", type=int, default=RANKS, help="MPI ranks of RELION, one leads")
    parser.add_argument("--start", type=Path, help="start map; from our ab-initio job if not given")
    given = parser.parse_args()
    benchmark = next(b for b in (*SETS, *WEAK_SETS) if b.name == given.set)
    run = partial(run_relion, ranks=given.ranks) if given.side == "relion" else run_ours
    work = given.work.absolute()
    start = given.start.absolute() if given.start else start_map(benchmark, work)
    result = run(benchmark, work, start)
    print(json.dumps(measured(result, benchmark, work), indent=1))


if __name__ == "__main__":
    main()
