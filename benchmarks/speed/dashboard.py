"""Server time of the dashboard of a large organization: 200 projects and 5,000 jobs in SQLite.

``python -m benchmarks.speed.dashboard [--projects 200] [--jobs 5000] [--repeats 15] [--json]``

The time is that of the whole request, middleware, queries and template included, without the network; the CPU time
beside it does not depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

GOAL_MS = 300
STATES = ("done", "done", "done", "done", "done", "exceptions", "failed", "cancelled", "queued", "running")
TYPES = ("ctf", "curate", "pick", "extract", "class2d", "refine", "postprocess")


def measure() -> list[dict[str, Any]]:
    """A row for each page, from a process of its own: Django reads its settings once a process."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.speed.dashboard", "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--projects", type=int, default=200)
    options.add_argument("--jobs", type=int, default=5000)
    options.add_argument("--repeats", type=int, default=15)
    options.add_argument("--json", action="store_true", help="print rows for programs")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as home:
        _set_up(Path(home))
        client, project_id = _seed(given.projects, given.jobs)
        rows = []
        for address in ("/dashboard/", "/dashboard/?page=5", "/dashboard/?q=12", f"/projects/{project_id}/"):
            _request_ms(client, address)
            times = [_request_ms(client, address) for _ in range(given.repeats)]
            rows.append(
                {
                    "page": address.replace(project_id, "ID"),
                    "median_ms": round(statistics.median(wall for wall, _ in times), 1),
                    "median_cpu_ms": round(statistics.median(cpu for _, cpu in times), 1),
                    "goal_ms": GOAL_MS,
                }
            )
    if given.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(
            f"{row['page']:<20} median {row['median_ms']:6.1f} ms, of CPU {row['median_cpu_ms']:6.1f} ms; "
            f"goal {row['goal_ms']} ms"
        )


def _set_up(home: Path) -> None:
    os.environ |= {"CRYOCLOUD_HOME": str(home), "DJANGO_SETTINGS_MODULE": "cryocloud.web.settings"}
    import logging

    import django
    from django.core.management import call_command

    django.setup()
    logging.getLogger("cryocloud").setLevel(logging.WARNING)
    call_command("migrate", verbosity=0)


def _seed(projects: int, jobs: int):
    from django.test import Client

    from cryocloud.web.accounts.models import User
    from cryocloud.web.core.clock import now
    from cryocloud.web.organizations.models import Membership, Organization, Role
    from cryocloud.web.projects.models import Project
    from cryocloud.web.runs.models import Job

    organization = Organization.objects.create(name="Large facility")
    user = User.objects.create_user("ada@lab.example", "the Thon rings are round", name="Ada")
    Membership.unscoped.create(organization=organization, user=user, role=Role.OWNER)
    rows = [
        Project(organization=organization, name=f"Sample {n}", description="Grid", created_by_id=user.pk)
        for n in range(projects)
    ]
    Project.unscoped.bulk_create(rows)
    Job.unscoped.bulk_create(
        (
            Job(
                organization=organization,
                project=rows[n % projects],
                number=1 + n // projects,
                job_type=TYPES[n // projects % len(TYPES)],
                version=1,
                parameters={},
                inputs={},
                state=STATES[(n // projects + n) % len(STATES)],
                metrics={"resolution_angstrom": 3 + n % 17 / 10, "particles": 1000 * n},
                created_by_id=user.pk,
                finished_at=now(),
            )
            for n in range(jobs)
        ),
        batch_size=500,
    )
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client, rows[0].pk


def _request_ms(client, address: str) -> tuple[float, float]:
    """Time on the clock and on the CPU."""
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    answer = client.get(address, headers={"Host": "127.0.0.1"})
    assert answer.status_code == 200, answer.status_code
    return 1000 * (time.perf_counter() - began_s), 1000 * (time.process_time() - began_cpu_s)


if __name__ == "__main__":
    main()
