"""``{"part": "maps", "folder": ..., "out": ..., ...}`` on standard input, the part's index on standard output."""

from __future__ import annotations

import json
import sys
from importlib import import_module

from cryocloud.engine.io.name_gate import restrict_names
from cryocloud.jobs.result_previews.order import read_order

PARTS = ("maps", "classes", "curves", "orientations", "micrographs", "curation")

if __name__ == "__main__":
    given = json.load(sys.stdin)
    part = PARTS[PARTS.index(given["part"])]
    # One part needs torch, which takes a second to import; the others do not wait for it.
    preview = getattr(import_module(f"cryocloud.jobs.result_previews.{part}"), f"preview_{part}")
    order = read_order(given)
    restrict_names(order.readable)
    json.dump(preview(order), sys.stdout, allow_nan=False)
