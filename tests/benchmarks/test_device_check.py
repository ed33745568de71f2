"""The check of the device: what one step does is no matter to the others, and a failure is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def _check(folder: Path, *options: str) -> tuple[int, list[dict[str, Any]]]:
    out = folder / "table.json"
    command = [sys.executable, "-m", "benchmarks.device", "--cpu", "--work", str(folder), "--out", str(out)]
    ran = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, check=False)
    return ran.returncode, json.loads(out.read_text())


@pytest.mark.slow
def test_a_failed_step_is_recorded_and_the_others_run(tmp_path: Path) -> None:
    code, rows = _check(tmp_path, "--steps", "machine", "refine-truth")  # there is no refinement to judge
    assert code == 1
    (failed,) = [row for row in rows if row["ok"] is False]
    assert (failed["step"], failed["name"]) == ("refine-truth", "failed")
    assert "Traceback" in failed["note"] and "half1.mrc" in failed["note"]
    (product,) = [row for row in rows if row["name"] == "float32 matrix product"]
    assert product["value"] > 0


def test_a_step_without_time_is_stopped(tmp_path: Path) -> None:
    code, rows = _check(tmp_path, "--steps", "machine", "--seconds", "0")
    assert code == 1
    assert [row["name"] for row in rows if row["ok"] is False] == ["stopped"]
