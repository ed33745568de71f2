"""kill -9 at random over web, schedulers, worker and runners while jobs of two organizations are at work."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from cryocloud.compute.attempt import Attempt as Directory
from cryocloud.web.core.clock import now
from cryocloud.web.core.models import BackgroundTask
from cryocloud.web.core.places import attempt_folder, result_folder
from cryocloud.web.metering.models import Reservation, UsageRecord
from cryocloud.web.results.models import Artifact
from cryocloud.web.runs.models import Attempt, Job, Run
from cryocloud.web.runs.services import pause_dispatch, resume_dispatch
from platform_orders import FAKE_JOB_TYPES, make_dataset, make_project
from platform_server import SERVE

TESTS = Path(__file__).parents[1]
SLOTS = 3


@dataclass(frozen=True)
class Campaign:
    """How much is ordered and how much is killed; ``pause_s`` is the mean time between two kills."""

    big_jobs: int
    small_jobs: int
    runs: int
    steps: int
    step_s: float
    kills: int
    pause_s: float
    timeout_s: float
    seed: int = 20

    @property
    def order(self) -> dict[str, Any]:
        return {"job_type": "counting", "parameters": {"steps": self.steps, "step_s": self.step_s}}


@dataclass
class Platform:
    """Web, two schedulers and a worker, each started again as soon as it is killed."""

    home: Path
    database: str
    listening: socket.socket
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.listening.getsockname()[1]}"

    def keep_alive(self) -> None:
        manage = [sys.executable, "-m", "cryocloud.web"]
        scheduler = [*manage, "scheduler", "--lease-s", "2", "--interval-s", "0.2"]
        commands = {
            "web": [sys.executable, "-c", SERVE, str(self.listening.fileno())],
            "scheduler 1": scheduler,
            "scheduler 2": scheduler,
            "worker": [*manage, "worker"],
        }
        for name, command in commands.items():
            process = self.processes.get(name)
            if process is None or process.poll() is not None:
                self.processes[name] = self._start(name, command)

    def _start(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("CRYOCLOUD_")}
        with (self.home / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[self.listening.fileno()],
                start_new_session=True,
                env={
                    **kept,
                    "PYTHONPATH": os.pathsep.join(map(str, (FAKE_JOB_TYPES, TESTS, TESTS.parent / "src"))),
                    "DJANGO_SETTINGS_MODULE": "served_settings",
                    "TEST_DATABASE": self.database,
                    "CRYOCLOUD_HOME": str(self.home),
                    "CRYOCLOUD_SECRET_KEY": settings.SECRET_KEY,
                    "CRYOCLOUD_ADDRESS": self.address,
                    "CRYOCLOUD_SLOTS": str(SLOTS),
                    "CRYOCLOUD_THREADS_PER_JOB": "1",
                },
            )

    def kill_one(self, chance: random.Random) -> None:
        kind = chance.choice(["web", "scheduler", "worker", "runner", "runner"])
        if kind == "runner":
            self._kill_runner(chance)
            return
        names = [name for name in self.processes if name.startswith(kind)]
        process = self.processes[chance.choice(names)]
        if process.poll() is None:
            process.kill()
            process.wait()
            self.kills[kind] += 1

    def _kill_runner(self, chance: random.Random) -> None:
        found = Attempt.unscoped.filter(state__in=Attempt.OPEN).values_list("pk", flat=True)
        runners = [Directory(attempt_folder(pk)).runner() for pk in found]
        alive = [runner for runner in runners if runner is not None and runner.is_alive()]
        if alive:
            with suppress(ProcessLookupError):
                os.kill(chance.choice(alive).pid, signal.SIGKILL)
                self.kills["runner"] += 1

    def call(self, member: Any, method: str, path: str, body: Any = None) -> Any:
        """The API as a patient client uses it: again and again until it is answered."""
        headers = {"Authorization": f"Bearer {member.secret}", "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        while True:
            request = urllib.request.Request(self.address + "/api/v1" + path, content, headers, method=method)
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    return json.loads(answer.read())
            except urllib.error.HTTPError as refusal:
                if refusal.code < 500:
                    return {"status": refusal.code}
            except (OSError, ValueError):
                pass
            self.keep_alive()
            time.sleep(0.2)

    def end(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()
        for attempt in Attempt.unscoped.all():
            runner = Directory(attempt_folder(attempt.pk)).runner()
            if runner is not None and runner.is_alive():
                os.kill(runner.pid, signal.SIGKILL)


@pytest.fixture
def platform(home: Path, db: None) -> Iterator[Platform]:
    database = str(connection.settings_dict["NAME"])
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        made = Platform(home, database, listening)
        yield made
        made.end()


@dataclass
class Orders:
    """What the service has acknowledged."""

    jobs: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    acknowledged_at: Any = None


def place_orders(platform: Platform, campaign: Campaign, big: Any, small: Any) -> Orders:
    """The small organization comes when the big one has ordered everything and nothing has started."""
    orders = Orders()
    pause_dispatch()
    for member, number in ((big, campaign.big_jobs), (small, campaign.small_jobs)):
        project = make_project(member)
        for _ in range(number):
            answer = platform.call(member, "POST", f"/projects/{project.pk}/jobs", campaign.order)
            orders.jobs.append(answer["id"])
    orders.acknowledged_at = now()
    resume_dispatch()
    return orders


def start_runs(platform: Platform, campaign: Campaign, member: Any, orders: Orders) -> None:
    file = make_dataset(member, {"a.txt": b"1"}).files.get()
    project = make_project(member)
    for _ in range(campaign.runs):
        body = {"workflow": "tally", "parameters": {"steps": 2}, "inputs": {"input": f"file:{file.pk}"}}
        orders.runs.append(platform.call(member, "POST", f"/projects/{project.pk}/runs", body)["id"])


def conduct(platform: Platform, campaign: Campaign, big: Any, small: Any) -> Orders:
    """Order, kill and wait; a job that was lost too often is retried, as its message says."""
    chance = random.Random(campaign.seed)
    next_kill_s = [0.0]
    deadline_s = time.monotonic() + campaign.timeout_s

    def strike() -> None:
        platform.keep_alive()
        if platform.kills.total() < campaign.kills and time.monotonic() >= next_kill_s[0]:
            platform.kill_one(chance)
            next_kill_s[0] = time.monotonic() + chance.uniform(0.2, 1.8) * campaign.pause_s

    platform.keep_alive()
    orders = place_orders(platform, campaign, big, small)
    extra = make_project(big)
    strike()
    start_runs(platform, campaign, big, orders)
    while True:
        assert time.monotonic() < deadline_s, list(Job.unscoped.exclude(state__in=Job.SUCCEEDED).values())
        strike()
        for job in Job.unscoped.filter(state=Job.State.FAILED):
            assert job.attempts.filter(state=Attempt.State.LOST).count() >= 4, job.message
            owner = big if job.organization_id == big.organization.pk else small
            platform.call(owner, "POST", f"/jobs/{job.pk}/retry")
        at_work = Job.unscoped.exclude(state__in=Job.ENDED).exists()
        if not at_work and platform.kills.total() >= campaign.kills:
            return orders
        if not at_work:
            answer = platform.call(big, "POST", f"/projects/{extra.pk}/jobs", campaign.order)
            orders.jobs.append(answer["id"])
        time.sleep(0.1)


def assert_nothing_lost_or_counted_twice(orders: Orders) -> None:
    jobs = {job.pk: job for job in Job.unscoped.all()}
    assert set(orders.jobs) <= set(jobs)
    assert {job.state for job in jobs.values()} == {"done"}
    assert all(job.run_id or job.metrics["sum"] == job.metrics["steps"] for job in jobs.values())
    assert_each_attempt_counted_once()
    won = list(Attempt.unscoped.filter(state="succeeded"))
    assert Counter(attempt.job_id for attempt in won) == Counter(list(jobs))
    for attempt in won:
        assert_published_once(attempt)
    runs = list(Run.unscoped.all())
    assert set(orders.runs) <= {run.pk for run in runs}
    assert all((run.state, run.jobs.count(), run.key_numbers) == ("done", 2, {"sum": 3}) for run in runs)
    previews = BackgroundTask.objects.filter(path__endswith="make_previews")
    assert Counter(row.arguments["args"][0] for row in previews) == Counter(list(jobs))


def assert_each_attempt_counted_once() -> None:
    attempts = list(Attempt.unscoped.all())
    assert all(attempt.state not in Attempt.OPEN for attempt in attempts)
    used = list(UsageRecord.unscoped.values_list("attempt_id", "ended", "billed_s"))
    assert sorted(pk for pk, _, _ in used) == sorted(attempt.pk for attempt in attempts)
    assert all(billed_s == 0 for _, ended, billed_s in used if ended == "lost")
    assert not Reservation.unscoped.exists()


def assert_published_once(attempt: Attempt) -> None:
    folder = result_folder(attempt.job_id, attempt.pk)
    assert [entry.name for entry in folder.parent.iterdir() if not entry.name.startswith(".")] == [attempt.pk]
    rows = list(Artifact.unscoped.filter(job_id=attempt.job_id))
    assert {row.path for row in rows} >= {"sum.txt", "job.json"}
    for row in rows:
        assert row.attempt_id == attempt.pk
        assert hashlib.sha256((folder / row.path).read_bytes()).hexdigest() == row.sha256
    number = float((folder / "sum.txt").read_text())
    assert number == attempt.job.metrics["sum"]


def assert_waited_fairly(orders: Orders, big: Any, small: Any) -> int:
    """While the small organization waits, the big one starts nothing unless it runs no more than the small one."""
    attempts = list(Attempt.unscoped.order_by("created_at"))
    first: dict[str, Any] = {}
    for attempt in attempts:
        first.setdefault(attempt.job_id, attempt.created_at)
    theirs = set(Job.unscoped.filter(organization=small.organization).values_list("pk", flat=True))
    looked_at = 0
    for attempt in attempts:
        moment = attempt.created_at
        waits = any(first[job_id] > moment for job_id in theirs)
        if attempt.organization_id != big.organization.pk or moment < orders.acknowledged_at or not waits:
            continue
        at_work = Counter(
            one.organization_id for one in attempts if one.created_at < moment <= one.finished_at
        )
        assert at_work[big.organization.pk] <= at_work[small.organization.pk], attempt.number
        looked_at += 1
    return looked_at


def campaign_holds(platform: Platform, campaign: Campaign, make_member: Callable[..., Any]) -> None:
    big, small = make_member(name="bigelow"), make_member(name="smalls")
    began_s = time.monotonic()
    orders = conduct(platform, campaign, big, small)
    took_s = time.monotonic() - began_s
    assert_nothing_lost_or_counted_twice(orders)
    starts = assert_waited_fairly(orders, big, small)
    states = Counter(Attempt.unscoped.values_list("state", flat=True))
    print(
        f"{platform.kills.total()} kills {dict(platform.kills)}; {len(orders.jobs)} jobs, {len(orders.runs)} runs; "
        f"attempts {dict(states)}; {starts} starts looked at for fairness; {took_s:.0f} s"
    )
    assert starts > 0
    assert platform.kills.total() >= campaign.kills
    assert set(platform.kills) == {"web", "scheduler", "worker", "runner"}


@pytest.mark.timeout(600)
@pytest.mark.django_db(transaction=True)
def test_a_dozen_kills(platform: Platform, make_member: Callable[..., Any]) -> None:
    campaign = Campaign(
        big_jobs=4, small_jobs=2, runs=1, steps=4, step_s=0.2, kills=12, pause_s=0.6, timeout_s=300
    )
    campaign_holds(platform, campaign, make_member)


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.django_db(transaction=True)
def test_two_hundred_kills(platform: Platform, make_member: Callable[..., Any]) -> None:
    campaign = Campaign(
        big_jobs=28, small_jobs=8, runs=2, steps=12, step_s=0.7, kills=200, pause_s=1.0, timeout_s=1800
    )
    campaign_holds(platform, campaign, make_member)
