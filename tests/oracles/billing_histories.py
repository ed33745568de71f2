"""Random histories of one organization, close to the moments at which something changes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from fractions import Fraction

from oracles.billing_calendar import DAY, HOUR, days_since_1970
from oracles.billing_oracle import REFUND, Oracle
from oracles.billing_records import Terms

MINUTE = 60
PLANS = {
    one.code: one
    for one in (
        Terms("solo", 4_900, 49_000, 10 * HOUR, 10**12, None, None),
        Terms("lab", 49_000, 490_000, 100 * HOUR, 5 * 10**12, 350, 2_500),
        Terms("odd", 33_333, 333_331, 7 * HOUR, 10**12, 333, 1_999),
        Terms("penny", 1, 11, 1 * HOUR, 0, 1, 1),
        Terms("facility", 190_000, 1_900_000, 500 * HOUR, 30 * 10**12, 300, 2_000),
        Terms("month-only", 77_777, None, 150 * HOUR, 2 * 10**12, 777, None),
    )
}
# Moments at which clocks change, days that most years lack, ends of years; with the minute before and after.
LAST_SUNDAYS = (
    (2027, 3, 28), (2027, 10, 31), (2028, 3, 26), (2028, 10, 29), (2029, 3, 25), (2029, 10, 28), (2030, 3, 31),
    (2030, 10, 27), (2031, 3, 30), (2031, 10, 26), (2032, 3, 28), (2032, 10, 31),
)  # fmt: skip
DAYS = (
    (2027, 1, 29), (2027, 1, 30), (2027, 1, 31), (2027, 2, 28), (2027, 3, 31), (2027, 8, 31), (2027, 12, 31),
    (2028, 1, 30), (2028, 2, 29), (2028, 2, 28), (2028, 12, 31), (2029, 1, 1), (2030, 2, 28),
    (2031, 12, 31), (2032, 2, 29),
)  # fmt: skip


def sharp_moments() -> list[int]:
    changes = [days_since_1970(*day) * DAY + HOUR for day in LAST_SUNDAYS]
    days = [days_since_1970(*day) * DAY for day in DAYS]
    # A day has its own hour on which the clocks change a month later: 2:30 in Amsterdam.
    return sorted(
        [*changes, *days, *(day + HOUR + 30 * MINUTE for day in days), *(one - HOUR for one in days)]
    )


SHARP = sharp_moments()


def random_start(draw: random.Random) -> int:
    """When somebody signs up."""
    near = draw.choice(SHARP) - draw.choice((0, 0, 1 * DAY, 10 * DAY, 30 * DAY, 31 * DAY, 365 * DAY))
    return near + draw.choice((-1, 0, 1, draw.randrange(DAY)))


def random_history(
    seed: int, *, events: int = 18, with_storage: bool = False
) -> tuple[int, int, list[tuple]]:
    """VAT in percent, the moment of sign-up, and what happened then."""
    draw = random.Random(seed)
    start, vat = random_start(draw), draw.choice((0, 21, 21))
    oracle, history = Oracle(PLANS, vat, start), []
    moment = start
    for _ in range(events):
        moment = _next_moment(draw, oracle, moment, far=60 * DAY if with_storage else 800 * DAY)
        oracle.pass_time(moment)
        event = _event(draw, oracle, moment, with_storage=with_storage)
        oracle.play(moment, *event)
        history.append((moment, *event))
        if event[0] == "standstill":
            moment += event[1]
        if oracle.state == "closed" and draw.random() < 0.7:
            break
    return vat, start, history


def _next_moment(draw: random.Random, oracle: Oracle, moment: int, *, far: int) -> int:
    coming = [one for one in _edges(oracle) if moment - 1 <= one < moment + far]
    if coming and draw.random() < 0.6:
        edge = min(coming) if draw.random() < 0.7 else draw.choice(coming)
        chosen = edge + draw.choice((-1, -1, 0, 0, 0, 1, 1, 3 * DAY))
    elif draw.random() < 0.1:
        later = [one for one in SHARP if moment < one < moment + far]
        chosen = min(later, default=moment) + draw.choice((-1, 0, 1))
    else:
        chosen = moment + draw.choice(
            (0, 1, draw.randrange(HOUR), draw.randrange(5 * DAY), draw.randrange(25 * DAY))
        )
    return max(moment, chosen)


def _edges(oracle: Oracle) -> Iterator[int]:
    """Where something changes by itself, or in what may be done."""
    for at, _, _ in oracle._dues():
        yield at
    if oracle.state == "past_due":
        yield oracle.since + 60 * DAY
    for document in oracle.told.documents:
        if document.next_try_at is not None:
            yield document.next_try_at
        if document.paid_at is not None and document.contract == len(oracle.contracts) - 1:
            yield document.paid_at + REFUND


def _event(draw: random.Random, oracle: Oracle, moment: int, *, with_storage: bool) -> tuple:
    interval = draw.choice(("monthly", "monthly", "monthly", "yearly"))
    plan = draw.choice(list(PLANS))
    seconds = draw.randint(1, 4) * Fraction(draw.randrange(8 * 400 * HOUR), 8 * draw.choice((1, 1, 30, 400)))
    is_owed = any(one.is_open for one in oracle.told.documents)
    is_card = any(one.is_open and one.by_card for one in oracle.told.documents)
    held = oracle.live
    offers: list[tuple[float, tuple]] = [
        (1, ("look",)),
        (3, ("use", seconds)),
        (6 if is_owed and not is_card else 0.1, ("transfer",)),
        (7 if is_card else 0.1, ("card", draw.random() < 0.6)),
        (0.3, ("close",)),
        (0.3, ("shorten", draw.randrange(1, 40 * DAY))),
        (1 if oracle.state == "past_due" else 0.1, ("staff_end",)),
        (0.5, ("review", draw.random() < 0.5)),
    ]
    if held is None or held.stage == "ordered":
        offers.append((6 if held is None else 0.5, ("subscribe", plan, interval, draw.random() < 0.5)))
    else:
        offers += [
            (2, ("change", plan, interval)),
            (0.8, ("take_back",)),
            (1, ("deactivate",)),
            (1.5, ("limit", draw.choice((0, 1, 100, 5_000, 10**6)))),
            (0.1, ("subscribe", plan, interval, False)),
        ]
    if with_storage:
        offers += [(4, ("store", draw.randrange(9 * 10**13) // draw.choice((1, 10, 1000))))]
        offers += [(1, ("standstill", draw.randrange(1, 12 * HOUR)))]
    weights, events = zip(*offers, strict=True)
    return draw.choices(events, weights)[0]
