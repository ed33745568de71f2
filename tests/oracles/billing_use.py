"""What the oracle knows of use: attempts that ended, levels of storage, and times in which nobody looked."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from fractions import Fraction

from oracles.billing_calendar import HOUR, whole
from oracles.billing_records import Contract


@dataclass
class Use:
    """Attempts are ``(moment, billed seconds)``, levels ``(moment, bytes from then on)``, gaps ``(begin, end)``."""

    attempts: list[tuple[int, int]] = field(default_factory=list)
    levels: list[tuple[int, int]] = field(default_factory=list)
    gaps: list[tuple[int, int]] = field(default_factory=list)

    def billed(self, start: int, end: int) -> int:
        return sum(seconds for at, seconds in self.attempts if start <= at < end)

    def level(self, moment: int) -> int:
        """What lay there just before."""
        return self.levels[max(0, bisect_left(self.levels, (moment, 0)) - 1)][1]

    def stored(self, start: int, end: int) -> tuple[int, int]:
        """Byte-hours, and full hours of the span."""
        first = -(-start // HOUR)
        last = -(-end // HOUR)
        total = 0
        for hour in range(first, last):
            total += self._sample(hour * HOUR)
        return total, last - first

    def _sample(self, moment: int) -> int:
        """Of hours that a standstill missed, the smaller of their neighbors; the one of its end is sampled late."""
        for begin, end in self.gaps:
            back = end // HOUR * HOUR
            if begin < moment <= back:
                return (
                    self.level(end)
                    if moment == back
                    else min(self.level(begin // HOUR * HOUR), self.level(end))
                )
        return self.level(moment)

    def overage(self, held: Contract, start: int, end: int) -> list[tuple[str, int]]:
        """What a month costs beyond its plan: kinds of lines and cents."""
        lines, plan = [], held.plan
        if plan.compute_rate is not None:
            over = max(0, self.billed(start, end) - plan.compute_s)
            cents = min(held.limit_cents, whole(Fraction(over * plan.compute_rate, HOUR)))
            lines.append(("compute", cents))
        if plan.storage_rate is not None:
            byte_hours, hours = self.stored(start, end)
            over = (
                max(Fraction(0), Fraction(byte_hours, hours) - plan.storage_bytes) if hours else Fraction(0)
            )
            lines.append(("storage", whole(over * plan.storage_rate * hours / (10**12 * 720))))
        return [line for line in lines if line[1]]
