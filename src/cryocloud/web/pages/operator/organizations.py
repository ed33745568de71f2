"""Organizations: members, use, and the plan and limits that an operator sets by hand."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.views.decorators.http import require_http_methods, require_safe

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.configuration import configuration
from cryocloud.web.core.errors import NotFound, Refused
from cryocloud.web.operations.governing import REASON_LENGTH, Plan, set_plan
from cryocloud.web.operations.history import Wanted, events, told
from cryocloud.web.operations.registers import measured, members_of, organizations_found
from cryocloud.web.organizations.models import Organization
from cryocloud.web.pages.operator.door import operators_only
from cryocloud.web.pages.refusals import show_refusal
from cryocloud.web.pages.templatetags.wording import bytes_text

PER_PAGE = 25
EVENTS_SHOWN = 10
GB = 10**9
STATES = {
    "trial": "Trial: the limits of the trial where none is set",
    "active": "Active: no limits but those set here",
    "trial_ended": "Ended: everything can be read, nothing added",
    "closed": "Closed: everything can be read, nothing added",
}


class PlanForm(forms.Form):
    state = forms.ChoiceField(label="Plan", choices=list(STATES.items()))
    compute_hours_max = forms.IntegerField(
        label="Compute in hours", required=False, min_value=0, max_value=10**8
    )
    storage_gb_max = forms.FloatField(label="Storage in GB", required=False, min_value=0, max_value=10**9)
    files_max = forms.IntegerField(label="Files", required=False, min_value=0, max_value=10**12)
    slots_max = forms.IntegerField(label="Jobs at the same time", required=False, min_value=0, max_value=1024)
    reason = forms.CharField(
        label="Reason", max_length=REASON_LENGTH, help_text="Stands in the audit log beside the change."
    )

    def __init__(self, organization: Organization, data: object = None) -> None:
        held = organization.storage_bytes_max
        super().__init__(
            data,  # type: ignore[arg-type]  # request.POST or None
            initial={
                "state": organization.state,
                "compute_hours_max": organization.compute_hours_max,
                "storage_gb_max": None if held is None else f"{held / GB:.9f}".rstrip("0").rstrip("."),
                "files_max": organization.files_max,
                "slots_max": organization.slots_max,
            },
        )
        site = configuration()
        for field, trial in (
            ("compute_hours_max", f"{site.trial_compute_hours:,} hours"),
            ("storage_gb_max", bytes_text(site.trial_storage_bytes)),
            ("files_max", f"{site.trial_files:,} files"),
        ):
            self.fields[field].help_text = f"In all. Empty: {trial} in a trial, no limit when active."
        self.fields["slots_max"].help_text = f"Empty: {site.slots_per_organization}, as for all others."

    @property
    def plan(self) -> Plan:
        given = self.cleaned_data
        storage_gb = given["storage_gb_max"]
        return Plan(
            state=given["state"],
            compute_hours_max=given["compute_hours_max"],
            storage_bytes_max=None if storage_gb is None else round(storage_gb * GB),
            files_max=given["files_max"],
            slots_max=given["slots_max"],
        )


@require_safe
@operators_only
def organizations(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    text, state = request.GET.get("q", "").strip()[:100], request.GET.get("state", "")
    page = Paginator(organizations_found(text, state=state), PER_PAGE).get_page(request.GET.get("page"))
    shown = {
        "section": "operator",
        "page": page,
        "tenants": measured(list(page)),
        "text": text,
        "state": state,
        "states": [("", "all plans"), *Organization.State.choices],
    }
    return render(request, "operations/organizations.html", shown)


@require_http_methods(["GET", "HEAD", "POST"])
@operators_only
def organization(request: HttpRequest, actor: Actor, organization: str) -> HttpResponse:
    """Who belongs to it, what it uses, and the form for its plan."""
    found = Organization.objects.filter(pk=organization).first()
    if found is None:
        raise NotFound
    form = PlanForm(found, request.POST or None)
    if form.is_valid():
        try:
            set_plan(actor=actor, organization=found, plan=form.plan, reason=form.cleaned_data["reason"])
        except Refused as refused:
            show_refusal(form, refused)
        else:
            messages.success(request, f"The plan of {found.name} is changed.")
            return redirect("operator_organization", organization=found.pk)
    changes = events(Wanted(verb="organization.plan_set", organization=found.pk))
    shown = {
        "section": "operator",
        "tenant": measured([found])[0],
        "members": members_of(found),
        "form": form,
        "changes": told(list(changes[:EVENTS_SHOWN])),
    }
    return render(request, "operations/organization.html", shown, status=422 if form.errors else 200)


urlpatterns: list[URLPattern] = [
    path("operator/organizations/", organizations, name="operator_organizations"),
    path("operator/organizations/<str:organization>/", organization, name="operator_organization"),
]
