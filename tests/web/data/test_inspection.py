"""What arrives is read by a process of its own: facts and previews of good files, reasons for bad ones."""

from __future__ import annotations

import gzip
import io
import struct
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from PIL import Image

from cryocloud.web.core.events import dataset_topic
from cryocloud.web.core.models import Event
from cryocloud.web.data.inspection import preview_file
from cryocloud.web.data.models import DatasetFile
from web_data import add_file, bytes_of, run_tasks

REAL = Path("/work/shared/data/apoferritin_10146/micrographs")


def mrc_bytes(tmp_path, array, pixel_size=1.5, volume=False):
    path = tmp_path / "made.mrc"
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(array)
        mrc.voxel_size = pixel_size
        if volume:
            mrc.set_volume()
        elif array.ndim == 3:
            mrc.set_image_stack()
    return path.read_bytes()


def packed(content):
    """The same bytes on every day: an archive usually carries the time of its making."""
    return gzip.compress(content, mtime=0)


@pytest.fixture
def inspected(owner, dataset):
    def inspect(name, content):
        file = add_file(owner, dataset, name, content)
        run_tasks()
        file.refresh_from_db()
        return file

    return inspect


def gray(file, size):
    with Image.open(preview_file(file, size)) as image:
        assert image.format == "WEBP"
        return np.asarray(image.convert("L"), dtype=float)


def test_a_micrograph_shows_its_facts_and_two_previews(inspected, tmp_path, owner):
    ramp = np.tile(np.linspace(0, 100, 3000, dtype=np.float32), (2000, 1))
    file = inspected("a.mrc", mrc_bytes(tmp_path, ramp))
    assert (file.state, file.header["content"]) == ("read", "image")
    assert (file.header["width_px"], file.header["height_px"], file.header["mode"]) == (3000, 2000, 2)
    assert file.header["pixel_size_angstrom"] == 1.5
    view, thumb = gray(file, "view"), gray(file, "thumb")
    assert max(view.shape) <= 1536
    assert max(thumb.shape) <= 256
    assert view.shape[1] / view.shape[0] == pytest.approx(1.5, rel=0.01)
    # Left dark, right bright, top like bottom: the picture is neither turned nor mirrored.
    assert view[:, :50].mean() < 20
    assert view[:, -50:].mean() > 235
    answer = owner.client.get(f"/files/{file.pk}/preview/thumb/")
    assert (answer.status_code, answer["Content-Type"]) == (200, "image/webp")
    assert owner.client.get(f"/files/{file.pk}/preview/huge/").status_code == 404
    assert "3,000 × 2,000 px" in owner.client.get(f"/files/{file.pk}/").content.decode()
    assert Event.objects.filter(topic=dataset_topic(file.dataset_id), kind="files").count() == 2


@pytest.mark.parametrize(
    ("shape", "volume", "content"),
    [((40, 64, 64), False, "stack"), ((32, 32, 32), True, "volume"), ((3, 1000, 900), False, "stack")],
)
def test_stacks_movies_and_volumes_are_told_apart(inspected, tmp_path, shape, volume, content):
    pixels = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    file = inspected("a.mrcs", mrc_bytes(tmp_path, pixels, volume=volume))
    assert (file.state, file.header["content"], file.header["sections"]) == ("read", content, shape[0])
    assert gray(file, "view").std() > 20


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint16, np.float16, np.float32])
def test_every_pixel_type_has_a_preview(inspected, tmp_path, dtype):
    pixels = np.tile(np.arange(100, dtype=dtype), (100, 1))
    file = inspected("a.mrc", mrc_bytes(tmp_path, pixels))
    assert file.state == "read"
    assert gray(file, "thumb")[:, 90].mean() > gray(file, "thumb")[:, 10].mean() + 100


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((64, 64), 7, np.float32),
        np.full((64, 64), np.nan, np.float32),
        np.where(np.eye(64), np.inf, 1).astype(np.float32),
        np.full((64, 64), 3e38, np.float32) * np.sign(np.arange(64, dtype=np.float32) - 31.5),
        np.zeros((1, 1), np.float32),
        np.arange(70_000, dtype=np.float32)[None, :],
        np.arange(70_000, dtype=np.float32)[:, None],
    ],
)
def test_odd_pixels_and_shapes_do_no_harm(inspected, tmp_path, pixels):
    file = inspected("a.mrc", mrc_bytes(tmp_path, pixels))
    assert (file.state, file.problem) == ("read", "")
    assert max(gray(file, "view").shape) <= 1536


def test_a_packed_file_is_read_and_kept_packed(inspected, tmp_path):
    content = packed(mrc_bytes(tmp_path, np.eye(100, dtype=np.float32)))
    file = inspected("a.mrc.gz", content)
    assert (file.state, file.header["compression"], file.header["width_px"]) == ("read", "gzip", 100)
    assert file.stored.size_bytes == len(content)


def header(nx, ny, nz, mode, **words):
    raw = bytearray(1024)
    struct.pack_into("<4i", raw, 0, nx, ny, nz, mode)
    struct.pack_into("<3i", raw, 64, 1, 2, 3)
    raw[208:212] = b"MAP "
    raw[212:216] = b"\x44\x44\0\0"
    for offset, value in words.items():
        struct.pack_into("<i", raw, int(offset.removeprefix("at")), value)
    return bytes(raw)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "too few", id="empty"),
        pytest.param(b"MZ" + b"\0" * 500, "too few", id="half a header"),
        pytest.param(b"\x7fELF" + b"A" * 5000, "not an MRC header", id="a program"),
        pytest.param(
            header(100_000, 100_000, 100_000, 2) + b"\0" * 100, "the header promises", id="petabytes"
        ),
        pytest.param(
            header(2**31 - 1, 2**31 - 1, 2**31 - 1, 2) + b"\0" * 100, "the header promises", id="overflow"
        ),
        pytest.param(header(-5, 10, 10, 2) + b"\0" * 100, "not an MRC header", id="negative width"),
        pytest.param(
            header(10, 10, 1, 2, at92=2**31 - 1) + b"\0" * 1000, "the header promises", id="long extension"
        ),
        pytest.param(header(10, 10, 1, 4) + b"\0" * 1000, "is not read", id="complex mode"),
        pytest.param(header(10, 10, 1, 2, at64=7) + b"\0" * 1000, "axis order", id="axis 7"),
        pytest.param(packed(header(30_000, 30_000, 30, 2) + b"\0" * 1000), "unpack", id="packed petabytes"),
        pytest.param(
            packed(header(1000, 1000, 1, 2) + b"\0" * 10), "copy the file again", id="packed, cut short"
        ),
        pytest.param(packed(b"\0" * 3000)[:15], "cannot be read", id="cut archive"),
    ],
)
def test_a_damaged_or_hostile_file_says_why_and_stays(inspected, owner, content, reason):
    file = inspected("evil.mrc", content)
    assert file.state == "damaged"
    assert reason in file.problem
    assert "blobs" not in file.problem
    assert not file.has_preview
    assert bytes_of(owner.client.get(f"/files/{file.pk}/download/")) == content


def test_one_file_that_kills_the_reader_does_not_keep_others_unread(owner, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("cryocloud.web.data.inspection.MEMORY_BYTES", 700 << 20)
    good = mrc_bytes(tmp_path, np.eye(64, dtype=np.float32))
    # One row of 2^28 pixels: 1 GiB as float32, more than the reader may have.
    wide = header(2**28, 1, 1, 0)
    for name, content in (("a.mrc", good), ("b.mrc", wide + b"\0" * 2**28), ("c.mrc", good)):
        add_file(owner, dataset, name, content)
    run_tasks()
    states = dict(DatasetFile.unscoped.values_list("path", "state"))
    assert states == {"a.mrc": "read", "b.mrc": "damaged", "c.mrc": "read"}
    assert "MiB of memory" in DatasetFile.unscoped.get(path="b.mrc").problem


def test_star_files_tell_their_tables_and_others_are_kept_as_they_are(inspected):
    star = (
        b"data_optics\n\nloop_\n_rlnVoltage #1\n300\n\n"
        b"data_micrographs\n\nloop_\n_rlnMicrographName #1\na.mrc\nb.mrc\n"
    )
    file = inspected("m.star", star)
    assert file.state == "read"
    assert [(table["name"], table["rows"]) for table in file.header["tables"]] == [
        ("optics", 1),
        ("micrographs", 2),
    ]
    assert inspected("notes.txt", b"two grids").state == "other"
    broken = inspected("broken.star", b"loop_\n_a\n\xff\xfe\0 1 2\n")
    assert broken.state in ("damaged", "read")


def test_more_files_than_one_batch_are_all_read(owner, dataset, tmp_path):
    content = mrc_bytes(tmp_path, np.eye(64, dtype=np.float32))
    for number in range(30):
        add_file(owner, dataset, f"{number}.mrc", content)
    run_tasks()
    assert DatasetFile.unscoped.filter(state="read", has_preview=True).count() == 30


@pytest.mark.skipif(not REAL.exists(), reason="the micrographs of EMPIAR-10146 are not on this machine")
def test_a_real_micrograph(inspected):
    file = inspected("real.mrc", next(iter(sorted(REAL.glob("*.mrc")))).read_bytes())
    assert (file.header["width_px"], file.header["height_px"]) == (1240, 1200)
    assert file.header["pixel_size_angstrom"] == 1.5
    assert 40 < gray(file, "view").mean() < 215


def tiff_bytes(frames, width=64, height=48, **how):
    stream = io.BytesIO()
    pages = [Image.new("L", (width, height), n) for n in range(frames)]
    pages[0].save(stream, "TIFF", save_all=True, append_images=pages[1:], **how)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "frames", "content", "words"),
    [
        ("movie.tif", 5, "movie", "TIFF movie of 5 frames, 64 × 48 px"),
        ("movie.TIFF", 5, "movie", "Align and sum the frames"),
        ("sum.tif", 1, "image", "Convert it to MRC"),
    ],
)
def test_tiff_is_named_with_what_to_do(inspected, owner, name, frames, content, words):
    file = inspected(name, tiff_bytes(frames))
    assert (file.state, file.header["content"], file.header["sections"]) == ("read", content, frames)
    for path in (f"/files/{file.pk}/", f"/datasets/{file.dataset_id}/"):
        page = owner.client.get(path).content.decode()
        assert words in page and "kept as it is" not in page


def test_eer_is_a_movie(inspected, owner):
    """Two frames of electrons, in the BigTIFF that the cameras write."""
    entries = [(256, 4096), (257, 4096), (259, 65001)]
    frame_bytes = 8 + 20 * len(entries) + 8
    frames = b"".join(
        struct.pack("<Q", len(entries))
        + b"".join(struct.pack("<HHQQ", tag, 4, 1, value) for tag, value in entries)
        + struct.pack("<Q", 16 + frame_bytes if n == 0 else 0)
        for n in range(2)
    )
    file = inspected("grid.eer", b"II" + struct.pack("<HHHQ", 43, 8, 0, 16) + frames)
    assert (file.state, file.header["format"], file.header["sections"]) == ("read", "EER", 2)
    assert (
        "EER movie of 2 frames, 4,096 × 4,096 px" in owner.client.get(f"/files/{file.pk}/").content.decode()
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"this is no picture", "is no TIFF file"),
        (b"II" + struct.pack("<HI", 42, 4000), "ends within its headers"),
        (b"II" + struct.pack("<HIHI", 42, 8, 0, 8), "has no end"),
        (b"II" + struct.pack("<HIHI", 42, 8, 0, 0), "no image that says how large"),
    ],
    ids=["text", "cut", "circle", "empty"],
)
def test_a_broken_tiff_is_damaged_and_says_why(inspected, content, reason):
    file = inspected("broken.tif", content)
    assert file.state == "damaged" and reason in file.problem


def test_a_stack_of_large_frames_is_called_a_movie(inspected, owner, tmp_path):
    file = inspected("frames.mrc", mrc_bytes(tmp_path, np.zeros((3, 2000, 2048), dtype=np.int8)))
    assert file.header["content"] == "movie"
    page = owner.client.get(f"/files/{file.pk}/").content.decode()
    assert "3 frames of a movie" in page and "upload the sums" in page
    boxes = inspected("boxes.mrcs", mrc_bytes(tmp_path, np.zeros((3, 64, 64), dtype=np.int8)))
    assert boxes.header["content"] == "stack"
