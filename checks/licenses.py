"""Licenses of all packages that an installation of CryoCloud brings: ``python checks/licenses.py``.

Packages under the GPL, LGPL or AGPL must not be imported; such programs are run as external programs.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXTRAS = ("engine", "web", "client")
FORBIDDEN = re.compile(r"\b[AL]?GPL|general public license|affero", re.IGNORECASE)
EXCEPTION_CLAUSES = re.compile(r"[AL]?GPL[-\w.]* WITH GCC-exception[-\w.]*")


def main() -> int:
    failures = 0
    for extra in set(EXTRAS) - set(metadata.metadata("cryocloud").get_all("Provides-Extra") or []):
        print(f"the installed cryocloud knows no extra “{extra}”: install it again (make setup)")
        failures += 1
    names = sorted(installed_closure("cryocloud", EXTRAS))
    for name in names:
        license_text = declared_license(metadata.metadata(name))
        if not license_text:
            print(f"{name}: declares no license")
            failures += 1
        elif is_forbidden(license_text):
            print(f"{name}: {license_text}")
            failures += 1
    print(f"licenses of {len(names)} packages: {failures} refused")
    return 1 if failures else 0


def installed_closure(name: str, extras: tuple[str, ...]) -> set[str]:
    """``name`` and all that it requires, as installed here."""
    found: set[str] = set()
    waiting = [(canonicalize_name(name), extras)]
    while waiting:
        current, wanted = waiting.pop()
        if current in found:
            continue
        try:
            distribution = metadata.distribution(current)
        except metadata.PackageNotFoundError:
            continue
        found.add(current)
        waiting += [(canonicalize_name(r.name), tuple(r.extras)) for r in _requirements(distribution, wanted)]
    return found


def _requirements(distribution: metadata.Distribution, extras: tuple[str, ...]) -> Iterator[Requirement]:
    for text in distribution.requires or []:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def declared_license(package: metadata.PackageMetadata) -> str:
    """The license expression, else the classifiers, else the first line of the license field."""
    if package.get("License-Expression"):
        return str(package["License-Expression"])
    classifiers = [c for c in package.get_all("Classifier") or [] if c.startswith("License ::")]
    if classifiers:
        return "; ".join(c.rsplit(" :: ", 1)[-1] for c in classifiers)
    return str(package.get("License") or "").strip().split("\n")[0]


def is_forbidden(license_text: str) -> bool:
    """Whether importing such a package would bind CryoCloud to copyleft terms."""
    alternatives = re.split(r"\s+OR\s+", license_text)
    return all(FORBIDDEN.search(EXCEPTION_CLAUSES.sub("", words)) for words in alternatives)


if __name__ == "__main__":
    sys.exit(main())
