"""A restored backup brings back nobody and nothing that was taken away after it was made."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
from django.contrib.sessions.models import Session
from django.test import Client

from cryocloud.web.accounts.models import ApiToken, KeptAnswer, User
from cryocloud.web.accounts.services import deactivate_person, follow_password, reactivate_person
from cryocloud.web.audit.models import AuditEvent, Tombstone
from cryocloud.web.audit.tombstones import NotReplayed, require_replayed, tombstone_file
from cryocloud.web.core.places import blob_file
from cryocloud.web.data.models import Dataset
from cryocloud.web.data.services import create_dataset, purge_dataset, trash_dataset
from cryocloud.web.operations.replay import replay
from cryocloud.web.organizations.models import Invitation, Membership, Role
from web.visitors import PASSWORD, Visitor, mailed_code
from web_data import add_file, run_tasks

pytestmark = pytest.mark.django_db(transaction=True)


class Backup:
    """The rows that removals touch, as they were; putting them back is what restoring a database does."""

    KINDS = (User, ApiToken, Dataset)
    TENANT_KINDS = (Membership, Invitation)

    def __init__(self):
        self.rows = [(kind, kind._base_manager.values()[:]) for kind in (*self.KINDS, *self.TENANT_KINDS)]
        self.rows = [(kind, list(values)) for kind, values in self.rows]
        self.tombstones = set(Tombstone.objects.values_list("pk", flat=True))

    def restore(self):
        for kind, rows in self.rows:
            for row in rows:
                kind._base_manager.update_or_create(pk=row["id"], defaults=row)
        Tombstone.objects.exclude(pk__in=self.tombstones).delete()


@pytest.fixture
def editor(owner, make_member):
    return make_member(owner.organization, Role.ADMIN, name="edda")


@pytest.fixture
def begun(owner, editor, home):
    """A platform that has been started."""
    assert replay().repeated == 0


def path_of(member, verb):
    return f"/organization/members/{Membership.unscoped.get(user=member.user).pk}/{verb}/"


def test_a_removed_member_stays_removed(begun, owner, editor):
    kept = Backup()
    owner.client.post(path_of(editor, "remove"))
    kept.restore()
    assert editor.api("GET", "/me").status_code == 200, "this is what a restore did"
    with pytest.raises(NotReplayed, match="not repeated yet"):
        require_replayed()
    assert replay().repeated == 2
    require_replayed()
    assert editor.api("GET", "/me").status_code == 401
    assert not Membership.unscoped.filter(user=editor.user).exists()
    assert AuditEvent.objects.filter(verb="removal.repeated").count() == 2
    assert replay().repeated == 0


def test_a_closed_account_stays_closed(begun, editor):
    kept = Backup()
    deactivate_person(person=editor.user)
    kept.restore()
    replay()
    assert not User.objects.get(pk=editor.user.pk).is_active
    assert editor.api("GET", "/me").status_code == 401


def test_a_lowered_role_stays_low(begun, owner, editor):
    kept = Backup()
    owner.client.post(path_of(editor, "role"), {"role": int(Role.VIEWER), "confirmed": 1})
    kept.restore()
    replay()
    assert Membership.unscoped.get(user=editor.user).role == Role.VIEWER


@pytest.mark.parametrize("verb", ["remove", "role"])
def test_answers_to_repeated_orders_end_with_the_right_to_hear_them(begun, owner, editor, verb):
    order = {"organization_id": owner.organization.pk, "name": "secret plan"}
    editor.api("POST", "/projects", order, **{"Idempotency-Key": "k"})
    kept, answers = Backup(), list(KeptAnswer.objects.all())
    given = {"role": str(Role.VIEWER.value), "confirmed": "yes"}
    owner.client.post(path_of(editor, verb), given if verb == "role" else {})
    assert not KeptAnswer.objects.exists()
    kept.restore()
    KeptAnswer.objects.bulk_create(answers)
    replay()
    assert not KeptAnswer.objects.exists()


def test_a_revoked_token_stays_revoked(begun, owner):
    kept = Backup()
    owner.client.post(f"/settings/tokens/{ApiToken.objects.get(user=owner.user).pk}/revoke/")
    kept.restore()
    replay()
    assert owner.api("GET", "/me").status_code == 401


@pytest.mark.parametrize("how", ["withdrawn", "accepted"])
def test_an_invitation_that_is_over_stays_over(begun, owner, stranger, how):
    """An accepted one too: else its mail would let in whoever was removed afterwards."""
    owner.client.post("/organization/", {"email": stranger.user.email, "role": int(Role.VIEWER)})
    run_tasks()
    from django.core import mail

    secret = mail.outbox[-1].body.split("/invitations/")[1].split("/")[0]
    kept = Backup()
    if how == "withdrawn":
        owner.client.post(f"/organization/invitations/{Invitation.unscoped.get().pk}/revoke/")
    else:
        stranger.client.post(f"/invitations/{secret}/")
        owner.client.post(
            "/organization/members/"
            f"{Membership.unscoped.get(user=stranger.user, organization=owner.organization).pk}/remove/"
        )
    kept.restore()
    replay()
    assert stranger.client.post(f"/invitations/{secret}/").status_code == 404


def test_the_password_before_the_reset_does_not_work_again(begun, owner):
    from allauth.account.models import EmailAddress

    EmailAddress.objects.create(user=owner.user, email=owner.user.email, verified=True, primary=True)
    kept = Backup()
    User.objects.get(pk=owner.user.pk).set_password("half maps are never mixed")
    follow_password(user=owner.user, is_reset=True)
    kept.restore()
    replay()
    thief = Visitor(Client())
    thief.log_in(owner.user.email, PASSWORD)
    assert not User.objects.get(pk=owner.user.pk).has_usable_password()
    visitor = Visitor(Client())
    visitor.client.post("/accounts/password/reset/", {"email": owner.user.email})
    visitor.client.post("/accounts/password/reset/confirm/", {"code": mailed_code(owner.user.email)})
    new = "a third one, with more rings"
    visitor.client.post("/accounts/password/reset/complete/", {"password1": new, "password2": new})
    assert User.objects.get(pk=owner.user.pk).check_password(new)


def test_a_purged_dataset_is_purged_again_with_its_bytes(begun, owner):
    dataset = create_dataset(actor=owner.actor, organization=owner.organization, name="Secret")
    file = add_file(owner, dataset, "a.mrc", b"pixels")
    run_tasks()
    blob = blob_file(file.stored.key)
    kept = Backup()
    trash_dataset(actor=owner.actor, dataset=dataset)
    dataset.refresh_from_db()
    purge_dataset(actor=owner.actor, dataset=dataset)
    kept.restore()  # before the worker came: rows and bytes are there again
    assert blob.exists()
    replay()
    assert not blob.exists()
    assert not Dataset.unscoped.filter(pk=dataset.pk).exists()


def test_all_sessions_end_when_anything_is_repeated(begun, owner, editor):
    kept = Backup()
    owner.client.post(path_of(editor, "remove"))
    kept.restore()
    replay()
    assert not Session.objects.exists()
    assert owner.client.get("/dashboard/").status_code == 302


def test_the_list_tells_ids_and_nothing_of_people(begun, owner, editor):
    owner.client.post("/organization/", {"email": "grace@lab.example", "role": int(Role.VIEWER)})
    owner.client.post(path_of(editor, "remove"))
    text = tombstone_file().read_text()
    for word in (editor.user.email, editor.user.name, owner.organization.name, "grace", editor.secret):
        assert word not in text
    assert tombstone_file().stat().st_mode & 0o077 == 0
    kinds = [json.loads(line)["kind"] for line in text.splitlines() if line]
    assert kinds == ["began", "token", "membership"]


def test_what_is_rolled_back_is_not_buried(begun, owner):
    before = tombstone_file().read_text()
    owner.client.post(path_of(owner, "remove"))  # the last owner: refused
    assert tombstone_file().read_text() == before


def test_a_torn_line_is_passed_over_and_the_next_ones_are_read(begun, owner, editor):
    with tombstone_file().open("a") as stream:
        stream.write('\n{"id": "abc", "ki')
    kept = Backup()
    owner.client.post(path_of(editor, "remove"))
    kept.restore()
    assert replay().repeated == 2


def test_a_full_disk_delays_the_list_and_not_the_removal(begun, owner, editor, home):
    folder = tombstone_file().parent
    saved = tombstone_file().read_bytes()
    tombstone_file().unlink()
    folder.rmdir()
    folder.write_text("in the way")
    assert owner.client.post(path_of(editor, "remove")).status_code == 302
    assert editor.api("GET", "/me").status_code == 401
    folder.unlink()
    folder.mkdir()
    tombstone_file().write_bytes(saved)
    replay()
    kinds = [json.loads(line)["kind"] for line in tombstone_file().read_text().splitlines() if line]
    assert kinds == ["began", "token", "membership"]


@pytest.mark.parametrize("loss", ["gone", "cut off"])
def test_a_lost_list_ends_all_sessions_tokens_and_invitations_and_warns(begun, owner, editor, loss):
    owner.client.post("/organization/", {"email": "grace@lab.example", "role": int(Role.VIEWER)})
    if loss == "gone":
        tombstone_file().unlink()
    else:
        tombstone_file().write_bytes(tombstone_file().read_bytes()[:20])
    with pytest.raises(NotReplayed):
        require_replayed()
    done = replay()
    assert done.is_lost and "sessions, API tokens and open invitations have been ended" in done.warning
    assert owner.api("GET", "/me").status_code == 401
    assert owner.client.get("/dashboard/").status_code == 302
    assert Invitation.unscoped.get().revoked_at is not None
    require_replayed()
    assert not replay().is_lost


def test_a_list_of_a_later_version_is_refused_in_words(begun, owner):
    line = {"id": "x" * 26, "kind": "planet", "object": "mars", "at": "2026-01-01", "detail": {}}
    with tombstone_file().open("a") as stream:
        stream.write(json.dumps(line) + "\n")
    with pytest.raises(NotReplayed, match="later one"):
        replay()


SCENE = """
import django, sys
django.setup()
from datetime import timedelta
from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.models import ApiToken, User
from cryocloud.web.core.clock import now
from cryocloud.web.organizations.models import Membership, Organization
from cryocloud.web.organizations.services import remove_member
from allauth.mfa.models import Authenticator
from django.test import Client
def begin():
    lab = Organization.objects.create(name="Lab")
    for name, role in (("olga", 40), ("edda", 20)):
        user = User.objects.create_user(f"{name}@lab.example", "the Thon rings are round", name=name)
        Membership.unscoped.create(organization=lab, user=user, role=role)
        Authenticator.objects.create(user=user, type="totp", data={})
        ApiToken.objects.create(user=user, organization_id=lab.pk, name="t", secret_hash=name, scope="write",
            expires_at=now() + timedelta(days=1))
        Client().force_login(user, backend="django.contrib.auth.backends.ModelBackend")
def remove():
    olga = User.objects.get(name="olga")
    remove_member(actor=Actor(olga), membership=Membership.unscoped.get(user__name="edda"))
def look():
    from django.contrib.sessions.models import Session
    tokens = ApiToken.objects.filter(revoked_at=None).values_list("secret_hash", flat=True)
    print(sorted(Membership.unscoped.values_list("user__name", flat=True)), sorted(tokens), Session.objects.count())
globals()[sys.argv[1]]()
"""


def run(*arguments, home, **settings):
    own = {name: text for name, text in os.environ.items() if not name.startswith(("CRYOCLOUD_", "DJANGO_"))}
    own |= {"DJANGO_SETTINGS_MODULE": "cryocloud.web.settings", "CRYOCLOUD_HOME": str(home), **settings}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=own, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.slow
def test_no_process_serves_a_database_that_was_put_back_by_hand(tmp_path):
    home, kept = tmp_path / "home", tmp_path / "kept"
    for command in (("-m", "cryocloud.web", "prepare"), ("-c", SCENE, "begin")):
        assert run(*command, home=home).returncode == 0
    assert run("-m", "cryocloud.web", "backup", str(kept), home=home).returncode == 0
    assert run("-c", SCENE, "remove", home=home).returncode == 0
    for name in ("db.sqlite3-wal", "db.sqlite3-shm"):
        (home / name).unlink(missing_ok=True)
    shutil.copy(kept / "files/db.sqlite3", home / "db.sqlite3")
    for process in ("serve", "scheduler", "worker"):
        refused = run("-m", "cryocloud.web", process, home=home)
        assert refused.returncode != 0 and "are not repeated yet" in refused.stderr, process
    assert run("-m", "cryocloud.web", "prepare", home=home).returncode == 0
    assert run("-c", SCENE, "look", home=home).stdout.strip() == "['olga'] ['olga'] 0"


@pytest.mark.slow
@pytest.mark.parametrize("list_is", ["in the old home", "elsewhere", "lost"])
def test_backup_removal_and_restore_with_the_commands(tmp_path, list_is):
    home, kept, fresh, elsewhere = (tmp_path / name for name in ("home", "kept", "fresh", "disk2"))
    settings = {"CRYOCLOUD_TOMBSTONES": str(elsewhere)} if list_is == "elsewhere" else {}

    def call(*arguments, at=home):
        done = run(*arguments, home=at, **settings)
        assert done.returncode == 0, done.stderr
        return done

    call("-m", "cryocloud.web", "prepare")
    call("-c", SCENE, "begin")
    call("-m", "cryocloud.web", "backup", str(kept))
    call("-c", SCENE, "remove")
    if list_is == "lost":
        (home / "tombstones/tombstones.jsonl").unlink()
    restored = call("-m", "cryocloud.web", "restore", str(kept), at=fresh)
    seen = call("-c", SCENE, "look", at=fresh).stdout.strip()
    if list_is == "lost":
        assert seen == "['edda', 'olga'] [] 0"
        assert "removals is not there" in restored.stderr
    else:
        assert seen == "['olga'] ['olga'] 0"
        assert "removals that came after" in restored.stdout
    told = call("-m", "cryocloud.web", "prepare", at=fresh).stdout
    assert not any("restored" in one for one in json.loads(told.splitlines()[-1])["warnings"])


def test_an_account_that_was_reopened_stays_open(begun, owner, editor):
    kept = Backup()
    deactivate_person(person=editor.user)
    reactivate_person(person=editor.user, actor=owner.actor, reason="a mistake")
    kept.restore()
    replay()
    assert User.objects.get(pk=editor.user.pk).is_active
