"""The demo, end to end: from simulated micrographs to a map that agrees with the truth."""

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_demo_finds_the_simulated_structure(tmp_path):
    out = tmp_path / "demo"
    command = [sys.executable, "-m", "cryocloud.client.cli", "demo", "--out", str(out)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    compared = json.loads((out / "Compared/metrics.json").read_text())
    record = json.loads((out / "Project/decisions.json").read_text())
    assert record["warnings"] == []
    # The bars of the picking and of a usable start map: both at least 0.8, correlation above 0.9 at 20 A.
    assert compared["recall"] > 0.8
    assert compared["precision"] > 0.8
    assert compared["cc_20A"] > 0.9
    # Two Fourier pixels at the rim of the 160 A particle are 2.9 degrees at 4 A; wrong poses lie far beyond.
    assert compared["median_pose_error_deg"] < 2.9
    for name in ("report.html", "decisions.json"):
        assert (out / "Project" / name).stat().st_size > 0
    for word in ("CPU seconds", "map_sharpened.mrc", "median pose error"):
        assert word in ended.stdout
