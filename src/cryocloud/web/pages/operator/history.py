"""The audit log with filters."""

from __future__ import annotations

from urllib.parse import urlencode

from django import forms
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.urls import URLPattern, path
from django.views.decorators.http import require_safe

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.operations.history import Wanted, events, told, verbs
from cryocloud.web.pages.operator.door import operators_only

PER_PAGE = 100


class FilterForm(forms.Form):
    verb = forms.ChoiceField(label="What", required=False)
    person = forms.CharField(label="Who", required=False, max_length=100)
    organization = forms.CharField(label="Organization", required=False, max_length=120)
    since = forms.DateField(label="From", required=False, widget=forms.DateInput({"type": "date"}))
    until = forms.DateField(label="To", required=False, widget=forms.DateInput({"type": "date"}))

    def __init__(self, data: object) -> None:
        super().__init__(data)  # type: ignore[arg-type]  # request.GET
        self.fields["verb"].choices = [("", "everything"), *((one, one) for one in verbs())]  # type: ignore[attr-defined]


@require_safe
@operators_only
def history(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    form = FilterForm(request.GET)
    wanted = Wanted(**form.cleaned_data) if form.is_valid() else Wanted()
    page = Paginator(events(wanted), PER_PAGE).get_page(request.GET.get("page"))
    kept = {name: request.GET[name] for name in form.fields if request.GET.get(name)}
    shown = {
        "section": "operator",
        "form": form,
        "page": page,
        "events": told(list(page)),
        "query": urlencode(kept),
    }
    return render(request, "operations/history.html", shown, status=422 if form.errors else 200)


urlpatterns: list[URLPattern] = [path("operator/audit/", history, name="operator_audit")]
