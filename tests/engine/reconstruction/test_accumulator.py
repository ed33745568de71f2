"""Insertion, its sums, symmetry, and the volume that solves them."""

from __future__ import annotations

import copy

import numba
import pytest
import torch

from cryocloud.engine.fourier import fsc, make_pixel_list
from cryocloud.engine.geometry import random_rotations, symmetry_operators
from cryocloud.engine.reconstruction import Accumulator, VolumeTransform, slice_volume, solve

BOX = 32
PIXELS = make_pixel_list(BOX, BOX // 2 - 1)


def random_slices(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    data = torch.randn(n, len(PIXELS), generator=generator, dtype=torch.complex64)
    weight = torch.rand(n, len(PIXELS), generator=generator)
    return data, weight, random_rotations(n, generator)


def accumulated(n=30, seed=0, device="cpu"):
    accumulator = Accumulator(BOX, BOX // 2, device=device)
    accumulator.insert(*(t.to(device) for t in random_slices(n, seed)), PIXELS.to(device))
    return accumulator


def assert_same_sums(a, b, tolerance=1e-5):
    """Relative to the largest entry: float32 sums of up to a few hundred terms in another order."""
    for left, right in ((a.numerator, b.numerator), (a.weight, b.weight)):
        assert (left.cpu() - right.cpu()).abs().max() <= tolerance * right.cpu().abs().max()


def test_insertion_is_the_adjoint_of_slicing(device):
    """<P G, X> = <G, P* X> on the stored half grid, to the rounding of float32 sums."""
    data, weight, rotation = (t.to(device) for t in random_slices(10))
    pixels = PIXELS.to(device)
    accumulator = Accumulator(BOX, BOX // 2, device=device)
    accumulator.insert(data, weight, rotation, pixels)
    grid = torch.randn(
        accumulator.numerator.shape, generator=torch.Generator().manual_seed(3), dtype=torch.complex64
    ).to(device)
    slices = slice_volume(VolumeTransform(grid, BOX, 2, BOX // 2 - 1), rotation, pixels)
    left = (slices.conj() * data).real.double().sum()
    right = (grid.conj() * accumulator.numerator).real.double().sum()
    scale = slices.norm().double() * data.norm().double()
    assert abs(left - right) / scale < 1e-5


def test_weights_are_spread_without_loss():
    accumulator = Accumulator(BOX, BOX // 2)
    data, weight, rotation = random_slices(10)
    accumulator.insert(data, weight, rotation, PIXELS)
    assert float(accumulator.weight.double().sum()) == pytest.approx(float(weight.double().sum()), rel=1e-6)


def test_both_implementations_of_insertion_agree():
    data, weight, rotation = random_slices(10)
    scattered = Accumulator(BOX, BOX // 2)
    scattered._insert_by_scatter(data, weight, rotation.float(), PIXELS)
    assert_same_sums(scattered, accumulated(10))


def test_insertion_does_not_depend_on_the_number_of_threads():
    """Each thread owns a slab of planes, so sums are added in the same order."""
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("numba was started with one thread")
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        single = accumulated()
        numba.set_num_threads(2)
        double = accumulated()
    finally:
        numba.set_num_threads(threads)
    assert torch.equal(single.numerator, double.numerator)
    assert torch.equal(single.weight, double.weight)


def test_fading_and_adding_are_linear():
    first, second = accumulated(seed=1), accumulated(seed=2)
    both = Accumulator(BOX, BOX // 2)
    for seed, fade in ((1, 0.25), (2, 1.0)):
        data, weight, rotation = random_slices(30, seed)
        both.insert(fade * data, fade * weight, rotation, PIXELS)
    first.scale_(0.25)
    first.add_(second)
    assert_same_sums(first, both)


@pytest.mark.parametrize("name", ["C2", "D2", "O"])
def test_symmetrizing_equals_inserting_every_copy(name):
    """Exact for operators that map the grid onto itself, but for float32 sums."""
    operators = symmetry_operators(name)
    data, weight, rotation = random_slices(10)
    copies = Accumulator(BOX, BOX // 2)
    for operator in operators:
        copies.insert(data, weight, operator @ rotation, PIXELS)
    identity = torch.eye(3, dtype=torch.float64)[None]
    inside = copies.shell() <= copies.r_max_px - 1
    found = accumulated(10).symmetrized(operators)
    wanted = copies.symmetrized(identity)
    for left, right in ((found.numerator, wanted.numerator), (found.weight, wanted.weight)):
        assert (left - right)[inside].abs().max() <= 1e-4 * right.abs().max()


@pytest.mark.parametrize("name", ["C3", "O", "I1"])
def test_both_implementations_of_symmetry_agree(name):
    operators = symmetry_operators(name)
    source = accumulated()
    numerator, weight = source._friedel_completed()
    gathered = Accumulator(BOX, BOX // 2)
    limit = float(2 * gathered.r_max_px + 1)
    gathered._gather_symmetric(numerator, weight, operators.float(), limit)
    assert_same_sums(gathered, source.symmetrized(operators), tolerance=1e-4)


def exact_slices_of(blobs, n, seed=5):
    rotation = random_rotations(n, torch.Generator().manual_seed(seed))
    return blobs.slices(rotation, PIXELS.kx, PIXELS.ky, BOX), rotation


def test_exact_projections_give_the_volume_back(blobs, device):
    data, rotation = exact_slices_of(blobs, 600)
    accumulator = Accumulator(BOX, BOX // 2, device=device)
    weight = torch.ones_like(data.real)
    accumulator.insert(*(t.to(device) for t in (data, weight, rotation)), PIXELS.to(device))
    found, wanted = solve(accumulator).cpu(), blobs.volume(BOX)
    curve = fsc(found, wanted)
    assert curve[: BOX // 2 - 2].min() > 0.99
    # The last ring is interpolated from one side only.
    assert curve[BOX // 2 - 2] > 0.95
    # The mean of the volume, which images do not carry, is left out of the comparison of scale.
    found, wanted = found - found.mean(), wanted - wanted.mean()
    assert float((found * wanted).sum() / (wanted**2).sum()) == pytest.approx(1, abs=0.02)


def test_symmetry_stands_in_for_missing_views(blobs):
    """Views of a quarter of the directions, and D2: the map is that of all views of a D2 object."""
    operators = symmetry_operators("D2")
    copies = [blobs.rotated(g) for g in operators]
    rotation = random_rotations(400, torch.Generator().manual_seed(5))
    data = torch.stack([c.slices(rotation, PIXELS.kx, PIXELS.ky, BOX) for c in copies]).sum(0)
    accumulator = Accumulator(BOX, BOX // 2)
    accumulator.insert(data, torch.ones_like(data.real), rotation, PIXELS)
    found = solve(accumulator, operators=operators)
    assert fsc(found, sum(c.volume(BOX) for c in copies))[: BOX // 2 - 2].min() > 0.99
    # A half turn about z leaves it as it is.
    assert torch.allclose(found[:, 1:, 1:].flip(1, 2), found[:, 1:, 1:], atol=1e-4 * float(found.max()))


def test_the_prior_damps_as_a_wiener_filter(blobs):
    """With weight w in a ring and prior precision w, the map is halved there."""
    data, rotation = exact_slices_of(blobs, 600)
    accumulator = Accumulator(BOX, BOX // 2)
    accumulator.insert(data, torch.ones_like(data.real), rotation, PIXELS)
    plain = solve(accumulator)
    damped = solve(accumulator, inverse_tau2=9 * accumulator.ring_weight())
    ratio = float((damped * plain).sum() / (plain**2).sum())
    assert ratio == pytest.approx(0.1, abs=0.02)


def test_rings_beyond_the_limit_are_empty(blobs):
    data, rotation = exact_slices_of(blobs, 100)
    accumulator = Accumulator(BOX, BOX // 2)
    accumulator.insert(data, torch.ones_like(data.real), rotation, PIXELS)
    found = solve(accumulator, r_max_px=6)
    spectrum = torch.fft.rfftn(torch.fft.ifftshift(found)).abs()
    line = torch.fft.fftfreq(BOX, 1 / BOX)
    radius = (line[:, None, None] ** 2 + line[:, None] ** 2 + line[: BOX // 2 + 1].abs() ** 2).sqrt()
    # The envelope correction leaks a little over the limit.
    assert spectrum[radius > 8].max() < 0.02 * spectrum.max()


def test_a_copy_is_not_changed_by_solving():
    accumulator = accumulated()
    before = copy.deepcopy(accumulator)
    solve(accumulator, operators=symmetry_operators("D2"))
    assert torch.equal(accumulator.numerator, before.numerator)
    assert torch.equal(accumulator.weight, before.weight)
