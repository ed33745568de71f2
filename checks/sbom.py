"""Bill of materials (CycloneDX 1.6): ``python checks/sbom.py [FILE]``, build/sbom.cdx.json if no file is given.

It lists every Python package that is installed here and every npm package of the bundled islands. What is shipped has
the scope "required"; tools for building and testing have "excluded". It complains where a package lacks its version,
its license, or its hash in the lock.
"""

from __future__ import annotations

import json
import sys
import uuid
from importlib import metadata
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from packaging.utils import canonicalize_name

from licenses import EXTRAS, declared_license, installed_closure
from lock import NOT_LOCKED, ROOT, Pin, all_pins

Component = dict[str, Any]
# Read in the license files of packages whose package.json names none.
LICENSES_READ = {"combine-errors": "MIT", "htmx-ext-sse": "0BSD"}


def main(arguments: list[str]) -> int:
    written = Path(arguments[0]) if arguments else ROOT / "build" / "sbom.cdx.json"
    components = [*python_components(all_pins()), *npm_components()]
    components.sort(key=lambda one: str(one["purl"]))
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(components))}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": "cryocloud",
                "name": "cryocloud",
                "version": metadata.version("cryocloud"),
                "licenses": [{"license": {"id": "BSD-3-Clause"}}],
            }
        },
        "components": components,
    }
    written.parent.mkdir(parents=True, exist_ok=True)
    written.write_text(json.dumps(bill, indent=1), encoding="utf-8")
    complaints = [words for component in components for words in complaints_about(component)]
    print("\n".join([*complaints, f"{written}: {len(components)} components, {len(complaints)} complaints"]))
    return 1 if complaints else 0


def python_components(pins: dict[str, Pin]) -> list[Component]:
    shipped = installed_closure("cryocloud", EXTRAS)
    found = {canonicalize_name(one.name): one for one in metadata.distributions()}
    return [
        _component(
            f"pkg:pypi/{name}@{one.version}",
            (name, one.version),
            declared_license(one.metadata),
            pins[name].sha256 if name in pins and pins[name].version == one.version else (),
            is_shipped=name in shipped,
        )
        for name, one in found.items()
        if name not in NOT_LOCKED
    ]


def npm_components() -> list[Component]:
    locked = json.loads((ROOT / "islands" / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    return [
        _component(
            f"pkg:npm/{name.replace('@', '%40')}@{one['version']}",
            (name, one["version"]),
            str(one.get("license", LICENSES_READ.get(name, ""))),
            (one["integrity"],) if "integrity" in one else (),
            is_shipped=not one.get("dev", False),
        )
        for path, one in locked.items()
        if (name := path.rpartition("node_modules/")[2])
    ]


def _component(
    purl: str, release: tuple[str, str], license_text: str, hashes: tuple[str, ...], *, is_shipped: bool
) -> Component:
    return {
        "type": "library",
        "bom-ref": purl,
        "purl": purl,
        "name": release[0],
        "version": release[1],
        "scope": "required" if is_shipped else "excluded",
        "licenses": [{"license": {"name": license_text}}] if license_text else [],
        "properties": [{"name": "cryocloud:archive", "value": value} for value in hashes],
    }


def complaints_about(component: Component) -> list[str]:
    lacks = [
        words
        for key, words in (("version", "version"), ("properties", "hash in the lock"))
        if not component[key]
    ]
    if component["scope"] == "required" and not component["licenses"]:
        lacks.append("license")
    return [f"{component['purl']}: has no {words}" for words in lacks]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
