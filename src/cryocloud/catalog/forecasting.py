"""Forecasts as ranges: counts of operations, corrected by what jobs of that type took on this machine.

``docs/methods/forecasts.md`` explains the method. Nothing is kept of a job but its type and two triples of numbers.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cryocloud.catalog.base import Forecast

REVISION = 1
"""Raised when a job type counts in another way: records made with an older count are left out."""
Weighted = Sequence[tuple[float, float]]
"""Values, each with its weight."""
QUANTITIES = ("cpu_s", "wall_s", "memory_bytes")
TIMES = ("cpu_s", "wall_s")
WITHIN_80_PERCENT = 1.2816
"""Standard deviations on each side of a range that holds four of five."""
UNTRIED_SPREAD = {"cpu_s": 0.55, "wall_s": 0.65, "memory_bytes": 0.3}
"""Standard deviation of the logarithm of measured over counted, where no job of the type has run yet."""
UNTRIED_WEIGHT = 1.5
"""As many records as that spread weighs against."""
SHRINKAGE = 0.5
"""As many records as weigh against the correction of a type."""
HALF_LIFE = 20.0
"""After so many newer records of its type one weighs half: a new machine is followed within a few dozen jobs."""
RECORDS_OF_ONE = 20
"""So many of the newest records of a type count of each organization."""
LEARNT_MAX = {"cpu_s": math.log(10), "wall_s": math.log(10), "memory_bytes": math.log(3)}
"""No record counts as further from its count: what others ran moves a forecast only so far."""
DISK_SPREAD = 0.2


@dataclass(frozen=True)
class Cost:
    """Of one job: what was counted before, or measured after it."""

    cpu_s: float
    wall_s: float
    memory_bytes: float

    @classmethod
    def of(cls, forecast: Forecast, threads: int) -> Cost:
        return cls(forecast.cpu_s, forecast.wall_s(threads), forecast.memory_bytes)


@dataclass(frozen=True)
class Record:
    """One job that ended with a result, and ran from its beginning in one attempt."""

    job_type: str
    counted: Cost
    measured: Cost
    organization: str = ""


@dataclass(frozen=True)
class Range:
    """Four of five jobs are expected between ``low`` and ``high``."""

    low: float
    likely: float
    high: float

    def __add__(self, other: Range) -> Range:
        """Of two jobs one after the other, whose errors are independent."""
        likely = self.likely + other.likely
        below = math.hypot(self.likely - self.low, other.likely - other.low)
        above = math.hypot(self.high - self.likely, other.high - other.likely)
        return Range(likely - below, likely, likely + above)


@dataclass(frozen=True)
class Correction:
    """``shift`` and ``spread`` of the logarithm of measured over counted; ``records`` it rests on."""

    shift: float
    spread: float
    records: int

    def range(self, counted: float) -> Range:
        likely = counted * math.exp(self.shift)
        factor = math.exp(WITHIN_80_PERCENT * self.spread)
        return Range(likely / factor, likely, likely * factor)


@dataclass(frozen=True)
class Experience:
    """What is known of this machine: a correction for each job type and quantity, and one for new types."""

    known: Mapping[tuple[str, str], Correction] = field(default_factory=dict)
    of_machine: Mapping[str, float] = field(default_factory=dict)

    def correction(self, job_type: str, quantity: str) -> Correction:
        untried = Correction(self.of_machine.get(quantity, 0.0), UNTRIED_SPREAD[quantity], 0)
        return self.known.get((job_type, quantity), untried)

    def ranges(self, job_type: str, forecast: Forecast, threads: int) -> JobRanges:
        counted = Cost.of(forecast, threads)
        cpu_s, wall_s, memory_bytes = (
            self.correction(job_type, quantity).range(getattr(counted, quantity)) for quantity in QUANTITIES
        )
        disk_bytes = Correction(0.0, DISK_SPREAD, 0).range(forecast.disk_bytes)
        unlearnt = Correction(0.0, UNTRIED_SPREAD["memory_bytes"], 0).range(counted.memory_bytes)
        least_memory_bytes = min(memory_bytes.low, unlearnt.low)
        records = self.correction(job_type, "cpu_s").records
        return JobRanges(cpu_s, wall_s, memory_bytes, disk_bytes, counted, records, least_memory_bytes)


@dataclass(frozen=True)
class JobRanges:
    """The forecast of one job, and the count of operations that it corrects.

    ``least_memory_bytes`` is the low end, of the count too: nothing is refused for what other jobs took alone.
    """

    cpu_s: Range
    wall_s: Range
    memory_bytes: Range
    disk_bytes: Range
    counted: Cost
    records: int
    least_memory_bytes: float


def learn(records: Iterable[Record]) -> Experience:
    """From records of all job types and organizations, the newest first."""
    by_type: dict[str, list[Record]] = defaultdict(list)
    kept: Counter[tuple[str, str]] = Counter()
    for record in records:
        own = record.job_type, record.organization
        if kept[own] < RECORDS_OF_ONE:
            kept[own] += 1
            by_type[record.job_type].append(record)
    known: dict[tuple[str, str], Correction] = {}
    of_machine: dict[str, float] = {}
    for quantity in QUANTITIES:
        logs = {name: _weighted_logs(mine, quantity) for name, mine in by_type.items()}
        logs = {name: weighted for name, weighted in logs.items() if weighted}
        medians = [_weighted_median(weighted) for weighted in logs.values()]
        # Memory does not follow the machine: a type that has not run yet gets no correction from the others.
        machine = _middle(medians) if quantity in TIMES else 0.0
        of_machine[quantity] = machine
        for name, weighted in logs.items():
            known[name, quantity] = _correction(weighted, machine, UNTRIED_SPREAD[quantity])
    return Experience(known, of_machine)


def _correction(weighted: Weighted, machine: float, untried_spread: float) -> Correction:
    """Median and median deviation, each drawn towards what would be said without records."""
    effective = sum(weight for _, weight in weighted)
    median = _weighted_median(weighted)
    deviation = 1.4826 * _weighted_median([(abs(ratio - median), weight) for ratio, weight in weighted])
    variance = (UNTRIED_WEIGHT * untried_spread**2 + effective * deviation**2) / (UNTRIED_WEIGHT + effective)
    shift = machine + (median - machine) * effective / (effective + SHRINKAGE)
    return Correction(shift, math.sqrt(variance), len(weighted))


def _weighted_logs(records: Sequence[Record], quantity: str) -> list[tuple[float, float]]:
    """Logarithms of measured over counted with weights that sum up to the same for each organization."""
    by_organization: dict[str, list[float]] = defaultdict(list)
    for one in records:
        measured, counted = getattr(one.measured, quantity), getattr(one.counted, quantity)
        if measured > 0 and counted > 0:
            most = LEARNT_MAX[quantity]
            ratio = min(max(math.log(measured / counted), -most), most)
            by_organization[one.organization].append(ratio)
    weights = {name: _weights(len(ratios)) for name, ratios in by_organization.items()}
    each = sum(map(sum, weights.values())) / max(1, len(weights))
    return [
        (ratio, weight * each / sum(weights[name]))
        for name, ratios in by_organization.items()
        for ratio, weight in zip(ratios, weights[name], strict=True)
    ]


def _weights(count: int) -> list[float]:
    return [0.5 ** (age / HALF_LIFE) for age in range(count)]


def _weighted_median(weighted: Weighted) -> float:
    """The middle of the weight, between two values where it falls between them."""
    ordered = sorted(weighted)
    half, below = sum(weight for _, weight in ordered) / 2, 0.0
    for number, (value, weight) in enumerate(ordered):
        below += weight
        if math.isclose(below, half) and number + 1 < len(ordered):
            return (value + ordered[number + 1][0]) / 2
        if below > half:
            return value
    return ordered[-1][0]


def _middle(medians: Sequence[float]) -> float:
    """Of the job types; a single one says little of the machine."""
    if not medians:
        return 0.0
    return _weighted_median([(median, 1.0) for median in medians]) * len(medians) / (len(medians) + 1)


def time_left(expected: Range, elapsed_s: float, progress: float) -> Range | None:
    """Of a job at work; the further it is, the more its own pace counts. None once its forecast is used up."""
    done = min(max(progress, 0.0), 1.0)

    def left_s(total_s: float) -> float:
        if not done:
            return max(0.0, total_s - elapsed_s)
        own_total_s = elapsed_s / done
        return (1 - done) * ((1 - done) * total_s + done * own_total_s)

    found = Range(left_s(expected.low), left_s(expected.likely), left_s(expected.high))
    return found if found.high > 0 else None
