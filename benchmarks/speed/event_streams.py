"""What open pages cost: ``python -m benchmarks.speed.event_streams [--streams 500] [--seconds 60]``.

A web process of its own, on a fresh SQLite database; every stream reads the same project, in which something happens
once a second, so that each event goes to all of them. Prints the share of a core and the memory of the process.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

CORE_SHARE_GOAL = 0.10
STREAMS_PER_PERSON = 20
SETTLE_S = 5.0


@dataclass
class Readers:
    """Open streams, and when which event reached how many of them."""

    address: tuple[str, int]
    path: str
    latencies_s: list[float] = field(default_factory=list)
    events: int = 0

    async def read(self, secret: str, opened: asyncio.Semaphore) -> None:
        reader, writer = await asyncio.open_connection(*self.address)
        request = (
            f"GET {self.path} HTTP/1.1\r\nHost: {self.address[0]}\r\nAuthorization: Bearer {secret}\r\n\r\n"
        )
        writer.write(request.encode())
        status = await reader.readline()
        if b" 200 " not in status:
            raise SystemExit(f"a stream was refused: {status!r}")
        opened.release()
        while line := await reader.readline():
            if line.startswith(b"data: "):
                self.events += 1
                self.latencies_s.append(time.time() - float(line.split(b'"at": ')[1].split(b"}")[0]))


def measure(streams: int = 500, seconds: float = 60.0) -> dict[str, object]:
    """One row of the table."""
    with tempfile.TemporaryDirectory(prefix="cryocloud-events-") as home:
        os.environ |= {"CRYOCLOUD_HOME": home, "DJANGO_SETTINGS_MODULE": "cryocloud.web.settings"}
        # All streams come from this machine.
        os.environ["CRYOCLOUD_CONNECTIONS_PER_CLIENT"] = str(2 * streams)
        subprocess.run([sys.executable, "-m", "cryocloud.web", "migrate", "--verbosity", "0"], check=True)
        import django

        django.setup()
        project_id, organization_id, secrets = _people(streams)
        with _web_process(Path(home)) as (address, process):
            readers = Readers(address, f"/events/projects/{project_id}")
            return asyncio.run(_watch(readers, secrets, organization_id, process, seconds))


async def _watch(
    readers: Readers,
    secrets: list[str],
    organization_id: str,
    process: subprocess.Popen[bytes],
    seconds: float,
) -> dict[str, object]:
    opened = asyncio.Semaphore(0)
    began_s = time.monotonic()
    tasks = [asyncio.create_task(readers.read(secret, opened)) for secret in secrets]
    for _ in tasks:
        await opened.acquire()
    opening_s = time.monotonic() - began_s
    await asyncio.sleep(SETTLE_S)
    readers.events, readers.latencies_s = 0, []
    cpu_s, began_s = _cpu_s(process.pid), time.monotonic()
    said = 0
    while time.monotonic() - began_s < seconds:
        await asyncio.to_thread(_say, organization_id, readers.path.rsplit("/", 1)[1])
        said += 1
        await asyncio.sleep(max(0.0, began_s + said - time.monotonic()))
    share = (_cpu_s(process.pid) - cpu_s) / (time.monotonic() - began_s)
    await asyncio.sleep(2)
    for task in tasks:
        task.cancel()
    return {
        "streams": len(secrets),
        "events": said,
        "delivered": readers.events / (said * len(secrets)),
        "core_share": share,
        "goal": CORE_SHARE_GOAL,
        "memory_mib": _memory_bytes(process.pid) / 2**20,
        "latency_median_s": statistics.median(readers.latencies_s),
        "opening_s": opening_s,
    }


def _people(streams: int) -> tuple[str, str, list[str]]:
    """A project and a token for each stream; a person has a few streams open."""
    from cryocloud.web.accounts.models import ApiToken, User
    from cryocloud.web.core.clock import now
    from cryocloud.web.core.secret_words import hash_of, new_secret
    from cryocloud.web.organizations.models import Membership, Organization, Role
    from cryocloud.web.projects.models import Project

    organization = Organization.objects.create(name="Many pages")
    secrets = []
    for number in range(-(-streams // STREAMS_PER_PERSON)):
        user = User(email=f"reader{number}@lab.example", name="reader", password="!")
        user.save()
        Membership.unscoped.create(organization=organization, user=user, role=Role.VIEWER)
        secret = new_secret("cryo_")
        ApiToken.objects.create(
            user=user,
            organization_id=organization.id,
            name="pages",
            secret_hash=hash_of(secret),
            scope="read",
            expires_at=now() + timedelta(days=1),
        )
        secrets += [secret] * STREAMS_PER_PERSON
    project = Project.unscoped.create(organization=organization, name="busy", created_by_id=user.id)
    return project.id, organization.id, secrets[:streams]


@contextmanager
def _web_process(home: Path) -> Iterator[tuple[tuple[str, int], subprocess.Popen[bytes]]]:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening, (home / "log").open("wb") as log:
        descriptor = listening.fileno()
        command = [sys.executable, "-m", "cryocloud.web", "serve", "--descriptor", str(descriptor)]
        process = subprocess.Popen(command, pass_fds=[descriptor], stdout=log, stderr=log)
        try:
            yield listening.getsockname(), process
        finally:
            process.terminate()
            process.wait(timeout=30)


def _say(organization_id: str, project_id: str) -> None:
    from cryocloud.web.core.events import project_topic, publish

    content = {"id": "a" * 26, "number": 7, "state": "running", "progress": 0.42, "at": time.time()}
    publish(organization_id, [project_topic(project_id)], "job", content)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_bytes(pid: int) -> int:
    """Proportional share: pages that processes share count in part."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    row = measure(given.streams, given.seconds)
    for name, value in row.items():
        print(f"{name:>18}  {value:.4g}" if isinstance(value, float) else f"{name:>18}  {value}")


if __name__ == "__main__":
    main()
