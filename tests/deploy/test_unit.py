"""The systemd unit: what it forbids must leave the platform able to work, which bubblewrap imitates here."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from free_port import free_port
from platform_up import Platform, answers, environment, wait_for

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "cryocloud.service"
# Each of them covers parts of /proc, and Linux then lets no job mount a /proc of its own.
FORBIDDEN = ("ProtectKernelTunables", "ProtectKernelLogs", "ProtectProc", "ProcSubset")


def service() -> dict[str, str]:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT.read_text())
    return dict(parser["Service"])


def test_systemd_understands_every_line(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed here")
    copy = tmp_path / "cryocloud.service"
    copy.write_text(UNIT.read_text().replace("/opt/cryocloud/.venv/bin/cryocloud", sys.executable))
    checked = subprocess.run(
        ["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False, timeout=60
    )
    assert [line for line in checked.stderr.splitlines() if "cryocloud.service" in line] == []


def test_jobs_may_have_namespaces_and_groups_of_their_own() -> None:
    settings = service()
    allowed = set(settings["RestrictNamespaces"].split())
    assert {"user", "mnt", "pid", "ipc", "net", "uts"} <= allowed
    assert {"memory", "pids"} <= set(settings["Delegate"].split())
    assert {"AF_UNIX", "AF_NETLINK"} <= set(settings["RestrictAddressFamilies"].split())
    assert {"@mount", "pivot_root", "seccomp"} <= set(settings["SystemCallFilter"].split())
    assert [name for name in FORBIDDEN if name in settings] == []
    assert settings["KillMode"] == "process"
    assert settings["OOMPolicy"] == "continue"


def test_the_platform_works_on_a_machine_that_is_read_only_but_for_its_home() -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed here")
    settings = service()
    assert settings["ProtectSystem"] == "strict"
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        home, port = Path(folder) / "home", free_port()
        home.mkdir()
        walls = [
            "bwrap",
            "--die-with-parent",
            "--ro-bind",
            "/",
            "/",
            "--dev-bind",
            "/dev",
            "/dev",
            "--bind",
            "/proc",
            "/proc",
        ]
        if settings["PrivateTmp"] == "true":
            walls += ["--tmpfs", "/tmp", "--tmpfs", "/var/tmp"]
        for kept in (ROOT, Path(sys.prefix)):
            walls += ["--ro-bind", str(kept), str(kept)]
        walls += ["--bind", str(home), str(home)]
        platform = Platform(home, port, walls=walls)
        try:
            wait_for(lambda: answers(platform, "/health/ready"))
        finally:
            platform.stop()
        jobs = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"]
        subprocess.run([*walls, *jobs], check=True, timeout=60)
        probe = [*walls, sys.executable, "-c", "import tempfile; tempfile.TemporaryFile()"]
        subprocess.run(probe, check=True, env=environment({}), timeout=60)
