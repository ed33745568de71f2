"""Subscriptions as tests of the platform make and follow them: through the services, with a clock that is set."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryocloud.web.billing.models import Invoice
from cryocloud.web.core.clock import now
from cryocloud.web.core.ids import new_id
from cryocloud.web.metering.allowances import allowance
from cryocloud.web.metering.models import Allowance, StorageHour, UsageRecord
from cryocloud.web.organizations.models import Organization, StateChange
from cryocloud.web.organizations.states import State, standing
from cryocloud.web.payments.models import Charge, Method, Payment
from cryocloud.web.payments.providers.base import Outcome, Told
from cryocloud.web.payments.services import request_payment
from cryocloud.web.payments.settling import complete, settle_charge
from cryocloud.web.subscriptions import services
from cryocloud.web.subscriptions.models import Subscription
from cryocloud.web.subscriptions.tasks import advance_what_is_due

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


@dataclass
class Contract:
    """An owner, their organization, and the clock that stands between two events."""

    owner: Any
    clock: Any

    @property
    def organization(self) -> Organization:
        return Organization.objects.get(pk=self.owner.organization.pk)

    @property
    def state(self) -> State:
        return standing(self.organization).state

    @property
    def held(self) -> Subscription:
        """The last one."""
        found = (
            Subscription.unscoped.filter(organization=self.owner.organization).order_by("created_at").last()
        )
        assert found is not None
        return found

    @property
    def by(self) -> dict[str, Any]:
        return {"actor": self.owner.actor, "organization": self.organization}

    def subscribe(
        self, plan: str = "lab", interval: str = "monthly", provider: str = "manual"
    ) -> Subscription:
        return services.subscribe(**self.by, plan_code=plan, interval=interval, provider=provider)

    def change(self, plan: str, interval: str = "monthly") -> Subscription:
        return services.change_plan(**self.by, plan_code=plan, interval=interval)

    def at(self, moment: datetime) -> None:
        """The worker's clock comes round at a moment."""
        self.clock.set(moment)
        advance_what_is_due()

    def invoices(self) -> list[Invoice]:
        return list(Invoice.unscoped.filter(organization=self.owner.organization).order_by("sequence"))

    def lines(self) -> list[list[tuple[str, int]]]:
        """Kind and cents of the lines of each invoice."""
        return [[(line["kind"], line["net_cents"]) for line in one.lines] for one in self.invoices()]

    def pay(self, invoice: Invoice | None = None) -> Payment:
        """A transfer over all that is missing comes in now."""
        waiting = Payment.unscoped.filter(organization=self.owner.organization, state__in=Payment.LIVE)
        chosen = waiting.filter(invoice=invoice) if invoice else waiting
        payment = chosen.order_by("created_at").select_related("invoice", "organization")[0]
        complete(payment, payment.missing_cents)
        return payment

    def states(self) -> list[tuple[str, datetime]]:
        rows = StateChange.unscoped.filter(organization=self.owner.organization).order_by("at", "created_at")
        return list(rows.values_list("after", "at"))

    @property
    def allowance(self) -> Allowance | None:
        return allowance(self.organization)

    def use(self, seconds: int, finished_at: datetime | None = None) -> None:
        """An attempt that ended then was billed so many seconds."""
        moment = finished_at or now()
        UsageRecord.unscoped.create(
            organization=self.organization,
            attempt_id=new_id(),
            job_type="refine",
            wall_s=seconds,
            cpu_s=seconds,
            peak_memory_bytes=1,
            billed_s=seconds,
            ended="done",
            started_at=moment - timedelta(seconds=seconds),
            finished_at=moment,
        )

    def store(self, size_bytes: int, from_at: datetime, hours: int) -> None:
        first = from_at.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        StorageHour.unscoped.bulk_create(
            StorageHour(
                organization=self.organization, hour=first + timedelta(hours=n), size_bytes=size_bytes
            )
            for n in range(hours)
        )

    def card(self) -> Method:
        made, _ = Method.unscoped.get_or_create(
            organization=self.organization,
            mandate="pm_1",
            defaults={"provider": "stripe", "kind": "card", "words": "Visa **** 4242"},
        )
        return made

    def first_by_card(self) -> Payment:
        """The customer has paid what an order waits for on the page of the provider."""
        request_payment(self.invoices()[-1], self.card())
        return self.charge(Outcome.PAID)

    def charge(self, outcome: Outcome, failure: str = "") -> Payment:
        """The provider tells what became of the payment that it was asked for last."""
        payment = Payment.unscoped.filter(
            organization=self.owner.organization, state__in=Payment.LIVE
        ).latest("created_at")
        number = payment.charges.count() + 1
        made = Charge.unscoped.create(
            organization=self.organization,
            payment=payment,
            method=payment.method,
            provider="stripe",
            number=number,
            amount_cents=payment.missing_cents,
            is_checkout=payment.method is None,
        )
        told = Told(f"pi_{made.pk}", made.pk, outcome, made.amount_cents, "EUR", failure)
        settle_charge(made.pk, told)
        payment.refresh_from_db()
        return payment
