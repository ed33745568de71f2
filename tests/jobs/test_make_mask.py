"""Masks cut from a map and drawn by hand, and what the next job makes of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.mrc import read_mrc, write_mrc

BOX, PIXEL = 48, 1.5
CENTER = [36.0, 36.0, 36.0]


@pytest.fixture
def refinement(blobs, tmp_path):
    """A folder with a map and its two noisy halves."""
    folder = tmp_path / "Refine"
    folder.mkdir()
    generator = torch.Generator().manual_seed(3)
    write_mrc(folder / "map.mrc", blobs.volume(BOX).numpy(), PIXEL)
    for number in (1, 2):
        half = blobs.volume(BOX) + 0.2 * torch.randn(BOX, BOX, BOX, generator=generator)
        write_mrc(folder / f"half{number}.mrc", half.numpy(), PIXEL)
    return folder


@pytest.fixture
def make_mask(run_job, refinement, tmp_path):
    def run(*solids, out="out", **parameters):
        inputs = {"input": refinement / "map.mrc"}
        if solids:
            (tmp_path / "edits.json").write_text(json.dumps({"solids": solids}))
            inputs["edits"] = tmp_path / "edits.json"
        return run_job("make_mask", inputs, out=out, **parameters)

    return run


def test_a_mask_from_the_density_is_used_by_post_processing(make_mask, run_job, refinement):
    done = make_mask()
    mask, pixel_size = read_mrc(done.out / "mask.mrc")
    assert (mask.shape, pixel_size) == ((BOX,) * 3, pytest.approx(PIXEL))
    assert (mask.min(), mask.max()) == (0, 1)
    assert done.job.decisions[0]["what"] == "threshold"
    post = run_job("postprocess", {"input": refinement, "mask": done.out / "mask.mrc"}, out="Post")
    assert post.metrics["mask_fraction"] == pytest.approx(done.metrics["mask_fraction"], rel=1e-3)


def test_what_was_drawn_is_added_and_taken_away(make_mask):
    far = {"kind": "ball", "center_xyz_angstrom": [8, 8, 60], "radius_angstrom": 6}
    hole = {"kind": "ball", "adds": False, "center_xyz_angstrom": CENTER, "radius_angstrom": 9}
    plain, _ = read_mrc(make_mask(extension_angstrom=0, edge_angstrom=2, out="Plain").out / "mask.mrc")
    done = make_mask(far, hole, extension_angstrom=0, edge_angstrom=2)
    drawn, _ = read_mrc(done.out / "mask.mrc")
    assert (plain[40, 5, 5], drawn[40, 5, 5]) == (0, 1)
    assert (plain[24, 24, 24], drawn[24, 24, 24]) == (1, 0)
    assert done.job.decisions[-1]["value"] == "1 shapes added, 1 taken away"
    assert json.loads((done.out / "edits.json").read_text())["solids"][1]["adds"] is False


def test_a_mask_may_be_all_drawn(make_mask):
    rod = {
        "kind": "cylinder", "center_xyz_angstrom": CENTER, "radius_angstrom": 9, "axis": "x", "length_angstrom": 60,
    }  # fmt: skip
    mask, _ = read_mrc(make_mask(rod, begin_with="nothing", extension_angstrom=0).out / "mask.mrc")
    where = np.argwhere(mask == 1)
    assert np.ptp(where, axis=0).tolist() == [12, 12, 40]


@pytest.mark.parametrize(
    ("solids", "parameters", "words"),
    [
        ([], {"begin_with": "nothing"}, "shapes must be drawn"),
        ([], {"threshold": 1e9}, "no density lies above"),
        ([{"kind": "cylinder", "center_xyz_angstrom": CENTER, "radius_angstrom": 9}], {}, "length_angstrom"),
        ([{"kind": "ball", "center_xyz_angstrom": CENTER, "radius_angstrom": -1}], {}, "greater than 0"),
        (
            [{"kind": "ball", "adds": False, "center_xyz_angstrom": CENTER, "radius_angstrom": 900}],
            {},
            "the mask is empty",
        ),
    ],
)
def test_masks_that_cannot_be_are_refused(make_mask, solids, parameters, words):
    with pytest.raises(InputError, match=words):
        make_mask(*solids, **parameters)
