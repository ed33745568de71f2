"""What owners set about money: the limit on what is spent beyond the plan, and how invoices are paid."""

from __future__ import annotations

from decimal import Decimal

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.billing.money import spoken
from cryocloud.web.core.errors import Conflict, Refused
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Organization, Role
from cryocloud.web.pages.plan.door import members_where_sold
from cryocloud.web.pages.refusals import show_refusal
from cryocloud.web.pages.visitor import current_organization
from cryocloud.web.payments.models import MethodChange, ProviderName
from cryocloud.web.payments.providers import offered
from cryocloud.web.payments.services import method_of
from cryocloud.web.subscriptions import services
from cryocloud.web.subscriptions.changes import LIMIT_MAX_CENTS, spent_cents
from cryocloud.web.subscriptions.models import Subscription
from cryocloud.web.subscriptions.pricing import HOUR_S

METHOD_WORDS = {
    ProviderName.STRIPE: "Card or direct debit, left with Stripe",
    ProviderName.MOLLIE: "Card, left with Mollie",
}


class LimitForm(forms.Form):
    limit = forms.DecimalField(
        label="At most, in EUR a month",
        min_value=0,
        max_value=Decimal(LIMIT_MAX_CENTS) / 100,
        decimal_places=2,
        help_text="Without VAT. 0: jobs wait when the hours of the plan are used.",
    )


@never_cache
@members_where_sold
@require_http_methods(["GET", "HEAD", "POST"])
def limit(request: HttpRequest, actor: Actor) -> HttpResponse:
    current = current_organization(request, actor)
    access.require_governor(actor, current.pk, Role.OWNER)
    held = _running(current)
    rate = held.plan.compute_cents_an_hour
    if rate is None:
        raise Conflict(f"With plan {held.plan.name} nothing is charged beyond its price.")
    form = LimitForm(request.POST or None, initial={"limit": Decimal(held.spending_limit_cents) / 100})
    if form.is_valid():
        try:
            services.set_spending_limit(
                actor=actor, organization=current, cents=int(form.cleaned_data["limit"] * 100)
            )
        except Refused as refused:
            show_refusal(form, refused)
        else:
            messages.success(request, "The limit is set and holds from now on.")
            return redirect("plan")
    shown = {
        "section": "organization",
        "organization": current,
        "held": held,
        "form": form,
        "rate": spoken(rate),
        "spent": spoken(spent_cents(held)),
        "hours": held.spending_limit_cents * HOUR_S // rate // HOUR_S if rate else None,
    }
    return render(request, "plan/limit.html", shown, status=422 if form.errors else 200)


@never_cache
@members_where_sold
@require_http_methods(["GET", "HEAD", "POST"])
def payment(request: HttpRequest, actor: Actor) -> HttpResponse:
    current = current_organization(request, actor)
    access.require_governor(actor, current.pk, Role.OWNER)
    held, method = _running(current), method_of(current)
    if request.method == "POST":
        wanted = request.POST.get("by", "")
        if wanted not in ("transfer", "method"):
            raise Refused(f"“{wanted[:20]}” is no way to pay.")
        change = services.pay_by_transfer if wanted == "transfer" else services.pay_by_method
        change(actor=actor, organization=current)
        messages.success(request, "That is how the next invoices are paid.")
        return redirect("plan")
    shown = {
        "section": "organization",
        "organization": current,
        "held": held,
        "method": method if method and method.charges else None,
        "by_transfer": held.provider == ProviderName.MANUAL,
        "ways": [(name.value, METHOD_WORDS[name]) for name in offered() if name in METHOD_WORDS],
        "last_change": _changes(actor, current).order_by("-created_at").first(),
    }
    return render(request, "plan/payment.html", shown)


@require_POST
@members_where_sold
def leave_method(request: HttpRequest, actor: Actor) -> HttpResponse:
    current = current_organization(request, actor)
    begun = services.leave_method(
        actor=actor, organization=current, provider=request.POST.get("provider", "")
    )
    return redirect("method_onward", method_change_id=begun.pk)


@never_cache
@require_safe
@members_where_sold
def method_onward(request: HttpRequest, actor: Actor, method_change_id: str) -> HttpResponse:
    """Leads to the provider's page. The answer to a form may not: the policy keeps forms on this site."""
    found = access.get(actor, MethodChange, method_change_id, needs=Role.OWNER, purpose=access.Purpose.GOVERN)
    if found.state not in MethodChange.UNDER_WAY or not found.address:
        return redirect("payment_method")
    return render(request, "plan/method_onward.html", {"section": "organization", "change": found})


def _changes(actor: Actor, organization: Organization) -> QuerySet[MethodChange]:
    return access.within(actor, MethodChange, organization, needs=Role.OWNER, purpose=access.Purpose.GOVERN)


def _running(organization: Organization) -> Subscription:
    found = services.subscription_of(organization)
    if found is None or found.state != Subscription.State.RUNNING:
        raise Conflict("This organization has no plan that runs. Choose one first.")
    return found


urlpatterns: list[URLPattern] = [
    path("organization/plan/limit/", limit, name="spending_limit"),
    path("organization/plan/payment/", payment, name="payment_method"),
    path("organization/plan/payment/new/", leave_method, name="leave_method"),
    path("organization/plan/payment/<str:method_change_id>/onward/", method_onward, name="method_onward"),
]
