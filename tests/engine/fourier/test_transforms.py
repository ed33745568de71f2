from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cryocloud.engine.fourier import (
    coefficients_to_images,
    fourier_crop,
    fourier_crop_volume,
    image_coefficients,
    irfft2,
    irfftn,
    low_pass,
    make_pixel_list,
    phase_ramps,
    rfft2,
    rfftn,
)


def _noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("box", [16, 17])
def test_transforms_are_numpys_about_the_center(box: int, device: str) -> None:
    image, volume = _noise(box, box), _noise(box, box, box)
    shifted = np.fft.ifftshift(image.numpy())
    np.testing.assert_allclose(rfft2(image.to(device)).cpu(), np.fft.rfft2(shifted), atol=2e-4)
    oracle = np.fft.rfftn(np.fft.ifftshift(volume.numpy()))
    np.testing.assert_allclose(rfftn(volume.to(device)).cpu(), oracle, atol=2e-3)
    torch.testing.assert_close(irfft2(rfft2(image.to(device)), box).cpu(), image, atol=1e-5, rtol=0)
    torch.testing.assert_close(irfftn(rfftn(volume.to(device)), box).cpu(), volume, atol=1e-5, rtol=0)


def test_pixel_list_holds_one_of_each_friedel_pair_ring_by_ring() -> None:
    pixels = make_pixel_list(20, 8)
    points = {(int(x), int(y)) for x, y in zip(pixels.kx, pixels.ky, strict=True)}
    line = range(-9, 10)
    wanted = {(x, y) for x in line for y in line if 0.5 < round(np.hypot(x, y)) <= 8}
    assert points | {(-x, -y) for x, y in points} == wanted
    assert points & {(-x, -y) for x, y in points} == set()
    assert (pixels.ring.diff() >= 0).all()
    torch.testing.assert_close(pixels.ring, torch.hypot(pixels.kx, pixels.ky).round().long())


@given(st.integers(1, 9))
def test_a_smaller_band_is_a_prefix(r_max: int) -> None:
    whole, part = make_pixel_list(20, 9), make_pixel_list(20, r_max)
    assert torch.equal(whole.within(r_max).flat_index, part.flat_index)
    assert whole.count_within(r_max) == len(part)


def test_the_nyquist_frequency_is_never_listed() -> None:
    assert make_pixel_list(16, 100).r_max_px == 7


def test_coefficients_are_unitary() -> None:
    """White noise of variance 1 has coefficients of mean square 1, and energy is kept (Parseval)."""
    pixels = make_pixel_list(32, 15)
    images = _noise(500, 32, 32)
    power = image_coefficients(images, pixels).abs() ** 2
    # 500 images x 354 pixels: relative error 1/sqrt(177000) = 0.24 %.
    assert power.mean().item() == pytest.approx(1, abs=0.01)
    band_limited = coefficients_to_images(image_coefficients(images, pixels), pixels)
    torch.testing.assert_close(2 * power.sum(1), (band_limited**2).sum((1, 2)), rtol=1e-4, atol=0)


def test_images_and_coefficients_are_inverse() -> None:
    pixels = make_pixel_list(24, 11)
    coefficients = image_coefficients(_noise(3, 24, 24), pixels)
    again = image_coefficients(coefficients_to_images(coefficients, pixels), pixels)
    torch.testing.assert_close(again, coefficients, atol=1e-5, rtol=0)


def test_phase_ramps_move_content_by_their_shift() -> None:
    pixels = make_pixel_list(32, 15)
    image = coefficients_to_images(image_coefficients(_noise(1, 32, 32), pixels), pixels)
    moved = coefficients_to_images(
        image_coefficients(image, pixels) * phase_ramps(torch.tensor([[3.0, -5.0]]), pixels), pixels
    )
    torch.testing.assert_close(moved, image.roll((-5, 3), (1, 2)), atol=1e-5, rtol=0)


@given(st.tuples(*[st.floats(-8, 8)] * 4))
def test_shifts_add_up(shift: tuple[float, float, float, float]) -> None:
    pixels = make_pixel_list(16, 7)
    a, b = torch.tensor([shift[:2]]), torch.tensor([shift[2:]])
    product = phase_ramps(a, pixels) * phase_ramps(b, pixels)
    torch.testing.assert_close(product, phase_ramps(a + b, pixels), atol=2e-5, rtol=0)


@pytest.mark.parametrize(("old", "new"), [(32, 20), (33, 20), (32, 21), (33, 21), (20, 32), (21, 32)])
def test_crop_keeps_gray_values_and_center(old: int, new: int) -> None:
    """A broad Gaussian at the center looks the same in both samplings."""

    def gaussian(box: int) -> torch.Tensor:
        line = (torch.arange(box) - box // 2) * (32 / box)
        return torch.exp(-(line[:, None] ** 2 + line**2) / (2 * 4.0**2))

    # Its spectrum has fallen to exp(-2 (pi 4 10/32)^2) = 4e-14 at the coarser Nyquist frequency, and to
    # exp(-16^2 / 32) = 3e-4 at the edge of the box, where the sampled field of odd boxes ends differently.
    torch.testing.assert_close(fourier_crop(gaussian(old), new), gaussian(new), atol=1e-3, rtol=0)


def test_padding_undoes_cropping_of_what_it_kept() -> None:
    small = _noise(2, 14, 14)
    small = fourier_crop(fourier_crop(small, 20), 14)
    torch.testing.assert_close(fourier_crop(fourier_crop(small, 20), 14), small, atol=1e-5, rtol=0)
    volume = fourier_crop_volume(fourier_crop_volume(_noise(10, 10, 10), 16), 10)
    again = fourier_crop_volume(fourier_crop_volume(volume, 16), 10)
    torch.testing.assert_close(again, volume, atol=1e-5, rtol=0)


def test_low_pass_removes_fine_detail_only() -> None:
    box, pixel = 32, 2.0
    line = torch.arange(box) - box // 2
    wave = [torch.cos(2 * torch.pi * k * line / box).expand(box, box, box).contiguous() for k in (3, 12)]
    filtered = low_pass(wave[0] + wave[1], box * pixel / 7, pixel)
    torch.testing.assert_close(filtered, wave[0], atol=1e-5, rtol=0)
