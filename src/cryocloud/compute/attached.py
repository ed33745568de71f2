"""Jobs that we order for ourselves, on data of our own: no person watches them, and they end with who ordered them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from typing import Any

ATTACHED = "--attached"


def run_attached(
    order: dict[str, Any], *, environment: dict[str, str], niceness: int = 0, timeout_s: float | None = None
) -> None:
    """Run one job through the local lane. Raises ``RuntimeError`` with its last words if it does not succeed."""
    command = ["nice", "-n", str(niceness), sys.executable, "-m", "cryocloud.compute.lane", ATTACHED]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said, env=environment
        ) as lane,
    ):
        assert lane.stdin is not None
        lane.stdin.write(json.dumps({**order, "progress": "json"}).encode() + b"\n")
        lane.stdin.flush()
        try:
            # Standard input stays open meanwhile: it closes with this process, however that ends.
            code = lane.wait(timeout_s)
        finally:
            lane.terminate()
        if code:
            said.seek(0)
            words = said.read().decode(errors="replace")[-2000:]
            raise RuntimeError(f"{order['job_type']} ended with {code}: {words}")
