"""Contracts: what an organization has subscribed to, what it was offered, and wishes that a person must decide."""

from __future__ import annotations

from datetime import datetime

from django.db import models

from cryocloud.web.core.ids import ID_LENGTH
from cryocloud.web.core.models import Record, TenantRecord
from cryocloud.web.core.plain_text import REASON_LENGTH
from cryocloud.web.subscriptions.calendar import MONTHS, Span, boundary
from cryocloud.web.terms import Plan

NUMBER_LENGTH = 40


class Interval(models.TextChoices):
    MONTHLY = "monthly"
    YEARLY = "yearly"


class Quote(TenantRecord):
    """A plan of its own that was offered to one organization. It is never changed: a new one takes its place.

    ``content_sha256`` is of all that was offered; who accepted it has seen exactly that.
    """

    sequence = models.PositiveIntegerField(unique=True)
    terms = models.JSONField()
    interval = models.CharField(max_length=8, choices=Interval)
    due_days = models.PositiveSmallIntegerField()
    po_number = models.CharField(max_length=40, blank=True)
    words = models.CharField(max_length=2000, blank=True)
    valid_until = models.DateTimeField()
    content_sha256 = models.CharField(max_length=64)
    written_by_id = models.CharField(max_length=ID_LENGTH)
    accepted_at = models.DateTimeField(null=True)
    accepted_by_id = models.CharField(max_length=ID_LENGTH, blank=True)
    accepted_name = models.CharField(max_length=120, blank=True)
    withdrawn_at = models.DateTimeField(null=True)
    withdrawn_reason = models.CharField(max_length=REASON_LENGTH, blank=True)

    @property
    def number(self) -> str:
        return f"Q-{self.sequence:05d}"

    @property
    def plan(self) -> Plan:
        return Plan.model_validate(self.terms)


class Subscription(TenantRecord):
    """One contract, from the order to its end, through all changes of its plan.

    ``terms`` is the plan as it was agreed: who has it keeps its prices. Months are counted from ``anchor``; ``month``
    is the one that runs and ``period_month`` the one with which the paid period began. ``lapsed_at`` is when a month
    would have begun but for an overdue payment. ``due_at`` is when the clock has the next thing to do.
    """

    class State(models.TextChoices):
        ORDERED = "ordered", "waits for its first payment"
        RUNNING = "running"
        ENDED = "ended"
        DROPPED = "dropped", "never paid"

    state = models.CharField(max_length=8, choices=State)
    terms = models.JSONField()
    interval = models.CharField(max_length=8, choices=Interval)
    provider = models.CharField(max_length=20)
    due_days = models.PositiveSmallIntegerField()
    quote = models.ForeignKey(Quote, on_delete=models.PROTECT, null=True, related_name="+")
    spending_limit_cents = models.PositiveBigIntegerField(default=0)
    anchor = models.DateTimeField(null=True)
    month = models.PositiveIntegerField(default=0)
    period_month = models.PositiveIntegerField(default=0)
    next_terms = models.JSONField(null=True)
    next_interval = models.CharField(max_length=8, choices=Interval, blank=True)
    next_quote = models.ForeignKey(Quote, on_delete=models.PROTECT, null=True, related_name="+")
    end_wished_at = models.DateTimeField(null=True)
    end_wished_by_id = models.CharField(max_length=ID_LENGTH, blank=True)
    lapsed_at = models.DateTimeField(null=True)
    began_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    refunded_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True)

    class Meta(TenantRecord.Meta):
        constraints = (
            models.UniqueConstraint(
                fields=["organization"],
                condition=models.Q(state__in=["ordered", "running"]),
                name="one_live_subscription",
            ),
        )
        indexes = (models.Index(fields=["due_at"], name="subscription_due"),)

    @property
    def plan(self) -> Plan:
        return Plan.model_validate(self.terms)

    @property
    def next_plan(self) -> Plan | None:
        return None if self.next_terms is None else Plan.model_validate(self.next_terms)

    def moment_of(self, month: int) -> datetime:
        """The beginning of a month, counted from the anchor."""
        assert self.anchor is not None
        return boundary(self.anchor, month)

    @property
    def running_month(self) -> Span:
        return Span(self.moment_of(self.month), self.moment_of(self.month + 1))

    @property
    def period(self) -> Span:
        """What the last price was for."""
        return Span(
            self.moment_of(self.period_month), self.moment_of(self.period_month + MONTHS[self.interval])
        )


class RefundReview(TenantRecord):
    """A wish for money back that the rules do not grant by themselves: a person decides.

    ``is_withdrawal``: by a consumer within the time in which the law grants it.
    """

    subscription = models.OneToOneField(Subscription, on_delete=models.PROTECT, related_name="review")
    wished_by_id = models.CharField(max_length=ID_LENGTH)
    words = models.CharField(max_length=REASON_LENGTH, blank=True)
    is_withdrawal = models.BooleanField(default=False)
    decided_at = models.DateTimeField(null=True)
    decided_by_id = models.CharField(max_length=ID_LENGTH, blank=True)
    is_granted = models.BooleanField(null=True)
    reason = models.CharField(max_length=REASON_LENGTH, blank=True)


class Withdrawal(Record):
    """What somebody declared without logging in: that they withdraw from a contract. ``created_at`` is when it arrived.

    Nothing in it is certain until ``subscription`` names the contract that number and address belong to. It is open
    until ``settled_at``: carried out by the mailed link, of which the hash is kept, or decided by a person.
    """

    name = models.CharField(max_length=120)
    email = models.CharField(max_length=254)
    number = models.CharField(max_length=NUMBER_LENGTH)
    subscription = models.ForeignKey(
        Subscription, on_delete=models.PROTECT, null=True, related_name="withdrawals"
    )
    secret_hash = models.CharField(max_length=64, blank=True, db_index=True)
    answered_at = models.DateTimeField(null=True)
    settled_at = models.DateTimeField(null=True)
    settled_by_id = models.CharField(max_length=ID_LENGTH, blank=True)
    is_carried_out = models.BooleanField(default=False)
    reason = models.CharField(max_length=REASON_LENGTH, blank=True)

    class Meta:
        indexes = (models.Index(fields=["settled_at", "created_at"], name="withdrawal_open"),)
