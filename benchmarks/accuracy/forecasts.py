"""How near forecasts come to what jobs take: sixty small jobs, really run by the local lane.

``python -m benchmarks.accuracy.forecasts --results FILE`` runs the jobs that the file of JSON lines lacks, and prints
how many were foreseen: by counts alone, with half of the jobs known, and with all others known. Time is CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.accuracy.forecast_cases import MADE_UP, Case, all_cases
from cryocloud.catalog import load_job_type
from cryocloud.catalog.base import Facts
from cryocloud.catalog.facts import Metrics, facts_of_result
from cryocloud.catalog.forecasting import Cost, Experience, Range, Record, learn

FACTORS = (1.5, 3.0)
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


@dataclass(frozen=True)
class Measured:
    """A job with what was counted before and measured after; ``disk_share`` is what it left of what was counted."""

    row: Row
    record: Record
    disk_share: float

    def error(self, experience: Experience, quantity: str) -> float:
        """Measured over foreseen, or its inverse: at least 1."""
        foreseen = self.range(experience, quantity).likely
        ratio = float(getattr(self.record.measured, quantity)) / foreseen
        return max(ratio, 1 / ratio)

    def is_within(self, experience: Experience, quantity: str) -> bool:
        found = self.range(experience, quantity)
        return found.low <= float(getattr(self.record.measured, quantity)) <= found.high

    def range(self, experience: Experience, quantity: str) -> Range:
        counted_value = float(getattr(self.record.counted, quantity))
        return experience.correction(self.record.job_type, quantity).range(counted_value)


def measured(rows: Sequence[Row]) -> list[Measured]:
    by_key = {row["key"]: row for row in rows}
    found = []
    for row in rows:
        cost, disk_bytes = counted(row, by_key)
        took = Cost(row["cpu_s"], row["wall_s"], row["memory_bytes"])
        found.append(Measured(row, Record(row["job_type"], cost, took), row["disk_bytes"] / disk_bytes))
    return found


def table(jobs: Sequence[Measured]) -> list[Row]:
    """Shares of jobs within a factor of their forecast, and within its range."""
    untried = Experience()
    halves = [half for seed in range(SPLITS) for half in _halves(jobs, seed)]
    one_left_out = [(learn(_records(jobs, without=job)), [job]) for job in jobs]
    tests = {
        "counts alone": [(untried, jobs)],
        "half of the jobs known": [(learn(_records(known)), others) for known, others in halves],
        "all others known": one_left_out,
    }
    return [{"forecast": name, **_shares(pairs)} for name, pairs in tests.items()]


def _records(jobs: Sequence[Measured], without: Measured | None = None) -> list[Record]:
    return [job.record for job in jobs if job is not without]


def _halves(jobs: Sequence[Measured], seed: int) -> Iterator[tuple[list[Measured], list[Measured]]]:
    """Every other job of each type is known, in a random order; then the other way round."""
    draw = random.Random(seed)
    by_type: dict[str, list[Measured]] = defaultdict(list)
    for job in jobs:
        by_type[job.record.job_type].append(job)
    halves: tuple[list[Measured], list[Measured]] = ([], [])
    for mine in by_type.values():
        draw.shuffle(mine)
        first = draw.randrange(2)
        for number, job in enumerate(mine):
            halves[(first + number) % 2].append(job)
    yield halves
    yield halves[::-1]


def _shares(pairs: Sequence[tuple[Experience, Sequence[Measured]]]) -> Row:
    judged = [(experience, job) for experience, jobs in pairs for job in jobs]
    row: Row = {"jobs": len({job.row["key"] for _, job in judged})}
    for quantity, name in (("cpu_s", "time"), ("memory_bytes", "memory")):
        errors = [job.error(experience, quantity) for experience, job in judged]
        for factor in FACTORS:
            row[f"{name}_within_{factor:g}"] = sum(error <= factor for error in errors) / len(errors)
        inside = [job.is_within(experience, quantity) for experience, job in judged]
        row[f"{name}_in_range"] = sum(inside) / len(inside)
    return row


def _known(results: Path) -> list[Row]:
    if not results.exists():
        return []
    return [json.loads(line) for line in results.read_text().splitlines()]


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
    jobs = measured(_known(given.results))
    print(json.dumps(table(jobs), indent=1))
    for job in jobs:
        errors = [job.error(Experience(), quantity) for quantity in ("cpu_s", "memory_bytes")]
        print(
            f"{job.row['key']:<20} time x{errors[0]:.2f}  memory x{errors[1]:.2f}  disk {job.disk_share:.2f}"
        )


if __name__ == "__main__":
    main()
