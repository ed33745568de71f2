"""The platform without the engine: ``python checks/web_alone.py``.

Installs ``cryocloud[web]`` into an environment of its own, which holds no torch, starts ``cryocloud up`` there and asks
for the first page. Prints how long the first page took and what the three processes hold in memory.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
PORT = 8911
FIRST_PAGE_S_MAX = 10.0
MEMORY_MIB_MAX = 400
TRIES = 600
ENGINE = ("torch", "numpy", "scipy", "numba")


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="cryocloud-web-alone-") as text:
        folder = Path(text)
        venv.create(folder / "venv", with_pip=True)
        python = str(folder / "venv/bin/python")
        environment = {name: word for name, word in os.environ.items() if not name.startswith("CRYOCLOUD_")}
        environment |= {"CRYOCLOUD_HOME": str(folder / "home"), "CRYOCLOUD_PORT": str(PORT)}
        environment.pop("PYTHONPATH", None)
        subprocess.run([python, "-m", "pip", "install", "--quiet", f"{ROOT}[web]"], check=True)
        absent = f"import importlib.util as u; assert not [n for n in {ENGINE} if u.find_spec(n)]"
        subprocess.run([python, "-c", absent], check=True, cwd=folder)
        subprocess.run([python, "-m", "cryocloud.web", "check"], check=True, cwd=folder, env=environment)
        return serve_first_page(folder, environment)


def serve_first_page(folder: Path, environment: dict[str, str]) -> int:
    began_s = time.monotonic()
    platform = subprocess.Popen(
        [str(folder / "venv/bin/cryocloud"), "up"], cwd=folder, env=environment, stdout=subprocess.DEVNULL
    )
    try:
        page = first_page(platform)
        took_s = time.monotonic() - began_s
        time.sleep(2)  # scheduler and worker have begun, too
        memory_mib = sum(pss_mib(pid) for pid in children_of(platform.pid))
    finally:
        platform.terminate()
        platform.wait()
    print(f"without the engine: first page after {took_s:.1f} s, three processes hold {memory_mib:.0f} MiB")
    good = b"CryoCloud" in page and took_s < FIRST_PAGE_S_MAX and memory_mib < MEMORY_MIB_MAX
    return 0 if good else 1


def first_page(platform: subprocess.Popen[bytes]) -> bytes:
    for _ in range(TRIES):
        if platform.poll() is not None:
            sys.exit(f"cryocloud up ended with {platform.returncode}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/", timeout=60) as answer:
                return bytes(answer.read())
        except OSError:
            time.sleep(0.1)
    sys.exit("no page within a minute")


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def pss_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


if __name__ == "__main__":
    sys.exit(main())
