"""RELION's own programs read the files that we write."""

from __future__ import annotations

import numpy as np
import pytest

from cryocloud.engine.io.mrc import MrcStackWriter, read_mrc, write_mrc
from cryocloud.engine.io.star import read_star


def printed_table(text):
    return [line.split() for line in text.splitlines() if line.strip()]


def test_star_printtable_reads_our_particles(simulate, run_relion, tmp_path):
    particles = simulate(5)
    labels = ("rlnImageName", "rlnDefocusU", "rlnAngleTilt", "rlnOriginXAngst", "rlnRandomSubset")
    rows = printed_table(run_relion("relion_star_printtable", "particles.star", "data_particles", *labels))
    ours = particles.tables.particles
    assert [row[0] for row in rows] == ours["rlnImageName"].tolist()
    for column, label in enumerate(labels[1:], start=1):
        theirs = np.array([float(row[column]) for row in rows])
        assert theirs == pytest.approx(ours[label].to_numpy(), abs=1e-5)
    pixel_size = run_relion("relion_star_printtable", "particles.star", "data_optics", "rlnImagePixelSize")
    assert float(pixel_size) == 3.0


def test_star_handler_passes_our_particles_through(simulate, run_relion, tmp_path):
    """RELION's C++ reader and writer in place of the shell script above: every column comes back."""
    particles = simulate(5)
    command = ("relion_star_handler", "--i", "particles.star", "--select", "rlnRandomSubset")
    run_relion(*command, "--minval", 1.5, "--maxval", 2.5, "--o", "selected.star")
    back = read_star(tmp_path / "selected.star")["particles"]
    kept = particles.tables.particles.query("rlnRandomSubset == 2")
    assert sorted(back.columns) == sorted(kept.columns)
    for label in kept.columns.drop(["rlnImageName", "rlnMicrographName"]):
        assert back[label].to_numpy(dtype=float) == pytest.approx(kept[label].to_numpy(dtype=float), abs=1e-5)


def statistics(text):
    """What ``relion_image_handler --stats`` prints: sizes, then avg, stddev, minval, maxval, pixel size."""
    words = text.replace(";", " ").replace("=", " ").split()
    return {
        name: float(words[words.index(name) + 1]) for name in ("avg", "stddev", "minval", "maxval", "angpix")
    }


def test_image_handler_reads_our_map(run_relion, tmp_path):
    volume = np.random.default_rng(0).normal(2, 3, (12, 12, 12)).astype(np.float32)
    write_mrc(tmp_path / "map.mrc", volume, 1.25)
    printed = run_relion("relion_image_handler", "--i", "map.mrc", "--stats")
    theirs = statistics(printed)
    assert theirs["avg"] == pytest.approx(volume.mean(), rel=1e-4)
    assert theirs["stddev"] == pytest.approx(volume.std(ddof=1), rel=1e-3)
    assert theirs["minval"] == pytest.approx(volume.min(), rel=1e-4)
    assert theirs["angpix"] == pytest.approx(1.25)


def test_image_handler_computes_with_our_stack(run_relion, tmp_path):
    images = np.random.default_rng(0).normal(size=(3, 16, 16)).astype(np.float32)
    with MrcStackWriter(tmp_path / "stack.mrcs", 16, 2.0) as stack:
        stack.append(images[:2])
        stack.append(images[2:])
    run_relion("relion_image_handler", "--i", "stack.mrcs", "--o", "doubled.mrcs", "--multiply_constant", 2)
    theirs, pixel_size = read_mrc(tmp_path / "doubled.mrcs")
    assert pixel_size == 2.0
    assert theirs == pytest.approx(2 * images, abs=1e-5)
