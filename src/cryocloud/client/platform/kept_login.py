"""Address and token of the server that was logged in to, in a file that only its owner can read."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path


class NotLoggedIn(Exception):
    """No usable login is kept; the message says what to do."""

    def __init__(self, why: str = "not logged in") -> None:
        super().__init__(f"{why}; first: cryocloud login ADDRESS")


@dataclass(frozen=True)
class Login:
    address: str
    token: str


def login_file() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME", "")
    folder = Path(base) if Path(base).is_absolute() else Path.home() / ".config"
    return folder / "cryocloud" / "login.json"


def keep_login(login: Login) -> Path:
    """Write it so that at no moment others could read it or half of it stands there."""
    path = login_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        json.dump({"address": login.address, "token": login.token}, stream)
    fresh.replace(path)
    return path


def read_login() -> Login:
    path = login_file()
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return Login(str(kept["address"]), str(kept["token"]))
    except FileNotFoundError:
        raise NotLoggedIn from None
    except (ValueError, KeyError, TypeError):
        raise NotLoggedIn(f"{path} cannot be read") from None


def forget_login() -> bool:
    """True if there was one."""
    path = login_file()
    was_there = path.exists()
    path.unlink(missing_ok=True)
    return was_there
