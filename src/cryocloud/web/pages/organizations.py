"""Members, roles, invitations, switching between organizations."""

from __future__ import annotations

from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.guessing import count_wrong_secret, place_of
from cryocloud.web.accounts.models import User
from cryocloud.web.accounts.sign_up import SIGN_UP_PERMIT
from cryocloud.web.core.errors import Conflict, NotFound, Refused
from cryocloud.web.organizations import access, invitations, services
from cryocloud.web.organizations.grants import grants_ending
from cryocloud.web.organizations.models import Invitation, Membership, Organization, Role
from cryocloud.web.organizations.states import standing
from cryocloud.web.organizations.trials import begins_with_trial, suspicion_about
from cryocloud.web.pages.refusals import show_refusal
from cryocloud.web.pages.standing import shown_standing, state_history
from cryocloud.web.pages.visitor import current_organization, members_only

ACCEPTED = "accepted_invitation"


class NameForm(forms.Form):
    name = forms.CharField(label="Name", max_length=120, help_text="Lab, facility or company.")


class InvitationForm(forms.Form):
    email = forms.EmailField(label="Email address")
    role = forms.TypedChoiceField(label="Role", coerce=lambda value: Role(int(value)), initial=Role.EDITOR)

    def __init__(self, own: Role, data: object = None) -> None:
        super().__init__(data)  # type: ignore[arg-type]  # request.POST or None
        self.fields["role"].choices = grantable(own)  # type: ignore[attr-defined]


def grantable(own: Role) -> list[tuple[int, str]]:
    """The roles that a member with this role may give."""
    return [(role.value, role.label) for role in Role if own == Role.OWNER or role < Role.OWNER]


@members_only
@require_http_methods(["GET", "HEAD", "POST"])
def organization(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The current organization; the form on it invites."""
    current = current_organization(request, actor)
    own = access.role_in(actor, current.id) or Role.VIEWER
    form = InvitationForm(own, request.POST or None)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            invitations.invite_member(
                actor=actor, organization=current, email=given["email"], role=given["role"]
            )
        except Refused as refused:
            show_refusal(form, refused)
        except Conflict as conflict:
            form.add_error("email", str(conflict))
        else:
            messages.success(request, f"The invitation to {given['email']} is on its way.")
            return redirect("organization")
    elif request.method == "POST":
        access.require_governor(actor, current.id, purpose=access.Purpose.ADD)
    shown = _members_page(actor, current, own) | {"form": form}
    return render(request, "organizations/organization.html", shown, status=422 if form.errors else 200)


def _members_page(actor: Actor, current: Organization, own: Role) -> dict[str, object]:
    members = (
        access.within(actor, Membership, current, purpose=access.Purpose.GOVERN)
        .select_related("user")
        .order_by("-role", "user__name")
    )
    found = standing(current)
    return {
        "section": "organization",
        "organization": current,
        "members": [(member, _may_change(actor, own, member), grantable(own)) for member in members],
        "own_role": own.label,
        "manages": own >= Role.ADMIN,
        "open_invitations": invitations.open_invitations(current) if own >= Role.ADMIN else [],
        "now": shown_standing(current),
        "history": state_history(current),
        "adds": found.may_add,
        "reads": found.may_read,
        "owns": own == Role.OWNER,
        "roles": ROLE_WORDS,
    }


ROLE_WORDS = (
    ("viewer", "looks at everything and downloads it"),
    ("editor", "uploads, runs jobs and deletes"),
    ("admin", "also invites and removes people"),
    ("owner", "also decides about the plan and who owns"),
)


def _may_change(actor: Actor, own: Role, member: Membership) -> bool:
    if member.user_id == actor.user.pk or own < Role.ADMIN:
        return False
    return own == Role.OWNER or member.role < Role.OWNER


@require_POST
@members_only
def switch(request: HttpRequest, actor: Actor) -> HttpResponse:
    chosen = access.get_organization(actor, request.POST.get("id", ""))
    services.switch_organization(actor=actor, organization=chosen)
    return redirect("/dashboard/")


@members_only
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest, actor: Actor) -> HttpResponse:
    services.require_may_create(actor)
    form = NameForm(request.POST or None)
    if form.is_valid():
        try:
            services.create_organization(actor=actor, name=form.cleaned_data["name"])
        except Refused as refused:
            show_refusal(form, refused)
        else:
            messages.success(request, "The organization is made, and you own it.")
            return redirect("/dashboard/")
    has_trial = begins_with_trial(actor.user)
    shown = {
        "section": "organization",
        "form": form,
        "has_trial": has_trial,
        "is_reviewed": has_trial and bool(suspicion_about(actor.user)),
    }
    return render(request, "organizations/new.html", shown, status=422 if form.errors else 200)


@members_only
@require_http_methods(["GET", "HEAD", "POST"])
def rename(request: HttpRequest, actor: Actor) -> HttpResponse:
    current = current_organization(request, actor)
    access.require_role(actor, current.id, Role.ADMIN)
    form = NameForm(request.POST or None, initial={"name": current.name})
    if form.is_valid():
        try:
            services.rename_organization(actor=actor, organization=current, name=form.cleaned_data["name"])
        except Refused as refused:
            show_refusal(form, refused)
        else:
            return redirect("organization")
    shown = {"section": "organization", "form": form, "organization": current}
    return render(request, "organizations/rename.html", shown, status=422 if form.errors else 200)


@require_POST
@members_only
def role(request: HttpRequest, actor: Actor, membership_id: str) -> HttpResponse:
    member = access.get(actor, Membership, membership_id, needs=Role.ADMIN, purpose=access.Purpose.GOVERN)
    wanted = request.POST.get("role", "")
    if wanted not in {str(value) for value in Role.values}:
        raise Refused(f"“{wanted[:20]}” is no role.")
    chosen = Role(int(wanted))
    services.require_may_change(actor, member, chosen)
    ending = grants_ending(member, chosen)
    if ending and "confirmed" not in request.POST:
        shown = {"section": "organization", "member": member, "role": chosen, "ending": ending}
        return render(request, "organizations/lower_role.html", shown)
    services.change_role(actor=actor, membership=member, role=chosen)
    messages.success(request, f"{member.user} is now {chosen.label}.")
    return redirect("organization")


@members_only
@require_http_methods(["GET", "HEAD", "POST"])
def remove(request: HttpRequest, actor: Actor, membership_id: str) -> HttpResponse:
    """Asks first; with the own membership it is leaving."""
    member = access.get(actor, Membership, membership_id, purpose=access.Purpose.GOVERN)
    own = member.user_id == actor.user.pk
    if not own:
        access.require_role(actor, member.organization_id, Role.ADMIN, access.Purpose.GOVERN)
    if request.method == "POST":
        organization_name, person = member.organization.name, str(member.user)
        services.remove_member(actor=actor, membership=member)
        messages.success(
            request,
            f"You have left {organization_name}."
            if own
            else f"{person} is no longer in {organization_name}.",
        )
        return redirect("settings" if own else "organization")
    shown = {"section": "organization", "member": member, "own": own, "ending": grants_ending(member, None)}
    return render(request, "organizations/remove.html", shown)


@require_POST
@members_only
def revoke(request: HttpRequest, actor: Actor, invitation_id: str) -> HttpResponse:
    invitation = access.get(actor, Invitation, invitation_id, needs=Role.ADMIN, purpose=access.Purpose.GOVERN)
    invitations.revoke_invitation(actor=actor, invitation=invitation)
    messages.success(request, f"The invitation to {invitation.email} is withdrawn.")
    return redirect("organization")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, secret: str) -> HttpResponseBase:
    """What the mailed link opens: for anybody who holds it until they log in, then for the invited person only."""
    try:
        found = invitations.invitation_of(secret)
    except NotFound:
        count_wrong_secret("link", place_of(request))
        raise
    if isinstance(request.user, User):
        return _accept(request, Actor(request.user), found, secret)
    if request.method == "POST":
        request.session[ACCEPTED] = secret
        page = "account_login"
        if request.POST.get("with") == "sign_up":
            request.session[SIGN_UP_PERMIT] = {"email": found.email, "joins": True}
            page = "account_signup"
        return redirect(f"{reverse(page)}?{urlencode({'next': request.path})}")
    return _show(request, found)


def _accept(request: HttpRequest, actor: Actor, found: Invitation, secret: str) -> HttpResponseBase:
    if found.email != actor.user.email:
        raise NotFound
    said_yes = request.session.get(ACCEPTED) == secret
    if request.method != "POST" and not said_yes:
        return _show(request, found)
    joined = invitations.accept_invitation(actor=actor, secret=secret)
    for key in (ACCEPTED, SIGN_UP_PERMIT):
        request.session.pop(key, None)
    messages.success(request, f"Welcome to {joined.name}.")
    return redirect("/dashboard/")


def _show(request: HttpRequest, found: Invitation) -> HttpResponse:
    shown = {
        "invitation": found,
        "host": User.objects.filter(pk=found.invited_by_id).first(),
        "role": Role(found.role).label,
        "words": dict(ROLE_WORDS)[Role(found.role).label],
    }
    return render(request, "organizations/invitation.html", shown)


urlpatterns: list[URLPattern] = [
    path("organization/", organization, name="organization"),
    path("organization/new/", new, name="new_organization"),
    path("organization/name/", rename, name="rename_organization"),
    path("organization/switch/", switch, name="switch_organization"),
    path("organization/members/<str:membership_id>/role/", role, name="change_role"),
    path("organization/members/<str:membership_id>/remove/", remove, name="remove_member"),
    path("organization/invitations/<str:invitation_id>/revoke/", revoke, name="revoke_invitation"),
    path("invitations/<str:secret>/", invitation, name="invitation"),
]
