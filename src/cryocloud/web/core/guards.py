"""What the database itself refuses, by triggers: rows that are only ever added, and rules that no code may break.

Triggers are taken away while migrations run, which may have to complete rows, and then put up again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from django.apps import AppConfig
from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.signals import post_migrate, pre_migrate

Act = Callable[[BaseDatabaseWrapper], None]
ALWAYS = "1 = 1"
ADDED_ONLY = "rows of this table are only ever added"


@dataclass(frozen=True)
class Rule:
    """An event of a table that is refused with a message where a condition over OLD and NEW holds."""

    table: str
    event: Literal["INSERT", "UPDATE", "DELETE"]
    message: str
    condition: str = ALWAYS

    @property
    def name(self) -> str:
        return f"{self.table}_guard_{self.event.lower()}"


def added_only(model: type[models.Model], message: str = ADDED_ONLY) -> list[Rule]:
    table = model._meta.db_table
    return [Rule(table, "UPDATE", message), Rule(table, "DELETE", message)]


def keep(app: AppConfig, put_up: Act, take_away: Act) -> None:
    """For ``AppConfig.ready`` of the app that owns the tables."""

    def act(sender: object, *, using: str, after: Act, **sent: Any) -> None:
        after(connections[using])

    pre_migrate.connect(
        partial(act, after=take_away), sender=app, weak=False, dispatch_uid=f"{app.label}:away"
    )
    post_migrate.connect(partial(act, after=put_up), sender=app, weak=False, dispatch_uid=f"{app.label}:up")


def put_up(connection: BaseDatabaseWrapper, rules: Iterable[Rule]) -> None:
    """Again if they stand."""
    rules = list(rules)
    take_away(connection, rules)
    tables = connection.introspection.table_names()
    with connection.cursor() as cursor:
        for rule in rules:
            if rule.table in tables:
                for statement in _trigger(connection.vendor, rule):
                    cursor.execute(statement)


def take_away(connection: BaseDatabaseWrapper, rules: Iterable[Rule]) -> None:
    tables = connection.introspection.table_names()
    with connection.cursor() as cursor:
        for rule in rules:
            if rule.table in tables:
                on = f" ON {rule.table}" if connection.vendor == "postgresql" else ""
                cursor.execute(f"DROP TRIGGER IF EXISTS {rule.name}{on}")


def _trigger(vendor: str, rule: Rule) -> list[str]:
    begin = f"CREATE TRIGGER {rule.name} BEFORE {rule.event} ON {rule.table}"
    if vendor == "sqlite":
        return [f"{begin} WHEN {rule.condition} BEGIN SELECT RAISE(ABORT, '{rule.message}'); END"]
    returned = "OLD" if rule.event == "DELETE" else "NEW"
    return [
        f"CREATE OR REPLACE FUNCTION {rule.name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF {rule.condition} "
        f"THEN RAISE EXCEPTION '{rule.message}' USING ERRCODE = 'integrity_constraint_violation'; END IF; "
        f"RETURN {returned}; END $$",
        f"{begin} FOR EACH ROW EXECUTE FUNCTION {rule.name}()",
    ]
