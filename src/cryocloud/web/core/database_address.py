"""Which database the platform keeps its rows in: SQLite in the home, or a PostgreSQL server named by one URL."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from cryocloud.web.configuration import PREFIX, Configuration, ConfigurationError

FORM = "postgresql://USER:PASSWORD@HOST:PORT/NAME"
SOCKET_FOLDER = "host"
# What libpq needs for a socket in a folder of its own, and to be sure of the server at the other end.
PARAMETERS = frozenset({SOCKET_FOLDER, "sslmode", "sslrootcert", "sslcert", "sslkey"})
CONNECT_S = 10
LOCK_S = 20
STATEMENT_S = 120
IDLE_IN_TRANSACTION_S = 120
# A process opens them as it needs them: 32 requests at the same time, streams, uploads and background work beside them.
CONNECTIONS_MAX = 48
CONNECTION_LIFE_S = 3600


def database_settings(site: Configuration) -> dict[str, Any]:
    """Django's entry for the one database."""
    url = site.database.get_secret_value()
    return _of_server(url) if url else _of_file(site)


def _of_file(site: Configuration) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": site.database_file,
        # Eight writers at 50 transactions a second: Django's defaults gave 96 "database is locked" in 12 s, this none.
        "OPTIONS": {
            "timeout": LOCK_S,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; "
            # A log that a long reader let grow gives its room back.
            "PRAGMA journal_size_limit=16777216;",
        },
        "TEST": {"NAME": site.home / "test.sqlite3"},
    }


def _of_server(url: str) -> dict[str, Any]:
    """Transactions read what is committed; whoever checks before writing holds the row that the check is about."""
    if find_spec("psycopg") is None:
        raise _wrong("PostgreSQL needs a driver: pip install 'cryocloud[postgres]'")
    try:
        parts = urlsplit(url)
        port, given = parts.port, dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError:
        raise _wrong(f"write it as {FORM}") from None
    name = unquote(parts.path.removeprefix("/"))
    if parts.scheme not in ("postgresql", "postgres") or not (parts.username and name) or "/" in name:
        raise _wrong(f"write it as {FORM}")
    unknown = sorted(given.keys() - PARAMETERS)
    if unknown:
        raise _wrong(f"the parameter “{unknown[0]}” is not known; there are {', '.join(sorted(PARAMETERS))}")
    host = given.pop(SOCKET_FOLDER, "") or parts.hostname or ""
    limits_ms = {
        "statement_timeout": STATEMENT_S,
        "lock_timeout": LOCK_S,
        "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_S,
    }
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(parts.username),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": str(port or ""),
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            **given,
            "connect_timeout": CONNECT_S,
            "application_name": "cryocloud",
            "options": " ".join(f"-c {limit}={1000 * seconds}" for limit, seconds in limits_ms.items()),
            "pool": {
                "min_size": 0,
                "max_size": CONNECTIONS_MAX,
                "timeout": LOCK_S,
                "max_lifetime": CONNECTION_LIFE_S,
            },
        },
    }


def _wrong(remedy: str) -> ConfigurationError:
    """The value itself holds a password, so it is not repeated."""
    return ConfigurationError(f"{PREFIX}DATABASE: {remedy}")
