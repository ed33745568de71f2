"""The scheduler: one leader at a time; all it knows is in the database and in the attempts' folders."""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta

from django.db import connection

from cryocloud.compute import attempt as protocol
from cryocloud.compute.foreign import BadRecord
from cryocloud.web.configuration import configuration
from cryocloud.web.core import disk_room
from cryocloud.web.core.ids import new_id
from cryocloud.web.core.leases import drop_lease, take_lease
from cryocloud.web.core.places import attempt_folder
from cryocloud.web.metering.grants import Shortage, give_back
from cryocloud.web.metering.services import organizations_out_of_compute
from cryocloud.web.results.publishing import Publication, move_result
from cryocloud.web.runs.models import Attempt
from cryocloud.web.runs.references import InputGone
from cryocloud.web.runs.services import is_dispatch_paused
from cryocloud.web.scheduling import room
from cryocloud.web.scheduling.dispatch import LEASE, Leadership, prepare_folder, start_runner, submit_next
from cryocloud.web.scheduling.ending import SUCCESS, UNREADABLE, Ending, end_attempt, lost_ending, read_ending
from cryocloud.web.scheduling.following import Reader, ask_to_stop, follow
from cryocloud.web.scheduling.pausing import order_stop, resume_paused
from cryocloud.web.scheduling.processes import end_body, kill_attempt

FOLLOW_EVERY_S = 1.0
BUDGET_EVERY_S = 5.0
ROOM_EVERY_S = 3.0
STOP_GRACE_S = 60.0
PAUSE_GRACE_S = 120.0
"""Unbilled, for a job that must stop because no compute is left. The runner holds to it."""
RUNNER_LATE_S = 30.0
STARTS_MAX = 5
START_AGAIN_S = 10.0
FAILING_TURNS_MAX = 20
NOT_ATTENDED = (
    "The platform could not go on with the job: something in its folder is not as it should be. It costs nothing. Ask "
    "the operator to look at the log of the scheduler, then retry the job."
)
NOT_STARTED = (
    "The job could not be started. Ask the operator to look at the log of the scheduler, then retry the job."
)

_log = logging.getLogger("cryocloud.scheduler")


class Scheduler:
    """Starts, follows and ends attempts. What it holds in memory only saves work: all of it can be lost."""

    def __init__(self, lease: timedelta, beat: Callable[[], None] = lambda: None) -> None:
        self.beat = beat
        self.owner = new_id()
        self.lease = lease
        self.leadership: Leadership | None = None
        self.renewed_at_s = 0.0
        self.runners: dict[str, subprocess.Popen[bytes]] = {}
        self.starts: dict[str, list[float]] = {}
        self.readers: dict[str, Reader] = {}
        self.followed_at_s: dict[str, float] = {}
        self.asked_at_s: dict[str, float] = {}
        self.moving: dict[str, Future[Publication]] = {}
        # As many as slots: results that take long to move keep nobody else's waiting.
        self.mover = ThreadPoolExecutor(configuration().slots, thread_name_prefix="publish")
        self.failing: dict[str, int] = {}
        self.budget_at_s = 0.0
        self.room_at_s = 0.0

    def run(self, stop: threading.Event, interval_s: float) -> None:
        """Until ``stop`` is set. Runners stay at work; the next scheduler finds them."""
        while not stop.is_set():
            self.beat()
            try:
                if self._leads():
                    self.turn()
            except Exception:
                # Nothing is lost by leaving a turn undone; the next begins from what is written down.
                _log.exception("scheduler turn failed")
                connection.close()
            stop.wait(interval_s)
        drop_lease(LEASE, self.owner)

    def _leads(self) -> bool:
        moment_s = time.monotonic()
        if self.leadership and moment_s - self.renewed_at_s < self.lease.total_seconds() / 3:
            return True
        fence = take_lease(LEASE, self.owner, self.lease)
        self.renewed_at_s = moment_s
        if fence is None:
            self.leadership = None
            return False
        if self.leadership is None or self.leadership.fence != fence:
            _log.info("leads", extra={"fence": fence})
            self.leadership = Leadership(self.owner, fence)
        return True

    def turn(self) -> None:
        """Everything once: attend to all open attempts, then fill the free slots."""
        self._hold_budgets()
        self._keep_room()
        for attempt in Attempt.unscoped.filter(state__in=Attempt.OPEN).select_related("job__project"):
            self._guarded(self._attend, attempt)
        if is_dispatch_paused() or disk_room.is_low():
            return
        passed_over: set[str] = set()
        assert self.leadership is not None
        while (submitted := submit_next(self.leadership, passed_over)) is not None:
            _log.info("submitted", extra={"attempt_id": submitted.pk, "job_id": submitted.job_id})
            self._guarded(self._attend, submitted)

    def _guarded(self, act: Callable[[Attempt], None], attempt: Attempt) -> None:
        """One attempt in trouble must not keep the scheduler from the others."""
        self.beat()
        try:
            act(attempt)
        except InputGone as gone:
            self._end(attempt, Ending(protocol.BAD_INPUT, f"{str(gone)[0].upper()}{str(gone)[1:]}."))
        except Exception:
            _log.exception("attempt not attended", extra={"attempt_id": attempt.pk, "job_id": attempt.job_id})
            self.failing[attempt.pk] = self.failing.get(attempt.pk, 0) + 1
            if self.failing[attempt.pk] >= FAILING_TURNS_MAX:
                self._give_up(attempt)
        else:
            self.failing.pop(attempt.pk, None)

    def _give_up(self, attempt: Attempt) -> None:
        """A slot is not held for ever by an attempt that cannot be attended."""
        try:
            kill_attempt(protocol.Attempt(attempt_folder(attempt.pk)))
            self._end(attempt, Ending(protocol.INTERNAL_ERROR, NOT_ATTENDED, cause="platform"))
        except Exception:
            _log.exception("attempt not given up", extra={"attempt_id": attempt.pk, "job_id": attempt.job_id})

    def _attend(self, attempt: Attempt) -> None:
        directory = protocol.Attempt(attempt_folder(attempt.pk))
        self._reap(attempt.pk)
        # In this order: a claim that is taken meanwhile must not look like one whose runner is gone.
        was_claimed = directory.claim_file.exists()
        was_running = directory.is_running()
        ending = read_ending(attempt)
        if ending is not None:
            self._conclude(attempt, ending)
        elif not was_claimed:
            self._start(attempt)
        elif not was_running:
            end_body(directory)
            self._end(attempt, lost_ending(attempt))
        else:
            self._follow(attempt)

    def _start(self, attempt: Attempt) -> None:
        """Start a runner, again if the one before took no claim; the claim lets only one go on."""
        starts = self.starts.setdefault(attempt.pk, [])
        runner = self.runners.get(attempt.pk)
        if runner is not None or (starts and time.monotonic() - starts[-1] < START_AGAIN_S):
            return
        if len(starts) >= STARTS_MAX:
            self._end(attempt, Ending(protocol.INTERNAL_ERROR, NOT_STARTED, cause="platform"))
            return
        starts.append(time.monotonic())
        prepare_folder(attempt)
        self.runners[attempt.pk] = start_runner(attempt)

    def _reap(self, attempt_id: str) -> None:
        runner = self.runners.get(attempt_id)
        if runner is not None and runner.poll() is not None:
            del self.runners[attempt_id]

    def _follow(self, attempt: Attempt) -> None:
        moment_s = time.monotonic()
        if attempt.job.cancel_requested_at is not None:
            self._stop(attempt, None, STOP_GRACE_S)
        elif attempt.stopped_for:
            self._stop(attempt, PAUSE_GRACE_S, PAUSE_GRACE_S + RUNNER_LATE_S)
        if moment_s - self.followed_at_s.get(attempt.pk, 0.0) >= FOLLOW_EVERY_S:
            self.followed_at_s[attempt.pk] = moment_s
            follow(attempt, self.readers.setdefault(attempt.pk, Reader()))

    def _stop(self, attempt: Attempt, grace_s: float | None, kill_after_s: float) -> None:
        ask_to_stop(attempt, grace_s)
        asked_at_s = self.asked_at_s.setdefault(attempt.pk, time.monotonic())
        if time.monotonic() - asked_at_s > kill_after_s:
            kill_attempt(protocol.Attempt(attempt_folder(attempt.pk)))

    def _conclude(self, attempt: Attempt, ending: Ending) -> None:
        """Results are moved in a thread: hashing terabytes must not cost the lease."""
        if ending.code not in SUCCESS:
            self._end(attempt, ending)
            return
        moving = self.moving.get(attempt.pk)
        if moving is None:
            self.moving[attempt.pk] = self.mover.submit(move_result, attempt)
        elif moving.done():
            del self.moving[attempt.pk]
            try:
                publication = moving.result()
            except BadRecord as error:
                self._end(
                    attempt, Ending(protocol.INTERNAL_ERROR, UNREADABLE.format(problem=error), ending.spent)
                )
            else:
                self._end(attempt, ending, publication)

    def _end(self, attempt: Attempt, ending: Ending, publication: Publication | None = None) -> None:
        assert self.leadership is not None
        if end_attempt(self.leadership, attempt.pk, ending, publication):
            extra = {"attempt_id": attempt.pk, "job_id": attempt.job_id, "code": ending.code}
            _log.info("ended", extra=extra | {"wall_s": ending.spent.wall_s})
        for memory in (self.starts, self.readers, self.followed_at_s, self.asked_at_s, self.failing):
            memory.pop(attempt.pk, None)

    def _keep_room(self) -> None:
        moment_s = time.monotonic()
        if moment_s - self.room_at_s < ROOM_EVERY_S:
            return
        self.room_at_s = moment_s
        filling = room.attempt_that_fills() if disk_room.is_low() else None
        if filling is not None:
            _log.warning(
                "stopped, it fills the disk", extra={"attempt_id": filling.pk, "job_id": filling.job_id}
            )
            self._guarded(lambda attempt: self._end(attempt, room.stop_and_clear(attempt)), filling)
        room.tell_those_who_wait()

    def _hold_budgets(self) -> None:
        """Stop what nothing is left for, queue again what there is compute for, free what nobody holds any more."""
        moment_s = time.monotonic()
        if moment_s - self.budget_at_s < BUDGET_EVERY_S:
            return
        self.budget_at_s = moment_s
        at_work = Attempt.unscoped.filter(state__in=Attempt.OPEN)
        for organization_id in organizations_out_of_compute():
            for attempt in at_work.filter(organization_id=organization_id, stopped_for=""):
                order_stop(attempt.pk, Shortage.QUOTA)
        give_back(at_work.values("pk"))
        resume_paused()
