"""Tables that people download (CSV), in which no spreadsheet finds a formula to carry out."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.http import HttpResponse

ACTS_IN_SPREADSHEETS = ("=", "+", "-", "@", "\t", "\r")


def write_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Times as ISO 8601, nothing for None."""
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\r\n")
    table.writerow(columns)
    table.writerows([_cell(value) for value in row] for row in rows)
    return written.getvalue()


def table_answer(table: str, name: str) -> HttpResponse:
    answer = HttpResponse(table, content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    is_formula = isinstance(value, str) and value.startswith(ACTS_IN_SPREADSHEETS)
    return f"'{value}" if is_formula else str(value)
