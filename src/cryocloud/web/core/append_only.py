"""Tables whose rows are only ever added: the database itself refuses to change or remove one.

The triggers are put up after each migration, because SQLite drops them with a table that it makes anew.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import connections, models
from django.db.models.signals import post_migrate

REFUSAL = "rows of this table are only ever added"
_ON_SQLITE = (
    'CREATE TRIGGER IF NOT EXISTS "{table}_no_{verb}" BEFORE {VERB} ON "{table}" '
    "BEGIN SELECT RAISE(ABORT, '{refusal}'); END"
)
_ON_POSTGRESQL = (
    "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION '{refusal}'; END $$",
    'DROP TRIGGER IF EXISTS "{table}_no_change" ON "{table}"',
    'CREATE TRIGGER "{table}_no_change" BEFORE UPDATE OR DELETE ON "{table}" '
    "FOR EACH ROW EXECUTE FUNCTION refuse_change()",
)


def keep_append_only(*guarded: type[models.Model]) -> None:
    """For ``AppConfig.ready`` of the app that owns the models."""
    for model in guarded:
        table = model._meta.db_table

        def guard(table: str = table, **signal: Any) -> None:
            _put_up(table, signal["using"])

        app = apps.get_app_config(model._meta.app_label)
        post_migrate.connect(guard, sender=app, weak=False, dispatch_uid=f"append-only:{table}")


def _put_up(table: str, using: str) -> None:
    connection = connections[using]
    if table not in connection.introspection.table_names():
        return
    statements = list(_ON_POSTGRESQL)
    if connection.vendor == "sqlite":
        statements = [_ON_SQLITE.replace("{verb}", verb).replace("{VERB}", verb.upper()) for verb in ("update", "delete")]
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement.replace("{table}", table).replace("{refusal}", REFUSAL))
