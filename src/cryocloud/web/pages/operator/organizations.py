"""Organizations: members, use, the steps from state to state, and the limits that an operator sets by hand."""

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
from cryocloud.web.core.errors import Conflict, NotFound, Refused
from cryocloud.web.core.plain_text import REASON_LENGTH
from cryocloud.web.operations.governing import Limits, set_limits
from cryocloud.web.operations.history import Wanted, events, told
from cryocloud.web.operations.registers import measured, members_of, organizations_found
from cryocloud.web.operations.states_by_hand import steps, take_step
from cryocloud.web.organizations.models import Organization
from cryocloud.web.pages.operator.door import operators_only
from cryocloud.web.pages.refusals import show_refusal
from cryocloud.web.pages.standing import shown_standing, state_history
from cryocloud.web.pages.templatetags.wording import bytes_text

PER_PAGE = 25
EVENTS_SHOWN = 10
GB = 10**9


class LimitsForm(forms.Form):
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
            self.fields[field].help_text = f"Empty: {trial} in a trial, else as the plan says."
        self.fields["slots_max"].help_text = f"Empty: {site.slots_per_organization}, as for all others."

    @property
    def limits(self) -> Limits:
        given = self.cleaned_data
        storage_gb = given["storage_gb_max"]
        return Limits(
            compute_hours_max=given["compute_hours_max"],
            storage_bytes_max=None if storage_gb is None else round(storage_gb * GB),
            files_max=given["files_max"],
            slots_max=given["slots_max"],
        )


class StepForm(forms.Form):
    step = forms.ChoiceField(label="Step")
    until = forms.DateTimeField(
        label="Until (UTC)",
        required=False,
        widget=forms.DateTimeInput({"type": "datetime-local"}),
        help_text="Only to prolong.",
    )
    reason = forms.CharField(
        label="Reason",
        max_length=REASON_LENGTH,
        help_text="Stands in its history, and in the mail to its owners.",
    )

    def __init__(self, organization: Organization, data: object = None) -> None:
        super().__init__(data, prefix="step")  # type: ignore[arg-type]  # request.POST or None
        self.fields["step"].choices = list(steps(organization).items())  # type: ignore[attr-defined]


@require_safe
@operators_only
def organizations(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    text, state = request.GET.get("q", "").strip()[:100], request.GET.get("state", "")
    page = Paginator(organizations_found(text, state=state), PER_PAGE).get_page(request.GET.get("page"))
    shown = {
        "section": "operator",
        "page": page,
        "tenants": [{**vars(one), "now": shown_standing(one.organization)} for one in measured(list(page))],
        "text": text,
        "state": state,
        "states": [("", "all states"), *Organization.State.choices],
    }
    return render(request, "operations/organizations.html", shown)


@require_http_methods(["GET", "HEAD", "POST"])
@operators_only
def organization(request: HttpRequest, actor: Actor, organization: str) -> HttpResponse:
    """Who belongs to it, what it uses, and the form for its plan."""
    found = Organization.objects.filter(pk=organization).first()
    if found is None:
        raise NotFound
    form = LimitsForm(found, request.POST or None)
    if form.is_valid():
        try:
            set_limits(
                actor=actor, organization=found, limits=form.limits, reason=form.cleaned_data["reason"]
            )
        except Refused as refused:
            show_refusal(form, refused)
        else:
            messages.success(request, f"The limits of {found.name} are changed.")
            return redirect("operator_organization", organization=found.pk)
    return _show(request, found, form, StepForm(found))


@require_http_methods(["POST"])
@operators_only
def step(request: HttpRequest, actor: Actor, organization: str) -> HttpResponse:
    """One step from state to state."""
    found = Organization.objects.filter(pk=organization).first()
    if found is None:
        raise NotFound
    form = StepForm(found, request.POST)
    if form.is_valid():
        given = form.cleaned_data
        try:
            take_step(actor=actor, organization=found, **given)
        except Refused as refused:
            show_refusal(form, refused)
        except Conflict as conflict:
            form.add_error(None, str(conflict))
        else:
            messages.success(request, f"The state of {found.name} is changed, and its owners are told.")
            return redirect("operator_organization", organization=found.pk)
    return _show(request, found, LimitsForm(found), form)


def _show(request: HttpRequest, found: Organization, limits: LimitsForm, step_form: StepForm) -> HttpResponse:
    changes = events(Wanted(verb="organization.limits_set", organization=found.pk))
    shown = {
        "section": "operator",
        "tenant": measured([found])[0],
        "members": members_of(found),
        "form": limits,
        "step_form": step_form,
        "steps": step_form.fields["step"].choices,  # type: ignore[attr-defined]  # a ChoiceField
        "now": shown_standing(found),
        "history": state_history(found),
        "changes": told(list(changes[:EVENTS_SHOWN])),
    }
    is_wrong = limits.errors or step_form.errors
    return render(request, "operations/organization.html", shown, status=422 if is_wrong else 200)


urlpatterns: list[URLPattern] = [
    path("operator/organizations/", organizations, name="operator_organizations"),
    path("operator/organizations/<str:organization>/", organization, name="operator_organization"),
    path("operator/organizations/<str:organization>/state/", step, name="operator_step"),
]
