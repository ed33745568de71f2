"""The one door to tenant data, the same for sessions, tokens and everything that acts in somebody's name."""

from __future__ import annotations

from typing import TypeVar

from django.db.models import QuerySet

from cryocloud.web.accounts.actor import Actor
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
    found = visible(actor, model).filter(pk=object_id).first()
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
    if actor.token and needs > Role.VIEWER and actor.token.scope != ApiToken.Scope.WRITE:
        raise Forbidden("This token may only read. Make one with the scope “write”.")
    if role < needs:
        raise Forbidden(
            f"Your role here is {role.label}; this needs {needs.label}. Ask an owner of the organization."
        )


def role_in(actor: Actor, organization_id: str) -> Role | None:
    """The actor's role, or None for a stranger and for a token of another organization."""
    if actor.token and actor.token.organization_id != organization_id:
        return None
    role = (
        Membership.unscoped.filter(organization_id=organization_id, user=actor.user, user__is_active=True)
        .values_list("role", flat=True)
        .first()
    )
    return None if role is None else Role(role)


def organizations_of(actor: Actor) -> QuerySet[Organization]:
    """Those the actor belongs to, by name."""
    return Organization.objects.filter(pk__in=_organization_ids(actor)).order_by("name", "id")


def _organization_ids(actor: Actor) -> QuerySet[Membership, str]:
    memberships = Membership.unscoped.filter(user=actor.user, user__is_active=True)
    if actor.token:
        memberships = memberships.filter(organization_id=actor.token.organization_id)
    return memberships.values_list("organization_id", flat=True)
