from hypothesis import given
from hypothesis import strategies as st

from cryocloud.catalog.sampling import good_box_size_px


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
