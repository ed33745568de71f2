"""How invoices are paid: methods, payments and their tries, refunds, and what providers and banks have told.

Money is in cents of the one currency that is sold in. What was received or sent back is never edited.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from cryocloud.web.billing.models import Invoice
from cryocloud.web.core.clock import now
from cryocloud.web.core.ids import ID_LENGTH, new_id
from cryocloud.web.core.models import TenantRecord

REFERENCE_LENGTH = 120
WORDS_LENGTH = 200


class ProviderName(models.TextChoices):
    MANUAL = "manual", "bank transfer"
    STRIPE = "stripe", "Stripe"
    MOLLIE = "mollie", "Mollie"


class Payer(TenantRecord):
    """As whom a provider knows an organization; made before anything is charged, so that charges can be found again."""

    provider = models.CharField(max_length=8, choices=ProviderName)
    reference = models.CharField(max_length=REFERENCE_LENGTH)

    class Meta(TenantRecord.Meta):
        constraints = (models.UniqueConstraint(fields=["organization", "provider"], name="one_payer"),)


class Method(TenantRecord):
    """How an organization pays from now on; the details lie with the provider, here are the words for people."""

    class Kind(models.TextChoices):
        TRANSFER = "transfer", "bank transfer"
        CARD = "card"
        DIRECT_DEBIT = "direct_debit", "direct debit"

    provider = models.CharField(max_length=8, choices=ProviderName)
    kind = models.CharField(max_length=12, choices=Kind)
    mandate = models.CharField(max_length=REFERENCE_LENGTH, blank=True)
    words = models.CharField(max_length=WORDS_LENGTH)
    ended_at = models.DateTimeField(null=True)

    class Meta(TenantRecord.Meta):
        constraints = (
            models.UniqueConstraint(
                fields=["organization"], condition=Q(ended_at=None), name="one_method_in_force"
            ),
        )

    @property
    def charges(self) -> bool:
        """Whether money is taken without the customer doing anything."""
        return self.kind != self.Kind.TRANSFER


class Payment(TenantRecord):
    """What is to be paid for an invoice, and what has come of it.

    open: nothing is under way · pending: a transfer is awaited, or a provider has it in hand · failed: the last try
    did not succeed; ``next_try_at`` tells when it is tried again, None: not without a person.
    """

    class State(models.TextChoices):
        OPEN = "open"
        PENDING = "pending"
        PAID = "paid"
        FAILED = "failed"
        CANCELLED = "cancelled"

    LIVE = (State.OPEN, State.PENDING, State.FAILED)

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="payments")
    method = models.ForeignKey(Method, on_delete=models.PROTECT, related_name="+", null=True)
    provider = models.CharField(max_length=8, choices=ProviderName)
    amount_cents = models.PositiveBigIntegerField()
    received_cents = models.PositiveBigIntegerField(default=0)
    state = models.CharField(max_length=9, choices=State, default=State.OPEN)
    reference = models.CharField(max_length=25, unique=True)
    tries = models.PositiveSmallIntegerField(default=0)
    first_failed_at = models.DateTimeField(null=True)
    next_try_at = models.DateTimeField(null=True)
    failure = models.CharField(max_length=WORDS_LENGTH, blank=True)
    paid_at = models.DateTimeField(null=True)

    class Meta(TenantRecord.Meta):
        constraints = (
            models.UniqueConstraint(
                fields=["invoice"], condition=~Q(state="cancelled"), name="one_payment_an_invoice"
            ),
        )
        indexes = (models.Index(fields=["state", "next_try_at"]),)

    @property
    def is_live(self) -> bool:
        return self.state in self.LIVE

    @property
    def missing_cents(self) -> int:
        return self.amount_cents - self.received_cents


class Charge(TenantRecord):
    """One try to take the money of a payment through a provider; its id is the provider's idempotency key.

    Written down before the provider hears of it. ``reference`` is what the provider calls it, empty while nobody
    knows whether the order arrived.
    """

    class State(models.TextChoices):
        ORDERED = "ordered"
        PENDING = "pending"
        PAID = "paid"
        FAILED = "failed"
        CANCELLED = "cancelled"

    UNDER_WAY = (State.ORDERED, State.PENDING)

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="charges")
    method = models.ForeignKey(Method, on_delete=models.PROTECT, related_name="+", null=True)
    provider = models.CharField(max_length=8, choices=ProviderName)
    number = models.PositiveSmallIntegerField()
    amount_cents = models.PositiveBigIntegerField()
    state = models.CharField(max_length=9, choices=State, default=State.ORDERED)
    is_checkout = models.BooleanField()
    address = models.CharField(max_length=2000, blank=True)
    reference = models.CharField(max_length=REFERENCE_LENGTH, blank=True, db_index=True)
    failure = models.CharField(max_length=WORDS_LENGTH, blank=True)
    fee_cents = models.PositiveBigIntegerField(null=True)
    returned_cents = models.PositiveBigIntegerField(default=0)
    ask_at = models.DateTimeField(default=now)
    settled_at = models.DateTimeField(null=True)

    class Meta(TenantRecord.Meta):
        constraints = (
            models.UniqueConstraint(fields=["payment", "number"], name="one_charge_a_try"),
            models.UniqueConstraint(
                fields=["payment"], condition=Q(state__in=["ordered", "pending"]), name="one_charge_at_a_time"
            ),
        )
        indexes = (models.Index(fields=["state", "ask_at"]),)


class MethodChange(TenantRecord):
    """Another card or account that an owner wants to be charged, left on a page of the provider; nothing is paid.

    As of a charge: written down before the provider hears of it, its id is the idempotency key, and ``reference`` is
    empty while nobody knows whether the order arrived.
    """

    class State(models.TextChoices):
        ORDERED = "ordered"
        PENDING = "pending"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"

    UNDER_WAY = (State.ORDERED, State.PENDING)

    provider = models.CharField(max_length=8, choices=ProviderName)
    state = models.CharField(max_length=9, choices=State, default=State.ORDERED)
    method = models.ForeignKey(Method, on_delete=models.PROTECT, related_name="+", null=True)
    address = models.CharField(max_length=2000, blank=True)
    reference = models.CharField(max_length=REFERENCE_LENGTH, blank=True, db_index=True)
    failure = models.CharField(max_length=WORDS_LENGTH, blank=True)
    begun_by_id = models.CharField(max_length=ID_LENGTH)
    ask_at = models.DateTimeField(default=now)
    settled_at = models.DateTimeField(null=True)

    class Meta(TenantRecord.Meta):
        constraints = (
            models.UniqueConstraint(
                fields=["organization"],
                condition=Q(state__in=["ordered", "pending"]),
                name="one_method_change_at_a_time",
            ),
        )
        indexes = (models.Index(fields=["state", "ask_at"]),)


class Statement(models.Model):
    """A file of the bank, once for ever by its content."""

    id = models.CharField(primary_key=True, max_length=ID_LENGTH, default=new_id, editable=False)
    sha256 = models.CharField(max_length=64, unique=True)
    name = models.CharField(max_length=WORDS_LENGTH)
    content = models.BinaryField()
    uploaded_by_id = models.CharField(max_length=ID_LENGTH)
    uploaded_at = models.DateTimeField(default=now)


class StatementLine(models.Model):
    """One entry of the seller's bank account, once for ever by the bank's reference; what came in is positive."""

    class State(models.TextChoices):
        MATCHED = "matched"
        WAITING = "waiting", "to be matched"
        SET_ASIDE = "set_aside", "not ours"

    id = models.CharField(primary_key=True, max_length=ID_LENGTH, default=new_id, editable=False)
    key = models.CharField(max_length=64, unique=True)
    statement = models.ForeignKey(Statement, on_delete=models.PROTECT, related_name="lines")
    booked_on = models.DateField()
    amount_cents = models.BigIntegerField()
    left_cents = models.BigIntegerField(help_text="Of the amount, what is neither matched nor sent back")
    name = models.CharField(max_length=WORDS_LENGTH, blank=True)
    iban = models.CharField(max_length=34, blank=True)
    bic = models.CharField(max_length=11, blank=True)
    reference = models.CharField(max_length=WORDS_LENGTH, blank=True)
    text = models.CharField(max_length=1000, blank=True)
    state = models.CharField(max_length=9, choices=State)
    reason = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(default=now)


class Receipt(TenantRecord):
    """A part of a line of a statement that paid a payment."""

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="receipts")
    line = models.ForeignKey(StatementLine, on_delete=models.PROTECT, related_name="receipts")
    amount_cents = models.PositiveBigIntegerField()
    matched_by_id = models.CharField(max_length=ID_LENGTH, blank=True)

    class Meta(TenantRecord.Meta):
        constraints = (models.UniqueConstraint(fields=["payment", "line"], name="one_receipt_a_line"),)


class TransferFile(models.Model):
    """A file for the bank with transfers that send money back; made by one person of staff, approved by another."""

    id = models.CharField(primary_key=True, max_length=ID_LENGTH, default=new_id, editable=False)
    content = models.BinaryField()
    sha256 = models.CharField(max_length=64)
    transfers = models.PositiveIntegerField()
    amount_cents = models.PositiveBigIntegerField()
    made_by_id = models.CharField(max_length=ID_LENGTH)
    made_at = models.DateTimeField(default=now)
    approved_by_id = models.CharField(max_length=ID_LENGTH, blank=True)
    approved_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=500, blank=True)
    withdrawn_at = models.DateTimeField(null=True)


class Refund(models.Model):
    """Money that goes back the way it came: to a charge, or to the account of a line. ``key`` is ordered once."""

    class State(models.TextChoices):
        ORDERED = "ordered"
        PENDING = "pending", "on its way"
        EXECUTED = "executed"
        FAILED = "failed"

    UNDER_WAY = (State.ORDERED, State.PENDING)

    id = models.CharField(primary_key=True, max_length=ID_LENGTH, default=new_id, editable=False)
    key = models.CharField(max_length=120, unique=True)
    organization = models.ForeignKey(
        "organizations.Organization", on_delete=models.PROTECT, related_name="+", null=True
    )
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="refunds", null=True)
    charge = models.ForeignKey(Charge, on_delete=models.PROTECT, related_name="refunds", null=True)
    line = models.ForeignKey(StatementLine, on_delete=models.PROTECT, related_name="refunds", null=True)
    file = models.ForeignKey(TransferFile, on_delete=models.PROTECT, related_name="refunds", null=True)
    provider = models.CharField(max_length=8, choices=ProviderName)
    amount_cents = models.PositiveBigIntegerField()
    name = models.CharField(max_length=WORDS_LENGTH, blank=True)
    iban = models.CharField(max_length=34, blank=True)
    bic = models.CharField(max_length=11, blank=True)
    is_surplus = models.BooleanField(default=False, help_text="Of money that has paid nothing")
    state = models.CharField(max_length=8, choices=State, default=State.ORDERED)
    reference = models.CharField(max_length=REFERENCE_LENGTH, blank=True, db_index=True)
    failure = models.CharField(max_length=WORDS_LENGTH, blank=True)
    ask_at = models.DateTimeField(default=now)
    created_at = models.DateTimeField(default=now)
    executed_at = models.DateTimeField(null=True)


class ProviderEvent(models.Model):
    """That a provider has told of something; its id is kept for ever, so that nothing is acted on twice."""

    provider = models.CharField(max_length=8, choices=ProviderName)
    event_id = models.CharField(max_length=REFERENCE_LENGTH)
    kind = models.CharField(max_length=80)
    subject = models.CharField(max_length=REFERENCE_LENGTH, blank=True)
    received_at = models.DateTimeField(default=now)
    settled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["provider", "event_id"], name="one_event"),)


class Difference(models.Model):
    """Something that ledger, providers, bank and invoices do not agree on, from when it is found until it is gone."""

    key = models.CharField(primary_key=True, max_length=160)
    kind = models.CharField(max_length=40)
    words = models.CharField(max_length=500)
    found_at = models.DateTimeField(default=now)
    seen_at = models.DateTimeField(default=now)
    gone_at = models.DateTimeField(null=True)


class Comparison(models.Model):
    """That ledger, invoices, bank and providers were compared, and how many differences there were."""

    ended_at = models.DateTimeField(default=now)
    differences = models.PositiveIntegerField()
    new = models.PositiveIntegerField()
