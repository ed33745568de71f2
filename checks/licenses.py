"""Licenses of all packages that an installation of CryoCloud brings: ``python checks/licenses.py``.

Packages under the GPL or AGPL must not be imported; such programs are run as external programs. Packages under the LGPL
may come with an extra that is named in LGPL_EXTRAS, and with nothing else: nobody gets them unasked.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXTRAS = ("engine", "web", "payments", "client")
# Extras that may bring packages under the LGPL, each with who asks for it and why nothing else serves.
LGPL_EXTRAS = {
    "billing": "fpdf2 (PDF of invoices) and python-stdnum (check digits of VAT ids): docs/decisions/0004",
    "postgres": "whoever runs the platform on PostgreSQL: psycopg is the driver of Django, and libpq comes with it",
}
# Packages that name no license in their metadata, with the one that they name in their documentation.
NAMED_ELSEWHERE = {"saxonche": "MPL-2.0"}
FORBIDDEN = re.compile(r"\b[AL]?GPL|general public license|affero", re.IGNORECASE)
LESSER = re.compile(r"\bLGPL[-\w.+]*|lesser general public license[^;)]*(\([^)]*\))?", re.IGNORECASE)
EXCEPTION_CLAUSES = re.compile(r"[AL]?GPL[-\w.]* WITH GCC-exception[-\w.]*")


def main() -> int:
    failures = 0
    offered = metadata.metadata("cryocloud").get_all("Provides-Extra") or []
    for extra in {*EXTRAS, *LGPL_EXTRAS} - set(offered):
        print(f"the installed cryocloud knows no extra “{extra}”: install it again (make setup)")
        failures += 1
    strict = installed_closure("cryocloud", EXTRAS)
    optional = installed_closure("cryocloud", (*EXTRAS, *LGPL_EXTRAS)) - strict
    for name in sorted(strict | optional):
        license_text = declared_license(metadata.metadata(name))
        if not license_text:
            print(f"{name}: declares no license")
            failures += 1
        elif is_forbidden(license_text, is_lesser_allowed=name in optional):
            print(f"{name}: {license_text}")
            failures += 1
    print(f"licenses of {len(strict | optional)} packages: {failures} refused")
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
    """The license expression, else the classifiers, else the first line of the license field, else what is known."""
    if package.get("License-Expression"):
        return str(package["License-Expression"])
    classifiers = [c for c in package.get_all("Classifier") or [] if c.startswith("License ::")]
    if classifiers:
        return "; ".join(c.rsplit(" :: ", 1)[-1] for c in classifiers)
    field = str(package.get("License") or "").strip().split("\n")[0]
    return field or NAMED_ELSEWHERE.get(canonicalize_name(package["Name"]), "")


def is_forbidden(license_text: str, *, is_lesser_allowed: bool = False) -> bool:
    """Whether importing such a package would bind CryoCloud to copyleft terms."""
    alternatives = re.split(r"\s+OR\s+", license_text)
    harmless = [EXCEPTION_CLAUSES.sub("", words) for words in alternatives]
    if is_lesser_allowed:
        harmless = [LESSER.sub("", words) for words in harmless]
    return all(FORBIDDEN.search(words) for words in harmless)


if __name__ == "__main__":
    sys.exit(main())
