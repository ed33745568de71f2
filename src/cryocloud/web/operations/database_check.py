"""Whether the database can be used, asked once before anything else; the reason and the remedy if not."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.db.utils import Error

from cryocloud.web.configuration import PREFIX

OLDEST = 14


class NoDatabase(Exception):
    """The message never holds the password."""


def require_database() -> None:
    """SQLite is always there. A server must be reached, let this user in, and be new enough."""
    if connection.vendor != "postgresql":
        return
    # Not through the pool, which would try for long and say nothing of the reason.
    driver: Any = connection
    asked = {**connection.get_connection_params(), "autocommit": True}
    try:
        with connection.wrap_database_errors, driver.Database.connect(**asked) as server:
            version = server.info.server_version // 10000
            encoding = server.execute("SHOW server_encoding").fetchone()[0]
    except Error as error:
        raise NoDatabase(_reason(str(error))) from None
    if version < OLDEST:
        raise NoDatabase(
            f"{_place()} is PostgreSQL {version}; CryoCloud needs {OLDEST} or newer. Update the server."
        )
    if encoding != "UTF8":
        name = connection.settings_dict["NAME"]
        raise NoDatabase(f"The database “{name}” has the encoding {encoding}; make it anew with UTF8.")


def _reason(said: str) -> str:
    given = connection.settings_dict
    last = said.strip().splitlines()[-1].strip()
    if "password" in said:
        return f"{_place()} does not let the user “{given['USER']}” in with this password. Correct {PREFIX}DATABASE."
    if "does not exist" in said and "database" in said:
        return (
            f"{_place()} has no database “{given['NAME']}”: createdb --owner {given['USER']} {given['NAME']}"
        )
    return f"{_place()} cannot be used ({last}). Start the server, or correct {PREFIX}DATABASE."


def _place() -> str:
    given = connection.settings_dict
    return f"The PostgreSQL server at {given['HOST'] or 'its usual socket'}{':' * bool(given['PORT'])}{given['PORT']}"
