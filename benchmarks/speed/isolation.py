"""What walls cost a job: the same small job with and without them, in turns.

``python -m benchmarks.speed.isolation [--repeats 15] [--json]``

Both start a runner on an attempt folder and wait for its end; the difference is what isolation adds to a job.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cryocloud.compute.attempt import Attempt, AttemptSpec
from cryocloud.compute.isolation.confine import Confinement
from cryocloud.compute.isolation.walls import chosen
from cryocloud.compute.warm import installed_folder

GOAL_S = 0.3
MEMORY_BYTES = 4 << 30


def measure(repeats: int = 15) -> list[dict[str, Any]]:
    """Medians of the wall times, and of their differences."""
    _attempt_s(walls=False)
    pairs = [(_attempt_s(walls=True), _attempt_s(walls=False)) for _ in range(repeats)]
    return [
        {
            "isolation": chosen("auto"),
            "with_s": round(statistics.median(one for one, _ in pairs), 3),
            "without_s": round(statistics.median(other for _, other in pairs), 3),
            "adds_s": round(statistics.median(one - other for one, other in pairs), 3),
            "goal_s": GOAL_S,
        }
    ]


def _attempt_s(*, walls: bool) -> float:
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home, "attempts/one")
        attempt = Attempt(folder)
        for place in (folder / "out", folder / "tmp", attempt.handover):
            place.mkdir(parents=True)
        around = Confinement(
            kind=chosen("auto"),
            readable=(str(attempt.spec_file),),
            writable=(str(folder / "out"), str(attempt.handover)),
            scratch=str(folder / "tmp"),
            hidden=home,
            memory_bytes=MEMORY_BYTES,
            warm=str(installed_folder()) if installed_folder().is_dir() else "",
        )
        spec = AttemptSpec(
            attempt_id="one",
            job_type="simulate_map",
            version=1,
            parameters={"pixel_size_angstrom": 8.0, "symmetry": "C1"},
            inputs={"model": "procedural"},
            out=str(folder / "out"),
            device="cpu",
            confinement=asdict(around) if walls else None,
        )
        attempt.write_spec(spec)
        began_s = time.monotonic()
        subprocess.run([sys.executable, "-m", "cryocloud.compute.runner", str(folder)], check=True)
        return time.monotonic() - began_s


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--repeats", type=int, default=15)
    options.add_argument("--json", action="store_true", help="print rows for programs")
    given = options.parse_args()
    for row in measure(given.repeats):
        print(json.dumps(row) if given.json else row)


if __name__ == "__main__":
    main()
