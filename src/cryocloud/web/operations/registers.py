"""People and organizations as an operator sees them: who they are and what they use, nothing of their data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.db.models import Count, Exists, Max, OuterRef, Q, QuerySet

from cryocloud.web.accounts.models import ApiToken, User
from cryocloud.web.accounts.second_factor import FACTORS
from cryocloud.web.billing.models import Invoice, VatCheck
from cryocloud.web.data.services import storage_limit, storage_used
from cryocloud.web.data.storage import Storage, StorageLimit
from cryocloud.web.metering.services import compute_limit_s, running_compute_s, used_compute_s
from cryocloud.web.organizations.models import Membership, Organization, Role


@dataclass(frozen=True)
class Person:
    """An account, what protects it, and when it was used last."""

    user: User
    is_verified: bool
    has_second_factor: bool
    seen_at: datetime | None
    memberships: list[Membership]

    @property
    def left_without_owner(self) -> list[Organization]:
        """Organizations of which nobody else with an open account is an owner."""
        owned = [one.organization for one in self.memberships if one.role == Role.OWNER]
        others = Membership.unscoped.filter(role=Role.OWNER, user__is_active=True).exclude(user=self.user)
        kept = set(others.filter(organization__in=owned).values_list("organization_id", flat=True))
        return [one for one in owned if one.pk not in kept]


@dataclass(frozen=True)
class Tenant:
    """An organization and what it uses of what it may."""

    organization: Organization
    members: int
    compute_s: float
    compute_limit_s: int | None
    storage: Storage
    storage_limit: StorageLimit


def people_found(text: str, *, only: str = "") -> QuerySet[User]:
    """By a part of name or address, newest first; ``only`` is "closed", "operators", or "" for all."""
    rows = User.objects.order_by("-created_at", "pk")
    if text:
        rows = rows.filter(Q(name__icontains=text) | Q(email__icontains=text))
    if only == "closed":
        rows = rows.filter(is_active=False)
    return rows.filter(is_operator=True) if only == "operators" else rows


def described(users: list[User]) -> list[Person]:
    """In six queries, however many they are."""
    keys = [one.pk for one in users]
    proven = EmailAddress.objects.filter(user=OuterRef("pk"), email=OuterRef("email"), verified=True)
    factors = Authenticator.objects.filter(user=OuterRef("pk"), type__in=FACTORS)
    facts = {
        one.pk: one
        for one in User.objects.filter(pk__in=keys).annotate(verified=Exists(proven), factor=Exists(factors))
    }
    seen = _latest(UserSession, "last_seen_at", keys), _latest(ApiToken, "last_used_at", keys)
    memberships: dict[str, list[Membership]] = {}
    rows = Membership.unscoped.filter(user__in=keys).select_related("organization")
    for membership in rows.order_by("organization__name", "pk"):
        memberships.setdefault(membership.user_id, []).append(membership)
    return [
        Person(
            user=one,
            is_verified=facts[one.pk].verified,
            has_second_factor=facts[one.pk].factor,
            seen_at=max(
                filter(None, (one.last_login, *(latest.get(one.pk) for latest in seen))), default=None
            ),
            memberships=memberships.get(one.pk, []),
        )
        for one in users
    ]


def _latest(
    model: type[UserSession] | type[ApiToken], moment: str, keys: list[str]
) -> dict[str, datetime | None]:
    rows = model.objects.filter(user__in=keys).order_by()
    return dict(rows.values_list("user").annotate(latest=Max(moment)))


def organizations_found(text: str, *, state: str = "") -> QuerySet[Organization]:
    """By a part of the name, by id, or by the address of a member; newest first."""
    rows = Organization.objects.order_by("-created_at", "pk")
    if state:
        rows = rows.filter(state=state)
    if text:
        of_member = Membership.unscoped.filter(user__email__icontains=text).values("organization_id")
        rows = rows.filter(Q(name__icontains=text) | Q(pk=text) | Q(pk__in=of_member))
    return rows


def measured(organizations: list[Organization]) -> list[Tenant]:
    """With a few queries for each."""
    keys = [one.pk for one in organizations]
    rows = Membership.unscoped.filter(organization__in=keys).order_by()
    members = dict(rows.values_list("organization").annotate(n=Count("pk")))
    return [
        Tenant(
            organization=one,
            members=members.get(one.pk, 0),
            compute_s=used_compute_s(one) + running_compute_s(one),
            compute_limit_s=compute_limit_s(one),
            storage=storage_used(one),
            storage_limit=storage_limit(one),
        )
        for one in organizations
    ]


def members_of(organization: Organization) -> QuerySet[Membership]:
    rows = Membership.unscoped.filter(organization=organization).select_related("user")
    return rows.order_by("-role", "user__name", "pk")


def invoices_found(text: str) -> QuerySet[Invoice]:
    """By a part of the number, of the organization's name or of who pays, newest first; without their documents."""
    rows = Invoice.unscoped.select_related("organization").defer("ubl").order_by("-issued_at", "-sequence")
    wanted = (
        Q(number__icontains=text) | Q(organization__name__icontains=text) | Q(customer__name__icontains=text)
    )
    return rows.filter(wanted) if text else rows


def vat_checks_found() -> QuerySet[VatCheck]:
    """What the register of VAT ids said, newest first."""
    return VatCheck.unscoped.select_related("organization").order_by("-at", "-pk")
