"""A history played on the platform's own services, with a clock that stands still between two events."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from django.db.models import Sum

from cryocloud.web.billing.models import Invoice, Posting
from cryocloud.web.core.errors import PlatformError
from cryocloud.web.core.ids import new_id
from cryocloud.web.data.models import StoredObject
from cryocloud.web.data.storage import sample_storage_of
from cryocloud.web.metering.allowances import allowance
from cryocloud.web.metering.grants import Claim, reserve
from cryocloud.web.metering.models import StorageHour, UsageRecord
from cryocloud.web.metering.services import Measured, record_usage
from cryocloud.web.organizations.models import Membership, Organization, Role, StateChange
from cryocloud.web.organizations.states import settle
from cryocloud.web.payments.booking import book_line
from cryocloud.web.payments.models import Charge, Method, Payment, Refund, Statement, StatementLine
from cryocloud.web.payments.providers.base import Outcome, Told
from cryocloud.web.payments.services import request_payment
from cryocloud.web.payments.settling import settle_charge
from cryocloud.web.payments.statements import pay_with
from cryocloud.web.subscriptions import services
from cryocloud.web.subscriptions.advance import advance
from cryocloud.web.subscriptions.models import RefundReview, Subscription
from oracles.billing_calendar import HOUR
from oracles.billing_oracle import Oracle
from oracles.billing_records import Document
from web_books import make_customer

EUROPE = {0: {"country": "US", "postal_code": "02138", "city": "Cambridge", "vat_id": ""}, 21: {}}


def moment_of(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def seconds_of(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp())


@dataclass
class StandingClock:
    """What every part of the platform sees as the present, until it is set again."""

    seconds: int = 0

    def present(self) -> datetime:
        return moment_of(self.seconds)


class Played:
    """One organization of the platform, moved through a history."""

    def __init__(
        self,
        owner: Any,
        operator: Any,
        clock: StandingClock,
        start: int,
        vat_percent: int,
        *,
        has_storage: bool,
    ) -> None:
        self.owner, self.operator, self.clock = owner, operator, clock
        clock.seconds = start
        self.organization = Organization.objects.create(name="Lab", trial_started_at=moment_of(start))
        Membership.unscoped.create(organization=self.organization, user=owner.user, role=Role.OWNER)
        make_customer(self.organization, **EUROPE[vat_percent])
        self.level, self.has_storage, self.sampled_until = 0, has_storage, (start - 1) // HOUR
        self.stands_until: int | None = None
        self.answers: list[str] = []
        self.included: list[tuple[int, int, int]] = []

    @property
    def by(self) -> dict[str, Any]:
        return {"actor": self.owner.actor, "organization": Organization.objects.get(pk=self.organization.pk)}

    @property
    def last(self) -> Subscription | None:
        rows = Subscription.unscoped.filter(organization=self.organization)
        return (
            rows.order_by("created_at", "began_at", "pk").last() if rows.count() < 2 else self._newest(rows)
        )

    def _newest(self, rows: Any) -> Subscription:
        live = rows.filter(state__in=("ordered", "running")).first()
        return live or rows.order_by("created_at").last()

    def play(self, seconds: int, event: str, *facts: Any) -> None:
        self.come_back(seconds)
        self.clock.seconds = seconds
        self.sample(seconds)
        self.come_round()
        try:
            answer = getattr(self, f"on_{event}")(*facts)
        except PlatformError:
            answer = "refused"
        self.answers.append(answer or "done")
        given = allowance(Organization.objects.get(pk=self.organization.pk))
        assert given is not None
        self.included.append((seconds_of(given.from_at), seconds_of(given.until_at), given.compute_s))

    def come_round(self) -> None:
        """The worker looks what is due of this organization, until nothing is."""
        settle(self.organization.pk)
        for held in Subscription.unscoped.filter(
            organization=self.organization, due_at__lte=self.clock.present()
        ):
            advance(held.pk)
        settle(self.organization.pk)

    def sample(self, until: int) -> None:
        """The sampler was there at each full hour up to and with this moment; where nothing is kept, at the last."""
        hours = range(self.sampled_until + 1, until // HOUR + 1)
        StorageHour.unscoped.bulk_create(
            StorageHour(organization=self.organization, hour=moment_of(one * HOUR), size_bytes=self.level)
            for one in (hours if self.has_storage else hours[-1:])
        )
        self.sampled_until = max(self.sampled_until, until // HOUR)

    def on_standstill(self, distance: int) -> None:
        self.stands_until = self.clock.seconds + distance

    def come_back(self, seconds: int) -> None:
        """After a standstill subscriptions are looked after first, and the sampler comes later."""
        if self.stands_until is not None and seconds >= self.stands_until:
            self.clock.seconds, self.stands_until = self.stands_until, None
            self.come_round()
            sample_storage_of(self.organization)
            self.sampled_until = self.clock.seconds // HOUR

    def on_look(self) -> None:
        """Nothing but the clock."""

    def on_subscribe(self, plan: str, interval: str, by_card: bool) -> None:
        provider = "stripe" if by_card else "manual"
        services.subscribe(**self.by, plan_code=plan, interval=interval, provider=provider)

    def on_change(self, plan: str, interval: str) -> None:
        services.change_plan(**self.by, plan_code=plan, interval=interval)

    def on_take_back(self) -> None:
        services.take_back(**self.by)

    def on_limit(self, cents: int) -> None:
        services.set_spending_limit(**self.by, cents=cents)

    def on_deactivate(self) -> None:
        services.deactivate(**self.by)

    def on_close(self) -> None:
        services.close_organization(**self.by, name="Lab")

    def on_shorten(self, distance: int) -> None:
        services.shorten_retrieval(**self.by, until=moment_of(self.clock.seconds + distance))

    def on_staff_end(self) -> str | None:
        if self.last is None:
            return "refused"
        services.end_overdue(actor=self.operator.actor, subscription=self.last, reason="never paid")
        return None

    def on_review(self, is_granted: bool) -> str | None:
        waiting = RefundReview.unscoped.filter(organization=self.organization, decided_at=None)
        review = waiting.order_by("created_at").last()
        if review is None:
            return "refused"
        services.decide_review(actor=self.operator.actor, review=review, grant=is_granted, reason="as it is")
        return None

    def on_use(self, seconds: Fraction) -> str | None:
        """An attempt of one slot that ends now."""
        claim = Claim(self.organization.pk, new_id())
        if reserve(claim) is not None:
            return "refused"
        measured = Measured(
            job_id="", job_type="refine", boot_id="", from_s=0.0, until_s=float(seconds), cpu_s=0.0, gpus=0,
            gpu_class="", peak_memory_bytes=1, read_bytes=0, written_bytes=0, ended="succeeded", exit_code=0,
            cause=UsageRecord.Cause.choices[0][0], is_fault=False, was_stopped=False,
            started_at=self.clock.present() - timedelta(seconds=float(seconds)),
        )  # fmt: skip
        record_usage(claim, measured)
        return None

    def on_store(self, size_bytes: int) -> None:
        self.level = size_bytes
        StoredObject.unscoped.update_or_create(
            organization=self.organization,
            key=self.organization.pk,
            defaults={"size_bytes": size_bytes, "sha256": ""},
        )

    def _waiting(self, **which: Any) -> Payment | None:
        rows = Payment.unscoped.filter(organization=self.organization, state__in=Payment.LIVE, **which)
        return (
            rows.order_by("invoice__issued_at", "invoice__sequence")
            .select_related("invoice", "organization")
            .first()
        )

    def on_transfer(self) -> str | None:
        payment = self._waiting(method=None)
        if payment is None:
            return "refused"
        line = StatementLine.objects.create(
            key=new_id(), statement=self._statement(), booked_on=self.clock.present().date(), state="waiting",
            amount_cents=payment.missing_cents, left_cents=payment.missing_cents, name="Lab", iban="NL91ABNA0417164300",
        )  # fmt: skip
        book_line(line)
        pay_with(line, payment, payment.missing_cents, matched_by_id="")
        return None

    def _statement(self) -> Statement:
        return Statement.objects.get_or_create(sha256="0" * 64, defaults={"name": "camt", "content": b"x"})[0]

    def on_card(self, is_paid: bool) -> str | None:
        self._pay_order_by_card()
        payment = self._waiting(method__isnull=False)
        if payment is None:
            return "refused"
        made = Charge.unscoped.create(
            organization=self.organization, payment=payment, method=payment.method, provider="stripe",
            number=payment.charges.count() + 1, amount_cents=payment.missing_cents, is_checkout=False,
        )  # fmt: skip
        outcome = Outcome.PAID if is_paid else Outcome.FAILED
        settle_charge(made.pk, Told(f"pi_{made.pk}", made.pk, outcome, made.amount_cents, "EUR", ""))
        return None

    def _pay_order_by_card(self) -> None:
        """The owner is on the provider's page for what an order waits for."""
        held = self.last
        if held is None or held.state != Subscription.State.ORDERED:
            return
        method, _ = Method.unscoped.get_or_create(
            organization=self.organization,
            mandate="pm_1",
            defaults={"provider": "stripe", "kind": "card", "words": "Visa **** 4242"},
        )
        with suppress(PlatformError):
            request_payment(Invoice.unscoped.get(subscription_id=held.pk, kind="invoice"), method)

    # What came of it

    def states(self) -> list[tuple[str, int]]:
        """In the order in which one led to the next, also where several came at one moment."""
        rows = list(StateChange.unscoped.filter(organization=self.organization).order_by("at"))
        found, stands = [], "trial"
        while rows:
            following = next(row for row in rows if row.before == stands)
            rows.remove(following)
            stands = following.after
            found.append((following.after, seconds_of(following.at)))
        return found

    def documents(self) -> list[tuple]:
        rows = list(
            Invoice.unscoped.filter(organization=self.organization).order_by(
                "issued_on", "series__year", "sequence"
            )
        )
        numbers = {row.pk: index for index, row in enumerate(rows)}
        return [self._document(row, numbers) for row in rows]

    def _document(self, row: Invoice, numbers: dict[str, int]) -> tuple:
        lines = tuple((line["kind"], line["net_cents"]) for line in row.lines)
        if row.corrects_id:
            return (lines, row.net_cents, row.vat_cents, numbers[row.corrects_id])
        payment = Payment.unscoped.filter(invoice=row).first()
        if payment is None:
            times = (None, None, None)
        else:
            again_at = payment.next_try_at if payment.first_failed_at else None
            times = (payment.paid_at, payment.first_failed_at, again_at)
        return (lines, row.net_cents, row.vat_cents, seconds_of(row.due_at), *map(seconds_of, times))

    def totals(self) -> dict[str, int]:
        receivable = Posting.objects.filter(account="receivable", entry__organization_id=self.organization.pk)
        refunds = Refund.objects.filter(organization=self.organization)
        return {
            "refunded": refunds.aggregate(sum=Sum("amount_cents", default=0))["sum"],
            "receivable": receivable.aggregate(sum=Sum("cents", default=0))["sum"],
            "billed": list(
                UsageRecord.unscoped.filter(organization=self.organization)
                .order_by("finished_at", "created_at").values_list("billed_s", flat=True)
            ),
        }  # fmt: skip


def told_document(one: Document) -> tuple:
    if one.of is not None:
        return (one.lines, one.net, one.vat, one.of)
    return (one.lines, one.net, one.vat, one.due, one.paid_at, one.first_failed_at, one.next_try_at)


def told_totals(oracle: Oracle) -> dict[str, Any]:
    documents = oracle.told.documents
    paid = sum(one.gross for one in documents if one.paid_at is not None)
    return {
        "refunded": oracle.told.refunded,
        "receivable": sum(one.gross for one in documents) - paid + oracle.told.refunded,
        "billed": oracle.told.billed,
    }
