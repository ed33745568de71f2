"""What trial, plans, use, payments and refunds come to, told a second time in plain Python and fractions.

It follows the written rules and imports nothing of the platform. Moments are whole seconds UTC since 1970. A history
is a list of ``(moment, event, *facts)`` in order of time; ``tell`` plays it and returns everything that a person could
see of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

from oracles.billing_calendar import DAY, HOUR, whole
from oracles.billing_records import Contract, Document, Terms, Told
from oracles.billing_use import Use

TRIAL, READING, RETRIEVAL = 30 * DAY, 30 * DAY, 30 * DAY
TRIAL_COMPUTE_S, TRIAL_BYTES = 20 * HOUR, 2 * 10**12
REFUND, ORDER_KEPT, OVERDUE_BEFORE_END = 30 * DAY, 7 * DAY, 60 * DAY
RETRIES = (1 * DAY, 3 * DAY, 5 * DAY, 7 * DAY)
DUE = 14 * DAY
FOREVER = 1 << 60


class Oracle:
    """One organization, played forward."""

    def __init__(self, plans: dict[str, Terms], vat_percent: int, signed_up_at: int) -> None:
        self.plans, self.vat_percent = plans, vat_percent
        self.signed_up_at = signed_up_at
        self.state, self.since = "trial", signed_up_at
        self.until = signed_up_at + TRIAL
        self.contracts: list[Contract] = []
        self.use = Use(levels=[(signed_up_at, 0)])
        self.told = Told()

    # What happens by itself

    def pass_time(self, moment: int) -> None:
        """Everything that is due by then, in order of the moments; what is overdue counts before the month it stops."""
        while True:
            due = [(at, rank, act) for at, rank, act in self._dues() if at <= moment]
            if not due:
                return
            at, _, act = min(due, key=lambda one: one[:2])
            act(at)

    def _dues(self) -> Iterator[tuple[int, int, Callable[[int], None]]]:
        if self.state in ("trial", "trial_ended", "retrieval"):
            yield self.until, 0, self._leave
        held = self.live
        if held and held.stage == "ordered":
            yield held.made_at + ORDER_KEPT, 2, self._drop
        if held and held.stage == "running":
            if self.state == "active":
                late = [
                    max(one.due, self.since)
                    for one in self._debts(held)
                    if one.is_open and not self._is_taken(one)
                ]
                if late:
                    yield min(late), 1, self._fall_behind
            if held.lapsed_at is None:
                yield held.month_end, 3, self._pass_boundary
            elif held.end_wished_at is not None:
                yield max(held.period[1], held.lapsed_at, held.end_wished_at), 3, self._end

    @property
    def live(self) -> Contract | None:
        last = self.contracts[-1] if self.contracts else None
        return last if last and last.stage in ("ordered", "running") else None

    def _turn(self, state: str, at: int) -> None:
        self.state, self.since = state, at
        self.until = at + {"trial_ended": READING, "retrieval": RETRIEVAL}.get(state, FOREVER)
        self.told.states.append((state, at))

    def _leave(self, at: int) -> None:
        self._turn({"trial": "trial_ended", "trial_ended": "closed", "retrieval": "closed"}[self.state], at)

    def _fall_behind(self, at: int) -> None:
        self._turn("past_due", at)

    def _drop(self, at: int) -> None:
        held = self.contracts[-1]
        held.stage = "dropped"
        self._credit_all(held, at)

    def _pass_boundary(self, at: int) -> None:
        held = self.contracts[-1]
        lines = self.use.overage(held, held.begins(held.month), at)
        if held.end_wished_at is not None and held.is_last_month:
            self._invoice(held, lines, at)
            self._end(at)
        elif self.state == "past_due":
            held.lapsed_at = at
            self._invoice(held, lines, at)
        else:
            is_priced = held.is_last_month
            held.month += 1
            if is_priced:
                self._follow(held)
                held.paid_from = held.month
                lines = [("plan", held.plan.price(held.interval)), *lines]
            self._invoice(held, lines, at)

    def _follow(self, held: Contract) -> None:
        if held.following:
            held.plan, held.interval = held.following
        held.following = None

    def _end(self, at: int) -> None:
        held = self.contracts[-1]
        held.stage, held.following = "ended", None
        self._turn("ended", at)
        self._turn("retrieval", at)

    # What is owed

    def _invoice(self, held: Contract, lines: list[tuple[str, int]], at: int) -> None:
        net = sum(cents for _, cents in lines)
        if net == 0:
            return
        vat = whole(Fraction(net * self.vat_percent, 100))
        self.told.documents.append(Document(tuple(lines), net, vat, at, at + DUE, held.number, held.by_card))
        self._send_back(held, min(-(net + vat), self._paid(held)))

    def _debts(self, held: Contract) -> list[Document]:
        return [one for one in self.told.documents if one.of is None and one.contract == held.number]

    def _paid(self, held: Contract) -> int:
        """What has been paid for a contract and has not gone back."""
        return sum(one.gross for one in self._debts(held) if one.paid_at is not None) - held.sent_back

    def _send_back(self, held: Contract, cents: int) -> None:
        """An invoice in favor of the customer is settled at once, out of what they have paid."""
        held.sent_back += max(0, cents)
        self.told.refunded += max(0, cents)

    def _is_taken(self, one: Document) -> bool:
        """By card: nobody is late before it fails, and then since it failed."""
        return one.by_card

    def _credit_all(self, held: Contract, at: int) -> None:
        for index, one in enumerate(list(self.told.documents)):
            if one.of is None and one.contract == held.number and one.credited_at is None:
                one.credited_at, one.next_try_at = at, None
                lines = tuple((kind, -cents) for kind, cents in one.lines)
                self.told.documents.append(
                    Document(lines, -one.net, -one.vat, at, at, held.number, False, of=index)
                )

    # What is included

    def span(self, moment: int) -> tuple[int, int, int]:
        """From, until, and seconds of compute that are included at a moment; everything due by then has happened."""
        if self.state == "trial":
            return self.signed_up_at, self.signed_up_at + TRIAL, TRIAL_COMPUTE_S
        held = self.live
        is_given = held is not None and held.stage == "running" and held.lapsed_at is None
        if self.state in ("active", "past_due") and is_given:
            return held.begins(held.month), held.month_end, held.plan.compute_s
        return moment, moment, 0

    def limit(self, moment: int) -> tuple[int, int]:
        """From when on use counts, and up to how many seconds."""
        start, _, included = self.span(moment)
        held = self.live
        if self.state == "active" and held and held.plan.compute_rate:
            included += held.limit_cents * HOUR // held.plan.compute_rate
        return start, included

    # What people do

    def play(self, moment: int, event: str, *facts) -> None:
        self.pass_time(moment)
        self.told.answers.append(getattr(self, f"on_{event}")(moment, *facts) or "done")
        self.told.included.append(self.span(moment))

    def on_look(self, at: int) -> None:
        pass

    def on_subscribe(self, at: int, code: str, interval: str, by_card: bool) -> str:
        plan, held = self.plans[code], self.live
        if plan.yearly is None and interval == "yearly":
            return "refused"
        if held and held.stage == "running":
            return "refused"
        if self.state not in ("trial", "trial_ended", "retrieval"):
            return "refused"
        if any(one.stage == "ended" and self._is_late(one, at) for one in self.contracts):
            return "refused"
        if held:
            self._drop(at)
        fresh = Contract(len(self.contracts), plan, interval, by_card, at)
        self.contracts.append(fresh)
        if not by_card:
            self._begin(fresh, at)
        self._invoice(fresh, [("plan", plan.price(interval))], at)
        return "done"

    def _begin(self, held: Contract, at: int) -> None:
        held.stage, held.anchor, held.month, held.paid_from, held.lapsed_at = "running", at, 0, 0, None
        self._turn("active", at)

    def _running(self) -> Contract | None:
        held = self.live
        return held if held and held.stage == "running" else None

    def on_change(self, at: int, code: str, interval: str) -> str:
        held, plan = self._running(), self.plans[code]
        if held is None or (plan.code, interval) == (held.plan.code, held.interval):
            return "refused"
        if (
            (plan.yearly is None and interval == "yearly")
            or held.end_wished_at is not None
            or self.state != "active"
        ):
            return "refused"
        if plan.monthly <= held.plan.monthly:
            held.following = (plan, interval)
            return "done"
        start, end = held.period
        unused = whole(Fraction(held.plan.price(held.interval) * (end - at), end - start))
        if unused > plan.price(interval):
            return "refused"
        lines = self.use.overage(held, held.begins(held.month), at)
        held.plan, held.interval, held.following = plan, interval, None
        held.anchor, held.month, held.paid_from = at, 0, 0
        self._invoice(held, [("plan", plan.price(interval)), ("credit", -unused), *lines], at)
        return "done"

    def on_take_back(self, at: int) -> str:
        held = self._running()
        if held is None or (held.end_wished_at is None and held.following is None):
            return "refused"
        if held.end_wished_at is not None:
            held.end_wished_at = None
        else:
            held.following = None
        return "done"

    def on_limit(self, at: int, cents: int) -> str:
        held = self._running()
        if held is None or held.plan.compute_rate is None:
            return "refused"
        if cents and not any(one.paid_at is not None for one in self._debts(held)):
            return "refused"
        spent = 0
        if held.lapsed_at is None:
            over = max(0, self.use.billed(held.begins(held.month), held.month_end) - held.plan.compute_s)
            spent = min(held.limit_cents, whole(Fraction(over * held.plan.compute_rate, HOUR)))
        if cents < spent:
            return "refused"
        held.limit_cents = cents
        return "done"

    def on_use(self, at: int, seconds: Fraction) -> str:
        """An attempt that took so many seconds of slots ends now; what is not left is not billed."""
        start, limit = self.limit(at)
        left = limit - sum(billed for moment, billed in self.use.attempts if moment >= start)
        if left < 1:
            return "refused"
        billed = min(seconds.numerator // seconds.denominator, left)
        self.use.attempts.append((at, billed))
        self.told.billed.append(billed)
        return "done"

    def on_store(self, at: int, size_bytes: int) -> None:
        self.use.levels.append((at, size_bytes))

    def on_standstill(self, at: int, seconds: int) -> None:
        """From now on nobody looks and nothing is sampled for so long."""
        self.use.gaps.append((at, at + seconds))

    def on_transfer(self, at: int) -> str:
        waiting = [one for one in self.told.documents if one.is_open and not one.by_card]
        if not waiting:
            return "refused"
        self._pay(waiting[0], at)
        return "done"

    def on_card(self, at: int, is_paid: bool) -> str:
        waiting = [one for one in self.told.documents if one.is_open and one.by_card]
        if not waiting:
            return "refused"
        if is_paid:
            self._pay(waiting[0], at)
        else:
            self._fail(waiting[0], at)
        return "done"

    def _pay(self, document: Document, at: int) -> None:
        document.paid_at, document.next_try_at = at, None
        held = self.contracts[document.contract]
        if held.stage == "ordered":
            if self.state in ("trial", "trial_ended", "retrieval"):
                self._begin(held, at)
            else:
                held.stage = "dropped"
                self._credit_all(held, at)
                self._send_back(held, self._paid(held))
        elif held.stage == "running" and self.state == "past_due" and not self._is_late(held, at):
            self._turn("active", at)
            if held.lapsed_at is not None:
                self._go_on(held, at)

    def _is_late(self, held: Contract, at: int) -> bool:
        late = [one for one in self._debts(held) if one.is_open]
        return any(one.first_failed_at is not None if one.by_card else one.due <= at for one in late)

    def _go_on(self, held: Contract, at: int) -> None:
        """A month was missed. With an end in sight the paid time is used up; else all counts anew from the payment."""
        assert held.lapsed_at is not None
        if held.end_wished_at is not None:
            held.lapsed_at = None
            while held.month_end <= at:
                held.month += 1
            return
        lines, (start, end) = [], held.period
        if held.lapsed_at < end:
            price = held.plan.price(held.interval)
            lines.append(("credit", -whole(Fraction(price * (end - held.lapsed_at), end - start))))
        self._follow(held)
        held.anchor, held.month, held.paid_from, held.lapsed_at = at, 0, 0, None
        self._invoice(held, [("plan", held.plan.price(held.interval)), *lines], at)

    def _fail(self, document: Document, at: int) -> None:
        if document.first_failed_at is None:
            document.first_failed_at = at
        document.failures += 1
        moments = [document.first_failed_at + wait for wait in RETRIES[document.failures - 1 :]]
        document.next_try_at = next((one for one in moments if one > at), None)
        held = self.contracts[document.contract]
        if held.stage == "running" and self.state == "active":
            self._turn("past_due", at)

    def on_deactivate(self, at: int) -> str:
        held = self._running()
        if held is None or held.end_wished_at is not None:
            return "refused"
        first = min((one.paid_at for one in self._debts(held) if one.paid_at is not None), default=None)
        is_early = first is None or at < first + REFUND
        if is_early and not any(one.was_refunded for one in self.contracts):
            self._give_all_back(held, at)
            return "done"
        held.end_wished_at, held.following = at, None
        held.review = held.review or ("open" if is_early else "")
        self.pass_time(at)
        return "done"

    def _give_all_back(self, held: Contract, at: int) -> None:
        held.was_refunded = True
        self._send_back(held, self._paid(held))
        if held.stage == "running":
            self._end(at)
        self._credit_all(held, at)

    def on_review(self, at: int, is_granted: bool) -> str:
        """Staff decide about the last wish for a second refund."""
        waiting = [one for one in self.contracts if one.review == "open"]
        if not waiting:
            return "refused"
        waiting[-1].review = "decided"
        if is_granted:
            self._give_all_back(waiting[-1], at)
        return "done"

    def on_staff_end(self, at: int) -> str:
        held = self._running()
        if held is None or self.state != "past_due" or at < self.since + OVERDUE_BEFORE_END:
            return "refused"
        if held.lapsed_at is None:
            self._invoice(held, self.use.overage(held, held.begins(held.month), at), at)
        self._end(at)
        return "done"

    def on_close(self, at: int) -> str:
        if self.state not in ("trial_ended", "retrieval"):
            return "refused"
        self._turn("closed", at)
        return "done"

    def on_shorten(self, at: int, seconds: int) -> str:
        if self.state not in ("trial_ended", "retrieval") or not at < at + seconds < self.until:
            return "refused"
        self.until = at + seconds
        return "done"


def tell(
    plans: dict[str, Terms], vat_percent: int, signed_up_at: int, history: list[tuple]
) -> tuple[Oracle, Told]:
    oracle = Oracle(plans, vat_percent, signed_up_at)
    for moment, event, *facts in history:
        oracle.play(moment, event, *facts)
    return oracle, oracle.told
