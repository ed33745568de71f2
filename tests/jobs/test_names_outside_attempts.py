"""The same through the processes of the platform: a whole attempt, previews and inspection in their sandbox."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cryocloud.catalog import load_job_type
from cryocloud.compute.attempt import Attempt, AttemptSpec
from cryocloud.compute.sandbox import run_tool
from cryocloud.engine.io.mrc import write_mrc
from cryocloud.engine.io.star import write_star
from outside_world import FORMS, SECRET, World, make_world, opened_files, traces_of_the_secret

OPTICS = {
    "rlnOpticsGroup": [1], "rlnOpticsGroupName": ["opticsGroup1"], "rlnMicrographPixelSize": [1.5],
    "rlnVoltage": [300.0], "rlnSphericalAberration": [2.7], "rlnAmplitudeContrast": [0.1],
}  # fmt: skip
MEMORY_BYTES = 3 << 30
REFUSED = "_rlnMicrographName in row 2 names a file outside the inputs of this job"


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = make_world(tmp_path / "home")
    write_mrc(made.own / "good.mrc", np.random.default_rng(0).normal(size=(128, 128)), 1.5)
    return made


def put_list(world: World, name: str) -> Path:
    rows = {"rlnMicrographName": ["good.mrc", name], "rlnOpticsGroup": 1, "rlnCtfImage": name,
            "rlnCoordinateX": 64.0, "rlnCoordinateY": 64.0}  # fmt: skip
    for table in ("micrographs", "particles"):
        path = world.own / f"{table}.star"
        write_star(path, {"optics": pd.DataFrame(OPTICS), table: pd.DataFrame(rows)})
    return world.own


def run_attempt(world: World, job_type: str, table: str, **parameters: Any) -> tuple[dict[str, Any], Path]:
    attempt = Attempt(world.home / "attempts" / "a")
    attempt.folder.mkdir(parents=True)
    out = attempt.folder / "out"
    attempt.write_spec(
        AttemptSpec(
            "a",
            job_type,
            load_job_type(job_type).version,
            load_job_type(job_type).parameters.model_validate(parameters).model_dump(mode="json"),
            {"input": str(world.own / table)},
            str(out),
            device="cpu",
            readable=[str(world.own)],
        )
    )
    subprocess.run(
        [sys.executable, "-m", "cryocloud.compute.runner", str(attempt.folder)],
        stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=120, cwd=attempt.folder,
        env=dict(os.environ),
    )  # fmt: skip
    return json.loads(attempt.exit_file.read_text()), out


CASES = [
    pytest.param("import_micrographs", "micrographs.star", {}, "relative"),
    pytest.param("extract", "particles.star", {"box_size_px": 32}, "link", marks=pytest.mark.slow),
    pytest.param("extract", "particles.star", {"box_size_px": 32}, "proc", marks=pytest.mark.slow),
    pytest.param("import_micrographs", "micrographs.star", {}, "linked-root", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("job_type", "table", "parameters", "form"), CASES)
def test_an_attempt_sets_the_outside_row_aside_and_goes_on(world, job_type, table, parameters, form):
    put_list(world, FORMS[form](world, f"{SECRET}.mrc"))
    with opened_files(world.other) as opened:
        end, out = run_attempt(world, job_type, table, **parameters)
        assert opened() == []
    assert end["code"] == 3, end
    assert REFUSED in (out / "exceptions.csv").read_text()
    assert traces_of_the_secret([out.parent], [json.dumps(end)]) == []


@pytest.mark.slow
def test_previews_and_inspection_in_their_sandbox(world):
    put_list(world, FORMS["absolute"](world, f"{SECRET}.mrc"))
    (world.own / "x.xml").write_text(
        f'<!DOCTYPE m [<!ENTITY e SYSTEM "file://{world.other}/{SECRET}.txt">]><m>&e;</m>'
    )
    out = world.home / "previews"
    out.mkdir()
    order = {"folder": str(world.own), "out": str(out), "upstream": [], "readable": [], "seconds": 30,
             "symmetry": "C1"}  # fmt: skip
    run: Callable[..., dict[str, Any]] = run_tool
    with opened_files(world.other) as opened:
        shown = run("cryocloud.jobs.result_previews", order | {"part": "micrographs"}, timeout_s=60,
                    memory_bytes=MEMORY_BYTES)  # fmt: skip
        files = [
            {"path": str(world.own / name), "name": name, "previews": {}}
            for name in ("x.xml", "micrographs.star")
        ]
        found = run("cryocloud.jobs.inspection", {"files": files, "seconds": 30}, timeout_s=60,
                    memory_bytes=MEMORY_BYTES)  # fmt: skip
        assert opened() == []
    assert len(shown["micrographs"]["shown"]) == 1
    assert REFUSED in shown["problems"][0]["reason"]
    assert [one["state"] for one in found["files"]] == ["other", "read"]
    assert traces_of_the_secret([out], [json.dumps(shown), json.dumps(found)]) == []
