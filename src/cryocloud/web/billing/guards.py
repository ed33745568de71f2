"""Triggers with which the database itself keeps the books: what is written stays, and every entry comes to zero.

Postings are written before their entry, whose insertion checks and seals them; the foreign key between them is looked
at when the transaction commits, so that postings without an entry never stay.
"""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper

from cryocloud.web.billing.models import ClosedPeriod, Invoice, InvoiceSeries, LedgerEntry, Posting
from cryocloud.web.core import guards
from cryocloud.web.core.guards import Rule, added_only

ENTRY, POSTING = LedgerEntry._meta.db_table, Posting._meta.db_table
INVOICE, SERIES = Invoice._meta.db_table, InvoiceSeries._meta.db_table
SEALED = "the entry of this posting is written already"
UNBALANCED = "the postings of an entry must be two at least and sum to zero"
STAYS = "what the books hold is not changed and not removed"


def install(connection: BaseDatabaseWrapper) -> None:
    """Again if they stand."""
    remove(connection)
    guards.put_up(connection, _rules(connection.vendor))
    if _balances_late(connection):
        with connection.cursor() as cursor:
            cursor.execute(_LATE_BALANCE)


def remove(connection: BaseDatabaseWrapper) -> None:
    guards.take_away(connection, _rules(connection.vendor))
    if _balances_late(connection):
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TRIGGER IF EXISTS {POSTING}_late_balance ON {POSTING}")


def _balances_late(connection: BaseDatabaseWrapper) -> bool:
    return connection.vendor == "postgresql" and POSTING in connection.introspection.table_names()


def _rules(vendor: str) -> list[Rule]:
    sums = f"SELECT COUNT(*) < 2 OR SUM(cents) <> 0 FROM {POSTING} WHERE entry_id = NEW.id"
    return [
        *(rule for model in (LedgerEntry, Posting, ClosedPeriod) for rule in added_only(model, STAYS)),
        Rule(INVOICE, "DELETE", STAYS),
        Rule(INVOICE, "UPDATE", STAYS, _changes_invoice(vendor)),
        Rule(SERIES, "DELETE", STAYS),
        Rule(SERIES, "UPDATE", "numbers follow one another", "NEW.last <> OLD.last + 1"),
        Rule(POSTING, "INSERT", SEALED, f"EXISTS (SELECT 1 FROM {ENTRY} WHERE id = NEW.entry_id)"),
        Rule(ENTRY, "INSERT", UNBALANCED, f"({sums})"),
    ]


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
