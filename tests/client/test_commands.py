"""The command answers quickly because it imports little, and says what there is."""

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "numpy", "scipy", "numba", "pandas", "matplotlib", "starfile", "mrcfile", "gemmi"}
PROBE = """
import sys
from cryocloud.client.cli import main
try:
    main({arguments})
except SystemExit:
    pass
import json
print(json.dumps(sorted(name for name in sys.modules if "." not in name)))
"""


def imported_by(arguments: list[str]) -> set[str]:
    code = PROBE.format(arguments=arguments)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(ended.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["run", "--help"], ["run", "ctf", "--help"], ["jobs"]]
)
def test_help_imports_nothing_heavy(arguments):
    assert not imported_by(arguments) & HEAVY


def test_top_help_does_not_even_import_the_catalog():
    assert "pydantic" not in imported_by(["--help"])


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cryocloud.client.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help_of_a_job_lists_units_defaults_and_ranges():
    words = " ".join(call("run", "ctf", "--help").stdout.split())
    assert (
        "--defocus-max-angstrom X Largest defocus searched (Å; at least 500, at most 200,000; default 50000"
        in words
    )


def test_list_names_job_types_and_workflows():
    listed = call("jobs").stdout
    assert "import_micrographs" in listed
    assert "Single-particle analysis" in listed


def test_unknown_command_is_refused():
    ended = call("rum")
    assert ended.returncode == 2
    assert "rum" in ended.stderr


def test_doctor_says_what_is_here_and_what_is_missing():
    ended = call("doctor")
    assert ended.returncode == 0
    for word in ("cores", "memory", "disk", "device", "relion_refine", "torch", "missing"):
        assert word in ended.stdout
