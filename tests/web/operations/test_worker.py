"""Background work: none is lost with a killed worker, quick work does not wait for slow work, the clock ticks once."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from django.db import connection
from django_tasks import task

from cryocloud.web.core import periodic, tasks
from cryocloud.web.core.clock import now
from cryocloud.web.core.models import BackgroundTask, Event
from cryocloud.web.operations.worker import LANES

done: list[str] = []


@task()
def note(word: str) -> None:
    done.append(word)


@task(priority=-10)
def note_slowly(word: str) -> None:
    done.append(word)


@task()
def fail() -> None:
    raise RuntimeError("the disk is on fire")


@pytest.fixture(autouse=True)
def nothing_done():
    done.clear()


@pytest.mark.django_db
def test_a_task_runs_once_with_its_arguments():
    note.enqueue("mail")
    assert tasks.run_next("one")
    assert not tasks.run_next("one")
    assert done == ["mail"]


@pytest.mark.django_db
def test_quick_and_slow_work_are_taken_apart():
    note_slowly.enqueue("preview")
    note.enqueue("mail")
    assert tasks.run_next("one", LANES["quick"])
    assert not tasks.run_next("one", LANES["quick"])
    assert done == ["mail"]
    assert tasks.run_next("one", LANES["reading"])
    assert done == ["mail", "preview"]


@pytest.mark.django_db
def test_work_of_a_killed_worker_is_taken_over():
    note.enqueue("mail")
    taken = tasks._take("killed", LANES["quick"])
    assert taken is not None
    assert not tasks.run_next("next")
    tasks.release_others("next")
    assert tasks.run_next("next")
    assert done == ["mail"]


@pytest.mark.django_db
def test_a_worker_that_lives_keeps_what_it_has_in_hand():
    note.enqueue("long")
    taken = tasks._take("alive", LANES["quick"])
    BackgroundTask.objects.update(lease_expires_at=now() + timedelta(seconds=1))
    tasks.renew_leases("alive")
    assert BackgroundTask.objects.get(id=taken.id).lease_expires_at > now() + timedelta(seconds=30)


@pytest.mark.django_db
def test_a_failing_task_is_tried_again_and_then_kept_with_its_reason():
    fail.enqueue()
    for _ in range(tasks.TRIES):
        BackgroundTask.objects.update(run_after=now())
        assert tasks.run_next("one")
    row = BackgroundTask.objects.get()
    assert row.state == BackgroundTask.State.FAILED
    assert "the disk is on fire" in row.error


@pytest.mark.django_db
def test_an_appointment_is_kept_once_an_interval_and_again_after_a_failure(monkeypatch):
    kept: list[str] = []
    appointments = {
        "hourly": periodic.Appointment("hourly", timedelta(hours=1), lambda: kept.append("hourly")),
        "broken": periodic.Appointment("broken", timedelta(hours=1), lambda: 1 / 0),
    }
    monkeypatch.setattr(periodic, "_appointments", appointments)
    periodic.keep_appointments()
    periodic.keep_appointments()
    assert kept == ["hourly"]
    tasks_lease = periodic.Lease.objects.get(name="every:broken")
    assert tasks_lease.expires_at < now() + timedelta(minutes=2)
    periodic.Lease.objects.update(expires_at=now())
    periodic.keep_appointments()
    assert kept == ["hourly", "hourly"]


@pytest.mark.django_db
def test_old_events_are_forgotten_and_young_ones_kept():
    from cryocloud.web.core.events import KEPT
    from cryocloud.web.core.housekeeping import forget_events

    Event.objects.create(organization_id="o", topic="t", kind="old", created_at=now() - 2 * KEPT)
    Event.objects.create(organization_id="o", topic="t", kind="young")
    forget_events()
    assert [event.kind for event in Event.objects.all()] == ["young"]


@pytest.mark.django_db(transaction=True)
def test_the_worker_does_what_waits_and_hands_its_lease_back():
    from cryocloud.web.core.models import Lease
    from cryocloud.web.operations.worker import work

    note.enqueue("mail")
    note_slowly.enqueue("preview")
    stop = threading.Event()
    worker = threading.Thread(target=lambda: (work(stop), connection.close()))
    worker.start()
    try:
        for _ in range(1000):
            if len(done) == 2:
                break
            time.sleep(0.1)
    finally:
        stop.set()
        worker.join()
    assert sorted(done) == ["mail", "preview"]
    assert Lease.objects.get(name="worker").expires_at <= now()
