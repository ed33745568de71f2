"""Ab-initio maps from several seeds against the truth: how often they are right, and whether the job knows.

``python -m benchmarks.accuracy.abinitio c1 --snr 0.03 --seeds 10`` measures one object; ``noise`` has no object.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.datasets import ABINITIO_SETS, ParticleBenchmark, prepare
from benchmarks.peer import OURS, run_program
from cryocloud.engine.io.mrc import read_mrc
from cryocloud.engine.simulate.comparison import compare_maps

MASK_DIAMETER_ANGSTROM = 190.0
SUCCESS_CC = 0.9
SEEDS = 10


def run_ours(benchmark: ParticleBenchmark, seed: int, work: Path) -> dict[str, Any]:
    """The ab-initio job through the command line; correlation of its map with the truth, and its own verdict."""
    data = prepare(benchmark, work)
    folder = work / f"abinitio_{benchmark.name}_{seed}"
    options = {
        "--input": data / "particles.star",
        "--symmetry": benchmark.symmetry,
        "--mask-diameter-angstrom": MASK_DIAMETER_ANGSTROM,
        "--seed": seed,
        "--threads": 1,
        "--out": folder,
    }
    words = [str(word) for pair in options.items() for word in pair]
    finished = run_program(
        [*OURS, "run", "abinitio", *words, "--overwrite"], work, folder.with_suffix(".log")
    )
    metrics = json.loads((folder / "metrics.json").read_text())
    (found, pixel), (truth, _) = (read_mrc(p) for p in (folder / "volume_class1.mrc", data / "map.mrc"))
    compared = compare_maps(torch.tensor(found), pixel, torch.tensor(truth), pixel)
    return {
        "set": benchmark.name,
        "seed": seed,
        "cc_20A": compared.low_pass_correlation,
        "trusted": bool(metrics["trusted"]),
        "starts": metrics["starts"],
        "seed_agreement_cc": metrics["seed_agreement_cc"],
        "log_evidence_gain": metrics["log_evidence_gain"],
        "resolution_angstrom": metrics["resolution_angstrom"],
        "cpu_s": finished.cpu_s,
    }


def start_map(benchmark: ParticleBenchmark, work: Path) -> Path:
    """An ab-initio map of the benchmark's particles, made once and kept with them."""
    kept = prepare(benchmark, work) / "abinitio.mrc"
    if not kept.is_file():
        run_ours(benchmark, 1, work)
        shutil.copy(work / f"abinitio_{benchmark.name}_1" / "volume_class1.mrc", kept)
    return kept


def summary(benchmark: ParticleBenchmark, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How many seeds are right and how many the job trusts; right and trusted should be the same."""
    right = [row["cc_20A"] > SUCCESS_CC for row in rows]
    trusted = [row["trusted"] for row in rows]
    return {
        "set": benchmark.name,
        "symmetry": benchmark.symmetry,
        "particles": benchmark.particles,
        "snr": benchmark.snr,
        "right": f"{sum(right)}/{len(rows)}",
        "trusted": f"{sum(trusted)}/{len(rows)}",
        "trusted_but_wrong": sum(t and not r for r, t in zip(right, trusted, strict=True)),
        "median_cc_20A": sorted(row["cc_20A"] for row in rows)[len(rows) // 2],
        "mean_starts": sum(row["starts"] for row in rows) / len(rows),
        "mean_cpu_s": sum(row["cpu_s"] for row in rows) / len(rows),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", choices=[b.name for b in ABINITIO_SETS])
    parser.add_argument("--snr", type=float, help="instead of the set's own")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--work", type=Path, default=Path("benchmarks/work"))
    given = parser.parse_args()
    benchmark = next(b for b in ABINITIO_SETS if b.name == given.set)
    if given.snr is not None:
        benchmark = replace(benchmark, name=f"{benchmark.name}_{given.snr:g}", snr=given.snr)
    rows = []
    for seed in range(1, given.seeds + 1):
        rows.append(run_ours(benchmark, seed, given.work.absolute()))
        print(json.dumps(rows[-1]), flush=True)
    print(json.dumps(summary(benchmark, rows), indent=1))


if __name__ == "__main__":
    main()
