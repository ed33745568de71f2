"""What a person drew in the browser, as a job reads it, and the micrographs that it names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import TypeVar

from pydantic import ValidationError

from cryocloud.catalog.edits import Edits, fault_of
from cryocloud.compute.context import JobContext
from cryocloud.engine.errors import InputError
from cryocloud.engine.io.name_gate import require_readable

Drawn = TypeVar("Drawn", bound=Edits)
BYTES_MAX = 64 << 20


def read_edits(job: JobContext, kind: type[Drawn]) -> Drawn:
    """The job's input ``edits``, or none; a copy goes beside the results, so that they can be made again."""
    path = job.inputs.get("edits")
    if path is None:
        return kind()
    require_readable(path)
    try:
        if path.stat().st_size > BYTES_MAX:
            raise InputError(f"{path.name}: {path.stat().st_size:,} bytes are too many for edits by hand")
        edits = kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except ValidationError as error:
        raise InputError(f"{path.name}: cannot be used: {fault_of(error)}") from None
    (job.out / "edits.json").write_text(edits.model_dump_json(), encoding="utf-8")
    return edits


def rows_by_file_name(names: Iterable[str]) -> dict[str, list[int]]:
    """Rows of the micrographs by their names without folder."""
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(PurePosixPath(name).name, []).append(row)
    return rows


def row_of(job: JobContext, rows: dict[str, list[int]], name: str, lost: str) -> int | None:
    """The one row of that name; otherwise it is set aside, with ``lost`` as what that costs."""
    found = rows.get(name, [])
    if len(found) == 1:
        return found[0]
    fault = f"{len(found)} micrographs of the list have" if found else "no micrograph of the list has"
    job.quarantine(name, f"{fault} this name; {lost}")
    return None
