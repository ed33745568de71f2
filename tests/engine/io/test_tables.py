"""Particle and micrograph tables: upgrades, paths, poses, and what stages get to see."""

from __future__ import annotations

import math
import shutil
import subprocess
from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd
import pytest
import torch

from cryocloud.engine.errors import InputError
from cryocloud.engine.geometry import angular_distance_deg, random_rotations
from cryocloud.engine.io.cryosparc import read_cs
from cryocloud.engine.io.mrc import MrcStackWriter, write_mrc
from cryocloud.engine.io.star import read_star, write_star
from cryocloud.engine.io.table_records import ctf_parameters, particle_set, with_poses
from cryocloud.engine.io.tables import (
    MicrographTables,
    ParticleTables,
    read_micrographs,
    read_particles,
    write_micrographs,
    write_particles,
)

BOX = 16
PIXEL_SIZE = 1.25


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(2).normal(size=(5, BOX, BOX)).astype(np.float32)


@pytest.fixture
def particles(tmp_path: Path, images: np.ndarray) -> ParticleTables:
    """Five particles in two stacks and two optics groups that differ in voltage."""
    folder = tmp_path / "Extract"
    for name, part in (("a.mrcs", images[:3]), ("b.mrcs", images[3:])):
        (folder / "stacks").mkdir(parents=True, exist_ok=True)
        with MrcStackWriter(folder / "stacks" / name, BOX, PIXEL_SIZE) as stack:
            stack.append(part)
    names = [
        "1@stacks/a.mrcs",
        "000002@stacks/a.mrcs",
        "2@stacks/b.mrcs",
        "1@stacks/b.mrcs",
        "3@stacks/a.mrcs",
    ]
    optics = pd.DataFrame(
        {
            "rlnOpticsGroupName": ["late", "early"],
            "rlnOpticsGroup": [7, 2],
            "rlnVoltage": [200.0, 300.0],
            "rlnSphericalAberration": [2.7, 0.01],
            "rlnAmplitudeContrast": [0.1, 0.07],
            "rlnImagePixelSize": [PIXEL_SIZE, PIXEL_SIZE],
        }
    )
    table = pd.DataFrame(
        {
            "rlnImageName": pd.Series(names, dtype="str"),
            "rlnOpticsGroup": [2, 7, 2, 2, 7],
            "rlnDefocusU": [15000.0, 16000.0, 17000.0, 18000.0, 19000.0],
            "rlnDefocusV": [14000.0, 15000.0, 16000.0, 17000.0, 18000.0],
            "rlnDefocusAngle": [0.0, 10.0, 20.0, 30.0, 40.0],
            "rlnRandomSubset": [1, 2, 1, 2, 1],
            "labNotebookPage": ["12", "12", "13", "14", "fifteen"],
        }
    )
    return ParticleTables(optics, table, folder)


def test_particle_set_reads_images_in_the_order_asked_for(particles, images):
    found = particle_set(particles)
    assert (found.box_size_px, found.pixel_size_angstrom, len(found)) == (BOX, PIXEL_SIZE, 5)
    # rows 0..4 are images 0, 1, 4, 3, 2 of the two stacks
    np.testing.assert_array_equal(found.read_images(np.array([4, 0, 2, 0])), images[[2, 0, 4, 0]])
    assert found.half_set.tolist() == [1, 2, 1, 2, 1]
    assert found.class_number.tolist() == [0] * 5
    torch.testing.assert_close(found.rotation, torch.eye(3, dtype=torch.float64).expand(5, 3, 3))


def test_optics_follow_the_group_number_not_the_row(particles):
    ctf = ctf_parameters(particles.optics, particles.particles)
    assert ctf.voltage_kv.tolist() == [300.0, 200.0, 300.0, 300.0, 200.0]
    assert ctf.spherical_aberration_mm.tolist() == [0.01, 2.7, 0.01, 0.01, 2.7]
    assert ctf.phase_shift_deg.tolist() == ctf.b_factor_angstrom2.tolist() == [0.0] * 5
    assert ctf.defocus_u_angstrom.dtype == torch.float64


def test_poses_survive_a_round_trip(particles, tmp_path):
    """Six decimals of a degree and of an Angstrom."""
    generator = torch.Generator().manual_seed(3)
    rotation = random_rotations(5, generator)
    shift_px = torch.randn(5, 2, generator=generator, dtype=torch.float64) * 4
    write_particles(tmp_path / "p.star", with_poses(particles, rotation, shift_px))
    read = particle_set(read_particles(tmp_path / "p.star"))
    assert angular_distance_deg(read.rotation, rotation).max() < 3e-6
    torch.testing.assert_close(read.shift_px, shift_px, rtol=0, atol=0.5e-6 / PIXEL_SIZE + 1e-12)
    assert "rlnAngleRot" not in particles.particles


def test_unknown_columns_pass_through(particles, tmp_path):
    write_particles(tmp_path / "Extract" / "p.star", particles)
    read = read_particles(tmp_path / "Extract" / "p.star")
    pd.testing.assert_frame_equal(read.particles, particles.particles)
    pd.testing.assert_frame_equal(read.optics, particles.optics)


def test_file_names_follow_the_table_to_another_folder(particles, images, tmp_path):
    write_particles(tmp_path / "Class2D" / "deep" / "p.star", particles)
    read = read_particles(tmp_path / "Class2D" / "deep" / "p.star")
    assert read.particles["rlnImageName"].tolist()[1] == "000002@../../Extract/stacks/a.mrcs"
    np.testing.assert_array_equal(particle_set(read).read_images(np.array([1])), images[[1]])


def test_names_of_missing_files_and_absolute_names_stay(tmp_path):
    table = pd.DataFrame({"rlnMicrographName": ["gone/m.mrc", "/data/m.mrc"]})
    optics = pd.DataFrame({"rlnOpticsGroup": [1], "rlnMicrographPixelSize": [1.5]})
    write_micrographs(tmp_path / "b" / "m.star", MicrographTables(optics, table, tmp_path / "a"))
    read = read_micrographs(tmp_path / "b" / "m.star")
    assert read.micrographs["rlnMicrographName"].tolist() == ["gone/m.mrc", "/data/m.mrc"]


def test_selection_by_mask_and_by_rows(particles):
    mask = np.array([True, False, True, False, False])
    assert particles.select(mask).particles["rlnDefocusU"].tolist() == [15000.0, 17000.0]
    assert particles.select(np.array([4, 0])).particles["rlnDefocusU"].tolist() == [19000.0, 15000.0]


def test_more_stacks_than_may_be_open(tmp_path):
    names = []
    for number in range(150):
        write_mrc(tmp_path / f"{number}.mrcs", np.full((1, 4, 4), number), 1.5, stack=True)
        names.append(f"1@{number}.mrcs")
    optics = pd.DataFrame({"rlnOpticsGroup": [1], "rlnImagePixelSize": [1.5], "rlnVoltage": [300.0],
                           "rlnSphericalAberration": [2.7], "rlnAmplitudeContrast": [0.1]})  # fmt: skip
    table = pd.DataFrame(
        {"rlnImageName": names, "rlnDefocusU": 1e4, "rlnDefocusV": 1e4, "rlnDefocusAngle": 0.0}
    )
    read = particle_set(ParticleTables(optics, table, tmp_path)).read_images
    for _ in range(2):
        assert read(np.arange(150))[:, 0, 0].tolist() == list(range(150))


# RELION 3.0


def old_table(**columns: object) -> pd.DataFrame:
    base = {
        "rlnImageName": ["1@p.mrcs", "2@p.mrcs", "3@p.mrcs"],
        "rlnVoltage": [300, 200, 300],
        "rlnSphericalAberration": 2.7,
        "rlnAmplitudeContrast": 0.1,
        "rlnMagnification": 10000.0,
        "rlnDetectorPixelSize": 1.5,
        "rlnOriginX": [1.0, -2.0, 0.5],
        "rlnOriginY": 0.0,
        "rlnBeamTiltX": 0.2,
        "somebodysColumn": ["x", "y", "z"],
    }
    return pd.DataFrame(base | columns)


def test_relion_30_table_becomes_optics_groups(tmp_path):
    write_star(tmp_path / "p.star", {"": old_table()})
    tables = read_particles(tmp_path / "p.star")
    assert tables.optics.to_dict("list") == {
        "rlnOpticsGroup": [1, 2],
        "rlnOpticsGroupName": ["opticsGroup1", "opticsGroup2"],
        "rlnVoltage": [300.0, 200.0],
        "rlnSphericalAberration": [2.7, 2.7],
        "rlnAmplitudeContrast": [0.1, 0.1],
        "rlnBeamTiltX": [0.2, 0.2],
        "rlnImagePixelSize": [1.5, 1.5],
        "rlnMicrographOriginalPixelSize": [1.5, 1.5],
    }
    assert tables.particles.to_dict("list") == {
        "rlnImageName": ["1@p.mrcs", "2@p.mrcs", "3@p.mrcs"],
        "somebodysColumn": ["x", "y", "z"],
        "rlnOriginXAngst": [1.5, -3.0, 0.75],
        "rlnOriginYAngst": [0.0, 0.0, 0.0],
        "rlnOpticsGroup": [1, 2, 1],
    }


def test_given_optics_win_over_the_file(tmp_path):
    old = old_table().drop(columns=["rlnMagnification", "rlnAmplitudeContrast"])
    write_star(tmp_path / "p.star", {"images": old})
    optics = read_particles(
        tmp_path / "p.star",
        optics={"rlnImagePixelSize": 2.0, "rlnAmplitudeContrast": 0.07, "rlnVoltage": 120},
    )
    assert optics.optics["rlnImagePixelSize"].tolist() == [2.0, 2.0]
    assert optics.optics["rlnAmplitudeContrast"].tolist() == [0.07, 0.07]
    assert optics.optics["rlnVoltage"].tolist() == [120.0, 120.0]
    assert optics.particles["rlnOriginXAngst"].tolist() == [2.0, -4.0, 1.0]


def test_upgrade_agrees_with_relion_convert_star(data_dir, tmp_path, relion):
    """RELION's own converter on a real 3.0 file; it prints negative numbers with five decimals."""
    source = data_dir / "particles/sample_particles_relion30.star"
    subprocess.run(
        [shutil.which("relion_convert_star"), "--i", source, "--o", tmp_path / "theirs.star"],
        cwd=source.parent, capture_output=True, check=True,
    )  # fmt: skip
    theirs = read_star(tmp_path / "theirs.star")
    ours = read_particles(source)
    for label in ("rlnVoltage", "rlnImagePixelSize", "rlnSphericalAberration", "rlnAmplitudeContrast"):
        assert ours.optics[label].tolist() == pytest.approx(theirs["optics"][label].tolist(), abs=1e-6)
    assert ours.particles["rlnOpticsGroup"].tolist() == theirs["particles"]["rlnOpticsGroup"].tolist()
    for label in ("rlnOriginXAngst", "rlnOriginYAngst", "rlnDefocusU", "rlnAnglePsi"):
        assert ours.particles[label].tolist() == pytest.approx(
            theirs["particles"][label].tolist(), abs=5.1e-6
        )


# Bad input


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ({"x": {"rlnDefocusU": [1.0]}}, r"no table has column _rlnImageName"),
        (
            {"optics": {"rlnOpticsGroup": [1]}, "particles": {"rlnDefocusU": [1.0]}},
            r"_rlnImageName is missing in data_par",
        ),
        ({"": {"rlnImageName": ["1@a"]}}, r"no column _rlnMagnification.*pixel size"),
        (
            {"optics": {"rlnOpticsGroup": [1]}, "particles": {"rlnImageName": ["1@a"]}},
            r"column _rlnImagePixelSize is missing in data_optics",
        ),
        (
            {"optics": {"rlnImagePixelSize": [1.0]}, "particles": {"rlnImageName": ["1@a"]}},
            r"column _rlnOpticsGroup is missing",
        ),
        (
            {
                "optics": {"rlnOpticsGroup": [1], "rlnImagePixelSize": [1.0]},
                "particles": {"rlnImageName": ["1@a"], "rlnOpticsGroup": [3]},
            },
            r"optics group 3 is used but not listed",
        ),
        (
            {
                "optics": {"rlnOpticsGroup": [1, 1], "rlnImagePixelSize": [1.0, 1.0]},
                "particles": {"rlnImageName": ["1@a"], "rlnOpticsGroup": [1]},
            },
            r"listed twice",
        ),
    ],
)
def test_incomplete_tables_are_refused(tmp_path, blocks, message):
    path = tmp_path / "p.star"
    write_star(path, {name: pd.DataFrame(columns) for name, columns in blocks.items()})
    with pytest.raises(InputError, match=message) as raised:
        read_particles(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("label", ["rlnDefocusU", "rlnDefocusAngle"])
def test_missing_ctf_column(particles, label):
    with pytest.raises(InputError, match=f"_{label} is missing.*cryocloud run ctf"):
        ctf_parameters(particles.optics, particles.particles.drop(columns=label))


def test_missing_optics_column(particles):
    with pytest.raises(InputError, match="_rlnVoltage is missing in data_optics"):
        ctf_parameters(particles.optics.drop(columns="rlnVoltage"), particles.particles)


def test_text_where_a_number_belongs(particles):
    words = particles.particles.assign(rlnDefocusU=["much"] * 5)
    with pytest.raises(InputError, match=r"_rlnDefocusU has a value that is no number.*much"):
        ctf_parameters(particles.optics, words)


@pytest.mark.parametrize(("value", "named"), [(1.7, "1.7"), (math.nan, "nan"), (math.inf, "inf")])
def test_a_fraction_where_a_whole_number_belongs(particles, value, named):
    with pytest.raises(InputError, match=rf"_rlnClassNumber has 1 values.*row 2 \({named}\)"):
        particle_set(changed(particles, rlnClassNumber=[1, value, 1, 2, 3]))


def changed(particles: ParticleTables, **columns: object) -> ParticleTables:
    return ParticleTables(particles.optics, particles.particles.assign(**columns), particles.folder)


def test_missing_stacks(particles):
    with pytest.raises(InputError, match=r"1 of 1 image stacks are missing.*gone\.mrcs"):
        particle_set(changed(particles, rlnImageName="1@gone.mrcs"))


def test_image_beyond_the_end_of_its_stack(particles):
    with pytest.raises(InputError, match="image 4 is asked for, the stack has 3"):
        particle_set(changed(particles, rlnImageName="4@stacks/a.mrcs"))


@pytest.mark.parametrize("name", ["0@stacks/a.mrcs", "x@stacks/a.mrcs", "-1@stacks/a.mrcs"])
def test_image_numbers_count_from_one(particles, name):
    with pytest.raises(InputError, match="must be a number from 1"):
        particle_set(changed(particles, rlnImageName=name))


def test_boxes_of_different_size(particles):
    write_mrc(particles.folder / "c.mrcs", np.zeros((1, 8, 8)), PIXEL_SIZE, stack=True)
    names = [*particles.particles["rlnImageName"][:4], "1@c.mrcs"]
    with pytest.raises(InputError, match=r"sizes \[\(8, 8\), \(16, 16\)\]"):
        particle_set(changed(particles, rlnImageName=names))


def test_boxes_that_are_not_square(particles):
    write_mrc(particles.folder / "c.mrcs", np.zeros((1, 8, 10)), PIXEL_SIZE, stack=True)
    with pytest.raises(InputError, match="10 x 8 px"):
        particle_set(changed(particles, rlnImageName="1@c.mrcs"))


def test_no_particles(particles):
    with pytest.raises(InputError, match="holds no particles"):
        particle_set(particles.select(np.zeros(5, dtype=np.bool_)))


def test_cryosparc_file_is_named(tmp_path):
    with pytest.raises(InputError, match="import_particles"):
        read_particles(tmp_path / "p.cs")


# Public files


def test_public_particle_files_are_read_or_refused_by_name(data_dir):
    read, refused = {}, {}
    for path in sorted((data_dir / "interop").rglob("*.[sc]*")) + sorted(
        (data_dir / "particles").glob("*.[sc]*")
    ):
        if path.suffix not in (".star", ".cs"):
            continue
        try:
            read[path.name] = read_cs(path) if path.suffix == ".cs" else read_particles(path)
        except InputError as error:
            refused[str(path)] = str(error)
    assert {name: len(tables) for name, tables in read.items()} == {
        "cryodrgn_FinalRefinement-OriginalParticles-PfCRT.star": 5,
        "cryodrgn_relion31.6opticsgroups.star": 139,
        "cryodrgn_relion5.star": 17,
        "topaz_empiar10025_picks_head.star": 669,
        "empiar_10076_7.star": 7,
        "relion31.star": 5,
        "relion31.v2.star": 5,
        "sample_particles_relion30.star": 17,
        "sample_particles_relion31.star": 17,
        "cryosparc_J2_particles_exported.cs": 22,
        "cryosparc_P12_J24_001_particles.cs": 2019,
        "empiar_10076_7.cs": 7,
    }
    for path, message in refused.items():
        assert message.startswith(path)
        assert "no table has column _rlnImageName" in message or "numpy header" in message.lower()


def test_public_images_are_those_that_mrcfile_reads(data_dir):
    for star, stack in (("relion31.v2.star", "relion31.mrcs"), ("empiar_10076_7.star", "empiar_10076_7.mrc")):
        found = particle_set(read_particles(data_dir / "particles" / star))
        with mrcfile.mmap(data_dir / "particles" / stack, permissive=True) as mrc:
            np.testing.assert_array_equal(found.read_images(np.array([3, 1])), mrc.data[[3, 1]])


def test_aberrations_of_six_groups_pass_through(data_dir, tmp_path):
    source = data_dir / "interop/star/cryodrgn_relion31.6opticsgroups.star"
    tables = read_particles(source)
    write_particles(tmp_path / "p.star", tables)
    blocks = read_star(tmp_path / "p.star")
    pd.testing.assert_frame_equal(blocks["optics"], read_star(source)["optics"])
    pd.testing.assert_frame_equal(blocks["particles"], read_star(source)["particles"])
