"""What a member has made in an organization and what cannot outlive their role there: tokens and invitations."""

from __future__ import annotations

from dataclasses import dataclass

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.models import ApiToken
from cryocloud.web.accounts.services import end_tokens, usable_tokens
from cryocloud.web.organizations.invitations import end_invitation, inviter_needs, open_invitations
from cryocloud.web.organizations.models import Invitation, Membership, Role

_SCOPE_NEEDS = {
    ApiToken.Scope.READ: Role.VIEWER,
    ApiToken.Scope.WRITE: Role.EDITOR,
    ApiToken.Scope.ADMIN: Role.ADMIN,
}


@dataclass(frozen=True)
class Grants:
    """Tokens and open invitations of one member."""

    tokens: list[ApiToken]
    invitations: list[Invitation]

    def __bool__(self) -> bool:
        return bool(self.tokens or self.invitations)


def grants_ending(member: Membership, role: Role | None) -> Grants:
    """Those that end when the member gets this role, or with None none at all."""
    left = role or 0
    tokens = usable_tokens(member.user).filter(organization_id=member.organization_id)
    sent = open_invitations(member.organization).filter(invited_by_id=member.user_id)
    return Grants(
        [token for token in tokens if _SCOPE_NEEDS[ApiToken.Scope(token.scope)] > left],
        [invitation for invitation in sent if inviter_needs(Role(invitation.role)) > left],
    )


def end_grants(actor: Actor, member: Membership, role: Role | None) -> None:
    ending = grants_ending(member, role)
    end_tokens(actor=actor, tokens=ending.tokens, reason="role")
    for invitation in ending.invitations:
        end_invitation(actor, invitation)
