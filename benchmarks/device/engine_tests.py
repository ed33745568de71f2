"""The engine's tests that ask for a device, on this one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.device.rows import Row

ROOT = Path(__file__).parents[2]
LAST_LINES = 15


def files_with_devices() -> tuple[str, ...]:
    """Others may need oracles that this machine lacks."""
    files = sorted((ROOT / "tests/engine").rglob("test_*.py"))
    return tuple(str(path) for path in files if "device" in path.read_text())


def measure(device: str, files: tuple[str, ...], folder: Path) -> Iterator[Row]:
    """How many passed and failed, and a row a failure."""
    report = folder / "tests.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += [
        "-c",
        str(Path(__file__).with_name("pytest.ini")),
        f"--rootdir={ROOT}",
        f"--confcutdir={ROOT}",
    ]
    command += ["-k", device, f"--junitxml={report}", *files]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if not report.is_file():
        raise RuntimeError(f"pytest gave no report (exit code {ran.returncode}):\n{ran.stdout}\n{ran.stderr}")
    failed, skipped, passed = [], 0, 0
    for case in ElementTree.parse(report).iter("testcase"):
        trouble = [child for child in case if child.tag in {"failure", "error"}]
        failed += [(f"{case.get('classname')}::{case.get('name')}", child.text or "") for child in trouble]
        skipped += case.find("skipped") is not None
        passed += not len(case.findall("*"))
    yield Row("tests passed", float(passed), ok=passed > 0)
    yield Row("tests skipped", float(skipped))
    yield Row("tests failed", float(len(failed)), ok=not failed)
    for name, text in failed:
        yield Row(name, None, ok=False, note="\n".join(text.splitlines()[-LAST_LINES:]))
