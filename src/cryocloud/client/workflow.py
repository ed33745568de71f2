"""``cryocloud workflow run NAME``: options from the catalog, then over to the driver of workflows."""

from __future__ import annotations

from cryocloud.catalog import load_workflow, workflow_names
from cryocloud.client.run import start_from_catalog

USAGE = "usage: cryocloud workflow run NAME [options]      (cryocloud workflow run NAME --help lists them)\n"


def workflow(arguments: list[str]) -> int:
    """Parse, check, and become the driver."""
    names = arguments[1:] if arguments[:1] == ["run"] else []
    if not names or names[0] in ("-h", "--help"):
        print(USAGE)
        for name in workflow_names():
            print(f"  {name:<22} {load_workflow(name).title}")
        return 0 if "-h" in arguments or "--help" in arguments else 2
    return start_from_catalog("workflow run", names, load_workflow, "workflow", "cryocloud.compute.workflow")
