"""Draw docs/images/demo.png from a finished demo: ``python docs/demo_picture.py demo``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import mrcfile
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

mpl.use("Agg")
from matplotlib import pyplot as plt

OUT = Path(__file__).parent / "images/demo.png"
SHOWN_ANGSTROM = 150.0
Image = NDArray[Any]


def main(demo: Path) -> None:
    project = demo / "Downloaded"
    micrograph = mrcfile.read(demo / "Simulated/micrographs/mic_0002.mrc").astype(np.float32)
    flat = gaussian_filter(micrograph, 2) - gaussian_filter(micrograph, 80)
    classes = mrcfile.read(min(project.glob("*_class2d")) / "classes.mrcs")
    found = min(project.glob("*_postprocess")) / "map_sharpened_masked.mrc"
    edge = flat.shape[0] // 4
    pictures = {
        "simulated micrograph": flat[edge:-edge, edge:-edge],
        "2D classes": nine_tiles(classes),
        "projection of the map found": middle(found).sum(0),
        "projection of the truth": middle(demo / "Object/map.mrc").sum(0),
    }
    figure, axes = plt.subplots(1, 4, figsize=(12, 3.2), dpi=110)
    for cell, (title, picture) in zip(axes, pictures.items(), strict=True):
        low, high = np.percentile(picture, [0.5, 99.6])
        cell.imshow(picture, cmap="gray", vmin=low, vmax=high, interpolation="bilinear")
        cell.set_title(title, fontsize=11)
        cell.axis("off")
    figure.subplots_adjust(left=0.01, right=0.99, top=0.88, bottom=0.02, wspace=0.05)
    OUT.parent.mkdir(exist_ok=True)
    figure.savefig(OUT)


def nine_tiles(classes: Image) -> Image:
    """The nine largest classes, each scaled alike."""
    margin = classes.shape[-1] // 7
    tiles = classes[:9, margin:-margin, margin:-margin]
    tiles = (tiles - tiles.mean((1, 2), keepdims=True)) / tiles.std((1, 2), keepdims=True)
    return np.block([[tiles[3 * row + column] for column in range(3)] for row in range(3)])


def middle(path: Path) -> Image:
    """The middle of a volume."""
    with mrcfile.open(path) as file:
        volume, pixel_size_angstrom = np.array(file.data), float(file.voxel_size.x)
    half, center = round(SHOWN_ANGSTROM / 2 / pixel_size_angstrom), volume.shape[0] // 2
    inner = slice(center - half, center + half)
    return volume[inner, inner, inner]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
