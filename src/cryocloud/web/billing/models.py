"""What the books hold. Invoices and the ledger are only added to; ``guards`` has the database refuse anything else."""

from __future__ import annotations

from django.db import models

from cryocloud.web.core.clock import now
from cryocloud.web.core.ids import ID_LENGTH, new_id
from cryocloud.web.core.models import Record, TenantRecord


class Customer(TenantRecord):
    """Who pays for an organization. ``vat_state`` is what is known of ``vat_id``; a new id is not checked yet."""

    class Kind(models.TextChoices):
        BUSINESS = "business"
        CONSUMER = "consumer", "private person"

    class VatState(models.TextChoices):
        NONE = "none", "not needed"
        UNCHECKED = "unchecked", "not checked yet"
        VALID = "valid", "confirmed"
        INVALID = "invalid", "refuted"

    kind = models.CharField(max_length=8, choices=Kind)
    name = models.CharField(max_length=200)
    street = models.CharField(max_length=200)
    postal_code = models.CharField(max_length=20, blank=True)
    city = models.CharField(max_length=100)
    region = models.CharField(max_length=60, blank=True)
    country = models.CharField(max_length=2)
    email = models.EmailField()
    po_number = models.CharField(max_length=60, blank=True)
    iban = models.CharField(max_length=34, blank=True)
    vat_id = models.CharField(max_length=20, blank=True)
    vat_state = models.CharField(max_length=9, choices=VatState, default=VatState.NONE)
    vat_checked_at = models.DateTimeField(null=True)
    vat_consultation = models.CharField(max_length=60, blank=True)

    class Meta(TenantRecord.Meta):
        constraints = (models.UniqueConstraint(fields=["organization"], name="one_customer"),)


class VatCheck(TenantRecord):
    """What the register of VAT ids (VIES) said of an id at a moment: the proof of an invoice without VAT."""

    class Answer(models.TextChoices):
        VALID = "valid", "confirmed"
        INVALID = "invalid", "refuted"
        DOWN = "down", "no answer"

    vat_id = models.CharField(max_length=20)
    answer = models.CharField(max_length=7, choices=Answer)
    at = models.DateTimeField(default=now)
    consultation = models.CharField(max_length=60, blank=True)
    trader_name = models.CharField(max_length=300, blank=True)
    trader_address = models.CharField(max_length=500, blank=True)
    problem = models.CharField(max_length=300, blank=True)

    class Meta(TenantRecord.Meta):
        indexes = (models.Index(fields=["organization", "at"]),)


class PlaceEvidence(TenantRecord):
    """Something that tells in which country a consumer lives; apart from everything else, since it is kept longest."""

    class Kind(models.TextChoices):
        ADDRESS = "address", "billing address"
        BANK = "bank", "country of the bank account"

    kind = models.CharField(max_length=8, choices=Kind)
    country = models.CharField(max_length=2)
    keep_until = models.DateField()

    class Meta(TenantRecord.Meta):
        constraints = (
            models.UniqueConstraint(
                fields=["organization", "kind", "country"], name="one_evidence_of_a_kind"
            ),
        )


class InvoiceSeries(models.Model):
    """The last number that was given; its row is held while an invoice is issued, so that no number is left out."""

    id = models.BigAutoField(primary_key=True)
    code = models.CharField(max_length=6)
    year = models.PositiveSmallIntegerField()
    last = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["code", "year"], name="one_series_a_year"),)


class Invoice(TenantRecord):
    """An invoice or a credit note, with everything that it says at the moment of issue.

    ``seller`` and ``customer`` are copies; ``vat`` is a list of country, treatment, rate (basis points), net and VAT.
    The documents are made once, later, by the worker; then they never change either.
    """

    class Kind(models.TextChoices):
        INVOICE = "invoice"
        CREDIT_NOTE = "credit_note", "credit note"

    key = models.CharField(max_length=200, unique=True)
    series = models.ForeignKey(InvoiceSeries, on_delete=models.PROTECT, related_name="+")
    sequence = models.PositiveIntegerField()
    number = models.CharField(max_length=24, unique=True)
    kind = models.CharField(max_length=11, choices=Kind)
    corrects = models.OneToOneField("self", on_delete=models.PROTECT, null=True, related_name="credit_note")
    reason = models.CharField(max_length=300, blank=True)
    subscription_id = models.CharField(max_length=ID_LENGTH, blank=True, db_index=True)
    issued_at = models.DateTimeField()
    issued_on = models.DateField(db_index=True)
    due_at = models.DateTimeField()
    seller = models.JSONField()
    customer = models.JSONField()
    lines = models.JSONField()
    currency = models.CharField(max_length=3)
    treatment = models.CharField(max_length=14)
    vat = models.JSONField()
    net_cents = models.BigIntegerField()
    vat_cents = models.BigIntegerField()
    gross_cents = models.BigIntegerField()
    keep_until = models.DateField()
    pdf = models.BinaryField(null=True)
    ubl = models.BinaryField(null=True)
    pdf_sha256 = models.CharField(max_length=64, blank=True)
    ubl_sha256 = models.CharField(max_length=64, blank=True)
    documents_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    problem = models.TextField(blank=True)

    class Meta(TenantRecord.Meta):
        constraints = (
            models.UniqueConstraint(fields=["series", "sequence"], name="one_number_in_a_series"),
            models.CheckConstraint(
                condition=models.Q(gross_cents=models.F("net_cents") + models.F("vat_cents")),
                name="gross_adds_up",
            ),
        )
        indexes = (models.Index(fields=["organization", "issued_at"]),)

    WRITTEN_ONCE = ("pdf", "ubl", "pdf_sha256", "ubl_sha256", "documents_at", "sent_at")
    CHANGEABLE = ("problem",)

    def __str__(self) -> str:
        return self.number

    @property
    def is_credit_note(self) -> bool:
        return self.kind == self.Kind.CREDIT_NOTE


class LedgerEntry(Record):
    """One booking; ``key`` names what it books, so that nothing is booked twice. Its postings sum to zero.

    ``invoice`` is the one whose open amount changes: a credit note's entry names the invoice that it corrects.
    """

    key = models.CharField(max_length=200, unique=True)
    text = models.CharField(max_length=300)
    organization_id = models.CharField(max_length=ID_LENGTH, blank=True, db_index=True)
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, null=True, related_name="entries")
    at = models.DateTimeField()
    booked_at = models.DateTimeField(default=now)
    booked_on = models.DateField(db_index=True)

    def __str__(self) -> str:
        return self.key


class Posting(models.Model):
    """An amount on an account: what comes in is positive, what is owed or earned negative."""

    id = models.CharField(primary_key=True, max_length=ID_LENGTH, default=new_id, editable=False)
    entry = models.ForeignKey(LedgerEntry, on_delete=models.PROTECT, related_name="postings")
    account = models.CharField(max_length=60, db_index=True)
    cents = models.BigIntegerField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["entry", "account"], name="an_account_once_an_entry"),)


class ClosedPeriod(Record):
    """A quarter whose figures were reconciled and handed in, as they were at that moment."""

    first_on = models.DateField(unique=True)
    last_on = models.DateField()
    closed_by_id = models.CharField(max_length=ID_LENGTH)
    figures = models.JSONField()
