"""``cryocloud demo``: simulate micrographs, process them on a platform like any visitor, compare with the truth."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryocloud.catalog.metrics import spoken_number

if TYPE_CHECKING:
    from cryocloud.client.platform import CryoCloud
    from cryocloud.client.platform.shapes import Job, Run

SYMMETRY = "O"
DIAMETER_ANGSTROM = 160
PIXEL_SIZE_ANGSTROM = 2.5
MICROGRAPHS = 8
DONE = (0, 3)
SIZES = ("--particles-per-micrograph", "60", "--width-px", "960", "--height-px", "960")
OPTICS = {"voltage_kv": 300.0, "spherical_aberration_mm": 2.7, "amplitude_contrast": 0.1}


def demo(arguments: list[str]) -> int:
    """Simulate; sign up, upload, process, download; compare; print a table of the outcome."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the platform ends with the demo
    if options.overwrite and options.out.exists():
        shutil.rmtree(options.out)
    simulated = _simulate(options)
    if simulated:
        return simulated
    results = _process(options)
    code = _compare(options, results["refine"])
    if code not in DONE:
        return code
    print("\n".join(_table(options.out, results)))
    return 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="cryocloud demo", description=demo.__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR", help="folder (default demo)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of all random draws (default 1)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all cores)")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="default auto")
    parser.add_argument("--overwrite", action="store_true", help="begin anew if the folder exists")
    parser.add_argument(
        "--micrographs", type=int, default=MICROGRAPHS, metavar="N", help=f"default {MICROGRAPHS}"
    )
    options = parser.parse_args(arguments)
    options.out = options.out.absolute()
    options.threads = options.threads or len(os.sched_getaffinity(0))
    return options


def _simulate(options: argparse.Namespace) -> int:
    """The object and its micrographs; only the comparison may look at their truth."""
    true_map = options.out / "Object/map.mrc"
    sampling = ["--pixel-size-angstrom", str(PIXEL_SIZE_ANGSTROM), "--symmetry", SYMMETRY]
    optics = [word for name, value in OPTICS.items() for word in (_option(name), str(value))]
    imaging = ["--micrographs", str(options.micrographs), *SIZES]
    for name, command in (
        ("Object", ["simulate_map", "--model", "procedural", *sampling]),
        ("Simulated", ["simulate_micrographs", "--map", str(true_map), *imaging, *optics]),
    ):
        code = _run_here(options, name, command)
        if code not in DONE:
            return code
    return 0


def _process(options: argparse.Namespace) -> dict[str, Path]:
    """What anybody does in the browser, over the same addresses. Returns the folders of what was downloaded."""
    from cryocloud.client.demo_platform import running_platform, sign_up
    from cryocloud.client.mail_sink import mail_sink
    from cryocloud.client.platform import CryoCloud

    settings = {"CRYOCLOUD_THREADS_PER_JOB": str(options.threads)}
    if options.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    with ExitStack() as stack:
        sink = stack.enter_context(mail_sink())
        address = stack.enter_context(running_platform(options.out / "Platform", sink, settings))
        print(f"platform at {address}/", flush=True)
        secret = sign_up(address, sink)
        print("signed up with the mailed code", flush=True)
        client = stack.enter_context(CryoCloud(address, secret))
        run = _upload_and_run(client, options)
        return _download(client, run, options.out)


def _upload_and_run(client: CryoCloud, options: argparse.Namespace) -> Run:
    dataset = client.create_dataset("Demo micrographs", profile=_profile())
    sent = client.upload_folder(options.out / "Simulated/micrographs", dataset.id)
    if sent.failures:
        raise SystemExit(f"upload failed: {sent.failures}")
    print(f"uploaded {sent.files_done} micrographs, {sent.total_bytes / 1e6:.0f} MB", flush=True)
    project = client.create_project("Demo")
    known = {"particle_diameter_angstrom": DIAMETER_ANGSTROM, "symmetry": SYMMETRY, **_profile()}
    micrographs = {"micrographs": f"dataset:{dataset.id}"}
    started = client.start_run(project.id, "spa", inputs=micrographs, parameters=known, seed=options.seed)
    return _watch(client, started.id)


def _profile() -> dict[str, float]:
    return {"pixel_size_angstrom": PIXEL_SIZE_ANGSTROM, **OPTICS}


def _watch(client: CryoCloud, run_id: str) -> Run:
    """Say when a job begins and ends; the run once it has ended."""
    told: set[tuple[str, str]] = set()
    for run in client.watch_run(run_id):
        for job in run.jobs:
            if job.state != "queued" and (job.id, job.state) not in told:
                told.add((job.id, job.state))
                print(f"  {job.number:03d} {job.job_type:<20} {job.state}", flush=True)
    if run.state != "done":
        failed = [f"{job.job_type}: {job.message}" for job in run.jobs if job.state == "failed"]
        raise SystemExit(f"the workflow ended as {run.state}: {run.doubt or run.message} {' '.join(failed)}")
    return run


def _download(client: CryoCloud, run: Run, out: Path) -> dict[str, Path]:
    """Classes, refinement and sharpened map, each file checked by its SHA-256, and a record of the run."""
    folders = {}
    for job_type in ("class2d", "refine", "postprocess"):
        job = _first(run.jobs, job_type)
        folders[job_type] = out / "Downloaded" / f"{job.number:03d}_{job_type}"
        for artifact in client.artifacts(job.id):
            client.download(artifact, folders[job_type])
    attempts = {
        f"{job.number:03d}_{job.job_type}": client.connection.get(f"/jobs/{job.id}")["attempts"]
        for job in run.jobs
    }
    cpu_s = {name: sum(one["cpu_s"] for one in tries) for name, tries in attempts.items()}
    record = {"key_numbers": run.key_numbers, "warnings": list(run.warnings), "cpu_s": cpu_s, "run": run.id}
    (out / "Downloaded/run.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return folders


def _first(jobs: tuple[Job, ...], job_type: str) -> Job:
    """A later refinement is the null control."""
    return min((job for job in jobs if job.job_type == job_type), key=lambda job: job.number)


def _compare(options: argparse.Namespace, refined: Path) -> int:
    truth = [
        "--truth",
        str(options.out / "Simulated/truth.star"),
        "--map",
        str(options.out / "Object/map.mrc"),
    ]
    found = ["--input", str(refined), "--symmetry", SYMMETRY]
    return _run_here(options, "Compared", ["compare_truth", *found, *truth])


def _run_here(options: argparse.Namespace, name: str, command: list[str]) -> int:
    """A job on the command line, beside the platform."""
    line = [sys.executable, "-m", "cryocloud.client.cli", "run", *command, "--out", str(options.out / name)]
    line += ["--seed", str(options.seed), "--device", options.device, "--threads", str(options.threads)]
    return subprocess.run(line, check=False).returncode


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _table(out: Path, results: dict[str, Path]) -> list[str]:
    """What came out, what it cost, and where it lies."""
    from cryocloud.client.demo_platform import EMAIL, PASSWORD

    compared, record = _read(out / "Compared/metrics.json"), _read(out / "Downloaded/run.json")
    numbers = {**record["key_numbers"], **compared}
    spoken = [spoken_number(name, value) for name, value in numbers.items()]
    lines = ["", "Result", *(_row(one.label, one.text) for one in spoken)]
    lines += ["", "CPU seconds", *(_row(name, f"{cpu_s:.0f}") for name, cpu_s in record["cpu_s"].items())]
    lines.append(_row("all", f"{sum(record['cpu_s'].values()):.0f}"))
    places = {
        "map": results["postprocess"] / "map_sharpened.mrc",
        "particles": results["refine"] / "particles.star",
        "plots": results["postprocess"] / "plots",
        "true map": out / "Object/map.mrc",
        "true poses": out / "Simulated/truth.star",
    }
    lines += ["", "Files", *(_row(name, str(path)) for name, path in places.items())]
    looks = {
        "start it": f"cryocloud up --home {out / 'Platform'}",
        "open": f"http://127.0.0.1:8000/runs/{record['run']}/",
        "log in": f"{EMAIL} with the password “{PASSWORD}”",
    }
    return [*lines, "", "Look at it in the browser", *(_row(name, words) for name, words in looks.items())]


def _row(name: str, text: str) -> str:
    return f"  {name:<28} {text}"


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
