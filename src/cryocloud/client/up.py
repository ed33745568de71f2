"""``cryocloud up`` and what else an operator does with the platform: hands over to the package that serves it."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import NoReturn

NOT_INSTALLED = "the platform is not installed here; pip install 'cryocloud[web,client]' brings it"


def up(arguments: list[str]) -> int:
    return _become("up", arguments)


def backup(arguments: list[str]) -> int:
    return _become("backup", arguments)


def restore(arguments: list[str]) -> int:
    return _become("restore", arguments)


def pause(arguments: list[str]) -> int:
    return _become("pause", arguments)


def resume(arguments: list[str]) -> int:
    return _become("resume", arguments)


def deactivate(arguments: list[str]) -> int:
    return _become("deactivate", arguments)


def _become(command: str, arguments: list[str]) -> NoReturn:
    if importlib.util.find_spec("django") is None:
        print(f"cryocloud {command}: {NOT_INSTALLED}", file=sys.stderr)
        raise SystemExit(1)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "cryocloud.web", command, *arguments])
