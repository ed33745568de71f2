"""Known vulnerabilities of what is locked: ``python checks/audit.py``.

``pip-audit`` asks OSV about requirements.lock, ``npm audit`` asks the npm registry about islands/package-lock.json. A
vulnerability fails. Where the service cannot be asked, as on a machine without a network, that is said and passes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from packaging.utils import canonicalize_name

from lock import ROOT, all_pins

TIMEOUT_S = 300


class NotAsked(Exception):
    """The service did not answer; the message says why."""


def main() -> int:
    found = 0
    for name, audit in (("requirements.lock", audit_python), ("islands/package-lock.json", audit_npm)):
        try:
            vulnerabilities = audit()
        except NotAsked as reason:
            print(f"audit of {name}: skipped: {reason}")
            continue
        print("\n".join([*vulnerabilities, f"audit of {name}: {len(vulnerabilities)} vulnerabilities"]))
        found += len(vulnerabilities)
    return 1 if found else 0


def audit_python() -> list[str]:
    pins = all_pins().values()
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as asked:
        # Advisories know releases, not builds: 2.13.0+cpu is 2.13.0.
        asked.writelines(f"{pin.name}=={pin.version.partition('+')[0]}\n" for pin in pins)
        asked.flush()
        options = ["--no-deps", "--disable-pip", "--vulnerability-service", "osv", "--format", "json"]
        command = [sys.executable, "-m", "pip_audit", *options, "--progress-spinner", "off"]
        answer = _answer_of([*command, "--requirement", asked.name], ROOT)
    if "dependencies" not in answer:
        raise NotAsked("pip-audit gave no list")
    looked_at = {canonicalize_name(one["name"]): one for one in answer["dependencies"] if "vulns" in one}
    # One that pip-audit passes over, with a reason or without, is not known to be free of them.
    found = [f"{pin.name} {pin.version}: was not looked at" for pin in pins if pin.name not in looked_at]
    return found + [
        f"{one['name']} {one['version']}: {vulnerability['id']}, mended in {vulnerability['fix_versions'] or 'none'}"
        for one in looked_at.values()
        for vulnerability in one["vulns"]
    ]


def audit_npm() -> list[str]:
    answer = _answer_of(
        ["npm", "audit", "--package-lock-only", "--json", "--fetch-retries=0"], ROOT / "islands"
    )
    if "vulnerabilities" not in answer:
        raise NotAsked(str(answer.get("message", "npm gave no list")))
    return [f"{name}: {one['severity']}, {one['range']}" for name, one in answer["vulnerabilities"].items()]


def _answer_of(command: list[str], folder: Path) -> dict[str, Any]:
    try:
        ended = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
        )
        answer = json.loads(ended.stdout)
    except FileNotFoundError:
        raise NotAsked(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise NotAsked(f"no answer within {TIMEOUT_S} s") from None
    except ValueError:
        raise NotAsked((ended.stderr.strip().splitlines() or ["it said nothing"])[-1][:300]) from None
    if not isinstance(answer, dict):
        raise NotAsked("the answer is no object")
    return answer


if __name__ == "__main__":
    sys.exit(main())
