"""Counts of operations against jobs that were really run; ``measured_jobs.json`` holds what they were and took."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cryocloud.catalog import job_type_names, load_job_type
from cryocloud.catalog.base import Facts, Forecast
from cryocloud.catalog.forecasting import Cost, Record, learn

# Two shared cores (AMD Zen 5), one thread; made by benchmarks/accuracy/forecasts.py.
JOBS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "measured_jobs.json").read_text())
FRESH_FACTOR = 3.0
LEARNT_FACTOR = 1.5
SHARE = 0.8


def counted(job: dict[str, Any]) -> Forecast:
    job_type = load_job_type(job["job_type"])
    return job_type.forecast(job_type.parameters.model_validate(job["parameters"]), Facts(**job["facts"]))


def error(measured: float, foreseen: float) -> float:
    return max(measured / foreseen, foreseen / measured)


def test_the_table_covers_the_catalog() -> None:
    measured = {job["job_type"] for job in JOBS}
    assert measured <= set(job_type_names()) and len(measured) >= 17


@pytest.mark.parametrize("quantity", ["cpu_s", "memory_bytes"])
def test_a_fresh_installation_is_right_within_a_factor_of_three(quantity: str) -> None:
    wrong = [
        (job["key"], quantity)
        for job in JOBS
        if error(job[quantity], getattr(counted(job), quantity)) > FRESH_FACTOR
    ]
    assert len(wrong) <= 0.05 * len(JOBS), wrong


@pytest.mark.parametrize("quantity", ["cpu_s", "memory_bytes"])
def test_with_all_other_jobs_known_four_of_five_are_right_within_half(quantity: str) -> None:
    """On a machine that is four times slower than counted, so that there is something to learn."""
    slow = 4.0 if quantity == "cpu_s" else 1.0
    records = [
        Record(
            job["job_type"],
            Cost.of(counted(job), 1),
            Cost(slow * job["cpu_s"], slow * job["cpu_s"], job["memory_bytes"]),
        )
        for job in JOBS
    ]
    right = 0
    for number, record in enumerate(records):
        experience = learn(records[:number] + records[number + 1 :])
        foreseen = experience.correction(record.job_type, quantity).range(getattr(record.counted, quantity))
        right += error(getattr(record.measured, quantity), foreseen.likely) <= LEARNT_FACTOR
    assert right >= SHARE * len(records), Counter(job["job_type"] for job in JOBS)


def test_what_a_job_writes_was_foreseen() -> None:
    """The count holds what lies on the disk while it runs; what it leaves is never much more."""
    assert all(job["disk_bytes"] <= 1.3 * counted(job).disk_bytes for job in JOBS)
