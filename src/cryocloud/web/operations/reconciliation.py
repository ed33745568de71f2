"""Every night: does what is counted as storage lie in the store, in its size?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path

from cryocloud.web.core.clock import now
from cryocloud.web.core.places import blob_file
from cryocloud.web.data.models import StoredObject
from cryocloud.web.metering.models import Reconciliation
from cryocloud.web.results.files import artifact_file
from cryocloud.web.results.models import Artifact

DIFFERENCES_KEPT = 100
RECONCILIATIONS_KEPT = timedelta(days=400)


@dataclass(frozen=True)
class Counted:
    """A file that is counted as storage; ``found_bytes`` is None where there is none."""

    organization_id: str
    kind: str
    row_id: str
    counted_bytes: int
    found_bytes: int | None = None


def reconcile() -> Reconciliation:
    """Look at every file; what went while it was looked at is no difference."""
    files = counted_bytes = found_bytes = 0
    differences: list[Counted] = []
    for one, place, is_counted in _kept():
        size_bytes = _size(place)
        if size_bytes != one.counted_bytes:
            if not is_counted():
                continue
            differences.append(replace(one, found_bytes=size_bytes))
        files += 1
        counted_bytes += one.counted_bytes
        found_bytes += size_bytes or 0
    moment = now()
    Reconciliation.objects.filter(finished_at__lt=moment - RECONCILIATIONS_KEPT).delete()
    return Reconciliation.objects.create(
        finished_at=moment,
        files=files,
        counted_bytes=counted_bytes,
        found_bytes=found_bytes,
        differing=len(differences),
        differences=[asdict(one) for one in differences[:DIFFERENCES_KEPT]],
    )


def _kept() -> Iterator[tuple[Counted, Path, Callable[[], bool]]]:
    objects = StoredObject.unscoped.order_by("pk")
    for stored in objects.iterator():
        counted = Counted(stored.organization_id, "uploaded file", stored.pk, stored.size_bytes)
        yield counted, blob_file(stored.key), objects.filter(pk=stored.pk).exists
    artifacts = Artifact.with_trash.order_by("pk")
    for artifact in artifacts.iterator():
        counted = Counted(artifact.organization_id, "result", artifact.pk, artifact.size_bytes)
        yield counted, artifact_file(artifact), artifacts.filter(pk=artifact.pk).exists


def _size(place: Path) -> int | None:
    try:
        return place.stat().st_size
    except OSError:
        return None


def last_reconciliation() -> Reconciliation | None:
    return Reconciliation.objects.order_by("-finished_at").first()
