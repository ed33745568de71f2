"""Hot and dead pixels and lines give way to their surroundings; all that is real stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cryocloud.engine.io.mrc import read_mrc
from cryocloud.engine.outliers import replace_outliers

EDGE = 300


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).normal(100, 5, (EDGE, EDGE + 20)).astype(np.float32)


def test_pixels_lines_crossings_clusters_and_the_rim(noise: np.ndarray) -> None:
    hot = np.zeros(noise.shape, dtype=bool)
    hot[100, :] = hot[:, 200] = hot[0, :] = hot[:, -1] = hot[40:44, 50:54] = hot[250, 7] = True
    spoiled = noise.copy()
    spoiled[hot] = -1e6
    spoiled[100, :] = 1e6
    kept = spoiled.copy()
    mended, count = replace_outliers(spoiled)
    assert count == hot.sum()
    np.testing.assert_array_equal(mended[~hot], noise[~hot])
    # Medians of at least 25 good pixels of deviation 5, which a few hundred places do not leave by 5 of their own.
    assert np.abs(mended[hot] - 100).max() < 5 * 5 * 1.25 / 5
    np.testing.assert_array_equal(spoiled, kept)


def test_good_images_are_returned_as_they_are(noise: np.ndarray) -> None:
    counts = np.random.default_rng(1).poisson(5, noise.shape).astype(np.float32)
    blank = np.full((20, 20), 7, dtype=np.float32)
    unknown = noise.copy()
    unknown[3, 3] = np.nan
    for image in (noise, counts, blank, unknown, noise[:3, :4].copy()):
        mended, count = replace_outliers(image)
        assert mended is image and count == 0


def test_what_is_broad_stays(noise: np.ndarray) -> None:
    """Gold of 24 px and 20 deviations, and the rim of a carbon foil: of their corners at most some pixels give way."""
    y, x = np.indices(noise.shape)
    bead = (y - 150) ** 2 + (x - 80) ** 2 < 12**2
    image = noise - 100 * bead - 40 * (x > 250)
    mended, count = replace_outliers(image.astype(np.float32))
    assert count < 0.1 * bead.sum()
    inner = (y - 150) ** 2 + (x - 80) ** 2 < 10**2
    np.testing.assert_array_equal(mended[inner], image[inner].astype(np.float32))


def test_real_micrographs_lose_nothing(data_dir: Path) -> None:
    for path in sorted((data_dir / "apoferritin_10146/micrographs").glob("*.mrc"))[:3]:
        image, _ = read_mrc(path)
        assert replace_outliers(image)[1] == 0
