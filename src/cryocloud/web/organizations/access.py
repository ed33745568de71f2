"""The one door to tenant data, the same for sessions, tokens and everything that acts in somebody's name."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeVar

from django.db.models import QuerySet

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.credentials import Credential, actors_of
from cryocloud.web.accounts.models import ApiToken
from cryocloud.web.core.errors import Forbidden, NotFound
from cryocloud.web.core.models import TenantRecord
from cryocloud.web.organizations.models import Membership, Organization, Role

Tenant = TypeVar("Tenant", bound=TenantRecord)


def visible(actor: Actor, model: type[Tenant]) -> QuerySet[Tenant]:
    """All rows of a kind in the organizations that the actor belongs to."""
    return model.unscoped.filter(organization_id__in=_organization_ids(actor))


def within(
    actor: Actor, model: type[Tenant], organization: Organization, *, needs: Role = Role.VIEWER
) -> QuerySet[Tenant]:
    """The rows of one organization."""
    require_role(actor, organization.id, needs)
    return model.unscoped.filter(organization=organization)


def get(actor: Actor, model: type[Tenant], object_id: str, *, needs: Role = Role.VIEWER) -> Tenant:
    """One row. Strangers get ``NotFound`` as for what does not exist, members below ``needs`` get ``Forbidden``."""
    # Not asked for in a database that takes no NUL.
    found = None if "\0" in object_id else visible(actor, model).filter(pk=object_id).first()
    if found is None:
        raise NotFound
    require_role(actor, found.organization_id, needs)
    return found


def get_organization(actor: Actor, organization_id: str, *, needs: Role = Role.VIEWER) -> Organization:
    require_role(actor, organization_id, needs)
    return Organization.objects.get(pk=organization_id)


def require_role(actor: Actor, organization_id: str, needs: Role) -> None:
    """Raise unless the actor's membership and credential reach ``needs`` in that organization."""
    role = role_in(actor, organization_id)
    if role is None:
        raise NotFound
    if actor.token and needs > Role.VIEWER and actor.token.scope == ApiToken.Scope.READ:
        raise Forbidden("This token may only read. Make one with the scope “write”.")
    if role < needs:
        raise Forbidden(
            f"Your role here is {role.label}; this needs {needs.label}. Ask an owner of the organization."
        )


def require_governor(actor: Actor, organization_id: str, needs: Role = Role.ADMIN) -> None:
    """For members, roles, invitations and the organization itself: a token needs the scope for them too."""
    require_role(actor, organization_id, needs)
    if actor.token and actor.token.scope != ApiToken.Scope.ADMIN:
        raise Forbidden(
            "This token may not govern members, roles and settings. Use the pages, or a token with the scope “admin”."
        )


def role_in(actor: Actor, organization_id: str) -> Role | None:
    """The actor's role, or None for a stranger and for a token of another organization."""
    return (
        roles_of({actor.user.pk}).get((actor.user.pk, organization_id))
        if _is_for(actor, organization_id)
        else None
    )


@dataclass(frozen=True)
class Right:
    """That a credential reaches a role in an organization, as somebody was granted when something long began."""

    credential: Credential
    organization_id: str
    needs: Role


def rights_in_force(rights: Collection[Right]) -> set[Right]:
    """Those that would be granted again now; four queries, however many they are."""
    actors = actors_of({right.credential for right in rights})
    roles = roles_of({actor.user.pk for actor in actors.values()})

    def holds(right: Right) -> bool:
        actor = actors.get(right.credential)
        if actor is None or not _is_for(actor, right.organization_id):
            return False
        return roles.get((actor.user.pk, right.organization_id), 0) >= right.needs

    return {right for right in rights if holds(right)}


def roles_of(user_ids: Collection[str]) -> dict[tuple[str, str], Role]:
    """By person and organization."""
    rows = Membership.unscoped.filter(user_id__in=user_ids, user__is_active=True)
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
    memberships = Membership.unscoped.filter(user=actor.user, user__is_active=True)
    if actor.token:
        memberships = memberships.filter(organization_id=actor.token.organization_id)
    return memberships.values_list("organization_id", flat=True)
