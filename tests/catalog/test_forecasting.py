"""Forecasts learn from what jobs took: few records suffice, odd ones do no harm, a new machine is followed."""

from __future__ import annotations

import math
import random

import pytest

from cryocloud.catalog.base import Forecast
from cryocloud.catalog.forecasting import (
    QUANTITIES,
    UNTRIED_SPREAD,
    Cost,
    Experience,
    Range,
    Record,
    learn,
    time_left,
)
from cryocloud.catalog.range_words import duration_words, hours_words, size_words

COUNTED = Forecast(memory_bytes=1e9, disk_bytes=1e8, cpu_s=100.0)


def record(job_type: str, time_ratio: float, memory_ratio: float = 1.0, organization: str = "") -> Record:
    measured = Cost(100 * time_ratio, 120 * time_ratio, 1e9 * memory_ratio)
    return Record(job_type, Cost(100, 120, 1e9), measured, organization)


def cpu_range(experience: Experience, job_type: str = "refine") -> Range:
    return experience.ranges(job_type, COUNTED, 1).cpu_s


def test_without_records_the_count_is_the_middle_of_a_wide_range() -> None:
    ranges = learn([]).ranges("refine", COUNTED, 1)
    assert ranges.cpu_s.likely == 100 and ranges.records == 0
    assert 1.5 < ranges.cpu_s.high / 100 < 3 and math.isclose(ranges.cpu_s.low * ranges.cpu_s.high, 1e4)


def test_three_records_move_the_forecast_most_of_the_way() -> None:
    found = cpu_range(learn([record("refine", 3.0)] * 3))
    assert 300 / 1.5 < found.likely < 300
    assert found.high / found.low < cpu_range(learn([])).high / cpu_range(learn([])).low


def test_a_single_record_is_not_believed_entirely() -> None:
    assert 100 < cpu_range(learn([record("refine", 8.0)])).likely < 600


def test_odd_records_do_no_harm() -> None:
    kept = [record("refine", 1.5) for _ in range(8)]
    spoiled = [record("refine", 40.0), *kept, record("refine", 0.01), record("refine", 0.0)]
    assert math.isclose(cpu_range(learn(spoiled)).likely, 150, rel_tol=0.1)


def test_a_new_machine_is_followed() -> None:
    old = [record("refine", 1.0)] * 60
    assert math.isclose(cpu_range(learn([*[record("refine", 0.4)] * 30, *old])).likely, 40, rel_tol=0.1)
    assert math.isclose(cpu_range(learn([*[record("refine", 0.4)] * 3, *old])).likely, 100, rel_tol=0.1)


def test_the_range_holds_four_of_five() -> None:
    draw = random.Random(5)
    ratios = [math.exp(draw.gauss(0.4, 0.25)) for _ in range(440)]
    known = [record("refine", one, organization=str(number // 20)) for number, one in enumerate(ratios[:40])]
    found = cpu_range(learn(known))
    within = sum(found.low <= 100 * one <= found.high for one in ratios[40:]) / 400
    assert 0.7 <= within <= 0.92  # 40 records tell a spread to a tenth or so


def test_a_slow_machine_is_slow_for_types_that_have_not_run_yet_but_needs_no_more_memory() -> None:
    tried = [record(name, 3.0, memory_ratio=2.0) for name in ("ctf", "pick", "extract") for _ in range(4)]
    untried = learn(tried).ranges("refine", COUNTED, 1)
    assert 180 < untried.cpu_s.likely < 300 and untried.records == 0
    assert untried.memory_bytes.likely == 1e9


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_one_type_learns_nothing_from_odd_jobs_of_another(quantity: str) -> None:
    own = [record("refine", 1.0) for _ in range(20)]
    others = [record("ctf", 5.0, 5.0) for _ in range(20)]
    shift = learn([*own, *others]).correction("refine", quantity).shift
    assert abs(shift) < 0.1 * UNTRIED_SPREAD[quantity]


@pytest.mark.parametrize("ratio", [1e-9, 0.01, 100.0, 1e9])
def test_no_records_move_a_forecast_beyond_what_machines_differ(ratio: float) -> None:
    for organizations in (1, 5):
        spoiled = [record("refine", ratio, ratio, str(number % organizations)) for number in range(100)]
        experience = learn(spoiled)
        assert abs(experience.correction("refine", "cpu_s").shift) <= math.log(10)
        assert abs(experience.correction("refine", "memory_bytes").shift) <= math.log(3)
        assert abs(experience.correction("ctf", "wall_s").shift) <= math.log(10)


def test_one_organization_among_several_weighs_no_more_for_many_jobs() -> None:
    others = [record("refine", 1.0, organization=str(number % 2)) for number in range(6)]
    spoiled = [record("refine", 9.0, organization="many") for _ in range(500)]
    assert math.isclose(cpu_range(learn([*spoiled, *others])).likely, 100, rel_tol=0.1)


def test_threads_share_all_but_the_start() -> None:
    assert COUNTED.wall_s(1) == 100
    assert 100 / 4 < COUNTED.wall_s(4) < 100 / 3
    assert Forecast(0, 0, 2.0).wall_s(8) == 2.0


def test_errors_of_independent_jobs_add_up_more_slowly_than_times() -> None:
    total = Range(50, 100, 200) + Range(50, 100, 200)
    assert total.likely == 200 and 100 < total.low < 150 and 300 < total.high < 400


def test_time_left_follows_the_forecast_at_first_and_the_own_pace_later() -> None:
    expected = Range(80, 100, 130)
    begun = time_left(expected, elapsed_s=2, progress=0.0)
    assert begun == Range(78, 98, 128)
    slow = time_left(expected, elapsed_s=180, progress=0.9)
    assert slow is not None and 10 <= slow.likely <= 20
    assert time_left(expected, elapsed_s=500, progress=0.0) is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (Range(6, 8, 11), "6 to 11 s"),
        (Range(360, 480, 660), "6 to 11 min"),
        (Range(50, 100, 200), "0.8 to 3.3 min"),
        (Range(5000, 7000, 9000), "1.4 to 2.5 h"),
        (Range(600, 600, 601), "about 10 min"),
        (Range(360000, 400000, 720000), "100 to 200 h"),
    ],
)
def test_words_for_times(seconds: Range, words: str) -> None:
    assert duration_words(seconds) == words


def test_words_for_sizes_and_compute() -> None:
    assert size_words(Range(6e8, 7e8, 9e8)) == "600 to 900 MB"
    assert size_words(Range(6e8, 7e8, 3.4e9)) == "0.6 to 3.4 GB"
    assert size_words(Range(1e3, 2e3, 4e3)) == "0.001 to 0.004 MB"
    assert hours_words(Range(60, 90, 200)) == "less than 0.1 h"
    assert hours_words(Range(600, 900, 3600)) == "0.2 to 1 h"
