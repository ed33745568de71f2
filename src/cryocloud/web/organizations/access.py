"""The one door to tenant data, the same for sessions, tokens and everything that acts in somebody's name."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from django.db.models import Q, QuerySet

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.credentials import Credential, actors_of
from cryocloud.web.accounts.models import ApiToken
from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import Closed, Forbidden, NotFound, TakesNothing
from cryocloud.web.core.models import TenantRecord
from cryocloud.web.organizations.models import Membership, Organization, Role
from cryocloud.web.organizations.state_words import why_closed, why_nothing_added
from cryocloud.web.organizations.states import standing, unreachable

Tenant = TypeVar("Tenant", bound=TenantRecord)


class Purpose(Enum):
    """What somebody comes through the door for. Every state lets people govern, not every one lets them add."""

    READ = "see, fetch and delete"
    ADD = "add and change"
    GOVERN = "decide about members, plan and account"


_USUAL = {
    Role.VIEWER: Purpose.READ,
    Role.EDITOR: Purpose.ADD,
    Role.ADMIN: Purpose.ADD,
    Role.OWNER: Purpose.GOVERN,
}
"""Where no purpose is named, so that whatever forgets to name it is refused rather than let through."""


def visible(actor: Actor, model: type[Tenant]) -> QuerySet[Tenant]:
    """All rows of a kind in the organizations that the actor belongs to, but for those that are closed."""
    open_ones = _memberships(actor).exclude(unreachable(now(), "organization__"))
    return model.unscoped.filter(organization_id__in=open_ones.values_list("organization_id", flat=True))


def within(
    actor: Actor,
    model: type[Tenant],
    organization: Organization,
    *,
    needs: Role = Role.VIEWER,
    purpose: Purpose | None = None,
) -> QuerySet[Tenant]:
    """The rows of one organization."""
    require_role(actor, organization.id, needs, purpose)
    return model.unscoped.filter(organization=organization)


def get(
    actor: Actor,
    model: type[Tenant],
    object_id: str,
    *,
    needs: Role = Role.VIEWER,
    purpose: Purpose | None = None,
) -> Tenant:
    """One row. Strangers get ``NotFound`` as for what does not exist, members below ``needs`` get ``Forbidden``."""
    found = model.unscoped.filter(organization_id__in=_organization_ids(actor), pk=object_id).first()
    if found is None:
        raise NotFound
    require_role(actor, found.organization_id, needs, purpose)
    return found


def get_organization(actor: Actor, organization_id: str, *, needs: Role = Role.VIEWER) -> Organization:
    """The organization itself, in whatever state; what belongs to it has its own door."""
    require_role(actor, organization_id, needs, Purpose.GOVERN)
    return Organization.objects.get(pk=organization_id)


def require_role(actor: Actor, organization_id: str, needs: Role, purpose: Purpose | None = None) -> None:
    """Raise unless membership and credential of the actor reach ``needs``, and the state allows the purpose."""
    membership = _membership(actor, organization_id)
    if membership is None:
        raise NotFound
    role = Role(membership.role)
    if actor.token and needs > Role.VIEWER and actor.token.scope == ApiToken.Scope.READ:
        raise Forbidden("This token may only read. Make one with the scope “write”.")
    if role < needs:
        raise Forbidden(
            f"Your role here is {role.label}; this needs {needs.label}. Ask an owner of the organization."
        )
    _require_state(membership.organization, purpose or _USUAL[needs])


def _require_state(organization: Organization, purpose: Purpose) -> None:
    found = standing(organization)
    if purpose != Purpose.GOVERN and not found.may_read:
        raise Closed(why_closed(organization, found))
    if purpose == Purpose.ADD and not found.may_add:
        raise TakesNothing(why_nothing_added(organization, found))


def require_governor(
    actor: Actor, organization_id: str, needs: Role = Role.ADMIN, purpose: Purpose = Purpose.GOVERN
) -> None:
    """For members, roles, invitations and the organization itself: a token needs the scope for them too."""
    require_role(actor, organization_id, needs, purpose)
    if actor.token and actor.token.scope != ApiToken.Scope.ADMIN:
        raise Forbidden(
            "This token may not govern members, roles and settings. Use the pages, or a token with the scope “admin”."
        )


def role_in(actor: Actor, organization_id: str) -> Role | None:
    """The actor's role, or None for a stranger and for a token of another organization."""
    membership = _membership(actor, organization_id)
    return None if membership is None else Role(membership.role)


def may_add(actor: Actor, organization_id: str) -> bool:
    """Whether pages offer the actor to add and change things there."""
    membership = _membership(actor, organization_id)
    return (
        membership is not None
        and membership.role >= Role.EDITOR
        and standing(membership.organization).may_add
    )


def _membership(actor: Actor, organization_id: str) -> Membership | None:
    return _memberships(actor).select_related("organization").filter(organization_id=organization_id).first()


@dataclass(frozen=True)
class Right:
    """That a credential reaches a role in an organization, as somebody was granted when something long began."""

    credential: Credential
    organization_id: str
    needs: Role


def rights_in_force(rights: Collection[Right]) -> set[Right]:
    """Those that would be granted again now; four queries, however many they are.

    Uploads that have begun may end after the trial has, so of the states only a closed one counts.
    """
    actors = actors_of({right.credential for right in rights})
    roles = roles_of(
        {actor.user.pk for actor in actors.values()}, leaving_out=unreachable(now(), "organization__")
    )

    def holds(right: Right) -> bool:
        actor = actors.get(right.credential)
        if actor is None or not _is_for(actor, right.organization_id):
            return False
        return roles.get((actor.user.pk, right.organization_id), 0) >= right.needs

    return {right for right in rights if holds(right)}


def roles_of(user_ids: Collection[str], leaving_out: Q | None = None) -> dict[tuple[str, str], Role]:
    """By person and organization."""
    rows = Membership.unscoped.filter(user_id__in=user_ids, user__is_active=True)
    if leaving_out is not None:
        rows = rows.exclude(leaving_out)
    return {
        (user, organization): Role(role)
        for user, organization, role in rows.values_list("user_id", "organization_id", "role")
    }


def _is_for(actor: Actor, organization_id: str) -> bool:
    return actor.token is None or actor.token.organization_id == organization_id


def organizations_of(actor: Actor) -> QuerySet[Organization]:
    """Those the actor belongs to, by name."""
    return Organization.objects.filter(pk__in=_organization_ids(actor)).order_by("name", "id")


def governs_any(actor: Actor) -> bool:
    """Whether the person is an admin or owner somewhere."""
    return any(role >= Role.ADMIN for role in roles_of({actor.user.pk}).values())


def owns_any(actor: Actor) -> bool:
    return Role.OWNER in roles_of({actor.user.pk}).values()


def _organization_ids(actor: Actor) -> QuerySet[Membership, str]:
    return _memberships(actor).values_list("organization_id", flat=True)


def _memberships(actor: Actor) -> QuerySet[Membership]:
    found = Membership.unscoped.filter(user=actor.user, user__is_active=True)
    return found.filter(organization_id=actor.token.organization_id) if actor.token else found
