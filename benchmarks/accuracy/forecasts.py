"""How near forecasts come to what jobs take: sixty small jobs, really run by the local lane.

``python -m benchmarks.accuracy.forecasts --results FILE`` runs the jobs that the file of JSON lines lacks, and prints the table.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.accuracy.forecast_cases import MADE_UP, Case, all_cases
from cryocloud.catalog import load_job_type
from cryocloud.catalog.base import Facts
from cryocloud.catalog.facts import Metrics, facts_of_result
from cryocloud.catalog.forecasting import Cost

PRIOR_FACTOR, LEARNT_FACTOR = 3.0, 1.5
SPLITS = 20
Row = dict[str, Any]


def run_case(case: Case, work: Path) -> Row:
    """Run one job to its end; what it was, what it took, and what it found."""
    out = work / case.key
    model = load_job_type(case.job_type).parameters
    order = {
        "job_type": case.job_type,
        "parameters": model.model_validate(dict(case.parameters)).model_dump(mode="json"),
        "inputs": {name: text if text == MADE_UP else str(work / text) for name, text in case.inputs.items()},
        "out": str(out),
        "threads": case.threads,
        "device": "cpu",
        "progress": "plain",
        "overwrite": True,
    }
    lane = [sys.executable, "-m", "cryocloud.compute.lane"]
    done = subprocess.run(lane, input=json.dumps(order), text=True, capture_output=True, check=False)
    if done.returncode not in (0, 3):
        raise SystemExit(f"{case.key} ended with {done.returncode}: {done.stderr[-2000:]}")
    job = json.loads((out / "job.json").read_text())
    files = [path for path in out.rglob("*") if path.is_file() and ".attempt" not in path.parts]
    return {
        "key": case.key,
        "job_type": case.job_type,
        "inputs": dict(case.inputs),
        "parameters": order["parameters"],
        "threads": case.threads,
        "cpu_s": job["cpu_s"],
        "wall_s": job["wall_s"],
        "memory_bytes": job["peak_memory_bytes"],
        "disk_bytes": sum(path.stat().st_size for path in files),
        "metrics": json.loads((out / "metrics.json").read_text()),
    }


def _known(results: Path) -> list[Row]:
    if not results.exists():
        return []
    return [json.loads(line) for line in results.read_text().splitlines()]


def facts_of(row: Row, by_key: dict[str, Row]) -> Facts:
    """As the platform knows them: by headers of files, and by the metrics of the jobs before."""
    facts = Facts()
    for text in row["inputs"].values():
        key, _, name = text.partition("/")
        if text == MADE_UP:
            continue
        maker = by_key[key]
        if name.startswith("micrographs/"):
            given, found = maker["parameters"], maker["metrics"]
            facts = Facts(
                items=found["micrographs"],
                image_height_px=given["height_px"],
                image_width_px=given["width_px"],
                pixel_size_angstrom=found["pixel_size_angstrom"],
            )
        facts = facts.completed(facts_of_result(name, _generations(maker, by_key)))
    return facts


def _generations(row: Row, by_key: dict[str, Row]) -> Iterator[list[Metrics]]:
    generation = [row]
    while generation:
        yield [one["metrics"] for one in generation]
        texts = [text for one in generation for text in one["inputs"].values() if text != MADE_UP]
        generation = [by_key[text.split("/")[0]] for text in texts]


def counted(row: Row, by_key: dict[str, Row]) -> tuple[Cost, float]:
    """What the job type counts before it starts, and the disk."""
    job_type = load_job_type(row["job_type"])
    forecast = job_type.forecast(job_type.parameters.model_validate(row["parameters"]), facts_of(row, by_key))
    return Cost.of(forecast, row["threads"]), forecast.disk_bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/work/forecasts.jsonl"))
    parser.add_argument(
        "--work", type=Path, default=Path("benchmarks/work/forecasts"), help="results of the jobs"
    )
    parser.add_argument("--limit-s", type=float, default=1e9, help="begin no job after so many seconds")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    known = {row["key"] for row in _known(given.results)}
    until = time.time() + given.limit_s
    with given.results.open("a") as stream:
        for case in all_cases():
            if case.key in known or time.time() > until:
                continue
            row = run_case(case, given.work.absolute())
            stream.write(json.dumps(row) + "\n")
            stream.flush()
            print(
                case.key,
                case.job_type,
                f"{row['cpu_s']} CPU-s",
                f"{row['wall_s']} s",
                f"{row['memory_bytes'] / 1e6:.0f} MB",
                sep="; ",
                flush=True,
            )


if __name__ == "__main__":
    main()
