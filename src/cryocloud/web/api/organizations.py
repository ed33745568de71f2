"""Who calls, the organizations behind the credential, their members and what they have used."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from django.http import HttpRequest
from ninja import Field, Query, Router, Schema, Status

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.api.answers import ERRORS, Page, PageQuery, one_page, written_out
from cryocloud.web.api.credentials import actor
from cryocloud.web.data.storage import storage_limit, storage_used
from cryocloud.web.organizations import access, invitations, services
from cryocloud.web.organizations.models import Invitation, Membership, Organization, Role
from cryocloud.web.organizations.state_words import following_of, meaning_of, name_of
from cryocloud.web.organizations.states import standing

router = Router(tags=["organizations"])

RoleName = Literal["viewer", "editor", "admin", "owner"]


class Person(Schema):
    """Somebody who logs in."""

    id: str
    name: str
    email: str


class TokenFacts(Schema):
    """The token of this call."""

    name: str
    scope: str
    expires_at: datetime


class OrganizationFacts(Schema):
    """An organization and the caller's role in it."""

    id: str
    name: str
    state: Annotated[Organization.State, written_out(Organization.State)]
    state_since: datetime
    state_until: datetime | None = Field(
        description="When the clock alone will change it; null: never by itself"
    )
    state_name: str = Field(description="In the words of the pages and mails")
    state_note: str = Field(description="What it means, what comes next, and how to go on")
    role: RoleName
    created_at: datetime


class WhoAmI(Schema):
    """The caller."""

    user: Person
    token: TokenFacts | None = None
    organizations: list[OrganizationFacts]


class Member(Schema):
    """A person's membership."""

    id: str
    user: Person
    role: RoleName
    created_at: datetime


class InvitationFacts(Schema):
    """A membership offered by mail, not yet accepted."""

    id: str
    email: str
    role: RoleName
    expires_at: datetime


class Storage(Schema):
    """What the organization keeps and what its plan holds."""

    used_bytes: int = Field(description="Files, the trash, results, and what open uploads have announced")
    limit_bytes: int | None = Field(description="null where there is no limit")
    used_files: int = Field(description="Uploaded files, the trash, and open uploads; empty files count")
    limit_files: int | None = Field(description="null where there is no limit")


class NewName(Schema):
    name: str = Field(min_length=1, max_length=120)


class NewRole(Schema):
    role: RoleName


class NewInvitation(NewRole):
    email: str = Field(max_length=254)


@router.get("/me", response={200: WhoAmI, **ERRORS}, operation_id="who_am_i")
def who_am_i(request: HttpRequest) -> Any:
    """The person and the token behind this call, and the organizations that it reaches."""
    who = actor(request)
    found = access.organizations_of(who)
    return {
        "user": who.user,
        "token": who.token,
        "organizations": [_organization(who, organization) for organization in found],
    }


@router.get(
    "/organizations", response={200: Page[OrganizationFacts], **ERRORS}, operation_id="list_organizations"
)
def list_organizations(request: HttpRequest, query: Query[PageQuery]) -> Any:
    """The organizations that this credential reaches."""
    who = actor(request)
    page = one_page(access.organizations_of(who), query)
    return page | {"items": [_organization(who, organization) for organization in page["items"]]}


@router.get(
    "/organizations/{organization_id}",
    response={200: OrganizationFacts, **ERRORS},
    operation_id="get_organization",
)
def get_organization(request: HttpRequest, organization_id: str) -> Any:
    """One organization."""
    who = actor(request)
    return _organization(who, access.get_organization(who, organization_id))


@router.patch(
    "/organizations/{organization_id}",
    response={200: OrganizationFacts, **ERRORS},
    operation_id="rename_organization",
)
def rename_organization(request: HttpRequest, organization_id: str, body: NewName) -> Any:
    """Give it another name."""
    who = actor(request)
    organization = access.get_organization(who, organization_id, needs=Role.ADMIN)
    services.rename_organization(actor=who, organization=organization, name=body.name)
    return _organization(who, organization)


@router.get(
    "/organizations/{organization_id}/storage", response={200: Storage, **ERRORS}, operation_id="get_storage"
)
def get_storage(request: HttpRequest, organization_id: str) -> Any:
    """Storage, used and held by the plan; compute is at `compute` and `usage`."""
    organization = access.get_organization(actor(request), organization_id)
    used, limit = storage_used(organization), storage_limit(organization)
    return {
        "used_bytes": used.size_bytes,
        "limit_bytes": limit.size_bytes,
        "used_files": used.files,
        "limit_files": limit.files,
    }


@router.get(
    "/organizations/{organization_id}/members",
    response={200: Page[Member], **ERRORS},
    operation_id="list_members",
)
def list_members(request: HttpRequest, organization_id: str, query: Query[PageQuery]) -> Any:
    """Everybody who belongs to it."""
    who = actor(request)
    organization = access.get_organization(who, organization_id)
    members = access.within(who, Membership, organization, purpose=access.Purpose.GOVERN)
    page = one_page(members.select_related("user"), query)
    return page | {"items": [_member(membership) for membership in page["items"]]}


@router.patch("/members/{membership_id}", response={200: Member, **ERRORS}, operation_id="change_member_role")
def change_member_role(request: HttpRequest, membership_id: str, body: NewRole) -> Any:
    """Another role. Only owners make owners, and an organization keeps at least one."""
    who = actor(request)
    membership = access.get(who, Membership, membership_id, needs=Role.ADMIN, purpose=access.Purpose.GOVERN)
    services.change_role(actor=who, membership=membership, role=Role[body.role.upper()])
    membership.refresh_from_db()
    return _member(membership)


@router.delete("/members/{membership_id}", response={204: None, **ERRORS}, operation_id="remove_member")
def remove_member(request: HttpRequest, membership_id: str) -> Any:
    """End a membership; what the person made stays with the organization."""
    who = actor(request)
    membership = access.get(who, Membership, membership_id, needs=Role.ADMIN, purpose=access.Purpose.GOVERN)
    services.remove_member(actor=who, membership=membership)
    return Status(204, None)


@router.get(
    "/organizations/{organization_id}/invitations",
    response={200: Page[InvitationFacts], **ERRORS},
    operation_id="list_invitations",
)
def list_invitations(request: HttpRequest, organization_id: str, query: Query[PageQuery]) -> Any:
    """Invitations that are still open."""
    caller = actor(request)
    access.require_governor(caller, organization_id)
    organization = access.get_organization(caller, organization_id)
    page = one_page(invitations.open_invitations(organization), query)
    return page | {"items": [_invitation(invitation) for invitation in page["items"]]}


@router.post(
    "/organizations/{organization_id}/invitations",
    response={201: InvitationFacts, **ERRORS},
    operation_id="invite_member",
)
def invite_member(request: HttpRequest, organization_id: str, body: NewInvitation) -> Any:
    """Offer a membership; the person gets a mail with a link that works once."""
    who = actor(request)
    organization = access.get_organization(who, organization_id, needs=Role.ADMIN)
    invitation = invitations.invite_member(
        actor=who, organization=organization, email=body.email, role=Role[body.role.upper()]
    )
    return Status(201, _invitation(invitation))


@router.delete(
    "/invitations/{invitation_id}", response={204: None, **ERRORS}, operation_id="revoke_invitation"
)
def revoke_invitation(request: HttpRequest, invitation_id: str) -> Any:
    """Take an offer back."""
    who = actor(request)
    invitation = access.get(who, Invitation, invitation_id, needs=Role.ADMIN, purpose=access.Purpose.GOVERN)
    invitations.revoke_invitation(actor=who, invitation=invitation)
    return Status(204, None)


def _organization(who: Actor, organization: Organization) -> dict[str, Any]:
    role, found = access.role_in(who, organization.id), standing(organization)
    return {
        "id": organization.id,
        "name": organization.name,
        "state": found.state,
        "state_since": found.since,
        "state_until": found.until,
        "state_name": name_of(found),
        "state_note": " ".join(filter(None, (meaning_of(found), following_of(found)))),
        "role": role.label if role else "viewer",
        "created_at": organization.created_at,
    }


def _member(membership: Membership) -> dict[str, Any]:
    return {
        "id": membership.id,
        "user": membership.user,
        "role": Role(membership.role).label,
        "created_at": membership.created_at,
    }


def _invitation(invitation: Invitation) -> dict[str, Any]:
    return {
        "id": invitation.id,
        "email": invitation.email,
        "role": Role(invitation.role).label,
        "expires_at": invitation.expires_at,
    }
