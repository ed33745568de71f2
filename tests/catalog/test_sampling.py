import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryocloud.catalog.sampling import good_box_size_px
from cryocloud.catalog.units import spoken_number


@given(st.floats(2, 3000))
def test_box_is_even_smooth_and_hardly_larger_than_asked(at_least_px):
    box = good_box_size_px(at_least_px)
    assert box % 2 == 0
    # Even 7-smooth numbers lie at most 16 apart up to 256 (224, 240).
    assert at_least_px <= box
    if at_least_px <= 256:
        assert box < at_least_px + 16
    rest = box
    for prime in (2, 3, 5, 7):
        while rest % prime == 0:
            rest //= prime
    assert rest == 1


@pytest.mark.parametrize(
    ("name", "value", "spoken"),
    [
        ("resolution_angstrom", 7.1234, ("resolution", "7.12 Å")),
        ("b_factor_angstrom2", -210.0, ("b factor", "-210 Å²")),
        ("cpu_s", 1234.5, ("cpu", "1,234 CPU-s")),
        ("particles", 2584, ("particles", "2,584")),
        ("null_control_resolution_angstrom", None, ("null control resolution", "– Å")),
        ("dose_e_per_angstrom2", 40, ("dose", "40 e/Å²")),
    ],
)
def test_numbers_are_spoken_with_their_unit(name, value, spoken):
    assert spoken_number(name, value) == spoken
