"""Drawn balls and cylinders have the volume of geometry, in the place that was asked for."""

import math

import pytest
import torch

from cryocloud.engine.masking import MaskShape, Solid, mask_core, mask_from_map, soft_mask, with_solids

BOX, PIXEL = 48, 2.0
EMPTY = torch.zeros(BOX, BOX, BOX, dtype=torch.bool)


def test_a_ball_has_its_volume_and_its_center():
    ball = with_solids(EMPTY, PIXEL, [Solid((30.0, 40.0, 60.0), 20.0)])
    # Voxels on the surface count whole; of a radius of 10 px that is a few per cent.
    assert float(ball.sum()) * PIXEL**3 == pytest.approx(4 / 3 * math.pi * 20**3, rel=0.03)
    center_zyx = ball.nonzero().double().mean(0) * PIXEL
    assert center_zyx.tolist() == pytest.approx([60.0, 40.0, 30.0], abs=0.1)


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_a_cylinder_lies_along_its_axis(axis):
    rod = with_solids(EMPTY, PIXEL, [Solid((48.0, 48.0, 48.0), 8.0, axis=axis, length_angstrom=60.0)])
    extents = {
        name: PIXEL * (int(where.max()) - int(where.min()))
        for name, where in zip("zyx", rod.nonzero().unbind(1), strict=True)
    }
    assert extents.pop(axis) == 60 and set(extents.values()) == {16.0}


def test_solids_are_taken_in_turn_and_cut_off_at_the_box():
    ball, bite = Solid((48.0, 48.0, 48.0), 20.0), Solid((48.0, 48.0, 48.0), 10.0, adds=False)
    hollow = with_solids(EMPTY, PIXEL, [ball, bite])
    assert not hollow[24, 24, 24] and hollow[24, 24, 24 + 8]
    assert with_solids(EMPTY, PIXEL, [bite, ball])[24, 24, 24]
    assert with_solids(EMPTY, PIXEL, [Solid((0.0, 0.0, 0.0), 3.0)]).sum() == 7
    assert with_solids(EMPTY, PIXEL, [Solid((-500.0, 0.0, 0.0), 3.0)]).sum() == 0
    assert EMPTY.sum() == 0


def test_core_and_edge_together_are_the_mask_of_the_map(blobs):
    volume, shape = blobs.volume(BOX), MaskShape()
    core = mask_core(volume, PIXEL, shape)
    assert torch.equal(soft_mask(core, PIXEL, shape), mask_from_map(volume, PIXEL, shape))
