"""Movies: the same specimen frame by frame, drifting, doming and fading, with counting noise in each frame.

The frames are those of a counting camera: Poisson numbers of electrons about the expected image,
independent from frame to frame. Coincidence loss and the camera's transfer function are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from cryocloud.engine.simulate.micrographs import Exposure, MicrographImager, MicrographTruth

Float = NDArray[np.float64]

_SETTLING_SHARE = 0.15
_JITTER_SHARE = 0.03


@dataclass(frozen=True)
class MotionRecipe:
    """What moves, and how far.

    Attributes
    ----------
    frames
        Number of frames, of equal dose.
    drift_angstrom
        The whole specimen moves by about this much, most of it at the start, as ice relaxes under the
        first electrons.
    doming_angstrom
        Points half the longer edge away from a point near the middle move by this much more, outward from
        it.
    """

    frames: int
    drift_angstrom: float
    doming_angstrom: float


@dataclass(frozen=True)
class MotionTruth:
    """Movement relative to the first frame; x and y in pixels of the movie.

    Attributes
    ----------
    drift_px
        [f, 2] (x, y) of the whole specimen.
    doming_share, doming_px, doming_center_px
        A point at (x, y) moves besides by ``doming_share[f] * doming_px * (x - cx, y - cy) / half_edge``,
        where half_edge is half the longer edge of the image.
    """

    drift_px: Float
    doming_share: Float
    doming_px: float
    doming_center_px: tuple[float, float]

    def shift_px(self, frame: int, x_px: Float, y_px: Float, half_edge_px: float) -> tuple[Float, Float]:
        """Movement (x, y) of points in a frame."""
        stretch = self.doming_share[frame] * self.doming_px / half_edge_px
        dx = self.drift_px[frame, 0] + stretch * (x_px - self.doming_center_px[0])
        dy = self.drift_px[frame, 1] + stretch * (y_px - self.doming_center_px[1])
        return dx, dy


def draw_motion(imager: MicrographImager, motion: MotionRecipe, number: int) -> MotionTruth:
    """How the specimen of one movie moves.

    ``drift * (0.7 (1 - exp(-t / 0.15)) a + 0.4 t b)`` with t from 0 to 1 over the movie and random unit
    vectors a and b, plus a jitter of 3 % from frame to frame; doming settles as the first term does.
    """
    recipe = imager.recipe
    rng = np.random.default_rng([recipe.seed, 4, number])
    time = np.arange(motion.frames) / max(motion.frames - 1, 1)
    settling = 1 - np.exp(-time / _SETTLING_SHARE)
    angles = rng.uniform(0, 2 * np.pi, 2)
    directions = np.stack([np.cos(angles), np.sin(angles)], 1)
    course = 0.7 * settling[:, None] * directions[0] + 0.4 * time[:, None] * directions[1]
    jitter = rng.normal(0, _JITTER_SHARE, (motion.frames, 2))
    jitter[0] = 0
    center = (recipe.width_px * rng.uniform(0.35, 0.65), recipe.height_px * rng.uniform(0.35, 0.65))
    return MotionTruth(
        drift_px=(course + jitter) * motion.drift_angstrom / imager.pixel_size_angstrom,
        doming_share=settling,
        doming_px=motion.doming_angstrom / imager.pixel_size_angstrom,
        doming_center_px=(float(center[0]), float(center[1])),
    )


def movie_frames(
    imager: MicrographImager, number: int, truth: MicrographTruth, motion: MotionTruth
) -> Iterator[NDArray[np.float32]]:
    """Frames [h, w] of electron counts, first to last.

    Each frame's expected image is made anew (damage at its dose, shift as a phase ramp, doming by cubic
    splines of the noiseless image) and only then counted, so that the noise of the frames is independent
    and stands still: counting noise that moved along with the specimen would help the alignment. Counts
    are float32 whole numbers.
    """
    recipe = imager.recipe
    exposure = imager.expose(number, truth)
    transfer = imager.transfer(exposure.shape, truth)
    brightness = exposure.cut(exposure.brightness, recipe.height_px, recipe.width_px)
    frames = len(motion.drift_px)
    dose = recipe.dose_e_per_angstrom2 / frames
    rng = np.random.default_rng([recipe.seed, 3, number, 2])
    for frame in range(frames):
        fading = imager.remaining(exposure.frequency_per_angstrom, frame * dose, (frame + 1) * dose)
        transform = (exposure.protein * fading + exposure.ice) * transfer
        contrast = _moved(exposure, transform, motion, frame, (recipe.height_px, recipe.width_px))
        expected = imager.electrons_px / frames * brightness * np.maximum(1 - contrast, 0)
        yield rng.poisson(expected).astype(np.float32)


def _moved(
    exposure: Exposure,
    transform: NDArray[np.complex64],
    motion: MotionTruth,
    frame: int,
    shape: tuple[int, int],
) -> NDArray[np.float32]:
    """Noiseless contrast [h, w] of one frame."""
    height, width = exposure.shape
    sy, sx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)
    drift_x, drift_y = motion.drift_px[frame]
    ramp = np.exp(-2j * np.pi * (sx * drift_x + sy * drift_y)).astype(np.complex64)
    canvas = scipy.fft.irfft2(transform * ramp, s=exposure.shape)
    stretch = motion.doming_share[frame] * motion.doming_px
    if stretch == 0:
        return exposure.cut(canvas, *shape)
    y, x = (np.arange(n, dtype=np.float64) for n in shape)
    # A point seen at (x, y) came from where the doming had not yet carried it; drift is in the canvas already.
    share = 1 / (1 + stretch / (0.5 * max(shape)))
    from_x = motion.doming_center_px[0] + (x - motion.doming_center_px[0]) * share + exposure.margin_px
    from_y = motion.doming_center_px[1] + (y - motion.doming_center_px[1]) * share + exposure.margin_px
    places = np.meshgrid(from_y, from_x, indexing="ij")
    return np.asarray(map_coordinates(canvas, places, order=3, mode="grid-wrap", output=np.float32))
