"""Packages that a bare machine with CUDA and PyTorch lacks, as wheels to take along."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Beside torch, numpy, scipy, numba, pandas, pyarrow, matplotlib, einops, jaxtyping, pytest and hypothesis.
MISSING = (
    "mrcfile", "starfile", "gemmi", "pydantic", "pydantic-core", "annotated-types", "typing-inspection",
    "typing-extensions",
    "beartype", "torch-ctf", "torch-grid-utils",
)  # fmt: skip
PLATFORMS = (
    "manylinux_2_28_x86_64",
    "manylinux_2_27_x86_64",
    "manylinux_2_17_x86_64",
    "manylinux2014_x86_64",
)


def collect(folder: Path, python: str = "3.12") -> None:
    """Download the locked releases for that Python on Linux x86-64."""
    locked = dict(
        re.findall(r"^([a-z0-9-]+)==([^ ;+]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    )
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", python, "--implementation", "cp", "--dest", str(folder)]
    command += [word for platform in PLATFORMS for word in ("--platform", platform)]
    subprocess.run([*command, *(f"{name}=={locked[name]}" for name in MISSING)], check=True)
    size = sum(path.stat().st_size for path in folder.glob("*.whl"))
    print(f"{len(MISSING)} wheels, {size / 1e6:.1f} MB, in {folder}")
