"""Old events go, the newest stays, and a publisher's rollback takes its events along."""

from datetime import timedelta

import pytest
from django.db import transaction

from cryocloud.web.core import events
from cryocloud.web.core.clock import now
from cryocloud.web.core.models import Event


@pytest.fixture(autouse=True)
def _database(db):
    pass


def publish_at(moment, count):
    events.publish("o" * 26, ["project:p"] * count, "job", {})
    Event.objects.filter(created_at__gt=now() - timedelta(minutes=1)).update(created_at=moment)


def test_only_what_is_too_old_goes():
    publish_at(now() - events.KEPT - timedelta(hours=1), 3)
    publish_at(now() - events.KEPT + timedelta(hours=1), 2)
    assert events.prune_events() == 3
    assert Event.objects.count() == 2
    assert events.prune_events() == 0


def test_the_newest_stays_so_that_late_readers_know_where_they_are():
    publish_at(now() - 2 * events.KEPT, 3)
    newest = events.latest_event_id()
    assert events.prune_events() == 2
    assert events.latest_event_id() == newest


def test_what_is_rolled_back_was_never_said():
    with transaction.atomic():
        events.publish("o" * 26, ["project:p"], "job", {})
        transaction.set_rollback(True)
    assert events.latest_event_id() == 0
