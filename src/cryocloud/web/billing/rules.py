"""The official rules of EN 16931, applied by SaxonC: ``python -m cryocloud.web.billing.rules < invoice.xml``.

A process of its own: what goes wrong in the native library ends that process and not the worker. Anything but a clear
yes is a no.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

PACKAGE = "mcp_einvoicing_core"
"""Ships the rules of CEN/TC 434 (EUPL 1.2) as compiled with SchXslt; of it only this file is read."""
SVRL = "{http://purl.oclc.org/dsdl/svrl}"
TIMEOUT_S = 120
MESSAGES_MAX = 20


def rules_file() -> Path | None:
    """The rules as the package ships them; None where it is not installed. Nothing of it is imported."""
    found = find_spec(PACKAGE)
    folders = found.submodule_search_locations if found else None
    path = Path(folders[0]) / "resources/schematron/en16931_base/CEN-EN16931-UBL.xslt" if folders else None
    return path if path and path.is_file() else None


class NotChecked(Exception):
    """The rules could not be applied; the document counts as one that breaks them."""


def broken_rules(document: bytes) -> list[str]:
    """What the document breaks; empty if it may be sent. Raises ``NotChecked`` where that cannot be said."""
    command = [sys.executable, "-m", __name__]
    try:
        done = subprocess.run(command, input=document, capture_output=True, timeout=TIMEOUT_S, check=False)
        told = json.loads(done.stdout) if done.returncode == 0 else None
    except (subprocess.TimeoutExpired, ValueError, OSError) as error:
        raise NotChecked(f"the rules of EN 16931 could not be applied: {type(error).__name__}") from error
    if not isinstance(told, list):
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise NotChecked(f"the rules of EN 16931 could not be applied: {''.join(last)[:300]}")
    return told


def apply(document: str) -> list[str]:
    """In this process. A report without a single rule that fired is no yes."""
    from saxonche import PySaxonProcessor

    path = rules_file()
    if path is None:
        raise NotChecked(f"the rules of EN 16931 are not installed (package {PACKAGE})")
    with PySaxonProcessor(license=False) as processor:
        rules = processor.new_xslt30_processor().compile_stylesheet(stylesheet_file=str(path))
        report = rules.transform_to_string(xdm_node=processor.parse_xml(xml_text=document))
    root = ElementTree.fromstring(report)
    if not root.findall(f"{SVRL}fired-rule"):
        raise NotChecked("no rule of EN 16931 applied to the document")
    failed = root.findall(f"{SVRL}failed-assert")
    return [" ".join("".join(one.itertext()).split()) for one in failed][:MESSAGES_MAX]


if __name__ == "__main__":
    print(json.dumps(apply(sys.stdin.buffer.read().decode("utf-8"))))
