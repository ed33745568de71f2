"""The folder of a job's results: refused, resumed or emptied before an attempt begins."""

from __future__ import annotations

import fcntl
import json
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryocloud.catalog import load_job_type
from cryocloud.compute import attempt as protocol
from cryocloud.compute.attempt import Attempt, AttemptSpec
from cryocloud.compute.files import read_json
from cryocloud.compute.inputs import fingerprint

ATTEMPT = ".attempt"
LOCK = ".lock"
WAIT_FOR_ENDING_ATTEMPT_S = 30.0
POLL_S = 0.1


class RefusedError(Exception):
    """The order cannot be carried out as it is; the message says what to change."""


@dataclass(frozen=True)
class Order:
    """What ``cryocloud run`` asks for. ``inputs`` are absolute paths, patterns or literal words."""

    job_type: str
    parameters: dict[str, Any]
    inputs: dict[str, str]
    out: str
    seed: int = 0
    threads: int = 1
    device: str = "auto"
    overwrite: bool = False
    progress: str = "auto"


def prepare(order: Order) -> Attempt:
    """A fresh attempt directory in ``order.out``, or ``RefusedError`` with the remedy."""
    job_type = load_job_type(order.job_type)
    out = Path(order.out)
    make_folder(out)
    with _lock(out):
        attempt = Attempt(out / ATTEMPT)
        _finish_swap(attempt)
        _wait_until_free(attempt, out)
        spec = AttemptSpec(
            attempt_id=uuid.uuid4().hex,
            job_type=order.job_type,
            version=job_type.version,
            parameters=order.parameters,
            inputs=order.inputs,
            out=str(out.absolute()),
            seed=order.seed,
            threads=order.threads,
            device=order.device,
            fingerprints={name: fingerprint(value) for name, value in order.inputs.items()},
        )
        if order.overwrite:
            _empty(out)
        if (out / "job.json").exists():
            raise RefusedError(
                f"--out {out}: holds a finished job; choose another folder, or --overwrite to redo it"
            )
        if attempt.spec_file.exists():
            spec = _resumed(spec, attempt, out)
        else:
            _refuse_foreign_files(out, job_type.outputs)
        _replace_attempt(attempt, spec)
    return attempt


def _replace_attempt(attempt: Attempt, spec: AttemptSpec) -> None:
    """Swap in a fresh attempt directory; a kill in between leaves the old or the new one in place."""
    fresh, old = _beside(attempt, "new"), _beside(attempt, "old")
    for folder in (fresh, old):
        shutil.rmtree(folder, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    Attempt(fresh).write_spec(spec)
    if attempt.folder.exists():
        attempt.folder.rename(old)
    fresh.rename(attempt.folder)
    shutil.rmtree(old, ignore_errors=True)


def _finish_swap(attempt: Attempt) -> None:
    old = _beside(attempt, "old")
    if old.exists() and not attempt.folder.exists():
        old.rename(attempt.folder)


def _beside(attempt: Attempt, suffix: str) -> Path:
    return attempt.folder.with_name(f"{ATTEMPT}.{suffix}")


def make_folder(out: Path) -> None:
    """Create the folder for results, or say why that cannot be."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise RefusedError(f"--out {out}: is a file; name a folder") from None
    except PermissionError:
        raise RefusedError(f"--out {out}: no permission to write there; choose another folder") from None


def _refuse_foreign_files(out: Path, outputs: tuple[str, ...]) -> None:
    present = [name for name in (*outputs, "metrics.json") if (out / name).exists()]
    if present:
        raise RefusedError(
            f"--out {out}: holds {', '.join(present)} of another origin; choose another folder"
        )


def _empty(out: Path) -> None:
    """Remove a former job; a folder that holds none is not ours to empty."""
    if not ((out / "job.json").exists() or (out / ATTEMPT).exists()):
        return
    for entry in out.iterdir():
        if entry.name == LOCK:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _wait_until_free(attempt: Attempt, out: Path) -> None:
    """An attempt whose owner was killed ends by itself; give it the time."""
    deadline_s = time.monotonic() + WAIT_FOR_ENDING_ATTEMPT_S
    while attempt.is_running():
        runner = attempt.runner()
        if not attempt.cancel_requested() or time.monotonic() > deadline_s:
            who = f"process {runner.pid} on {runner.host}" if runner else "another process"
            raise RefusedError(f"--out {out}: {who} is working there; wait for it, or choose another folder")
        time.sleep(POLL_S)


def _resumed(spec: AttemptSpec, attempt: Attempt, out: Path) -> AttemptSpec:
    """``spec`` as the continuation of the unfinished attempt; other parameters would mix two jobs."""
    former = attempt.read_spec()
    ended = read_json(attempt.exit_file) if attempt.exit_file.exists() else None
    beat = (
        read_json(attempt.heartbeat_file)
        if attempt.heartbeat_file.exists()
        else {"wall_s": 0.0, "cpu_s": 0.0}
    )
    difference = _difference(former, spec)
    if difference and ended and ended["code"] == protocol.BAD_INPUT:
        _empty(out)
        return spec
    if difference:
        raise RefusedError(
            f"--out {out}: holds an unfinished {former.job_type} with another {difference}; "
            "repeat that command to go on with it, choose another folder, or --overwrite"
        )
    spent = ended or beat
    changes = {
        "resumed": True,
        "spent_wall_s": former.spent_wall_s + spent["wall_s"],
        "spent_cpu_s": former.spent_cpu_s + spent["cpu_s"],
    }
    return AttemptSpec(**{**asdict(spec), **changes})


def _difference(former: AttemptSpec, spec: AttemptSpec) -> str:
    """The first thing by which two orders would give different results, or nothing."""
    if former.job_type != spec.job_type:
        return "job type"
    if former.version != spec.version:
        return "version of the job type"
    for name in sorted(former.parameters.keys() | spec.parameters.keys()):
        if former.parameters.get(name) != spec.parameters.get(name):
            return f"{name} ({former.parameters.get(name)}, not {spec.parameters.get(name)})"
    if former.seed != spec.seed:
        return f"seed ({former.seed}, not {spec.seed})"
    if former.inputs != spec.inputs or former.fingerprints != json.loads(json.dumps(spec.fingerprints)):
        return "input"
    return ""


@contextmanager
def _lock(out: Path) -> Iterator[None]:
    """Two commands that start at the same moment prepare one after the other."""
    with (out / LOCK).open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
