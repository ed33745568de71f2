"""Letters of the service to the owners of an organization: at the bell, and by mail that no choice switches off."""

from __future__ import annotations

from collections.abc import Callable

from django.db import transaction

from cryocloud.web.lifecycle.models import Letter
from cryocloud.web.notices.mail import tell, write
from cryocloud.web.notices.models import Occasion
from cryocloud.web.organizations.models import Membership, Organization, Role

TITLE_LENGTH = 120

_addresses: list[Callable[[Organization], str]] = []


def register_address(find: Callable[[Organization], str]) -> None:
    """``find(organization)`` gives a further address that letters go to, such as that of its accounts; or ""."""
    _addresses.append(find)


@transaction.atomic
def write_to_owners(organization: Organization, *, key: str, title: str, message: str, path: str) -> bool:
    """Order a letter in the transaction of what it tells; False if there is one under this key already.

    ``path`` is the page that helps, below the address of the platform.
    """
    _, is_new = Letter.unscoped.get_or_create(organization=organization, key=key)
    if not is_new:
        return False
    occasion = Occasion.unscoped.create(
        organization=organization,
        kind=Occasion.Kind.LETTER,
        subject=Occasion.Subject.ORGANIZATION,
        subject_id=organization.pk,
        title=title[:TITLE_LENGTH],
        standing="letter",
        message=message,
        path=path,
    )
    owners = Membership.unscoped.filter(organization=organization, role=Role.OWNER, user__is_active=True)
    people = dict(owners.values_list("user_id", "user__email"))
    tell(occasion, sorted(people))
    known = {address.lower() for address in people.values()}
    for address in {find(organization) for find in _addresses} - {""}:
        if address.lower() not in known:
            write(occasion, address)
    return True
