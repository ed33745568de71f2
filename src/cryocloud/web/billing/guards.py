"""Triggers with which the database itself keeps the books: what is written stays, and every entry comes to zero.

Postings are written before their entry, whose insertion checks and seals them; the foreign key between them is looked
at when the transaction commits, so that postings without an entry never stay. They are taken away while migrations run.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from cryocloud.web.billing.models import ClosedPeriod, Invoice, InvoiceSeries, LedgerEntry, Posting

ENTRY, POSTING = LedgerEntry._meta.db_table, Posting._meta.db_table
ADDED_ONLY = (ENTRY, POSTING, ClosedPeriod._meta.db_table)
INVOICE, SERIES = Invoice._meta.db_table, InvoiceSeries._meta.db_table
SEALED = "the entry of this posting is written already"
UNBALANCED = "the postings of an entry must be two at least and sum to zero"
STAYS = "what the books hold is not changed and not removed"


def install(connection: BaseDatabaseWrapper) -> None:
    """Put the triggers up, again if they stand."""
    if ENTRY not in connection.introspection.table_names():
        return
    remove(connection)
    with connection.cursor() as cursor:
        for table, event, condition, message in _rules(connection.vendor):
            for statement in _trigger(connection.vendor, table, event, condition, message):
                cursor.execute(statement)
        if connection.vendor == "postgresql":
            cursor.execute(_LATE_BALANCE)


def remove(connection: BaseDatabaseWrapper) -> None:
    tables = set(connection.introspection.table_names())
    with connection.cursor() as cursor:
        for table, event, _, _ in _rules(connection.vendor):
            if table in tables:
                on = f" ON {table}" if connection.vendor == "postgresql" else ""
                cursor.execute(f"DROP TRIGGER IF EXISTS {_name(table, event)}{on}")
        if connection.vendor == "postgresql" and POSTING in tables:
            cursor.execute(f"DROP TRIGGER IF EXISTS {POSTING}_late_balance ON {POSTING}")


def install_after_migrations(sender: Any, **given: Any) -> None:
    from django.db import connections

    install(connections[given["using"]])


def remove_before_migrations(sender: Any, **given: Any) -> None:
    from django.db import connections

    remove(connections[given["using"]])


def _rules(vendor: str) -> list[tuple[str, str, str, str]]:
    """Table, event, the condition under which it is refused, and why."""
    rules = [(table, event, "1 = 1", STAYS) for table in ADDED_ONLY for event in ("UPDATE", "DELETE")]
    rules += [(table, "DELETE", "1 = 1", STAYS) for table in (INVOICE, SERIES)]
    rules.append((INVOICE, "UPDATE", _changes_invoice(vendor), STAYS))
    rules.append((SERIES, "UPDATE", "NEW.last <> OLD.last + 1", "numbers follow one another"))
    rules.append((POSTING, "INSERT", f"EXISTS (SELECT 1 FROM {ENTRY} WHERE id = NEW.entry_id)", SEALED))
    sums = f"SELECT COUNT(*) < 2 OR SUM(cents) <> 0 FROM {POSTING} WHERE entry_id = NEW.id"
    rules.append((ENTRY, "INSERT", f"({sums})", UNBALANCED))
    return rules


def _changes_invoice(vendor: str) -> str:
    """Whether an update touches what was issued, or writes a second time what is written once."""
    differs = "IS NOT" if vendor == "sqlite" else "IS DISTINCT FROM"
    columns = [
        field.column for field in Invoice._meta.concrete_fields if field.name not in Invoice.CHANGEABLE
    ]
    once = [name for name in columns if name in Invoice.WRITTEN_ONCE]
    empty = {name: f"OLD.{name} IS NULL" for name in once}
    empty |= {name: f"OLD.{name} = ''" for name in once if name.endswith("sha256")}
    fixed = [f"NEW.{name} {differs} OLD.{name}" for name in columns if name not in once]
    return " OR ".join(
        [*fixed, *(f"(NEW.{name} {differs} OLD.{name} AND NOT {empty[name]})" for name in once)]
    )


def _name(table: str, event: str) -> str:
    return f"{table}_guard_{event.lower()}"


def _trigger(vendor: str, table: str, event: str, condition: str, message: str) -> list[str]:
    name = _name(table, event)
    if vendor == "sqlite":
        return [
            f"CREATE TRIGGER {name} BEFORE {event} ON {table} WHEN {condition} "
            f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
        ]
    returned = "OLD" if event == "DELETE" else "NEW"
    return [
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF {condition} THEN RAISE EXCEPTION '{message}' USING ERRCODE = 'integrity_constraint_violation'; END IF; "
        f"RETURN {returned}; END $$",
        f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()",
    ]


# Two transactions that write postings of one entry do not see each other; at the commit of the later one they add up.
_LATE_BALANCE = f"""
CREATE OR REPLACE FUNCTION {POSTING}_late_balance() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF (SELECT SUM(cents) <> 0 FROM {POSTING} WHERE entry_id = NEW.entry_id) THEN
    RAISE EXCEPTION '{UNBALANCED}' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER {POSTING}_late_balance AFTER INSERT ON {POSTING}
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {POSTING}_late_balance();
"""
