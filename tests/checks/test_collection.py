"""Names of tests that differ from one process to the next are found before pytest-xdist refuses them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CHECK = Path(__file__).parents[2] / "checks" / "collection.py"

CHANGING = {
    "archive": "gzip.compress(b'').hex()",
    "seconds": "int(time.time())",
    "nanoseconds": "time.time_ns()",
    "day": "str(datetime.date.today())",
    "moment": "str(datetime.datetime.now(datetime.UTC))",
    "calendar": "time.gmtime().tm_year",
    "random": "str(random.random())",
    "identifier": "str(uuid.uuid4())",
    "order": "*{'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'}",
    "path": "__file__",
    "environment": "os.environ['HOME']",
    "hash": "hash('a')",
    "zone": "time.tzname[0]",
}


def collection(folder: Path, **values: str) -> subprocess.CompletedProcess[str]:
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    (folder / "pytest.ini").write_text("[pytest]\n")
    tests = [
        f'@pytest.mark.parametrize("value", [{value}])\ndef test_{name}(value): ...\n'
        for name, value in values.items()
    ]
    imports = "import datetime, gzip, os, random, time, uuid\nimport pytest\n\n"
    (folder / "test_it.py").write_text("\n".join([imports, *tests]))
    environment = {name: text for name, text in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    return subprocess.run(
        [sys.executable, CHECK, folder],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**environment, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )


def test_every_kind_of_changing_name_is_refused(tmp_path: Path) -> None:
    run = collection(tmp_path, **CHANGING)
    assert run.returncode == 1
    missed = [name for name in CHANGING if f"-test_it.py::test_{name}[" not in run.stdout]
    assert missed == []


def test_binary_needs_an_id(tmp_path: Path) -> None:
    run = collection(tmp_path, bare=r"b'\x1f\x8b'")
    assert (run.returncode, "give its binary parameter an id" in run.stdout) == (1, True)
    named = collection(tmp_path, named=r"b'text', pytest.param(b'\x1f\x8b', id='archive'), 1.5")
    assert named.returncode == 0, named.stdout
