"""Live and ready: for everybody, without secrets, with reasons."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cryocloud.web.configuration import configuration
from cryocloud.web.core import disk_room
from cryocloud.web.core.leases import take_lease
from cryocloud.web.operations import health

pytestmark = pytest.mark.django_db


def test_live_answers_strangers_without_a_session(client):
    answer = client.get("/health/live")
    assert answer.json() == {"status": "live"}
    assert not answer.cookies


def test_ready_names_the_processes_that_are_missing(client):
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert set(answer.json()["problems"]) == {"scheduler", "worker"}


def test_ready_when_scheduler_and_worker_hold_their_leases(client):
    for name in health.PROCESSES:
        take_lease(name, "somebody", timedelta(minutes=1))
    answer = client.get("/health/ready")
    assert answer.status_code == 200, answer.content
    assert answer.json() == {"status": "ready", "problems": {}}


def test_a_lease_that_has_run_out_counts_as_missing(client):
    take_lease("worker", "somebody", timedelta(minutes=1))
    take_lease("scheduler", "somebody", timedelta(seconds=-1))
    assert list(client.get("/health/ready").json()["problems"]) == ["scheduler"]


def test_a_full_disk_is_told_in_numbers(client, monkeypatch):
    monkeypatch.setattr(disk_room, "BYTES_MIN", 2**60)
    fresh = configuration().model_copy(update={"disk_reserve_bytes": 2**60})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: fresh)
    told = client.get("/health/ready").json()["problems"]["disk"]
    assert "MiB are free, fewer than the reserve of 1099511627776 MiB; nothing new is taken" in told


def test_only_reading_is_allowed(client):
    assert client.post("/health/ready").status_code == 405
