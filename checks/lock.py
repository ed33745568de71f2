"""Whether ``requirements.lock`` pins, with hashes, what ``pyproject.toml`` asks for: ``python checks/lock.py``.

With ``--installed`` also whether exactly these releases are installed here.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
# pip takes a line that follows no backslash for a release of its own, indented or not.
PIN = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)(?P<hashes>( \\\n +--hash=sha256:[0-9a-f]{64})*)\s*"
)
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
# A virtual environment comes with these; the project itself is installed from its sources.
NOT_LOCKED = frozenset({"cryocloud", "pip", "setuptools", "wheel"})


@dataclass(frozen=True)
class Pin:
    """One release and the archives that may be installed as it."""

    name: str
    version: str
    sha256: tuple[str, ...]


def main(arguments: list[str]) -> int:
    pins = read_lock(ROOT / "requirements.lock")
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    complaints = list(missing_pins(asked, pins))
    if "--installed" in arguments:
        complaints += differences_from_installed(all_pins())
    print("\n".join([*complaints, f"lock of {len(pins)} packages: {len(complaints)} complaints"]))
    return 1 if complaints else 0


def read_lock(path: Path) -> dict[str, Pin]:
    """Pins by name. Raises ``ValueError`` at a line that is no pin."""
    pins: dict[str, Pin] = {}
    for entry in re.split(r"\n(?=\S)", path.read_text(encoding="utf-8")):
        if entry.startswith("#") or not entry.strip():
            continue
        match = PIN.fullmatch(entry)
        if match is None or canonicalize_name(match["name"]) in pins:
            raise ValueError(f"{path}: “{entry.splitlines()[0]}” is not one pinned release; run make lock")
        name = canonicalize_name(match["name"])
        pins[name] = Pin(name, match["version"], tuple(HASH.findall(match["hashes"])))
    return pins


def all_pins() -> dict[str, Pin]:
    """What ``make setup`` installs: packages that run, and those of which only files are read."""
    return read_lock(ROOT / "requirements.lock") | read_lock(ROOT / "requirements-data.lock")


def missing_pins(asked: dict[str, Any], pins: dict[str, Pin]) -> Iterator[str]:
    """What the ranges ask for and the lock does not hold, and pins that anybody could replace."""
    project = asked["project"]
    groups = [project["dependencies"], asked["build-system"]["requires"]]
    groups += project["optional-dependencies"].values()
    for text in [text for group in groups for text in group]:
        requirement = Requirement(text)
        pin = pins.get(canonicalize_name(requirement.name))
        if pin is None or not requirement.specifier.contains(pin.version, prereleases=True):
            found = pin.version if pin else "nothing"
            yield f"{text}: requirements.lock holds {found}; run make lock"
    yield from (f"{pin.name}: has no hash; run make lock" for pin in pins.values() if not pin.sha256)


def differences_from_installed(pins: dict[str, Pin]) -> list[str]:
    installed = {canonicalize_name(one.name): one.version for one in metadata.distributions()}
    pinned = {pin.name: pin.version for pin in pins.values()}
    return [
        f"{name}: {installed.get(name, 'nothing')} is installed, {pinned.get(name, 'nothing')} is locked; "
        "run make setup in a fresh environment"
        for name in sorted((installed.keys() | pinned.keys()) - NOT_LOCKED)
        if installed.get(name) != pinned.get(name)
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
