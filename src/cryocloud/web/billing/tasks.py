"""Background work of the books: the register of VAT ids is asked, documents are made, invoices are mailed."""

from __future__ import annotations

from datetime import timedelta

from django_tasks import task

from cryocloud.web.billing import documents, vat_checks
from cryocloud.web.billing.models import Customer, Invoice
from cryocloud.web.core.periodic import every
from cryocloud.web.core.tasks import CALLING, DRAWING


@task(priority=CALLING)
def check_vat_id(customer_id: str, organization_id: str) -> None:
    vat_checks.check(customer_id)


@every(timedelta(days=1))
def check_vat_ids() -> None:
    """Those that are not confirmed yet, and those that may have been taken back since."""
    customers = Customer.unscoped.exclude(vat_state=Customer.VatState.NONE)
    for customer_id, organization_id in customers.values_list("pk", "organization_id"):
        check_vat_id.enqueue(customer_id, organization_id=organization_id)


@task(priority=DRAWING)
def make_documents(invoice_id: str, organization_id: str) -> None:
    documents.make(invoice_id)


@every(timedelta(hours=1))
def make_missing_documents() -> None:
    """What was not ordered, or could not be made and may work by now."""
    missing = Invoice.unscoped.filter(documents_at=None)
    for invoice_id, organization_id in missing.values_list("pk", "organization_id"):
        make_documents.enqueue(invoice_id, organization_id=organization_id)
