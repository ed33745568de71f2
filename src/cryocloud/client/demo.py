"""``cryocloud demo``: simulate micrographs, process them as if nothing were known, compare with the truth."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryocloud.catalog.units import spoken_number

SYMMETRY = "O"
DIAMETER_ANGSTROM = 160
PIXEL_SIZE_ANGSTROM = 2.5
DONE = (0, 3)
IMAGING = (
    "--micrographs", "8", "--particles-per-micrograph", "60", "--width-px", "960", "--height-px", "960",
)  # fmt: skip
OPTICS = ("--voltage-kv", "300", "--spherical-aberration-mm", "2.7", "--amplitude-contrast", "0.1")


def demo(arguments: list[str]) -> int:
    """Simulate, process, compare; print a table of the outcome."""
    parser = argparse.ArgumentParser(prog="cryocloud demo", description=demo.__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR", help="folder (default demo)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of all random draws (default 1)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all cores)")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="default auto")
    parser.add_argument("--overwrite", action="store_true", help="redo what is finished")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, lambda *_: None)  # the command that runs hears it too, and ends cleanly
    for name, command in _commands(options.out):
        if options.overwrite or not (options.out / name / "job.json").exists():
            line = [*_cryocloud(), *command, "--out", str(options.out / name), *_shared(options)]
            code = subprocess.run(line, check=False).returncode
            if code not in DONE:
                return code
    print("\n".join(_table(options.out)))
    return 0


def _commands(out: Path) -> Iterator[tuple[str, list[str]]]:
    """Folder and command line of each stage; only the comparison may look at the truth."""
    true_map, simulated, project = out / "Object/map.mrc", out / "Simulated", out / "Project"
    symmetry = ["--symmetry", SYMMETRY]
    sampling = ["--pixel-size-angstrom", str(PIXEL_SIZE_ANGSTROM)]
    yield "Object", ["run", "simulate_map", "--model", "procedural", *sampling, *symmetry]
    yield "Simulated", ["run", "simulate_micrographs", "--map", str(true_map), *IMAGING, *OPTICS]
    micrographs = ["--micrographs", str(simulated / "micrographs/*.mrc")]
    known = [*sampling, *OPTICS, "--particle-diameter-angstrom", str(DIAMETER_ANGSTROM), *symmetry]
    yield "Project", ["workflow", "run", "spa", *micrographs, *known]
    found = ["--input", str(_folder(project, "refine")), *symmetry]
    truth = ["--truth", str(simulated / "truth.star"), "--map", str(true_map)]
    yield "Compared", ["run", "compare_truth", *found, *truth]


def _folder(project: Path, job_type: str) -> Path:
    """The first job of that type; a later refinement is the null control."""
    return min(project.glob(f"*_{job_type}"))


def _cryocloud() -> list[str]:
    return [sys.executable, "-m", "cryocloud.client.cli"]


def _shared(options: argparse.Namespace) -> list[str]:
    shared = ["--seed", str(options.seed), "--device", options.device]
    if options.threads:
        shared += ["--threads", str(options.threads)]
    return [*shared, "--overwrite"] if options.overwrite else shared


def _table(out: Path) -> list[str]:
    """What came out, what it cost, and where it lies."""
    project = out / "Project"
    compared = _read(out / "Compared/metrics.json")
    numbers = {**_read(project / "decisions.json")["key_numbers"], **compared}
    lines = ["", "Result", *(_row(*spoken_number(name, value)) for name, value in numbers.items())]
    folders = sorted(path.parent for path in project.glob("*/job.json"))
    jobs = {folder.name: _read(folder / "job.json") for folder in folders}
    lines += ["", "CPU seconds", *(_row(name, f"{job['cpu_s']:.0f}") for name, job in jobs.items())]
    lines.append(_row("all", f"{sum(job['cpu_s'] for job in jobs.values()):.0f}"))
    refined, sharpened = _folder(project, "refine"), _folder(project, "postprocess")
    places = {
        "report": project / "report.html",
        "map": sharpened / "map_sharpened.mrc",
        "particles": refined / "particles.star",
        "plots": sharpened / "plots",
        "true map": out / "Object/map.mrc",
        "true poses": out / "Simulated/truth.star",
    }
    return [*lines, "", "Files", *(_row(name, str(path)) for name, path in places.items())]


def _row(name: str, text: str) -> str:
    return f"  {name:<28} {text}"


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
