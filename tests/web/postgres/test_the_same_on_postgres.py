"""Tests that depend on the database most, on PostgreSQL: what happens at the same time, and migrations."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

import private_postgres

TESTS = Path(__file__).parents[2]
CHOSEN = (
    "web/races",
    "web/api/test_repeated_orders.py",
    "web/organizations/test_invitations.py::test_of_two_that_accept_at_once_one_membership_is_made",
    "web/events/test_event_hub.py::test_events_arrive_in_order_with_their_content",
)


@pytest.mark.skipif(connection.vendor == "postgresql", reason="these tests run on PostgreSQL already")
def test_what_happens_at_the_same_time_is_right_on_postgres_too(postgres):
    """``postgres`` is asked for the visible skip where there is none; the other process starts its own."""
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-p", "no:cacheprovider", "-m", "not slow"]
    done = subprocess.run(
        [*command, *(str(TESTS / one) for one in CHOSEN)],
        cwd=TESTS.parent,
        env={**os.environ, private_postgres.WISH: "postgres"},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout[-8000:]
    assert " passed" in done.stdout and " skipped" not in done.stdout.splitlines()[-1]
