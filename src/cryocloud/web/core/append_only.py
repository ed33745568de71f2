"""Tables whose rows are only ever added: the database itself refuses to change or remove one.

Triggers see to it. They are taken away while migrations run, which may have to complete rows, and then put up again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.db import connections, models
from django.db.models.signals import post_migrate, pre_migrate

REFUSAL = "rows of this table are only ever added"
_ON_SQLITE = (
    'CREATE TRIGGER "{table}_no_@" BEFORE @ ON "{table}" BEGIN SELECT RAISE(ABORT, \'{refusal}\'); END'
)
_ON_POSTGRESQL = (
    'CREATE TRIGGER "{table}_no_@" BEFORE @ ON "{table}" FOR EACH ROW EXECUTE FUNCTION refuse_change()'
)
_UP = {
    "sqlite": tuple(_ON_SQLITE.replace("@", verb) for verb in ("update", "delete")),
    "postgresql": (
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '{refusal}'; END $$",
        *(_ON_POSTGRESQL.replace("@", verb) for verb in ("update", "delete")),
    ),
}


def keep_append_only(*guarded: type[models.Model]) -> None:
    """For ``AppConfig.ready`` of the app that owns the models."""
    for model in guarded:
        table, app = model._meta.db_table, apps.get_app_config(model._meta.app_label)
        for signal, act in ((pre_migrate, _take_away), (post_migrate, _put_up)):

            def guard(table: str = table, act: Callable[[str, str], None] = act, **sent: Any) -> None:
                act(table, sent["using"])

            signal.connect(guard, sender=app, weak=False, dispatch_uid=f"append-only:{table}")


def _put_up(table: str, using: str) -> None:
    vendor = connections[using].vendor
    _execute(table, using, _taken_away(vendor) + _UP[vendor])


def _take_away(table: str, using: str) -> None:
    _execute(table, using, _taken_away(connections[using].vendor))


def _taken_away(vendor: str) -> tuple[str, ...]:
    on = ' ON "{table}"' if vendor == "postgresql" else ""
    return tuple(f'DROP TRIGGER IF EXISTS "{{table}}_no_{verb}"{on}' for verb in ("update", "delete"))


def _execute(table: str, using: str, statements: tuple[str, ...]) -> None:
    connection = connections[using]
    if table in connection.introspection.table_names():
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement.replace("{table}", table).replace("{refusal}", REFUSAL))
