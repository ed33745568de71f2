import ctypes
import os
import signal
import time
import warnings

import numpy as np

from cryocloud.compute.context import JobContext
from cryocloud.engine.errors import InputError
from cryocloud.jobs.kit.checkpoint import load_checkpoint, save_checkpoint


def run(job: JobContext) -> None:
    p = job.parameters
    saved = load_checkpoint(job.checkpoints)
    first, total = (saved.step, float(saved.arrays["total"])) if saved else (0, 0.0)
    if saved:
        job.log(f"going on from step {first}")
    if p.limit is not None:
        job.decision("limit", p.limit, "asked for")
    for step in range(first, p.steps):
        job.progress(step / p.steps, f"step {step}")
        if step == p.mishap_step and not (saved and p.mishap in ("killed", "sleep")):
            _go_wrong(p.mishap, job)
        total += sum(p.weights)
        time.sleep(p.step_s)
        save_checkpoint(job.checkpoints, step + 1, {"total": np.array(total)}, {})
        if p.verbose:
            job.log(f"step {step}")
    if p.limit is not None:
        total = min(total, p.limit)
    (job.out / "sum.txt").write_text(f"{total}\n")
    job.metrics(sum=total, steps=p.steps, nothing=float("nan"))
    job.progress(1.0)


def _go_wrong(mishap: str, job: JobContext) -> None:
    match mishap:
        case "bad_input":
            raise InputError("pixel size 0: give --pixel-size-angstrom")
        case "bug":
            raise KeyError("a bug")
        case "memory":
            raise MemoryError("7 GB")
        case "disk_full":
            raise OSError(28, "No space left on device", str(job.out / "sum.txt"))
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            ctypes.string_at(0)
        case "sleep":
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
            time.sleep(600)
        case _:
            _say(mishap, job)


def _say(mishap: str, job: JobContext) -> None:
    match mishap:
        case "eats_memory":
            eaten = []
            while len(eaten) < 64:
                eaten.append(b"x" * (32 << 20))
                time.sleep(0.02)
        case "bad_items":
            job.quarantine("a.mrc", "NaN pixels")
            job.quarantine("b.mrc", "truncated, 3 bytes")
        case "doubt":
            job.warning(f"{job.out / 'sum.txt'} may be <wrong>")
        case "library_warning":
            warnings.warn("this is deprecated", FutureWarning, stacklevel=2)
            for _ in range(2):
                np.float32(3e38) * np.float32(10)
