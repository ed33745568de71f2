"""Check the engine on this machine's GPU: ``python -m benchmarks.device [--cpu] [--out FILE]`` (``make device-check``).

Runs from a checkout with PYTHONPATH=src on a machine that has PyTorch and no network. What it lacks is taken along:
``python -m benchmarks.device --collect-wheels build/wheels`` here,
``python -m pip install --no-index --no-deps --target /tmp/site build/wheels/*.whl`` and PYTHONPATH=src:/tmp/site there.
Without a GPU, or with ``--cpu``, everything is tiny and runs on the CPU. Exit code 1 where something failed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path

import torch

from benchmarks.__main__ import table
from benchmarks.device import engine_tests, jobs, kernels, machine, wheels
from benchmarks.device.rows import MULTIPROCESSING, Step, run_step

JOBS = ("class2d", "abinitio", "refine")
QUICK_TESTS = ("tests/engine/reconstruction/test_slicing.py", "tests/engine/alignment/test_direct.py")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cpu", action="store_true", help="tiny sizes on the CPU")
    parser.add_argument(
        "--out", type=Path, default=Path("build/device.json"), help="table, renewed after each step"
    )
    parser.add_argument("--work", type=Path, default=Path("build/device"), help="data and results")
    parser.add_argument("--seconds", type=float, default=480.0, help="for everything")
    parser.add_argument("--steps", nargs="+", metavar="STEP", help="only these")
    parser.add_argument(
        "--collect-wheels", type=Path, metavar="FOLDER", help="download what the machine lacks"
    )
    given = parser.parse_args()
    if given.collect_wheels is not None:
        wheels.collect(given.collect_wheels)
        return 0
    work, out = given.work.absolute(), given.out.absolute()
    for folder in (work, out.parent):
        folder.mkdir(parents=True, exist_ok=True)
    steps = cpu_steps(work) if given.cpu or not has_gpu() else gpu_steps(work)
    wanted = given.steps or [step.name for step in steps]
    rows = run_all([step for step in steps if step.name in wanted], given.seconds, work, out)
    return 1 if any(row["ok"] is False for row in rows) else 0


def has_gpu() -> bool:
    """Asked in another process: one that has spoken to the GPU can no longer be forked."""
    process = MULTIPROCESSING.Process(target=lambda: sys.exit(0 if torch.cuda.is_available() else 3))
    process.start()
    process.join()
    return process.exitcode == 0


def gpu_steps(work: Path) -> list[Step]:
    """The GPU's own results come first, so that a run cut short has them."""
    trial, warm_up = jobs.FULL, jobs.SMALL
    steps = [
        Step("machine", 40, partial(machine.measure, "cuda")),
        Step("kernels", 70, partial(kernels.measure, "cuda", kernels.FULL)),
        Step("data", 90, partial(jobs.make_data, (trial, warm_up), work)),
        *(
            Step(f"{name}-cuda", 90, partial(jobs.run_job, name, trial, "cuda", work, warm_up))
            for name in JOBS
        ),
        Step("tests", 120, partial(engine_tests.measure, "cuda", engine_tests.files_with_devices(), work)),
        *(Step(f"{name}-truth", 30, partial(jobs.judge, name, trial, "cuda", work)) for name in JOBS),
    ]
    for name in JOBS:
        steps.append(Step(f"{name}-cpu", 150, partial(jobs.run_job, name, trial, "cpu", work, warm_up)))
        steps.append(Step(f"{name}-agreement", 40, partial(jobs.judge, name, trial, "cuda", work)))
    return steps


def cpu_steps(work: Path) -> list[Step]:
    """The same with tiny sizes."""
    trial = jobs.SMALL
    return [
        Step("machine", 600, partial(machine.measure, "cpu")),
        Step("kernels", 600, partial(kernels.measure, "cpu", kernels.SMALL)),
        Step("data", 600, partial(jobs.make_data, (trial,), work)),
        *(Step(f"{name}-cpu", 600, partial(jobs.run_job, name, trial, "cpu", work)) for name in JOBS),
        Step("tests", 600, partial(engine_tests.measure, "cpu", QUICK_TESTS, work)),
        *(Step(f"{name}-truth", 600, partial(jobs.judge, name, trial, "cpu", work)) for name in JOBS),
    ]


def run_all(steps: list[Step], limit_s: float, work: Path, out: Path) -> list[dict[str, object]]:
    """Rows of all steps, printed and stored after each."""
    start = time.monotonic()
    rows: list[dict[str, object]] = []
    for step in steps:
        found = run_step(step, limit_s - (time.monotonic() - start), work)
        rows += found
        out.write_text(json.dumps(rows, indent=1))
        print(f"\n{step.name}\n{_text(found)}", flush=True)
    failed = [f"{row['step']}: {row['name']}" for row in rows if row["ok"] is False]
    print(f"\n{len(rows)} rows in {out}, {len(failed)} not as they should be", *failed, sep="\n  ")
    return rows


def _text(rows: list[dict[str, object]]) -> str:
    """The table, and the tracebacks below it."""
    columns = ("name", "value", "unit", "reference", "ratio", "ok")
    notes = [f"{row['name']}: {row['note']}" for row in rows if row["note"]]
    return "\n".join([table([{name: row[name] for name in columns} for row in rows]), *notes])


if __name__ == "__main__":
    sys.exit(main())
