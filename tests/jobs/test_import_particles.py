"""Import of particles: found, checked, brought to our conventions."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import low_pass, resample_volume
from cryocloud.engine.geometry import angular_distance_deg, symmetry_operators
from cryocloud.engine.io.mrc import open_mrc, write_mrc
from cryocloud.engine.io.star import read_star, write_star
from cryocloud.engine.io.table_records import particle_set
from cryocloud.engine.io.tables import ParticleTables, read_particles, with_folder, write_particles

BOX, N = 24, 40


def bright_disks(n: int, *, seed: int = 0) -> np.ndarray:
    """Noise with a bright disk in the middle."""
    line = np.arange(BOX) - BOX // 2
    disk = np.hypot(line[:, None], line[None, :]) < 0.2 * BOX
    noise = np.random.default_rng(seed).normal(size=(n, BOX, BOX))
    return (noise + disk).astype(np.float32)


def star_blocks(names: list[str]) -> dict[str, pd.DataFrame]:
    optics = {
        "rlnOpticsGroup": [1],
        "rlnOpticsGroupName": ["opticsGroup1"],
        "rlnImagePixelSize": [1.5],
        "rlnVoltage": [300.0],
        "rlnSphericalAberration": [2.7],
        "rlnAmplitudeContrast": [0.1],
    }
    particles = {
        "rlnImageName": names,
        "rlnMicrographName": "micrograph.mrc",
        "rlnOpticsGroup": 1,
        "rlnDefocusU": np.linspace(1e4, 2e4, len(names)),
        "rlnDefocusV": 1e4,
        "rlnDefocusAngle": 0.0,
        "labColumn": [f"{row:03d}" for row in range(len(names))],
    }
    return {"optics": pd.DataFrame(optics), "particles": pd.DataFrame(particles)}


@pytest.fixture
def star(tmp_path: Path) -> Path:
    """40 bright particles in two stacks."""
    folder = tmp_path / "Extract"
    images = bright_disks(N)
    write_mrc(folder / "a.mrcs", images[: N // 2], 1.5, stack=True)
    write_mrc(folder / "b.mrcs", images[N // 2 :], 1.5, stack=True)
    (folder / "micrograph.mrc").write_bytes(b"")
    names = [f"{row % (N // 2) + 1:06d}@{'ab'[row // (N // 2)]}.mrcs" for row in range(N)]
    write_star(folder / "particles.star", star_blocks(names))
    return folder / "particles.star"


def save_cs(path: Path, *, sign: float) -> Path:
    dtype = [
        ("blob/path", "S32"), ("blob/idx", "<u4"), ("blob/psize_A", "<f4"), ("blob/sign", "<f4"),
        ("ctf/accel_kv", "<f4"), ("ctf/cs_mm", "<f4"), ("ctf/amp_contrast", "<f4"), ("ctf/df1_A", "<f4"),
        ("ctf/df2_A", "<f4"), ("ctf/df_angle_rad", "<f4"), ("location/micrograph_path", "S32"),
    ]  # fmt: skip
    records = np.zeros(N // 2, dtype=dtype)
    records["blob/path"], records["location/micrograph_path"] = b">a.mrcs", b">micrograph.mrc"
    records["blob/idx"] = np.arange(N // 2)[::-1]
    for name, value in {"blob/psize_A": 1.5, "blob/sign": sign, "ctf/accel_kv": 300, "ctf/cs_mm": 2.7,
                        "ctf/amp_contrast": 0.1, "ctf/df1_A": 1e4, "ctf/df2_A": 1e4}.items():  # fmt: skip
        records[name] = value
    with path.open("wb") as stream:
        np.save(stream, records)
    return path


def test_star_keeps_columns_and_points_to_the_stacks(star, run_job):
    run = run_job("import_particles", {"input": star}, out="Import")
    tables = read_particles(run.out / "particles.star")
    assert tables.particles["rlnImageName"].iloc[21] == "000002@../Extract/b.mrcs"
    assert tables.particles["rlnMicrographName"].iloc[0] == "../Extract/micrograph.mrc"
    assert tables.particles["labColumn"].tolist() == [f"{row:03d}" for row in range(N)]
    assert tables.optics["rlnImageSize"].tolist() == [BOX]
    np.testing.assert_array_equal(particle_set(tables).read_images(np.arange(N)), bright_disks(N))
    assert not (run.out / "particles.mrcs").exists()
    assert run.exceptions == {}
    assert run.metrics["particles"] == N
    # The rim spans 0.42 to 0.5 D and the middle is inside the disk: one noise deviation of contrast.
    assert run.metrics["contrast"] == pytest.approx(1.0, abs=0.15)
    for name in ("particles.png", "contrast.png"):
        assert (run.out / "plots" / name).stat().st_size > 2000


def test_dark_particles_are_noticed_and_inverted_on_request(star, run_job, capsys):
    for name in ("a.mrcs", "b.mrcs"):
        write_mrc(star.parent / name, -open_mrc(star.parent / name), 1.5, stack=True)
    run = run_job("import_particles", {"input": star}, out="dark")
    assert run.metrics["contrast"] < -0.8
    assert "import them with --invert-contrast yes" in capsys.readouterr().out
    run = run_job("import_particles", {"input": star}, out="inverted", invert_contrast="yes")
    assert run.metrics["contrast"] > 0.8
    assert "WARNING" not in capsys.readouterr().out
    tables = read_particles(run.out / "particles.star")
    assert tables.particles["rlnImageName"].iloc[21] == "000022@particles.mrcs"
    assert tables.particles["rlnMicrographName"].iloc[0] == "../Extract/micrograph.mrc"
    np.testing.assert_array_equal(open_mrc(run.out / "particles.mrcs"), bright_disks(N))


@pytest.mark.parametrize(
    ("choice", "sign", "inverted"),
    [("auto", -1, True), ("auto", 1, False), ("no", -1, False), ("yes", 1, True)],
)
def test_contrast_of_cryosparc_particles(star, run_job, choice, sign, inverted):
    cs = save_cs(star.parent / "p.cs", sign=sign)
    run = run_job("import_particles", {"input": cs}, invert_contrast=choice)
    read = particle_set(read_particles(run.out / "particles.star")).read_images(np.arange(N // 2))
    expected = bright_disks(N)[: N // 2][::-1]
    np.testing.assert_array_equal(read, -expected if inverted else expected)
    assert "ccImageSign" not in read_star(run.out / "particles.star")["particles"]


def test_bad_particles_are_set_aside(star, run_job):
    folder = star.parent
    images = bright_disks(3)
    images[1] = 4.0
    images[2, 5, 5] = np.nan
    write_mrc(folder / "c.mrcs", images, 1.5, stack=True)
    (folder / "cut.mrcs").write_bytes((folder / "a.mrcs").read_bytes()[:5000])
    write_mrc(folder / "small.mrcs", np.ones((2, 8, 8)), 1.5, stack=True)
    names = ["1@c.mrcs", "2@c.mrcs", "3@c.mrcs", "4@c.mrcs", "1@cut.mrcs", "2@cut.mrcs", "1@gone.mrcs", "2@small.mrcs",
             "5@a.mrcs"]  # fmt: skip
    write_star(star, star_blocks(names))
    run = run_job("import_particles", {"input": star})
    reasons = run.exceptions
    assert "is blank" in reasons["2@c.mrcs"]
    assert "NaN" in reasons["3@c.mrcs"]
    assert "only 3 images" in reasons["4@c.mrcs"]
    assert "truncated" in reasons["cut.mrcs"]
    assert "(2 particles)" in reasons["cut.mrcs"]
    assert "No such file" in reasons["gone.mrcs"]
    assert "1 boxes of 8 x 8 px, most are 24 x 24 px" in reasons["small.mrcs"]
    assert len(reasons) == 6
    kept = read_particles(run.out / "particles.star").particles
    assert kept["labColumn"].tolist() == ["000", "008"]
    assert (run.metrics["particles"], run.metrics["quarantined"]) == (2, 7)


def test_given_optics_win_over_the_file(star, run_job):
    run = run_job("import_particles", {"input": star}, pixel_size_angstrom=2.0, amplitude_contrast=0.07)
    optics = read_particles(run.out / "particles.star").optics
    assert optics["rlnImagePixelSize"].tolist() == [2.0]
    assert optics["rlnAmplitudeContrast"].tolist() == [0.07]
    assert optics["rlnVoltage"].tolist() == [300.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"optics": "rlnAmplitudeContrast"},
            "_rlnAmplitudeContrast: not in the input; give --amplitude-contrast",
        ),
        ({"optics": "rlnImagePixelSize"}, "_rlnImagePixelSize is missing"),
        ({"particles": "rlnDefocusU"}, "_rlnDefocusU is missing"),
        ({"particles": "rlnImageName"}, "_rlnImageName is missing"),
    ],
)
def test_missing_columns(star, run_job, changes, message):
    blocks = read_star(star)
    for name, label in changes.items():
        blocks[name] = blocks[name].drop(columns=label)
    write_star(star, blocks)
    with pytest.raises(InputError, match=message):
        run_job("import_particles", {"input": star})


def test_nothing_usable(star, run_job):
    write_star(star, star_blocks(["1@gone.mrcs"]))
    with pytest.raises(InputError, match=r"none of 1 image stacks can be read.*No such file"):
        run_job("import_particles", {"input": star})
    blocks = star_blocks(["1@a.mrcs"])
    write_star(star, blocks | {"particles": blocks["particles"].iloc[:0]})
    with pytest.raises(InputError, match="lists no particles"):
        run_job("import_particles", {"input": star})


def test_public_star_and_cs_give_the_same(data_dir, run_job):
    """The 7 EMPIAR-10076 particles are dark; the .cs says so, for the STAR one has to."""
    star = run_job(
        "import_particles",
        {"input": data_dir / "particles/empiar_10076_7.star"},
        out="s",
        invert_contrast="yes",
    )
    cs = run_job("import_particles", {"input": data_dir / "particles/empiar_10076_7.cs"}, out="c")
    assert (star.out / "particles.mrcs").read_bytes() == (cs.out / "particles.mrcs").read_bytes()
    assert cs.metrics["contrast"] > 0.05


def test_relion_reads_the_result(star, run_job, relion):
    run = run_job("import_particles", {"input": star}, invert_contrast="yes")
    done = subprocess.run(
        ["relion_stack_create", "--i", "particles.star", "--o", "copy"],
        cwd=run.out,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(open_mrc(run.out / "copy.mrcs"), open_mrc(run.out / "particles.mrcs"))


def test_malformed_cs_on_the_command_line(data_dir, tmp_path):
    source = data_dir / "interop/malformed_cs/J511_050_particles.cs"
    line = [
        sys.executable,
        "-m",
        "cryocloud.client.cli",
        "run",
        "import_particles",
        "--input",
        source,
        "--out",
        "I",
    ]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert "not with a NumPy header" in done.stderr
    assert "Traceback" not in done.stderr


def test_optics_groups_with_other_pixels_are_refined_together(  # type: ignore[no-untyped-def]
    run_job, tmp_path: Path, blob_volume, simulated_particles, write_particle_files
) -> None:
    """Half of the particles of one object with fine pixels in a wide box, half with coarse ones."""
    volume = blob_volume("D2", box_size_px=32)
    fine = resample_volume(volume, 4.0, 3.0, 48)
    sets = [
        simulated_particles(v, 60, snr=0.3, pixel_size_angstrom=pixel, seed=seed)
        for v, pixel, seed in ((volume, 4.0, 1), (fine, 3.0, 2))
    ]
    tables = []
    for number, simulated in enumerate(sets, start=1):
        particles = simulated.particles
        scaled = simulated.images.numpy() / simulated.noise_variance**0.5
        named = replace(particles, read_images=lambda rows, scaled=scaled: scaled[rows])
        star = write_particle_files(named)
        star.parent.rename(tmp_path / f"group{number}")
        tables.append(with_folder(read_particles(tmp_path / f"group{number}" / star.name), tmp_path))
    optics = pd.concat([t.optics.assign(rlnOpticsGroup=n) for n, t in enumerate(tables, start=1)])
    rows = pd.concat([t.particles.assign(rlnOpticsGroup=n) for n, t in enumerate(tables, start=1)])
    both = ParticleTables(optics.reset_index(drop=True), rows.reset_index(drop=True), tmp_path)
    write_particles(tmp_path / "both.star", both)
    imported = run_job("import_particles", {"input": tmp_path / "both.star"}, out="import")
    write_mrc(tmp_path / "start.mrc", low_pass(volume, 24.0, 4.0).numpy(), 4.0)
    inputs = {"input": imported.out / "particles.star", "reference": tmp_path / "start.mrc"}
    options = {"symmetry": "D2", "mask_diameter_angstrom": 110.0, "start_resolution_angstrom": 24.0}
    refined = run_job("refine", inputs, out="refine", **options)
    stored = read_particles(refined.out / "particles.star")
    assert list(stored.optics["rlnImagePixelSize"]) == [4.0, 3.0]
    assert list(stored.optics["rlnImageSize"]) == [32, 48]
    found = particle_set(stored)
    assert (found.box_size_px, found.pixel_size_angstrom) == (32, 4.0)
    true = torch.cat([s.particles.rotation for s in sets])
    error = angular_distance_deg(found.rotation, true, symmetry_operators("D2"))
    # 120 strong particles: a few degrees; a group whose frequencies or origins were wrong would be lost as a whole.
    assert error[:60].median() < 6 and error[60:].median() < 6
    moved = found.shift_px - torch.cat([sets[0].particles.shift_px, 0.75 * sets[1].particles.shift_px])
    assert moved.norm(dim=1).median() < 0.6
