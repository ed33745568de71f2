"""MRC files: all modes and byte orders, the header gate, and what we write."""

from __future__ import annotations

import bz2
import gzip
import shutil
import subprocess
from pathlib import Path

import gemmi
import mrcfile
import numpy as np
import pytest

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.mrc import MrcStackWriter, open_mrc, read_mrc, read_mrc_header, write_mrc

WORDS = {"nx": 0, "ny": 4, "nz": 8, "mode": 12, "mx": 28, "mapc": 64, "mapr": 68, "maps": 72, "nsymbt": 92}


@pytest.fixture
def micrograph(tmp_path: Path) -> Path:
    """A float32 image of 24 x 16 px at 1.5 A per px, written by mrcfile."""
    path = tmp_path / "micrograph.mrc"
    with mrcfile.new(path) as mrc:
        mrc.set_data(np.random.default_rng(1).normal(size=(16, 24)).astype(np.float32))
        mrc.voxel_size = 1.5
    return path


def patch(path: Path, word: str, value: int) -> None:
    content = bytearray(path.read_bytes())
    content[WORDS[word] : WORDS[word] + 4] = int(value).to_bytes(4, "little", signed=True)
    path.write_bytes(content)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("mode", "dtype"), [(0, "i1"), (1, "i2"), (2, "f4"), (6, "u2"), (12, "f2")])
def test_modes_and_byte_orders(tmp_path, mode, dtype, order):
    values = np.random.default_rng(mode).integers(0, 100, (3, 5, 7)).astype(dtype)
    with mrcfile.new(tmp_path / "native.mrc") as mrc:
        mrc.set_data(values)
        mrc.voxel_size = 2.5
        header = mrc.header.copy()
    path = tmp_path / "ordered.mrc"
    if order == ">":
        header = header.astype(header.dtype.newbyteorder(">"))
        header["machst"] = (0x11, 0x11, 0, 0)
    path.write_bytes(header.tobytes() + values.astype(order + dtype).tobytes())

    read, pixel_size = read_mrc(path)

    assert read_mrc_header(path).mode == mode
    assert pixel_size == 2.5
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, values.astype(np.float32))


def test_byte_order_without_machine_stamp(micrograph):
    content = bytearray(micrograph.read_bytes())
    content[212:216] = bytes(4)
    micrograph.write_bytes(content)
    assert read_mrc_header(micrograph).shape_zyx == (1, 16, 24)


def test_unsigned_bytes_of_imod(tmp_path):
    path = tmp_path / "imod.mrc"
    with mrcfile.new(path) as mrc:
        mrc.set_data(np.full((4, 4), -1, dtype=np.int8))
    content = bytearray(path.read_bytes())
    content[152:160] = np.array([1146047817, 0], dtype="<i4").tobytes()
    path.write_bytes(content)
    assert read_mrc(path)[0].max() == 255


def test_axis_order_agrees_with_gemmi(tmp_path):
    """MAPC/R/S = 2, 3, 1: columns run along y, rows along z, sections along x."""
    zyx = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    path = tmp_path / "permuted.map"
    with mrcfile.new(path) as mrc:
        mrc.set_data(np.ascontiguousarray(zyx.transpose(2, 0, 1)))
        mrc.header.mapc, mrc.header.mapr, mrc.header.maps = 2, 3, 1
        mrc.header.mx, mrc.header.my, mrc.header.mz = 4, 3, 2
        mrc.header.cella = (4 * 1.0, 3 * 1.5, 2 * 2.0)
    read, pixel_size = read_mrc(path)
    np.testing.assert_array_equal(read, zyx)
    assert pixel_size == 1.0
    assert read_mrc_header(path).pixel_size_xyz_angstrom == (1.0, 1.5, 2.0)
    oracle = gemmi.read_ccp4_map(str(path), setup=True)
    np.testing.assert_array_equal(read, np.array(oracle.grid, copy=False).transpose(2, 1, 0))


@pytest.mark.parametrize(("pack", "suffix"), [(bz2.compress, ".bz2"), (gzip.compress, ".gz")])
def test_packed_files(micrograph, pack, suffix):
    packed = micrograph.with_name(micrograph.name + suffix)
    packed.write_bytes(pack(micrograph.read_bytes()))
    np.testing.assert_array_equal(read_mrc(packed)[0], read_mrc(micrograph)[0])


def test_cut_off_packed_file(micrograph):
    packed = micrograph.with_suffix(".gz")
    packed.write_bytes(gzip.compress(micrograph.read_bytes())[:-300])
    with pytest.raises(InputError, match="copy"):
        read_mrc(packed)


@pytest.mark.parametrize(
    ("word", "value", "message"),
    [
        ("nx", 2_000_000_000, r"promises 2000000000 x 16 x 1 .* file has 2,560"),
        ("ny", -5, r"24 x -5 x 1"),
        ("nz", 0, r"not an MRC header"),
        ("mode", 99, r"mode 99"),
        ("mode", 4, r"mode 4 \(complex float32 transforms\)"),
        ("mode", 101, r"mode 101 \(4-bit packed pixels\)"),
        ("nsymbt", -1024, r"not an MRC header"),
        ("nsymbt", 1 << 30, r"promises"),
        ("mapc", 3, r"axis order"),
    ],
)
def test_gate_refuses_damaged_headers(micrograph, word, value, message):
    patch(micrograph, word, value)
    with pytest.raises(InputError, match=message):
        read_mrc_header(micrograph)


def test_gate_refuses_terabytes_before_reading(micrograph):
    """The product overflows 64 bits; refused with both numbers, and nothing is allocated."""
    for word in ("nx", "ny", "nz"):
        patch(micrograph, word, 2_147_483_647)
    for reader in (read_mrc, open_mrc):
        with pytest.raises(InputError, match=r"39,614,081,201,791,936,601,413,125,116 bytes.*copy it again"):
            reader(micrograph)


@pytest.mark.parametrize("size", [0, 500, 1023, 1024, 2000])
def test_gate_refuses_truncated_files(micrograph, size):
    micrograph.write_bytes(micrograph.read_bytes()[:size])
    with pytest.raises(InputError, match=rf"{size:,}|{size} bytes"):
        read_mrc_header(micrograph)


def test_text_is_no_mrc(tmp_path):
    path = tmp_path / "notes.mrc"
    path.write_text("These are notes, not an image. " * 100)
    with pytest.raises(InputError, match="not an MRC header"):
        read_mrc_header(path)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_mrc_header(tmp_path / "absent.mrc")


def test_surplus_bytes_are_tolerated(micrograph):
    before = read_mrc(micrograph)[0]
    micrograph.write_bytes(micrograph.read_bytes() + bytes(100))
    np.testing.assert_array_equal(read_mrc(micrograph)[0], before)
    assert read_mrc_header(micrograph).surplus_bytes == 100


@pytest.mark.parametrize(
    ("cell", "intervals", "named"), [(24 * 1.5, 24, 1.5), (24.0, 24, 1.0), (0.0, 24, 0.0), (36.0, 0, 0.0)]
)
def test_pixel_size_of_header(micrograph, cell, intervals, named):
    with mrcfile.mmap(micrograph, "r+", permissive=True) as mrc:
        mrc.header.cella.x = cell
        mrc.header.mx = intervals
    header = read_mrc_header(micrograph)
    assert header.pixel_size_angstrom == named
    assert header.has_pixel_size == (named == 1.5)


def test_open_maps_memory_and_keeps_three_axes(micrograph):
    stack = open_mrc(micrograph)
    assert isinstance(stack.base, np.memmap)
    assert stack.shape == (1, 16, 24)
    with pytest.raises(ValueError, match="read-only"):
        stack[0, 0, 0] = 1


@pytest.mark.parametrize(("dtype", "mode"), [("float32", 2), ("float16", 12)])
def test_writing_volumes(tmp_path, dtype, mode):
    volume = np.random.default_rng(3).normal(size=(4, 5, 6)).astype(np.float32)
    before = volume.copy()
    path = tmp_path / "map.mrc"
    write_mrc(path, volume, 1.25, dtype=dtype, origin_xyz_angstrom=(10.0, -20.0, 30.5))
    header = read_mrc_header(path)
    assert (header.mode, header.is_volume, header.pixel_size_xyz_angstrom) == (mode, True, (1.25, 1.25, 1.25))
    assert header.origin_xyz_angstrom == (10.0, -20.0, 30.5)
    np.testing.assert_array_equal(read_mrc(path)[0], volume.astype(dtype).astype(np.float32))
    np.testing.assert_array_equal(volume, before)
    assert mrcfile.validate(path)


def test_writing_a_stack_of_one_image(tmp_path):
    path = tmp_path / "one.mrcs"
    write_mrc(path, np.ones((1, 8, 8)), 1.5, stack=True)
    assert open_mrc(path).shape == (1, 8, 8)
    assert not read_mrc_header(path).is_volume


def test_float16_refuses_values_it_cannot_hold(tmp_path):
    with pytest.raises(InputError, match=r"70000 does not fit float16.*float32"):
        write_mrc(tmp_path / "bright.mrc", np.full((4, 4), 7e4), 1.0, dtype="float16")
    assert list(tmp_path.iterdir()) == []


def test_failed_writing_keeps_the_old_file(tmp_path):
    path = tmp_path / "map.mrc"
    write_mrc(path, np.zeros((4, 4, 4)), 1.0)
    old = path.read_bytes()
    with pytest.raises(ValueError, match="3"):
        write_mrc(path, np.zeros((1, 1, 1, 1, 4)), 1.0)
    assert path.read_bytes() == old
    assert [entry.name for entry in tmp_path.iterdir()] == ["map.mrc"]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_stack_written_in_batches(tmp_path, dtype):
    images = np.random.default_rng(4).normal(3, 2, size=(11, 16, 16)).astype(dtype)
    path = tmp_path / "particles.mrcs"
    with MrcStackWriter(path, 16, 1.75, dtype=dtype) as stack:
        for batch in (images[:4], images[4:5], images[5:]):
            stack.append(batch)
        assert not path.exists()
    assert stack.count == 11
    np.testing.assert_array_equal(open_mrc(path), images)
    assert mrcfile.validate(path)
    with mrcfile.open(path) as mrc:
        assert mrc.is_image_stack()
        assert float(mrc.voxel_size.x) == 1.75
        # float32 words of the header hold seven digits
        assert float(mrc.header.dmean) == pytest.approx(images.mean(dtype=np.float64), rel=1e-6)
        assert float(mrc.header.rms) == pytest.approx(images.std(dtype=np.float64), rel=1e-6)


def test_abandoned_stack_leaves_nothing(tmp_path):
    def write_half() -> None:
        with MrcStackWriter(tmp_path / "particles.mrcs", 8, 1.0) as stack:
            stack.append(np.zeros((2, 8, 8)))
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_empty_stack_is_refused(tmp_path):
    with pytest.raises(InputError, match="at least one image"), MrcStackWriter(tmp_path / "p.mrcs", 8, 1.0):
        pass
    assert list(tmp_path.iterdir()) == []


def test_relion_reads_our_files(tmp_path, relion):
    """RELION's statistics of our stack; it prints six digits."""
    images = np.random.default_rng(5).normal(7, 3, size=(2, 32, 32)).astype(np.float32)
    with MrcStackWriter(tmp_path / "p.mrcs", 32, 1.25) as stack:
        stack.append(images)
    run = subprocess.run(
        [shutil.which("relion_image_handler"), "--i", "p.mrcs", "--stats"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [line for line in run.stdout.splitlines() if "p.mrcs" in line]
    assert len(lines) == 2
    for line, image in zip(lines, images, strict=True):
        assert "= 32 x 32 x 1 x 1" in line
        assert "angpix = 1.25" in line
        words = line.replace(";", " ").split()
        for name, value in (("avg=", image.mean()), ("stddev=", image.std()), ("maxval=", image.max())):
            assert float(words[words.index(name) + 1]) == pytest.approx(float(value), rel=1e-4)


def test_public_maps_agree_with_gemmi(data_dir):
    """gemmi fills its grid over the cell; the stored region starts at NXSTART."""
    for name in ("EMD-3001.map", "EMD-3197.map", "EMD-1997.map"):
        path = data_dir / "maps" / name
        read = read_mrc(path)[0]
        header = read_mrc_header(path)
        grid = np.array(gemmi.read_ccp4_map(str(path), setup=True).grid, copy=False).transpose(2, 1, 0)
        positions = [
            (np.arange(count) + start) % cell
            for count, start, cell in zip(read.shape, header.start_xyz[::-1], grid.shape, strict=True)
        ]
        np.testing.assert_array_equal(grid[np.ix_(*positions)], read)


def test_public_files(data_dir):
    assert read_mrc_header(data_dir / "maps/emd20026_prot.mrc").origin_xyz_angstrom == pytest.approx(
        (117.0, 65.65, 101.4), abs=1e-4
    )
    np.testing.assert_array_equal(
        read_mrc(data_dir / "maps/EMD-3001.map.bz2")[0], read_mrc(data_dir / "maps/EMD-3001.map")[0]
    )
    micrograph = next((data_dir / "apoferritin_10146/micrographs").glob("*.mrc"))
    assert read_mrc_header(micrograph).dtype == np.uint16
    assert read_mrc(micrograph)[0].shape == (1200, 1240)
    assert not read_mrc_header(data_dir / "particles/relion31.mrcs").has_pixel_size


def test_equal_contents_give_equal_files(tmp_path, monkeypatch):
    """The libraries write the time into a label."""
    paths = [tmp_path / name for name in ("first.mrc", "second.mrc")]
    for path, year in zip(paths, ("2025", "2026"), strict=True):
        monkeypatch.setattr("time.strftime", lambda *_, year=year: year)
        write_mrc(path, np.ones((3, 4, 5), np.float32), 1.5)
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert b"Written by CryoCloud" in first
