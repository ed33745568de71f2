"""Work on micrographs one by one: in threads, resumable, bad ones set aside."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, TypeVar

from cryocloud.compute.context import JobContext
from cryocloud.engine.errors import InputError

Found = TypeVar("Found")
Record = dict[str, Any]
# Files are named after micrographs, with words before and behind, and a file name has 255 bytes.
_STEM_BYTES_MAX = 200


def process_items(
    job: JobContext,
    names: Sequence[str],
    work: Callable[[int], Found],
    keep: Callable[[int, Found], Record],
    *,
    until_fraction: float = 0.95,
) -> dict[int, Record]:
    """Records of all good items by their position in ``names``.

    ``work`` runs in threads; ``keep`` runs in this thread (it may draw plots, which threads cannot), writes
    files and returns what JSON can hold. A record is stored once ``keep`` is through, so a resumed job does
    nothing twice. An item whose work raises ``InputError`` is quarantined; if all are, that is the job's
    error.
    """
    folder = job.checkpoints / "items"
    folder.mkdir(parents=True, exist_ok=True)
    records = {
        position: json.loads(path.read_text())
        for position in range(len(names))
        if (path := _record_file(folder, position)).exists()
    }
    waiting = [position for position in range(len(names)) if position not in records]
    finished = len(records)
    with ThreadPoolExecutor(job.threads) as pool:
        running: dict[Future[Found], int] = {}
        try:
            while waiting or running:
                while waiting and len(running) < 2 * job.threads:
                    position = waiting.pop(0)
                    running[pool.submit(work, position)] = position
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    position = running.pop(future)
                    record = _kept(job, names[position], future, position, keep)
                    finished += 1
                    if record is not None:
                        records[position] = record
                        _store(_record_file(folder, position), record)
                    job.progress(until_fraction * finished / len(names), names[position])
        finally:
            pool.shutdown(cancel_futures=True)
    if not records:
        first = next(iter(job.exceptions.values()))
        raise InputError(f"none of {len(names)} micrographs could be used; the first: {first}")
    return dict(sorted(records.items()))


def unique_stems(names: Sequence[str]) -> list[str]:
    """File names without folder and suffix, numbered where two micrographs share one."""
    stems = [_shortened(Path(name).stem) for name in names]
    count = Counter(stems)
    return [stem if count[stem] == 1 else f"{stem}_{position + 1}" for position, stem in enumerate(stems)]


def _shortened(stem: str) -> str:
    return stem.encode()[:_STEM_BYTES_MAX].decode(errors="ignore")


def _kept(
    job: JobContext, name: str, future: Future[Found], position: int, keep: Callable[[int, Found], Record]
) -> Record | None:
    try:
        found = future.result()
    except InputError as error:
        job.quarantine(name, str(error))
        return None
    return keep(position, found)


def _record_file(folder: Path, position: int) -> Path:
    return folder / f"{position:06d}.json"


def _store(path: Path, record: Record) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(record))
    partial.replace(path)
