"""Payments of the current organization: how each stands, and paying one now."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.core.errors import NotFound
from cryocloud.web.organizations import access
from cryocloud.web.organizations.access import Purpose
from cryocloud.web.organizations.models import Role
from cryocloud.web.pages.visitor import current_organization, members_only
from cryocloud.web.payments.models import Charge, Payment, ProviderName
from cryocloud.web.payments.payment_words import method_words, refund_words, standing_of
from cryocloud.web.payments.providers import offered
from cryocloud.web.payments.providers.manual import code_picture, instructions
from cryocloud.web.payments.services import begin_checkout, method_of

PER_PAGE = 50


@require_safe
@members_only
def payments(request: HttpRequest, actor: Actor) -> HttpResponse:
    current = current_organization(request, actor)
    rows = access.within(actor, Payment, current, needs=Role.ADMIN, purpose=Purpose.GOVERN).select_related(
        "invoice"
    )
    page = Paginator(rows.order_by("-created_at", "pk"), PER_PAGE).get_page(request.GET.get("page"))
    shown = {
        "section": "organization",
        "organization": current,
        "page": page,
        "payments": [(one, standing_of(one)) for one in page],
        "method": method_words(method_of(current)),
    }
    return render(request, "payments/list.html", shown)


@require_safe
@members_only
def payment(request: HttpRequest, actor: Actor, payment_id: str) -> HttpResponse:
    """How it stands, and every way to pay what is still missing."""
    found = _get(actor, payment_id)
    may_pay = access.role_in(actor, found.organization_id) == Role.OWNER
    is_transfer = found.provider == ProviderName.MANUAL
    shown = {
        "section": "organization",
        "payment": found,
        "standing": standing_of(found),
        "transfer": instructions(found) if found.is_live and is_transfer else None,
        "charges": found.charges.order_by("number"),
        "receipts": found.receipts.select_related("line"),
        "refunds": [(one, refund_words(one)) for one in found.refunds.order_by("created_at")],
        "ways": _ways(found),
        "may_pay": may_pay,
    }
    return render(request, "payments/payment.html", shown)


def _ways(found: Payment) -> list[ProviderName]:
    """What can be chosen to pay what is missing, the way of so far first; a transfer is told of by itself."""
    if not found.is_live:
        return []
    is_transfer = found.provider == ProviderName.MANUAL
    ways = [one for one in offered() if not (is_transfer and one == ProviderName.MANUAL)]
    return sorted(ways, key=lambda one: one != found.provider)


@require_safe
@members_only
def code(request: HttpRequest, actor: Actor, payment_id: str) -> HttpResponse:
    """The transfer as a QR code for banking apps."""
    found = _get(actor, payment_id)
    if not found.is_live or found.provider != ProviderName.MANUAL:
        raise NotFound
    return HttpResponse(code_picture(instructions(found).code), content_type="image/svg+xml")


@require_POST
@members_only
def pay(request: HttpRequest, actor: Actor, payment_id: str) -> HttpResponse:
    found = _get(actor, payment_id)
    begun = begin_checkout(
        actor=actor,
        organization=found.organization,
        invoice=found.invoice,
        provider=request.POST.get("provider", ""),
    )
    return redirect("onward" if begun.address else "payment", payment_id=begun.payment.pk)


@never_cache
@require_safe
@members_only
def onward(request: HttpRequest, actor: Actor, payment_id: str) -> HttpResponse:
    """Leads to the provider's page. The answer to a form may not: the policy keeps forms on this site."""
    found = _get(actor, payment_id)
    charge = found.charges.filter(state__in=Charge.UNDER_WAY, is_checkout=True).exclude(address="").first()
    if charge is None or access.role_in(actor, found.organization_id) != Role.OWNER:
        return redirect("payment", payment_id=found.pk)
    shown = {"section": "organization", "payment": found, "charge": charge}
    return render(request, "payments/onward.html", shown)


def _get(actor: Actor, payment_id: str) -> Payment:
    found = access.get(actor, Payment, payment_id, needs=Role.ADMIN, purpose=Purpose.GOVERN)
    own = access.within(actor, Payment, found.organization, needs=Role.ADMIN, purpose=Purpose.GOVERN)
    return own.select_related("invoice", "organization").get(pk=found.pk)


urlpatterns: list[URLPattern] = [
    path("organization/payments/", payments, name="payments"),
    path("organization/payments/<str:payment_id>/", payment, name="payment"),
    path("organization/payments/<str:payment_id>/code.svg", code, name="payment_code"),
    path("organization/payments/<str:payment_id>/pay/", pay, name="pay"),
    path("organization/payments/<str:payment_id>/onward/", onward, name="onward"),
]
