"""A tool that misbehaves costs its caller an exception and nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from cryocloud.compute.isolation.confine import Confinement
from cryocloud.compute.isolation.walls import chosen
from cryocloud.compute.sandbox import ToolFailed, run_tool

WALLS = Confinement(
    kind=chosen("auto"), readable=(), writable=(), scratch="", hidden="", memory_bytes=512 << 20
)
LIMITS: dict[str, Any] = {"timeout_s": 100.0, "confinement": WALLS}


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The source file of the module ``strange_tool``, importable by the processes of the test."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    return tmp_path / "strange_tool.py"


def test_the_tool_gets_the_order_and_gives_the_answer(tool: Path) -> None:
    tool.write_text("import json, sys\nprint(json.dumps({'got': json.load(sys.stdin)}))")
    assert run_tool("strange_tool", {"path": "Å\0"}, **LIMITS) == {"got": {"path": "Å\0"}}


def test_secrets_of_the_platform_stay_outside_and_one_thread_is_allowed(
    tool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRYOCLOUD_SECRET_KEY", "hidden")
    tool.write_text("import json, os\nprint(json.dumps(dict(os.environ)))")
    environment = run_tool("strange_tool", {}, **LIMITS)
    assert "hidden" not in environment.values()
    assert environment["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise SystemExit('no such pixel')", "ended with code 1: no such pixel"),
        ("1 / 0", "ZeroDivisionError"),
        ("import os; os.abort()", "was ended by SIGABRT"),
        ("x = bytearray(1 << 30)", "more than the 512 MiB of memory"),
        ("print('hello')", "gave no JSON answer"),
        ("print('[1]')", "answered list instead of an object"),
        ("print(' ' * (65 << 20))", "answered 68,157,441 bytes"),
    ],
)
def test_a_failing_tool_is_told_with_its_reason(tool: Path, source: str, message: str) -> None:
    tool.write_text(source)
    with pytest.raises(ToolFailed, match=message):
        run_tool("strange_tool", {}, **LIMITS)


def test_a_hanging_tool_is_stopped_with_all_that_it_started(tool: Path) -> None:
    length_s = f"600.{os.getpid()}"
    tool.write_text(
        "import subprocess, time\n"
        f"subprocess.Popen(['sleep', '{length_s}'], start_new_session=True)\n"
        "time.sleep(600)"
    )
    with pytest.raises(ToolFailed, match="did not finish within 3 s"):
        run_tool("strange_tool", {}, timeout_s=3, confinement=WALLS)
    assert not [path for path in Path("/proc").glob("[0-9]*") if _runs(path, length_s)]


def _runs(process: Path, argument: str) -> bool:
    try:
        return argument.encode() in (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
