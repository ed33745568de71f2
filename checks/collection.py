"""Whether every process collects the same tests: ``python checks/collection.py [REPOSITORY]``.

pytest-xdist refuses to begin where two workers differ, and a name that changes from day to day cannot be asked for.
So the tests are collected twice, at once: here, and from a copy in another folder whose clock, time zone,
language, home and order of sets differ.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from difflib import unified_diff
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLUGINS = Path(__file__).with_name("collected")
SHOWN_MAX = 40
TIMEOUT_S = 300
OTHER_CLOCK_S = 200_000_123.25


def main(arguments: list[str]) -> int:
    root = Path(arguments[0]) if arguments else ROOT
    with tempfile.TemporaryDirectory(prefix="collection-") as folder:
        scratch = Path(folder)
        copy = scratch / "elsewhere"
        _copy_tree(root, copy)
        here = _start(root, scratch / "here.json", {"PYTHONHASHSEED": "1"})
        other = {
            "PYTHONHASHSEED": "2",
            "COLLECTION_CLOCK_S": str(OTHER_CLOCK_S),
            "TZ": "Pacific/Chatham",
            "LC_ALL": "C",
            "HOME": str(scratch),
            "TMPDIR": str(scratch),
        }
        there = _start(copy, scratch / "there.json", other)
        problems = [words for words in map(_failure, (here, there)) if words]
        if not problems:
            problems = _differences(
                json.loads((scratch / "here.json").read_bytes()),
                json.loads((scratch / "there.json").read_bytes()),
            )
    print("\n".join([*problems, f"collection: {len(problems)} complaints"]))
    return 1 if problems else 0


def _copy_tree(root: Path, copy: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=root,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (root / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, copy / name)


def _start(tree: Path, written: Path, changes: dict[str, str]) -> subprocess.Popen[str]:
    paths = [str(PLUGINS), str(tree / "src"), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "COLLECTION_WRITTEN": str(written),
        **changes,
    }
    command = ["-m", "pytest", "--collect-only", "-qq", "-p", "other_clock", "-p", "no:cacheprovider"]
    return subprocess.Popen(
        [sys.executable, *command, "-p", "written_names"],
        cwd=tree,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def _failure(collecting: subprocess.Popen[str]) -> str:
    said, _ = collecting.communicate(timeout=TIMEOUT_S)
    return f"the tests cannot be collected:\n{said[-4000:]}" if collecting.returncode else ""


def _differences(here: dict[str, list[str]], there: dict[str, list[str]]) -> list[str]:
    lines = list(unified_diff(here["names"], there["names"], "here", "elsewhere", lineterm="", n=0))
    shown = [line.encode("unicode_escape").decode() for line in lines[:SHOWN_MAX]]
    bare = [f"{name}: give its binary parameter an id" for name in here["bare"]]
    return ["\n".join(["two collections differ:", *shown]), *bare] if lines else bare


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
