"""Locked releases, the bill of materials, and the audit that must never pass over a vulnerability in silence."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKS = Path(__file__).parents[2] / "checks"
spec = importlib.util.spec_from_file_location("lock", CHECKS / "lock.py")
lock = importlib.util.module_from_spec(spec)
sys.modules["lock"] = lock
spec.loader.exec_module(lock)

SHA = "0" * 64


def asked(**extras: list[str]) -> dict[str, object]:
    return {
        "build-system": {"requires": ["hatchling"]},
        "project": {"dependencies": ["a==1.*"], "optional-dependencies": extras},
    }


def locked(folder: Path, text: str) -> dict[str, object]:
    (folder / "requirements.lock").write_text(text)
    return lock.read_lock(folder / "requirements.lock")


def pin(release: str) -> str:
    return f"{release} \\\n    --hash=sha256:{SHA}\n"


@pytest.mark.parametrize(("text", "complaint"), [
    (pin("a==1.4") + pin("hatchling==1.0"), None),
    (pin("a==2.0") + pin("hatchling==1.0"), "a==1.*: requirements.lock holds 2.0"),
    (pin("a==1.4"), "hatchling: requirements.lock holds nothing"),
    ("a==1.4\n" + pin("hatchling==1.0"), "a: has no hash"),
])  # fmt: skip
def test_a_lock_holds_what_is_asked_for_with_hashes(tmp_path: Path, text: str, complaint: str | None) -> None:
    found = list(lock.missing_pins(asked(), locked(tmp_path, text)))
    assert len(found) == (complaint is not None)
    assert complaint is None or found[0].startswith(complaint)


@pytest.mark.parametrize(
    "text",
    [
        "a>=1\n",
        pin("a==1") + pin("a==2"),
        pin("a==1") + "    evil==1\n",
        pin("a==1") + "    --index-url https://example.org\n",
    ],
    ids=["range", "twice", "hidden", "option"],
)
def test_what_is_not_one_pinned_release_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match="not one pinned release"):
        locked(tmp_path, text)


def test_the_bill_of_materials_holds_what_is_shipped(tmp_path: Path) -> None:
    written = tmp_path / "sbom.json"
    run = subprocess.run(
        [sys.executable, CHECKS / "sbom.py", written],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    bill = json.loads(written.read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    required = {one["name"] for one in bill["components"] if one["scope"] == "required"}
    assert {"torch", "django", "pydantic", "molstar", "uplot"} <= required
    assert not {"pytest", "esbuild"} & required
    # An old environment may hold packages that are not locked any more; make audit complains, and they are not shipped.
    shipped = [one for one in bill["components"] if one["scope"] == "required"]
    assert all(one["version"] and one["licenses"] and one["properties"] for one in shipped), run.stdout


def audit(folder: Path, python: str, npm: str) -> subprocess.CompletedProcess[str]:
    """The audit with programs in the place of those that ask the services."""
    (folder / "pip_audit.py").write_text(f"print({python!r})")
    (folder / "npm").write_text(f"#!/bin/sh\ncat <<'END'\n{npm}\nEND\n")
    (folder / "npm").chmod(0o755)
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
    }
    command = [sys.executable, CHECKS / "audit.py"]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)


def answer_about(**flawed: dict[str, object]) -> str:
    """What pip-audit says about the lock of this repository."""
    pins = lock.all_pins().values()
    facts = [
        {"name": one.name, "version": one.version, "vulns": []} | flawed.get(one.name, {}) for one in pins
    ]
    return json.dumps({"dependencies": facts})


CLEAN = (answer_about(), '{"vulnerabilities": {}}')
FLAW = answer_about(django={"version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]})
PASSED_OVER = CLEAN[0].replace('"vulns": []', '"skip_reason": "unknown"', 1)
NPM_FLAW = '{"vulnerabilities": {"uplot": {"severity": "high", "range": "<2"}}}'


@pytest.mark.parametrize(
    ("python", "npm", "code", "words"),
    [
        pytest.param(*CLEAN, 0, ["lock: 0 vuln", "package-lock.json: 0 vuln"], id="clean"),
        pytest.param(FLAW, CLEAN[1], 1, ["django 1: CVE-1, mended in ['2']"], id="python"),
        pytest.param(PASSED_OVER, CLEAN[1], 1, ["was not looked at", "lock: 1 vuln"], id="passed over"),
        pytest.param('{"dependencies": []}', CLEAN[1], 1, ["django", "was not looked at"], id="none"),
        pytest.param(CLEAN[0], NPM_FLAW, 1, ["uplot: high, <2"], id="npm"),
        pytest.param("", "", 0, ["lock: skipped: ", "package-lock.json: skipped: "], id="no network"),
        pytest.param("", NPM_FLAW, 1, ["lock: skipped: ", "uplot: high"], id="half a network"),
        pytest.param(CLEAN[0], '{"message": "405 not here"}', 0, ["skipped: 405 not here"], id="refused"),
    ],
)
def test_a_vulnerability_fails_and_silence_is_said(
    tmp_path: Path, python: str, npm: str, code: int, words: list[str]
) -> None:
    run = audit(tmp_path, python, npm)
    assert run.returncode == code, run.stdout + run.stderr
    assert all(part in run.stdout for part in words), run.stdout
