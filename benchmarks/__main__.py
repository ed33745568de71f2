"""All benchmarks: ``python -m benchmarks [--work DIR] [--with-peers]`` (``make bench``).

Prints the tables and stores them as benchmarks/results/DATE.json. RELION's long runs (refinement, classification)
are taken from the work folder; ``--with-peers`` makes those that are missing, which takes hours.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import torch

from benchmarks.accuracy import abinitio, class_views, classification, refinement
from benchmarks.datasets import ABINITIO_SETS, LOW_SNR_SETS, LOW_SNR_SMALL_SET, SETS, ParticleBenchmark
from benchmarks.speed import dashboard, event_streams, isolation, kernels, reconstruction

RESULTS = Path(__file__).parent / "results"
QUICK_SEEDS = 2
Row = dict[str, Any]


class Peers(Enum):
    """Whether RELION is not here, only its stored results are used, or missing ones are made."""

    ABSENT = "absent"
    STORED = "stored"
    RUN = "run"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=Path("benchmarks/work"), help="data and peers' results")
    parser.add_argument("--with-peers", action="store_true", help="run RELION where no result is stored")
    given = parser.parse_args()
    torch.set_num_threads(1)
    work = given.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    peers = _peers(given.with_peers)
    tables: dict[str, Callable[[], list[Row]]] = {
        "kernels": kernels.measure,
        "dashboard": dashboard.measure,
        "isolation": isolation.measure,
        "event_streams": lambda: [event_streams.measure()],
        "reconstruction": lambda: [reconstruction.compare(benchmark, work) for benchmark in SETS],
        "classification": lambda: _classification(work, peers),
        "class_views": lambda: _class_views(work, peers),
        "abinitio": lambda: [_abinitio(benchmark, work) for benchmark in ABINITIO_SETS],
        "refinement": lambda: [row for b in SETS for row in _refinement(b, work, peers)],
    }
    found: dict[str, list[Row]] = {}
    for name, measure in tables.items():
        found[name] = measure()
        print(f"\n{name}\n{table(found[name])}", flush=True)
    RESULTS.mkdir(exist_ok=True)
    stored = RESULTS / f"{time.strftime('%Y-%m-%d_%H%M%S')}.json"
    machine = {"processor": platform.processor() or platform.machine(), "torch": torch.__version__}
    stored.write_text(json.dumps({"machine": machine, **found}, indent=1))
    print(f"\nstored as {stored}")


def table(rows: list[Row]) -> str:
    """Rows as aligned text."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [columns, *([_cell(row.get(name)) for name in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return "\n".join(
        "  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) for line in cells
    )


def _peers(with_peers: bool) -> Peers:
    if shutil.which("relion_refine") is None:
        print("RELION is not installed (apt-get install relion): only our side is measured")
        return Peers.ABSENT
    return Peers.RUN if with_peers else Peers.STORED


def _cell(value: object) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _abinitio(benchmark: ParticleBenchmark, work: Path) -> Row:
    rows = [abinitio.run_ours(benchmark, seed, work) for seed in range(1, QUICK_SEEDS + 1)]
    return abinitio.summary(benchmark, rows)


def _classification(work: Path, peers: Peers) -> list[Row]:
    rows = [classification.measured(classification.run_ours(work), work)]
    if peers is not Peers.ABSENT and (peers is Peers.RUN or classification.relion_result(work).is_file()):
        rows.append(classification.measured(classification.run_relion(work), work))
    return rows


def _class_views(work: Path, peers: Peers) -> list[Row]:
    sets, seeds = (*LOW_SNR_SETS, LOW_SNR_SMALL_SET), range(1, QUICK_SEEDS + 1)
    rows = [class_views.run_ours(benchmark, seed, work) for benchmark in sets for seed in seeds]
    if peers is not Peers.ABSENT and (peers is Peers.RUN or class_views.relion_result(work).is_file()):
        rows.append(class_views.run_relion(work))
    return rows


def _refinement(benchmark: ParticleBenchmark, work: Path, peers: Peers) -> list[Row]:
    start = abinitio.start_map(benchmark, work)
    ours = refinement.run_ours(benchmark, work, start)
    rows = [refinement.measured(ours, benchmark, work)]
    if peers is Peers.ABSENT:
        return rows
    if peers is Peers.RUN or refinement.relion_result(benchmark, work, start).is_file():
        theirs = refinement.run_relion(benchmark, work, start)
        rows.append(refinement.measured(theirs, benchmark, work))
    return rows


if __name__ == "__main__":
    main()
