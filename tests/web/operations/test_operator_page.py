"""The operator's page: figures of the whole platform, for operators only."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client

from cryocloud.compute.isolation.walls import report
from cryocloud.web.audit.services import record_event
from cryocloud.web.configuration import ServerFolder, configuration
from cryocloud.web.core.leases import take_lease
from cryocloud.web.core.models import BackgroundTask
from cryocloud.web.core.tasks import READING
from cryocloud.web.operations.history import BACKUP_FAILED, BACKUP_MADE
from platform_addresses import pages

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(owner):
    owner.user.is_operator = True
    owner.user.save()
    return owner


def text_of(person):
    answer = person.client.get("/operator/")
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


PAGES = [page for page in pages() if page.template.startswith("/operator/")]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_for_others_it_is_not_there(page, owner, stranger):
    path = page.path({"person": stranger.user.pk, "organization": stranger.organization.pk})
    for method in ("GET", "POST"):
        assert owner.client.generic(method, path).status_code in (404, 405)
    assert owner.client.get(path).status_code == 404 or page.template.endswith(
        ("/pause/", "/retry/", "/state/")
    )
    assert "/operator/" not in owner.client.get("/dashboard/").content.decode()
    assert Client().get("/operator/")["Location"].startswith("/accounts/login/")


def test_it_shows_processes_queues_disk_and_versions(operator):
    take_lease("worker", "somebody", timedelta(minutes=1))
    BackgroundTask.objects.create(path="x", arguments={}, priority=READING)
    page = text_of(operator)
    assert '<td class="mono">worker</td><td>lives</td>' in page
    assert '<td class="mono">scheduler</td><td><strong>does not answer</strong></td>' in page
    assert '<td>reading files that arrived</td><td class="right">1</td>' in page
    assert "Inodes" in page
    assert "bubblewrap" in page
    assert 'href="/operator/"' in operator.client.get("/dashboard/").content.decode()


def test_it_says_which_walls_stand(operator, monkeypatch):
    standing = {wall.name: wall.stands for wall in report(configuration().isolation)}
    page = text_of(operator)
    for name, stands in standing.items():
        state = "stands" if stands else "<strong>does not stand</strong>"
        assert f'<td>{name}</td><td class="nowrap">{state}</td>' in page
    bare = configuration().model_copy(update={"isolation": "off"})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: bare)
    page = text_of(operator)
    assert "NONE: jobs run with the platform" in page
    assert '<div class="notice bad" role="alert"><p><strong>Jobs run without walls.</strong>' in page


def test_it_names_who_may_import_which_folder(operator, stranger, tmp_path, monkeypatch):
    folders = (f"{tmp_path}={stranger.organization.pk}|01NOBODY", "/nowhere=*")
    granted = tuple(ServerFolder.model_validate(folder) for folder in folders)
    fresh = configuration().model_copy(update={"server_folders": granted})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: fresh)
    page = text_of(operator)
    assert f"{stranger.organization.name} ({stranger.organization.pk})" in page
    assert "unknown organization 01NOBODY" in page
    assert "/nowhere <strong>is not there</strong></td><td>every organization</td>" in page


def test_it_tells_the_last_backup_and_whether_one_failed_since(operator, home, tmp_path_factory):
    assert "None was made since this platform began" in text_of(operator)
    folder = tmp_path_factory.mktemp("kept") / "night"
    record_event(
        BACKUP_MADE, organization_id="", target=operator.user, folder=str(folder), files=7, bytes=1500
    )
    page = text_of(operator)
    assert f"{folder}</dd>" in page and "7 files, 1.5 kB, each by its SHA-256" in page
    assert "The last backup failed" not in page
    record_event(BACKUP_FAILED, organization_id="", target=operator.user, reason="the disk is full")
    page = text_of(operator)
    assert (
        "<strong>The last backup failed</strong> just now: the disk is full" in page
        and f"{folder}</dd>" in page
    )
