"""Trials that somebody has to look at before they begin."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.views.decorators.http import require_http_methods

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.core.errors import Conflict, NotFound, Refused
from cryocloud.web.core.plain_text import REASON_LENGTH
from cryocloud.web.operations.reviews import decide_review, reviews
from cryocloud.web.organizations.models import TrialReview
from cryocloud.web.pages.operator.door import operators_only
from cryocloud.web.pages.refusals import show_refusal

PER_PAGE = 25


class DecisionForm(forms.Form):
    decision = forms.ChoiceField(
        label="Decision",
        choices=[("grant", "Grant: the trial begins now, with all its days"), ("refuse", "Refuse the trial")],
        widget=forms.RadioSelect,
    )
    reason = forms.CharField(
        label="Reason",
        max_length=REASON_LENGTH,
        help_text="Stands in the mail to the owner and in the audit log.",
    )


@require_http_methods(["GET", "HEAD", "POST"])
@operators_only
def trial_reviews(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The form that was sent stands under its review again if it cannot be used."""
    wrong: dict[str, DecisionForm] = {}
    if request.method == "POST":
        chosen = reviews(is_open=True).filter(pk=request.POST.get("review", "")).first()
        form = _decide(request, actor, chosen)
        if form is None:
            return redirect("operator_reviews")
        wrong[form.prefix or ""] = form
    waiting = list(reviews(is_open=True)[:PER_PAGE])
    shown = {
        "section": "operator",
        "waiting": [(one, wrong.get(one.pk) or DecisionForm(prefix=one.pk)) for one in waiting],
        "waiting_count": reviews(is_open=True).count(),
        "page": Paginator(reviews(is_open=False), PER_PAGE).get_page(request.GET.get("page")),
    }
    return render(request, "operations/reviews.html", shown, status=422 if wrong else 200)


def _decide(request: HttpRequest, actor: Actor, review: TrialReview | None) -> DecisionForm | None:
    """The form if it cannot be used; None once it is decided, by this or another operator."""
    if review is None:
        if reviews(is_open=False).filter(pk=request.POST.get("review", "")).exists():
            messages.warning(request, "Somebody else has decided this meanwhile.")
            return None
        raise NotFound
    form = DecisionForm(request.POST, prefix=review.pk)
    if form.is_valid():
        granted = form.cleaned_data["decision"] == "grant"
        try:
            decide_review(actor=actor, review=review, granted=granted, reason=form.cleaned_data["reason"])
        except Refused as refused:
            show_refusal(form, refused)
        except Conflict as conflict:
            messages.warning(request, str(conflict))
            return None
        else:
            done = "begins now" if granted else "is refused"
            messages.success(request, f"The trial of {review.organization} {done}; its owners are told.")
            return None
    return form


urlpatterns: list[URLPattern] = [path("operator/reviews/", trial_reviews, name="operator_reviews")]
