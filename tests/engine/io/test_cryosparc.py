"""Particles of cryoSPARC."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from cryocloud.engine.errors import InputError
from cryocloud.engine.geometry import rotation_from_euler
from cryocloud.engine.io.cryosparc import read_cs, unconverted_aberrations
from cryocloud.engine.io.mrc import write_mrc
from cryocloud.engine.io.table_records import ctf_parameters, particle_set
from cryocloud.engine.io.tables import read_particles

N = 6


def records(**fields: Any) -> np.ndarray:
    base: dict[str, Any] = {
        "uid": np.arange(N, dtype=np.uint64),
        "blob/path": np.array([b">J1/extract/a.mrc"] * N),
        "blob/idx": np.arange(N, dtype=np.uint32),
        "blob/shape": np.full((N, 2), 16, dtype=np.uint32),
        "blob/psize_A": np.full(N, 1.345, dtype=np.float32),
        "blob/sign": np.full(N, -1, dtype=np.float32),
        "ctf/accel_kv": np.full(N, 300, dtype=np.float32),
        "ctf/cs_mm": np.full(N, 2.7, dtype=np.float32),
        "ctf/amp_contrast": np.full(N, 0.1, dtype=np.float32),
        "ctf/df1_A": np.full(N, 16412.18, dtype=np.float32),
        "ctf/df2_A": np.full(N, 16236.26, dtype=np.float32),
        "ctf/df_angle_rad": np.full(N, np.pi / 6, dtype=np.float32),
        "ctf/phase_shift_rad": np.full(N, np.pi / 2, dtype=np.float32),
        "ctf/exp_group_id": np.array([5, 5, 9, 9, 5, 9], dtype=np.uint32),
    }
    columns = {name: value for name, value in (base | fields).items() if value is not None}
    dtype = [(name, value.dtype, value.shape[1:]) for name, value in columns.items()]
    table = np.zeros(N, dtype=dtype)
    for name, value in columns.items():
        table[name] = value
    return table


def save(path: Path, table: np.ndarray) -> Path:
    with path.open("wb") as stream:
        np.save(stream, table)
    return path


def test_names_optics_and_ctf(tmp_path):
    tables = read_cs(save(tmp_path / "p.cs", records()))
    assert tables.particles["rlnImageName"].tolist()[:2] == [
        "000001@J1/extract/a.mrc",
        "000002@J1/extract/a.mrc",
    ]
    assert tables.optics["rlnImagePixelSize"].tolist() == [1.345, 1.345]
    assert tables.particles["rlnOpticsGroup"].tolist() == [1, 1, 2, 2, 1, 2]
    ctf = ctf_parameters(tables.optics, tables.particles)
    assert ctf.voltage_kv.tolist() == [300.0] * N
    # float32 angles in radians
    assert ctf.defocus_angle_deg.tolist() == pytest.approx([30.0] * N, rel=1e-6)
    assert ctf.phase_shift_deg.tolist() == pytest.approx([90.0] * N, rel=1e-6)
    assert ctf.defocus_u_angstrom.tolist() == [16412.18] * N


def test_poses_are_rotation_vectors(tmp_path):
    """Independent of our geometry: SciPy's rotation of the vector is the matrix of the Euler angles."""
    vectors = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
    vectors[0] = 0
    shifts = np.random.default_rng(1).normal(size=(N, 2)).astype(np.float32) * 5
    fields = {
        "alignments3D/pose": vectors,
        "alignments3D/shift": shifts,
        "alignments3D/psize_A": np.full(N, 2.69, dtype=np.float32),
        "alignments3D/split": np.array([0, 1, 0, 1, 1, 0], dtype=np.uint32),
        "alignments3D/class": np.array([0, 1, 2, 0, 1, 2], dtype=np.uint32),
    }
    particles = read_cs(save(tmp_path / "p.cs", records(**fields))).particles
    angles = [
        torch.tensor(particles[label].to_numpy()) for label in ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
    ]
    # angles are kept to 1e-6 degree
    np.testing.assert_allclose(
        rotation_from_euler(*angles), Rotation.from_rotvec(vectors).as_matrix(), atol=1e-7
    )
    zyz = Rotation.from_euler("ZYZ", np.stack([a.numpy() for a in angles], axis=1), degrees=True)
    np.testing.assert_allclose(zyz.as_matrix(), Rotation.from_rotvec(vectors).as_matrix(), atol=1e-7)
    origins = particles[["rlnOriginXAngst", "rlnOriginYAngst"]].to_numpy()
    np.testing.assert_allclose(origins, shifts.astype(np.float64) * 2.69, atol=1e-6)
    assert particles["rlnRandomSubset"].tolist() == [1, 2, 1, 2, 2, 1]
    assert particles["rlnClassNumber"].tolist() == [1, 2, 3, 1, 2, 3]


def test_poses_of_2d_classes(tmp_path):
    fields = {
        "alignments2D/pose": np.full(N, np.pi / 3, dtype=np.float32),
        "alignments2D/shift": np.tile(np.array([2.0, -1.0], dtype=np.float32), (N, 1)),
        "alignments2D/split": np.zeros(N, dtype=np.uint32),
        "alignments2D/class": np.arange(N, dtype=np.uint32),
    }
    particles = read_cs(save(tmp_path / "p.cs", records(**fields))).particles
    assert particles["rlnAnglePsi"].tolist() == pytest.approx([60.0] * N, abs=1e-5)
    assert particles["rlnAngleTilt"].tolist() == [0.0] * N
    assert particles["rlnOriginXAngst"].tolist() == [2.69] * N
    assert "rlnRandomSubset" not in particles


def test_coordinates_and_beam_tilt(tmp_path):
    fields = {
        "location/micrograph_path": np.array([b">S1/m.mrc"] * N),
        "location/center_x_frac": np.full(N, 0.25, dtype=np.float32),
        "location/center_y_frac": np.full(N, 0.5, dtype=np.float32),
        "location/micrograph_shape": np.tile(np.array([3000, 4000], dtype=np.uint32), (N, 1)),
        "ctf/tilt_A": np.tile(np.array([2.7e4, -5.4e3], dtype=np.float32), (N, 1)),
        "ctf/trefoil_A": np.ones((N, 2), dtype=np.float32),
        "ctf/tetra_A": np.zeros((N, 4), dtype=np.float32),
    }
    path = save(tmp_path / "p.cs", records(**fields))
    tables = read_cs(path)
    assert tables.particles["rlnMicrographName"].tolist() == ["S1/m.mrc"] * N
    assert tables.particles["rlnCoordinateX"].tolist() == [1000.0] * N
    assert tables.particles["rlnCoordinateY"].tolist() == [1500.0] * N
    # Cs = 2.7 mm = 2.7e7 A, so 2.7e4 A is 1 mrad
    assert tables.optics["rlnBeamTiltX"].tolist() == pytest.approx([1.0, 1.0])
    assert tables.optics["rlnBeamTiltY"].tolist() == pytest.approx([-0.2, -0.2])
    assert unconverted_aberrations(path) == ["ctf/trefoil_A"]


def test_beam_tilt_of_an_instrument_without_spherical_aberration_is_named_not_divided_by_zero(tmp_path):
    fields = {
        "ctf/tilt_A": np.tile(np.array([2.7e4, 0], dtype=np.float32), (N, 1)),
        "ctf/cs_mm": np.zeros(N, dtype=np.float32),
    }
    path = save(tmp_path / "p.cs", records(**fields))
    assert read_cs(path).optics["rlnBeamTiltX"].tolist() == [0.0] * len(read_cs(path).optics)
    assert unconverted_aberrations(path) == ["ctf/tilt_A"]


def test_images_are_found_from_the_project_folder(tmp_path):
    write_mrc(
        tmp_path / "J1/extract/a.mrc", np.arange(N)[:, None, None] * np.ones((1, 16, 16)), 1.345, stack=True
    )
    (tmp_path / "J24").mkdir()
    found = particle_set(read_cs(save(tmp_path / "J24/p.cs", records())))
    assert found.read_images(np.array([4]))[0, 0, 0] == 4


@pytest.mark.parametrize("field", ["blob/path", "blob/idx", "blob/psize_A"])
def test_missing_fields_are_named(tmp_path, field):
    path = save(tmp_path / "p.cs", records(**{field: None}))
    with pytest.raises(InputError, match=f"{path}: field {field} is missing"):
        read_cs(path)


class Explosive:
    """Would leave a file behind if it were ever unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.path,)


def test_pickled_content_is_never_loaded(tmp_path):
    bait = tmp_path / "exploded"
    with (tmp_path / "p.cs").open("wb") as stream:
        np.save(stream, np.array([Explosive(bait)], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="damaged"):
        read_cs(tmp_path / "p.cs")
    assert not bait.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "begins with b''", id="empty"),
        pytest.param(b"\x80\x04\x95rest of a pickle", "numpy header", id="pickle"),
        pytest.param(b"PK\x03\x04zip", "numpy header", id="zip"),
        pytest.param(b"\x93NUMPY\x01\x00v\x00{'descr'", "damaged", id="cut header"),
    ],
)
def test_other_content_is_refused(tmp_path, content, message):
    (tmp_path / "p.cs").write_bytes(content)
    with pytest.raises(InputError, match=f"(?i){message}"):
        read_cs(tmp_path / "p.cs")


def test_cut_off_plain_and_empty_arrays(tmp_path):
    path = save(tmp_path / "p.cs", records())
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InputError, match="damaged"):
        read_cs(path)
    with pytest.raises(InputError, match="without named fields"):
        read_cs(save(tmp_path / "plain.cs", np.zeros(4)))
    with pytest.raises(InputError, match="no particles"):
        read_cs(save(tmp_path / "empty.cs", records()[:0]))
    with pytest.raises(InputError, match="No such file"):
        read_cs(tmp_path / "absent.cs")


def test_star_and_cs_of_the_same_particles(data_dir):
    star = read_particles(data_dir / "particles/empiar_10076_7.star")
    cs = read_cs(data_dir / "particles/empiar_10076_7.cs")
    ours, theirs = (ctf_parameters(tables.optics, tables.particles) for tables in (cs, star))
    for name in ("defocus_u_angstrom", "defocus_v_angstrom", "defocus_angle_deg", "voltage_kv",
                 "spherical_aberration_mm", "amplitude_contrast"):  # fmt: skip
        # float32 in the .cs
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), rtol=2e-7, atol=0)
    a, b = particle_set(cs), particle_set(star)
    assert a.pixel_size_angstrom == pytest.approx(b.pixel_size_angstrom, abs=1e-6)
    np.testing.assert_array_equal(a.read_images(np.arange(7)), b.read_images(np.arange(7)))


def test_malformed_public_files_are_refused(data_dir):
    for path in sorted((data_dir / "interop/malformed_cs").glob("*.cs")):
        with pytest.raises(InputError, match=r"not with a NumPy header.*export the particles again"):
            read_cs(path)
