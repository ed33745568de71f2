"""Somebody got into a job process: nothing of others can be reached, and the slot is free again soon."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from cryocloud.compute.isolation import walls
from cryocloud.web.configuration import configuration
from cryocloud.web.core import disk_room
from cryocloud.web.core.places import attempt_folder, dataset_folder, result_folder
from cryocloud.web.metering.models import UsageRecord
from cryocloud.web.projects.models import Project
from cryocloud.web.results.files import job_folder
from cryocloud.web.results.models import Artifact
from cryocloud.web.results.viewers import plot_file, plots_of
from cryocloud.web.runs.log import log_tail
from cryocloud.web.runs.models import Attempt, Job
from cryocloud.web.runs.services import cancel_job, create_job
from cryocloud.web.scheduling import room, scheduler
from platform_orders import make_dataset, make_project

pytestmark = [
    pytest.mark.usefixtures("counting"),
    pytest.mark.skipif(
        bool(walls.namespaces_problem()), reason=f"no walls here: {walls.namespaces_problem()}"
    ),
]
CANARY = "canary-of-another-laboratory"
SECRET = "secret-of-the-platform"
# Requirement: the slot is free within 60 s after each.
SLOT_S = 60.0
QUIET = (
    "read_secret_key", "read_foreign_dataset", "read_foreign_by_proc_root", "read_blobs", "list_home",
    "list_datasets", "read_database", "write_database", "read_passwords", "read_people", "read_keys_of_people",
    "write_spec", "forge_exit", "forge_heartbeat", "forge_started", "remove_claim", "replace_out", "write_code",
    "write_interpreter", "write_programs", "write_root", "write_devices", "write_input", "link_blob",
    "link_own_input", "open_by_handle", "make_device", "read_disk", "read_kernel_log", "read_environments",
    "see_processes", "signal_scheduler", "signal_everybody", "trace_parent", "read_memory_of_parent",
    "process_vm_readv", "take_descriptor", "daemon_survives", "raise_limits", "raise_priority", "real_time",
    "become_root", "setuid_program", "own_setuid_program", "new_user_namespace", "namespace_by_clone3",
    "enter_namespace", "mount_memory", "new_mount_calls", "leave_root", "core_pattern", "sysrq", "kernel_keys",
    "kernel_programs", "io_uring", "fault_handler", "host_name", "set_clock", "leave_control_group",
    "type_into_terminal", "tcp", "tcp_6", "udp", "abstract_socket", "socket_in_home", "netlink", "raw_packets",
    "to_the_host", "shared_memory", "message_queue", "leave_in_tmp", "memory_without_limit",
)  # fmt: skip
# Each with the state in which the job ends.
LOUD = {
    "fork_bomb": "failed",
    "thread_bomb": "any",
    "eat_memory": "any",
    "eat_memory_together": "failed",
    "eat_shared_memory": "done",
    "huge_file": "failed",
    "stop_the_runner": "cancelled",
    "ignore_the_end": "cancelled",
    "deep_folders": "done",
    "strange_names": "done",
    "links_everywhere": "done",
    "many_links": "failed",
    "many_folders": "failed",
    "names_that_break_archives": "done",
    "closed_scratch": "done",
    "pipes_everywhere": "failed",
    "closed_folders": "failed",
    "numbers_that_are_none": "failed",
    "negative_seconds": "failed",
    "empty_record": "failed",
    "code_of_the_future": "failed",
    "endless_events": "done",
}

LONG = {
    "fork_bomb",
    "thread_bomb",
    "eat_memory_together",
    "stop_the_runner",
    "ignore_the_end",
    "deep_folders",
}


@pytest.fixture
def facts(owner: Any, stranger: Any, home: Path) -> Iterator[dict[str, Any]]:
    """What the attacker knows, and doors that are open to everybody on this machine."""
    (home / "secret-key").write_text(SECRET)
    (home / "blobs").mkdir()
    own = make_dataset(owner, {"mine.mrc": b"my own pixels"})
    foreign = make_dataset(stranger, {"theirs.mrc": CANARY.encode()})
    marker = f"600.{os.getpid()}"
    with ExitStack() as doors:
        tcp = doors.enter_context(socket.create_server(("127.0.0.1", 0)))
        for family, address in (
            (socket.AF_UNIX, f"\0cryocloud-{marker}"),
            (socket.AF_UNIX, str(home / "socket")),
        ):
            if len(address) < 100:
                door = doors.enter_context(socket.socket(family))
                door.bind(address)
                door.listen()
        yield {
            "home": str(home),
            "own": str(dataset_folder(own.pk)),
            "own_dataset": own.pk,
            "foreign": str(dataset_folder(foreign.pk) / "theirs.mrc"),
            "database": str(configuration().database_file),
            "person_home": str(Path.home()),
            "scheduler_pid": os.getpid(),
            "port": tcp.getsockname()[1],
            "abstract": f"cryocloud-{marker}",
            "shared_key": 0x63727963,
            "marker": marker,
            "memory_bytes": 1 << 30,
        }


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cryocloud.web.scheduling.dispatch.memory_limit_bytes", lambda job: 1 << 30)
    monkeypatch.setattr("cryocloud.web.results.publishing.ENTRIES_MAX", 1000)


def attack(member: Any, project: Project, facts: dict[str, Any], *escapes: str) -> Job:
    return create_job(
        actor=member.actor, project=project, job_type="hostile",
        parameters={"escapes": escapes, "facts": {k: v for k, v in facts.items() if k != "own_dataset"}},
        inputs={"input": f"file:{_own_file(facts)}"},
    )  # fmt: skip


def _own_file(facts: dict[str, Any]) -> str:
    from cryocloud.web.data.models import DatasetFile

    return DatasetFile.unscoped.get(dataset_id=facts["own_dataset"]).pk


def ended(job: Job) -> Callable[[], bool]:
    def look() -> bool:
        job.refresh_from_db()
        return job.state in Job.ENDED

    return look


def test_no_escape_gets_anything(
    owner: Any, project: Project, turn_until: Callable[..., None], facts: dict[str, Any], small_limits: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("CRYOCLOUD_SECRET_KEY", SECRET)
    assert len(QUIET) + len(LOUD) >= 40
    job = attack(owner, project, facts, *QUIET)
    turn_until(ended(job))
    assert job.state == Job.State.DONE, job.message
    folder = result_folder(job.pk, job.attempts.get().pk)
    found = json.loads((folder / "escapes.json").read_text())
    assert set(found) == set(QUIET)
    assert {name: got for name, got in found.items() if got} == {}
    assert not any(_runs(process, facts["marker"]) for process in Path("/proc").glob("[0-9]*"))
    assert not Path("/tmp", facts["marker"]).exists() and not Path("/dev/shm", facts["marker"]).exists()
    assert CANARY not in "".join(p.read_text(errors="replace") for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize(
    "escape", [pytest.param(one, marks=pytest.mark.slow) if one in LONG else one for one in LOUD]
)
def test_the_slot_is_free_soon_after(
    owner: Any, stranger: Any, project: Project, turn_until: Callable[..., None], facts: dict[str, Any],
    small_limits: None, escape: str,
) -> None:  # fmt: skip
    job = attack(owner, project, facts, escape)
    began_s = time.monotonic()
    if escape in ("ignore_the_end", "stop_the_runner", "thread_bomb"):
        turn_until(lambda: job.attempts.filter(state=Attempt.State.RUNNING).exists())
        cancel_job(actor=owner.actor, job=job)
    turn_until(ended(job))
    assert time.monotonic() - began_s < 5 * SLOT_S
    assert LOUD[escape] in (job.state, "any"), (job.state, job.message)
    usage = UsageRecord.unscoped.get()
    assert 0 <= usage.billed_s <= time.monotonic() - began_s + 60
    assert 0 <= usage.wall_s <= time.monotonic() - began_s + 60 and usage.cpu_s >= 0
    _nothing_of_others(job)
    assert not any(
        (attempt_folder(job.attempts.get().pk) / name).exists() for name in ("tmp", "inputs", "handover")
    )
    if job.state == Job.State.DONE:
        assert owner.client.get(f"/jobs/{job.pk}/files/download/").status_code == 200
    after = create_job(
        actor=stranger.actor,
        project=make_project(stranger),
        job_type="counting",
        parameters={"steps": 1},
        inputs={},
    )
    turn_until(ended(after))
    assert after.state == Job.State.DONE


@pytest.mark.parametrize("escape", ["fill_unseen", "fill_deep", "fill_closed", "fill_handover"])
def test_what_fills_the_disk_out_of_sight_is_stopped(
    owner: Any, project: Project, turn_until: Callable[..., None], facts: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch, escape: str,
) -> None:  # fmt: skip
    job = attack(owner, project, facts, escape)
    filled = lambda: any((attempt_folder(one.pk) / "out/filled").exists() for one in job.attempts.all())  # noqa: E731
    turn_until(filled)
    monkeypatch.setattr(scheduler, "ROOM_EVERY_S", 0.0)
    monkeypatch.setattr(disk_room, "is_low", lambda: True)
    fresh = configuration().model_copy(update={"disk_reserve_bytes": 64 << 20})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: fresh)
    turn_until(ended(job))
    assert (job.state, job.message) == ("failed", room.STOPPED)
    folder = attempt_folder(job.attempts.get().pk)
    assert not any(path.stat().st_size > 1 << 20 for path in folder.rglob("*") if path.is_file())
    assert not any((folder / name).exists() for name in room.WRITTEN)


def _nothing_of_others(job: Job) -> None:
    """In whatever the platform shows or gives of the job."""
    shown = [log_tail(job, 100_000), job.message, json.dumps(job.metrics)]
    for row in Artifact.unscoped.filter(job=job):
        path = result_folder(job.pk, row.attempt_id) / row.path
        assert path.is_file() and not path.is_symlink() and path.stat().st_nlink == 1
        assert row.path.isprintable()
        shown.append(path.read_text(errors="replace"))
    for plot in plots_of(job):
        assert plot_file(job, f"{plot.name}.png") is not None
    folder = job_folder(job)
    assert folder is None or not any(path.is_symlink() for path in folder.rglob("*"))
    assert not any(word in text for text in shown for word in (CANARY, SECRET))


def _runs(process: Path, argument: str) -> bool:
    try:
        return argument.encode() in (process / "cmdline").read_bytes()
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(os.geteuid() != 0, reason="these tests run as an ordinary user already")
def test_all_of_this_as_an_ordinary_user() -> None:
    python = "/usr/bin/python3.11"
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    source = Path(walls.__file__).parents[3]
    tests = Path(__file__).parents[2]
    with tempfile.TemporaryDirectory() as work:
        Path(work).chmod(0o777)
        environment = {
            "PATH": "/usr/bin:/bin", "HOME": work, "TMPDIR": work, "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join((str(source), packages)), "NUMBA_CACHE_DIR": f"{work}/numba",
        }  # fmt: skip
        person = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
        able = subprocess.run(
            [*person, python, "-c", "import cryocloud, django, torch"], env=environment, check=False, cwd=work
        )
        if able.returncode:
            pytest.skip(f"an ordinary user cannot run {python} with {source} and {packages} here")
        done = subprocess.run(
            [*person, python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir",
             str(tests.parent), "-c", str(tests.parent / "pyproject.toml"), "--basetemp", f"{work}/t", __file__],
            env=environment, cwd=tests.parent, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    assert f"{1 + len(LOUD)} passed" in done.stdout, done.stdout[-2000:]
