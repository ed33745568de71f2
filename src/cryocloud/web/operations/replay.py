"""After a restore, before anything is served: whatever was taken away since the backup is taken away again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db import transaction

from cryocloud.web.accounts.answers import forget_answers
from cryocloud.web.accounts.models import ApiToken, User
from cryocloud.web.audit.models import Tombstone
from cryocloud.web.audit.services import record_event
from cryocloud.web.audit.tombstones import (
    NotReplayed,
    bury,
    lost_rows,
    tombstone_file,
    unknown_lines,
    write_out,
)
from cryocloud.web.core.clock import now
from cryocloud.web.data.models import Dataset
from cryocloud.web.data.tasks import remove_dataset
from cryocloud.web.inbox.acknowledging import hold_back_acknowledgements
from cryocloud.web.inbox.models import SignUpInvitation
from cryocloud.web.notices.calls import switch_all_off
from cryocloud.web.notices.mail import hold_back_mails
from cryocloud.web.organizations.models import Invitation, Membership
from cryocloud.web.trash.removal import remove_artifact, remove_file, remove_job, remove_project, remove_run

LOST = (
    "The list of removals is not there: {path}. Whoever was removed after this backup was made may be a member again, "
    "and old passwords may work again. To be safe, all sessions, API tokens and open invitations have been ended. "
    "Have the owners look at their members, and ask everybody whose password was compromised to reset it. If you have "
    "the list elsewhere, stop the platform, put it there and start again."
)


@dataclass(frozen=True)
class Replayed:
    """How many removals were repeated, and whether the list of them was lost."""

    repeated: int
    is_lost: bool

    @property
    def warning(self) -> str:
        return LOST.format(path=tombstone_file()) if self.is_lost else ""


def replay(*, after_restore: bool = False) -> Replayed:
    """Repeat what the file tells and the database does not know; may be stopped and repeated at any point."""
    write_out()
    is_new = not Tombstone.objects.exists()
    lines, lost = unknown_lines(), lost_rows()
    is_lost = bool(lost) or (after_restore and not tombstone_file().exists())
    if lines or is_lost or after_restore:
        _end_all_sessions()
        hold_back_mails()
        hold_back_acknowledgements()
        switch_all_off()
    for line in lines:
        _repeat(line)
    if is_lost:
        _distrust_everything(lost)
    if is_new:
        with transaction.atomic():  # from now on a list that vanishes is noticed
            bury("began", "")
    return Replayed(len(lines), is_lost)


def take_over_removals(kept: Path | None) -> None:
    """Copy the list of the platform that was backed up, unless it lies where this one looks for it already."""
    own = tombstone_file()
    if own.exists() or kept is None or not kept.exists():
        return
    own.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = own.with_suffix(".new")
    shutil.copyfile(kept, fresh)
    fresh.chmod(0o600)
    fresh.replace(own)


def _repeat(line: dict[str, Any]) -> None:
    act = _ACTS.get(line["kind"])
    if act is None:
        raise NotReplayed(
            f"{tombstone_file()} tells of a removal of the kind “{line['kind']}”, which this version does not know; "
            "install the version that wrote it, or a later one"
        )
    with transaction.atomic():
        act(line["object"], line["detail"])
        row = Tombstone.objects.create(
            pk=line["id"], kind=line["kind"], object_id=line["object"], detail=line["detail"], is_written=True
        )
        record_event("removal.repeated", organization_id="", target=row, kind=line["kind"], of=line["object"])


@transaction.atomic
def _distrust_everything(lost: list[Tombstone]) -> None:
    _end_all_grants()
    Tombstone.objects.filter(pk__in=[row.pk for row in lost]).update(is_written=False)
    bury("distrust", "")


@transaction.atomic
def _end_all_sessions() -> None:
    Session.objects.all().delete()
    UserSession.objects.all().delete()


def _remove_membership(membership_id: str, _: dict[str, Any]) -> None:
    for membership in Membership.unscoped.filter(pk=membership_id):
        forget_answers(membership.user_id)
        membership.delete()


def _lower_role(membership_id: str, detail: dict[str, Any]) -> None:
    for membership in Membership.unscoped.filter(pk=membership_id, role__gt=detail["role"]):
        forget_answers(membership.user_id)
        membership.role = detail["role"]
        membership.save(update_fields=["role"])


def _revoke_token(token_id: str, _: dict[str, Any]) -> None:
    ApiToken.objects.filter(pk=token_id, revoked_at=None).update(revoked_at=now())


def _end_invitation(invitation_id: str, _: dict[str, Any]) -> None:
    still_open = Invitation.unscoped.filter(pk=invitation_id, accepted_at=None, revoked_at=None)
    still_open.update(revoked_at=now())


def _end_sign_up_invitation(invitation_id: str, _: dict[str, Any]) -> None:
    still_open = SignUpInvitation.objects.filter(pk=invitation_id, accepted_at=None, revoked_at=None)
    still_open.update(revoked_at=now())


def _forget_password(user_id: str, _: dict[str, Any]) -> None:
    """The backup holds the one before; the person chooses another by a mailed code."""
    for person in User.objects.filter(pk=user_id):
        person.set_unusable_password()
        person.save(update_fields=["password"])


def _deactivate(user_id: str, _: dict[str, Any]) -> None:
    User.objects.filter(pk=user_id).update(is_active=False)


def _reactivate(user_id: str, _: dict[str, Any]) -> None:
    User.objects.filter(pk=user_id).update(is_active=True)


def _purge_dataset(dataset_id: str, _: dict[str, Any]) -> None:
    for dataset in Dataset.unscoped.filter(pk=dataset_id):
        Dataset.unscoped.filter(pk=dataset_id).update(purge_ordered_at=now())
        remove_dataset.func(dataset_id, organization_id=dataset.organization_id)


def _remove_project(project_id: str, _: dict[str, Any]) -> None:
    remove_project(project_id)


def _remove_run(run_id: str, _: dict[str, Any]) -> None:
    remove_run(run_id)


def _remove_file(file_id: str, _: dict[str, Any]) -> None:
    remove_file(file_id)


def _remove_artifact(artifact_id: str, _: dict[str, Any]) -> None:
    remove_artifact(artifact_id)


def _remove_job(job_id: str, _: dict[str, Any]) -> None:
    remove_job(job_id)


def _end_all_grants(*_: object) -> None:
    ApiToken.objects.filter(revoked_at=None).update(revoked_at=now())
    Invitation.unscoped.filter(accepted_at=None, revoked_at=None).update(revoked_at=now())
    SignUpInvitation.objects.filter(accepted_at=None, revoked_at=None).update(revoked_at=now())


def _nothing(*_: object) -> None:
    """The beginning of the list."""


_ACTS: dict[str, Callable[[str, dict[str, Any]], None]] = {
    "began": _nothing,
    "distrust": _end_all_grants,
    "membership": _remove_membership,
    "role": _lower_role,
    "token": _revoke_token,
    "invitation": _end_invitation,
    "sign-up invitation": _end_sign_up_invitation,
    "password": _forget_password,
    "person": _deactivate,
    "person back": _reactivate,
    "dataset": _purge_dataset,
    "project": _remove_project,
    "run": _remove_run,
    "job": _remove_job,
    "file": _remove_file,
    "artifact": _remove_artifact,
}
