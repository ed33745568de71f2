from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields, replace

import pytest
import torch
import torch_ctf
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cryocloud.engine.fourier import make_pixel_list
from cryocloud.engine.optics import contrast_transfer, ctf, electron_wavelength_angstrom
from cryocloud.engine.records.ctf_parameters import CtfParameters


def _parameters(**values: float) -> CtfParameters:
    base = {
        "defocus_u_angstrom": 15000.0,
        "defocus_v_angstrom": 14000.0,
        "defocus_angle_deg": 35.0,
        "voltage_kv": 300.0,
        "spherical_aberration_mm": 2.7,
        "amplitude_contrast": 0.1,
        "phase_shift_deg": 0.0,
        "b_factor_angstrom2": 0.0,
    }
    return CtfParameters(**{k: torch.tensor([v], dtype=torch.float64) for k, v in (base | values).items()})


def _line(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(("kv", "angstrom"), [(100.0, 0.037014), (200.0, 0.025079), (300.0, 0.019687)])
def test_wavelengths_are_the_textbooks(kv: float, angstrom: float) -> None:
    """Reimer & Kohl, Transmission Electron Microscopy, table of relativistic wavelengths."""
    assert electron_wavelength_angstrom(_line(kv)).item() == pytest.approx(angstrom, abs=2e-6)


@pytest.mark.parametrize("angle_deg", [0.0, 35.0, 90.0, 170.0])
def test_ctf_is_torch_ctfs(angle_deg: float) -> None:
    box, pixel = 64, 2.0
    pixels = make_pixel_list(box, 31)
    ours = ctf(_parameters(defocus_angle_deg=angle_deg, phase_shift_deg=40.0), pixels, pixel)[0]
    oracle = torch_ctf.calculate_ctf_2d(
        defocus=1.45,
        astigmatism=0.05,
        astigmatism_angle=angle_deg,
        voltage=300.0,
        spherical_aberration=2.7,
        amplitude_contrast=0.1,
        phase_shift=40.0,
        pixel_size=pixel,
        image_shape=(box, box),
        rfft=True,
        fftshift=False,
    )
    # Their wavelength has other constants in the sixth digit, which turns phases of up to 100 by 1e-3.
    torch.testing.assert_close(ours, oracle.flatten()[pixels.flat_index].float(), atol=1e-3, rtol=0)


def test_at_zero_frequency_stands_the_amplitude_contrast() -> None:
    """Positive, so that particles are white."""
    assert contrast_transfer(_parameters(), _line(0.0), _line(0.0)).item() == pytest.approx(0.1)


def test_underfocus_keeps_the_sign_up_to_the_first_zero() -> None:
    """sin(pi lambda df s^2 + asin(Q)) crosses zero at s^2 = (pi - asin(Q)) / (pi lambda df)."""
    parameters = _parameters(defocus_v_angstrom=15000.0, spherical_aberration_mm=0.0)
    first_zero = math.sqrt((math.pi - math.asin(0.1)) / (math.pi * 0.0196875 * 15000))
    values = contrast_transfer(
        parameters, _line(0.5 * first_zero, 0.999 * first_zero, 1.001 * first_zero), _line(0.0, 0.0, 0.0)
    )
    assert (values[0, :2] > 0).all()
    assert values[0, 2] < 0


def test_the_larger_defocus_lies_along_its_angle() -> None:
    """At 30 degrees counter-clockwise from x the phase is that of defocus U alone."""
    s, angle = 0.05, math.radians(30)
    astigmatic = _parameters(defocus_u_angstrom=20000.0, defocus_v_angstrom=10000.0, defocus_angle_deg=30.0)
    round_u = _parameters(defocus_u_angstrom=20000.0, defocus_v_angstrom=20000.0)
    point = (_line(s * math.cos(angle)), _line(s * math.sin(angle)))
    torch.testing.assert_close(contrast_transfer(astigmatic, *point), contrast_transfer(round_u, *point))


@given(
    st.tuples(st.floats(-0.4, 0.4), st.floats(-0.4, 0.4)),
    st.floats(-5000, 60000),
    st.floats(0, 3000),
    st.floats(0, 180),
)
def test_ctf_is_even_and_bounded(
    s: tuple[float, float], defocus: float, astigmatism: float, angle_deg: float
) -> None:
    parameters = _parameters(
        defocus_u_angstrom=defocus + astigmatism, defocus_v_angstrom=defocus, defocus_angle_deg=angle_deg
    )
    forth, back = (contrast_transfer(parameters, _line(sign * s[0]), _line(sign * s[1])) for sign in (1, -1))
    assert torch.equal(forth, back)
    assert forth.abs().item() <= 1


def test_b_factor_damps_amplitudes() -> None:
    s = _line(0.1)
    plain, damped = (contrast_transfer(_parameters(b_factor_angstrom2=b), s, _line(0.0)) for b in (0.0, 80.0))
    assert (damped / plain).item() == pytest.approx(math.exp(-80 * 0.01 / 4), rel=1e-5)


def test_phase_shift_of_90_degrees_turns_sine_into_cosine() -> None:
    shifted = contrast_transfer(_parameters(phase_shift_deg=90.0), _line(0.07), _line(0.0))
    plain = contrast_transfer(_parameters(), _line(0.07), _line(0.0))
    assert (shifted**2 + plain**2).item() == pytest.approx(1, abs=1e-6)


def test_rows_are_independent(ctf_parameters: Callable[..., CtfParameters]) -> None:
    many = ctf_parameters(5)
    pixels = make_pixel_list(32, 15)
    rows = torch.cat([ctf(many.select(slice(i, i + 1)), pixels, 2.0) for i in range(5)])
    # Batched products may round differently: a few ulp of a phase below 100.
    torch.testing.assert_close(ctf(many, pixels, 2.0), rows, atol=1e-6, rtol=0)


def test_gpu_gives_the_cpus_values(device: str, ctf_parameters: Callable[..., CtfParameters]) -> None:
    pixels = make_pixel_list(32, 15)
    found = ctf(ctf_parameters(3).to(device), pixels.to(device), 2.0).cpu()
    torch.testing.assert_close(found, ctf(ctf_parameters(3), pixels, 2.0), atol=1e-5, rtol=0)


def test_records_select_all_fields(ctf_parameters: Callable[..., CtfParameters]) -> None:
    many = replace(ctf_parameters(4), b_factor_angstrom2=torch.arange(4.0, dtype=torch.float64))
    picked = many.select(torch.tensor([2, 0]))
    assert len(picked) == 2
    for f in fields(CtfParameters):
        assert torch.equal(getattr(picked, f.name), getattr(many, f.name)[[2, 0]])
