from __future__ import annotations

import pytest
import torch

from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import image_coefficients, irfft2, make_pixel_list, rfft2, shell_index
from cryocloud.engine.masking import soft_circle
from cryocloud.engine.noise import initial_noise_spectrum, noise_from_residuals, residual_power
from cryocloud.engine.records.ctf_parameters import CtfParameters
from cryocloud.engine.records.particle_set import ParticleSet

BOX_PX = 48


def _colored_noise(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise images whose spectrum falls smoothly by 4, and that spectrum for rings 0 .. D/2 - 1."""
    generator = torch.Generator().manual_seed(seed)
    amplitude = 2 - torch.arange(BOX_PX, dtype=torch.float32) / (BOX_PX // 2)
    amplitude = amplitude.clamp(min=0.5)
    white = torch.randn(n, BOX_PX, BOX_PX, generator=generator)
    images = irfft2(rfft2(white) * amplitude[shell_index(BOX_PX, 2)], BOX_PX)
    return images, (amplitude**2)[: BOX_PX // 2].to(torch.float64)


def _particle_set(images: torch.Tensor) -> ParticleSet:
    n = len(images)
    zero = torch.zeros(n, dtype=torch.float64)
    return ParticleSet(
        read_images=lambda rows: images.numpy()[rows],
        box_size_px=BOX_PX,
        pixel_size_angstrom=2.0,
        ctf=CtfParameters(*[zero] * 8),
        rotation=torch.eye(3, dtype=torch.float64).repeat(n, 1, 1),
        shift_px=torch.zeros(n, 2, dtype=torch.float64),
        half_set=torch.zeros(n, dtype=torch.int64),
        class_number=torch.zeros(n, dtype=torch.int64),
    )


def test_initial_spectrum_of_masked_images_is_the_noise_of_unmasked_ones() -> None:
    noise, truth = _colored_noise(600, seed=1)
    # A common object must not count as noise.
    images = noise + 3 * soft_circle(BOX_PX, 6.0, 4.0)
    pixels = make_pixel_list(BOX_PX, BOX_PX // 2 - 1)
    mask = soft_circle(BOX_PX, 17.0, 4.0)
    sigma2 = initial_noise_spectrum(
        _particle_set(images), pixels, torch.Generator().manual_seed(2), mask=mask
    )
    # Ring 4 has 13 coefficients in each of 600 images, of which the mask leaves 4 in 10 independent: relative
    # error 1/sqrt(600 * 13 * 0.4) = 1.8 %, taken 4 times; leakage blurs the smooth spectrum by under 1 %.
    torch.testing.assert_close(sigma2[4:], truth[4:], rtol=0.08, atol=0)
    assert sigma2[0] == sigma2[1]


def test_residuals_of_the_true_model_give_the_noise() -> None:
    noise, truth = _colored_noise(400, seed=3)
    pixels = make_pixel_list(BOX_PX, 20)
    mask = soft_circle(BOX_PX, 17.0, 4.0)
    model = image_coefficients(3 * soft_circle(BOX_PX, 6.0, 4.0)[None], pixels).expand(400, -1)
    coefficients = image_coefficients(noise * mask, pixels) + model
    weight = torch.ones(400)
    power = residual_power(coefficients, model, weight, pixels)
    sigma2 = noise_from_residuals(power, float(weight.sum()), mask=mask)
    torch.testing.assert_close(sigma2[4:], truth[4:21], rtol=0.1, atol=0)


def test_residual_power_is_linear_in_the_weights() -> None:
    noise, _ = _colored_noise(8, seed=4)
    pixels = make_pixel_list(BOX_PX, 12)
    x = image_coefficients(noise, pixels)
    weight = torch.rand(8, generator=torch.Generator().manual_seed(5))
    parts = sum(
        (residual_power(x[i : i + 1], 0 * x[:1], weight[i : i + 1], pixels) for i in range(8)),
        torch.zeros(13, dtype=torch.float64),
    )
    torch.testing.assert_close(residual_power(x, 0 * x, weight, pixels), parts)


def test_blank_images_are_refused_with_the_ring() -> None:
    with pytest.raises(InputError, match=r"no noise in Fourier ring 1"):
        initial_noise_spectrum(
            _particle_set(torch.zeros(10, BOX_PX, BOX_PX)),
            make_pixel_list(BOX_PX, 10),
            torch.Generator().manual_seed(0),
            mask=torch.ones(BOX_PX, BOX_PX),
        )
