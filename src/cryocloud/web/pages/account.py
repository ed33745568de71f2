"""Settings of a person: profile and tokens. Address, password, second factor and sessions are pages of allauth."""

from __future__ import annotations

from allauth.account.internal.flows.reauthentication import raise_if_reauthentication_required
from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.models import ApiToken
from cryocloud.web.accounts.services import TOKEN_DAYS, make_token, rename_person, revoke_token, usable_tokens
from cryocloud.web.core.errors import Refused
from cryocloud.web.organizations.access import Purpose, governs_any, organizations_of, require_role
from cryocloud.web.organizations.models import Role
from cryocloud.web.pages.refusals import show_refusal
from cryocloud.web.pages.visitor import members_only


class ProfileForm(forms.Form):
    name = forms.CharField(
        label="Your name", max_length=120, widget=forms.TextInput({"autocomplete": "name"})
    )


class TokenForm(forms.Form):
    name = forms.CharField(
        label="Name", max_length=80, help_text="What uses it, such as “microscope computer” or “laptop”."
    )
    organization = forms.ChoiceField(label="Organization", help_text="The token reaches this one only.")
    scope = forms.ChoiceField(label="It may", choices=ApiToken.Scope.choices)
    days = forms.TypedChoiceField(
        label="It ends after",
        choices=[(days, f"{days} days") for days in TOKEN_DAYS],
        initial=90,
        coerce=int,
    )

    def __init__(self, actor: Actor, data: object = None) -> None:
        super().__init__(data)  # type: ignore[arg-type]  # request.POST or None
        self.fields["organization"].choices = [(one.id, one.name) for one in organizations_of(actor)]  # type: ignore[attr-defined]
        if not governs_any(actor):
            self.fields["scope"].choices = [  # type: ignore[attr-defined]
                choice for choice in ApiToken.Scope.choices if choice[0] != ApiToken.Scope.ADMIN
            ]
        self.fields["organization"].initial = actor.user.current_organization_id


@members_only
@require_http_methods(["GET", "HEAD", "POST"])
def settings(request: HttpRequest, actor: Actor) -> HttpResponse:
    form = ProfileForm(request.POST or None, initial={"name": actor.user.name})
    if form.is_valid():
        try:
            rename_person(actor=actor, name=form.cleaned_data["name"])
        except Refused as refused:
            show_refusal(form, refused)
        else:
            messages.success(request, "Your name is saved.")
            return redirect("settings")
    return render(
        request,
        "settings/profile.html",
        {"section": "settings", "form": form},
        status=422 if form.errors else 200,
    )


@never_cache
@members_only
@require_http_methods(["GET", "HEAD", "POST"])
def tokens(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The list, and the form that makes one; the secret is on the page that answers the form, and never again."""
    form, made, secret = TokenForm(actor, request.POST or None), None, ""
    if request.method == "POST":
        raise_if_reauthentication_required(request, app="cryocloud")
    if form.is_valid():
        given = form.cleaned_data
        governs = given["scope"] == ApiToken.Scope.ADMIN
        require_role(actor, given["organization"], Role.ADMIN if governs else Role.VIEWER, Purpose.GOVERN)
        try:
            made, secret = make_token(
                actor=actor,
                organization_id=given["organization"],
                name=given["name"],
                scope=given["scope"],
                days=given["days"],
            )
        except Refused as refused:
            show_refusal(form, refused)
        else:
            form = TokenForm(actor)
    names = {one.id: one.name for one in organizations_of(actor)}
    rows = [
        (token, names.get(token.organization_id, "no longer yours")) for token in usable_tokens(actor.user)
    ]
    shown = {"section": "settings", "form": form, "rows": rows, "made": made, "secret": secret}
    return render(request, "settings/tokens.html", shown, status=422 if form.errors else 200)


@require_POST
@members_only
def revoke(request: HttpRequest, actor: Actor, token_id: str) -> HttpResponse:
    revoke_token(actor=actor, token_id=token_id)
    messages.success(request, "The token is revoked; whatever used it is locked out now.")
    return redirect("tokens")


urlpatterns: list[URLPattern] = [
    path("settings/", settings, name="settings"),
    path("settings/tokens/", tokens, name="tokens"),
    path("settings/tokens/<str:token_id>/revoke/", revoke, name="revoke_token"),
]
