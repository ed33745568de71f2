"""What the disk of the home is used for, from the database: walking over the files would take minutes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet, Sum

from cryocloud.web.configuration import configuration
from cryocloud.web.data.models import StoredObject, Upload
from cryocloud.web.results.models import Artifact


@dataclass(frozen=True)
class Use:
    """One kind of content and how much of it there is."""

    name: str
    size_bytes: int


def disk_use() -> list[Use]:
    """Data and results of everybody, what is announced, and the platform's own files."""
    stored = StoredObject.unscoped.all()
    in_trash = Q(file__dataset__trashed_at__isnull=False) | (Q(file__isnull=False) & ~Q(file__deletion_id=""))
    site = configuration()
    own = [site.database_file, *site.home.glob("db.sqlite3-*"), *(site.home / "logs").glob("*.log*")]
    return [
        Use("datasets, the trash included", _sum(stored)),
        Use("of that in the trash", _sum(stored.filter(in_trash))),
        Use("results of jobs, the trash included", _sum(Artifact.with_trash.all())),
        Use("announced by open uploads", _sum(Upload.unscoped.filter(state=Upload.State.OPEN))),
        Use("database and logs", sum(path.stat().st_size for path in own if path.is_file())),
    ]


def _sum(rows: QuerySet[Any]) -> int:
    return int(rows.aggregate(sum=Sum("size_bytes", default=0))["sum"])
