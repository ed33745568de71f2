"""Compiles the kernels and lists the fonts once: ``python -m cryocloud.compute.warm [FOLDER] [--attached]``.

A small simulated set goes through the job types that have kernels. Confined jobs get a copy of what that leaves;
without it each of them compiles for itself.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import cryocloud
from cryocloud.compute.attached import ATTACHED, run_attached
from cryocloud.compute.isolation.inside import WARM_CACHES

SOURCES = "sources"
SYMMETRY = {"symmetry": "D2"}
OPTICS = {"voltage_kv": 300.0, "spherical_aberration_mm": 2.7, "amplitude_contrast": 0.1}
STEPS: tuple[tuple[str, dict[str, Any], dict[str, str]], ...] = (
    ("simulate_map", {"pixel_size_angstrom": 5.0, **SYMMETRY}, {"model": "procedural"}),
    ("simulate_particles", {"particles": 200, **OPTICS, **SYMMETRY}, {"map": "simulate_map/map.mrc"}),
    ("class2d", {"classes": 4}, {"input": "simulate_particles/particles.star"}),
    ("abinitio", SYMMETRY, {"input": "simulate_particles/particles.star"}),
    ("refine", SYMMETRY, {"input": "simulate_particles/particles.star", "reference": "simulate_map/map.mrc"}),
)


def main(arguments: list[str]) -> int:
    folders = [Path(one) for one in arguments if one != ATTACHED]
    folder = folders[0] if folders else installed_folder()
    if ATTACHED in arguments:
        threading.Thread(target=_end_with_owner, daemon=True).start()
    if is_warm(folder):
        return 0
    with tempfile.TemporaryDirectory(prefix="warm-") as work:
        caches = Path(work, "caches")
        environment = {
            **os.environ,
            **{variable: str(caches / name) for name, variable in WARM_CACHES.items()},
        }
        for job_type, parameters, inputs in STEPS:
            _run(job_type, parameters, inputs, Path(work), environment)
        (caches / SOURCES).write_text(_sources())
        making = folder.with_name(f"{folder.name}.making")
        for old in (making, folder):
            shutil.rmtree(old, ignore_errors=True)
        shutil.copytree(caches, making)
        making.rename(folder)
    return 0


def is_warm(folder: Path) -> bool:
    """Whether it was made from the kernels that are installed now."""
    try:
        return (folder / SOURCES).read_text() == _sources()
    except OSError:
        return False


def _sources() -> str:
    digest = hashlib.sha256()
    for path in sorted((Path(cryocloud.__file__).parent / "engine/native").glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _end_with_owner() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


def installed_folder() -> Path:
    """Beside the code, for all platforms of this installation."""
    return Path(cryocloud.__file__).parent / "warm"


def _run(
    job_type: str, parameters: dict[str, Any], inputs: dict[str, str], work: Path, environment: dict[str, str]
) -> None:
    given = {name: str(work / text) if "/" in text else text for name, text in inputs.items()}
    order = {"job_type": job_type, "parameters": parameters, "inputs": given, "out": str(work / job_type)}
    run_attached(order, environment=environment)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
