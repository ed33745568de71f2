"""Deactivating a plan, and closing an organization: the page says what follows and when before anybody decides."""

from __future__ import annotations

from datetime import UTC, datetime, time

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.billing.money import spoken
from cryocloud.web.configuration import configuration
from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import Conflict, Refused
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Organization, Role
from cryocloud.web.organizations.states import State, standing
from cryocloud.web.pages.once import new_order_key, order_once
from cryocloud.web.pages.plan.door import members_where_sold
from cryocloud.web.pages.refusals import show_refusal
from cryocloud.web.pages.visitor import current_organization
from cryocloud.web.payments.models import Payment
from cryocloud.web.runs.models import Job
from cryocloud.web.subscriptions import services
from cryocloud.web.subscriptions.closing import CLOSING
from cryocloud.web.subscriptions.ending import is_refundable, may_withdraw, refund_until, wishes_review
from cryocloud.web.subscriptions.models import Subscription


@never_cache
@members_where_sold
@require_http_methods(["GET", "HEAD", "POST"])
def deactivate(request: HttpRequest, actor: Actor) -> HttpResponse:
    current = current_organization(request, actor)
    access.require_governor(actor, current.pk, Role.OWNER)
    if request.method == "POST":
        words = request.POST.get("words", "")
        return order_once(request, actor, lambda: _deactivate(request, actor, current, words))
    held = services.subscription_of(current)
    if held is None or held.state != Subscription.State.RUNNING:
        raise Conflict("There is no plan that could be deactivated.")
    moment = now()
    payments = access.within(actor, Payment, current, purpose=access.Purpose.GOVERN)
    paid = payments.filter(invoice__subscription_id=held.pk).values_list("received_cents", flat=True)
    jobs = access.within(actor, Job, current).filter(state=Job.State.RUNNING)
    shown = {
        "section": "organization",
        "organization": current,
        "held": held,
        "plan": held.plan,
        "is_refundable": is_refundable(held, moment),
        "refund_until": refund_until(held),
        "paid": spoken(sum(paid)) if sum(paid) else "",
        "asks_a_person": not is_refundable(held, moment) and wishes_review(held, moment),
        "may_withdraw": may_withdraw(held, moment),
        "ends_at": held.period.until_at,
        "running_jobs": jobs.count(),
        "retrieval_days": configuration().retrieval_days,
        "refund_days": configuration().refund_days,
        "order_key": new_order_key(),
    }
    return render(request, "plan/deactivate.html", shown)


def _deactivate(request: HttpRequest, actor: Actor, current: Organization, words: str) -> str:
    held = services.deactivate(actor=actor, organization=current, words=words)
    if held.state == Subscription.State.ENDED:
        messages.success(request, "The plan is deactivated and has ended. A mail confirms it, with the time.")
    else:
        until = f"{held.period.until_at:%-d %B %Y, %H:%M} UTC"
        messages.success(request, f"The plan is deactivated; it ends on {until}. A mail confirms it.")
    return reverse("plan")


class ShortenForm(forms.Form):
    until = forms.DateField(label="Last day", widget=forms.DateInput({"type": "date"}))

    @property
    def moment(self) -> datetime:
        """The end of the day, in UTC."""
        return datetime.combine(self.cleaned_data["until"], time(23, 59, 59), tzinfo=UTC)


class CloseForm(forms.Form):
    name = forms.CharField(label="Name of the organization", max_length=120)


@never_cache
@members_where_sold
@require_http_methods(["GET", "HEAD", "POST"])
def close(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Two forms: to close now, and to close on an earlier day than the clock would."""
    current = current_organization(request, actor)
    access.require_governor(actor, current.pk, Role.OWNER)
    form = CloseForm(request.POST or None)
    if form.is_valid():
        try:
            services.close_organization(actor=actor, organization=current, name=form.cleaned_data["name"])
        except Refused as refused:
            show_refusal(form, refused)
        else:
            messages.success(request, f"{current.name} is closed.")
            return redirect("plan")
    return _show_closing(request, current, form, ShortenForm())


@require_POST
@members_where_sold
def shorten(request: HttpRequest, actor: Actor) -> HttpResponse:
    current = current_organization(request, actor)
    access.require_governor(actor, current.pk, Role.OWNER)
    form = ShortenForm(request.POST)
    if form.is_valid():
        try:
            services.shorten_retrieval(actor=actor, organization=current, until=form.moment)
        except Refused as refused:
            show_refusal(form, refused)
        else:
            messages.success(request, "The day is set; a mail confirms it.")
            return redirect("plan")
    return _show_closing(request, current, CloseForm(), form)


def _show_closing(
    request: HttpRequest, current: Organization, form: CloseForm, shorter: ShortenForm
) -> HttpResponse:
    found = standing(current)
    if found.state not in CLOSING:
        raise Conflict(
            f"The organization is “{State(found.state).label}”. It can be closed when its trial or its plan has "
            "ended; deactivate the plan first."
        )
    shown = {
        "section": "organization",
        "organization": current,
        "standing": found,
        "form": form,
        "shorter": shorter,
    }
    return render(request, "plan/close.html", shown, status=422 if form.errors or shorter.errors else 200)


urlpatterns: list[URLPattern] = [
    path("organization/plan/deactivate/", deactivate, name="deactivate_plan"),
    path("organization/plan/close/", close, name="close_organization"),
    path("organization/plan/close/later/", shorten, name="shorten_retrieval"),
]
