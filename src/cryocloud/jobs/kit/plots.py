"""The house look of every plot: small functions that draw one PNG (or SVG) each, without pyplot's global
state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.ticker import FuncFormatter
from matplotlib.typing import RcKeyType
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.floating[Any]]

COLORS = ("#1f4e79", "#c8553d", "#3a7d44", "#8a5fa8", "#c99a2e", "#4c9fb0", "#7a7a7a")
"""Line and marker colors in the order of use; distinct in gray and for the common color blindnesses."""
PALETTE = 192
SMALL_IMAGE_PX = 300
MARK_COLOR, CIRCLE_COLOR = "#444444", "#35d04f"
STYLE: dict[RcKeyType, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=COLORS),
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "svg.hashsalt": "cryocloud",
}


@dataclass(frozen=True)
class Curve:
    """One line of a plot; ``dashed`` for references and limits."""

    x: Array
    y: Array
    label: str = ""
    color: str | None = None
    dashed: bool = False


@dataclass(frozen=True)
class Mark:
    """A straight line at a value of one axis, with its meaning: a threshold, a limit, a result."""

    value: float
    label: str = ""
    axis: Literal["x", "y"] = "x"
    color: str = MARK_COLOR


@dataclass(frozen=True)
class CircleGroup:
    """Circles of one meaning on a micrograph; ``xy_px`` is [n, 2] in micrograph pixels."""

    xy_px: Array
    radius_px: float
    color: str = CIRCLE_COLOR
    label: str = ""


@contextmanager
def panels(
    path: Path, rows: int = 1, columns: int = 1, *, size_in: tuple[float, float] = (5.2, 3.6), title: str = ""
) -> Iterator[NDArray[Any]]:
    """Axes [rows, columns] in the house look; on leaving, the figure is saved to ``path``, whole or not.

    ``size_in`` is the size of one panel. The suffix of ``path`` chooses PNG or SVG.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(size_in[0] * columns, size_in[1] * rows), layout="constrained")
        FigureCanvasAgg(figure)
        if title:
            figure.suptitle(title, fontsize=11)
        yield figure.subplots(rows, columns, squeeze=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.stem}.partial{path.suffix}")
        figure.savefig(partial, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)
        if path.suffix == ".png":
            _reduce_colors(partial)
        partial.replace(path)


def _reduce_colors(path: Path) -> None:
    """A palette makes pictures of noise four times smaller; on gray images and lines nobody sees it."""
    with Image.open(path) as full:
        reduced = full.convert("RGB").quantize(PALETTE, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    reduced.save(path, optimize=True)


def draw_marks(axes: Axes, marks: Sequence[Mark]) -> None:
    """Draw threshold lines with their labels in the legend."""
    for mark in marks:
        draw = axes.axvline if mark.axis == "x" else axes.axhline
        draw(mark.value, color=mark.color, linestyle="--", linewidth=1.1, label=mark.label or None)


def draw_curves(
    axes: Axes,
    curves: Sequence[Curve],
    *,
    x_label: str,
    y_label: str,
    title: str = "",
    marks: Sequence[Mark] = (),
    x_is_frequency: bool = False,
) -> None:
    """Draw lines over one x axis; ``x_is_frequency`` (1/Å) writes the ticks as resolutions in Å."""
    for curve in curves:
        axes.plot(
            curve.x, curve.y, "--" if curve.dashed else "-", color=curve.color, label=curve.label or None
        )
    draw_marks(axes, marks)
    label_axes(axes, x_label=x_label, y_label=y_label, title=title)
    if x_is_frequency:
        axes.xaxis.set_major_formatter(FuncFormatter(_resolution_tick))
    draw_legend(axes)


def draw_legend(axes: Axes) -> None:
    """What the labelled lines are, below the axis, where no curve runs."""
    labels = axes.get_legend_handles_labels()[1]
    if labels:
        below = (0.5, -0.16)
        axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=below, ncols=min(2, len(labels)))


def draw_histogram(
    axes: Axes,
    series: Sequence[tuple[str, Array]],
    *,
    x_label: str,
    y_label: str = "count",
    title: str = "",
    marks: Sequence[Mark] = (),
    bins: int = 30,
) -> None:
    """Draw histograms of one or more labelled samples over shared bins; non-finite values are left out."""
    finite = [(label, np.asarray(values)[np.isfinite(values)]) for label, values in series]
    pooled = np.concatenate([values for _, values in finite]) if finite else np.zeros(0)
    edges = np.histogram_bin_edges(pooled, bins=bins) if len(pooled) else np.linspace(0, 1, 2)
    for label, values in finite:
        axes.hist(values, bins=edges.tolist(), alpha=0.7 if len(finite) > 1 else 1.0, label=label or None)
    draw_marks(axes, marks)
    label_axes(axes, x_label=x_label, y_label=y_label, title=title)
    draw_legend(axes)


def draw_image(
    axes: Axes,
    image: Array,
    *,
    title: str = "",
    limits: tuple[float, float] | None = None,
    color_map: str = "gray",
) -> None:
    """Draw one gray picture, row 0 on top; contrast from the 1st to the 99th percentile unless given."""
    low, high = limits or display_limits(image)
    enlarged = max(image.shape) < SMALL_IMAGE_PX
    interpolation = "bilinear" if enlarged else "antialiased"
    axes.imshow(image, cmap=color_map, vmin=low, vmax=high, interpolation=interpolation)
    axes.set_axis_off()
    if title:
        axes.set_title(title, fontsize=8)


def draw_heat_map(
    axes: Axes,
    values: Array,
    *,
    extent: tuple[float, float, float, float],
    x_label: str,
    y_label: str,
    title: str = "",
    value_label: str = "",
) -> None:
    """Draw values [y, x] in color over ``extent`` (left, right, bottom, top), with a color bar."""
    picture = axes.imshow(
        values, cmap="viridis", origin="lower", extent=extent, aspect="auto", interpolation="nearest"
    )
    axes.grid(visible=False)
    label_axes(axes, x_label=x_label, y_label=y_label, title=title)
    axes.figure.colorbar(picture, ax=axes, label=value_label)


def label_axes(axes: Axes, *, x_label: str, y_label: str, title: str = "") -> None:
    """Name the two axes, with units, and the plot."""
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    if title:
        axes.set_title(title)


def plot_curves(
    path: Path,
    curves: Sequence[Curve],
    *,
    x_label: str,
    y_label: str,
    title: str = "",
    marks: Sequence[Mark] = (),
    x_is_frequency: bool = False,
) -> None:
    """Save one plot of lines (FSC family, Guinier, fits); correlations along a frequency get the axis -0.1 to
    1.
    """
    with panels(path) as axes:
        draw_curves(
            axes[0, 0],
            curves,
            x_label=x_label,
            y_label=y_label,
            title=title,
            marks=marks,
            x_is_frequency=x_is_frequency,
        )
        if x_is_frequency and all(np.nanmax(np.abs(curve.y)) <= 1 + 1e-6 for curve in curves):
            axes[0, 0].set_ylim(-0.1, 1.02)


def plot_histogram(
    path: Path,
    series: Sequence[tuple[str, Array]],
    *,
    x_label: str,
    title: str = "",
    marks: Sequence[Mark] = (),
) -> None:
    """Save one histogram of one or more labelled samples."""
    with panels(path) as axes:
        draw_histogram(axes[0, 0], series, x_label=x_label, title=title, marks=marks)


def plot_image_grid(
    path: Path,
    images: Sequence[Array] | Array,
    *,
    titles: Sequence[str] = (),
    columns: int = 10,
    title: str = "",
) -> None:
    """Save a montage of equally sized pictures (particles, class averages), each with its own contrast."""
    rows = max(1, -(-len(images) // columns))
    height_in = 1.15 if titles else 1.0
    with panels(path, rows, columns, size_in=(1.0, height_in), title=title) as axes:
        for position, cell in enumerate(axes.flat):
            cell.set_axis_off()
            if position < len(images):
                draw_image(cell, images[position], title=titles[position] if titles else "")


def plot_micrograph(path: Path, image: Array, groups: Sequence[CircleGroup] = (), *, title: str = "") -> None:
    """Save a micrograph with circles; long edges are binned to about 1000 pixels, coordinates stay in its
    pixels.
    """
    binning = max(1, round(max(image.shape) / 1000))
    height, width = (edge // binning * binning for edge in image.shape)
    small = image[:height, :width].reshape(height // binning, binning, width // binning, binning).mean((1, 3))
    with panels(path, size_in=(7.0, 7.0 * height / width + 0.3), title=title) as axes:
        cell = axes[0, 0]
        low, high = display_limits(small)
        extent = (-0.5, width - 0.5, height - 0.5, -0.5)
        cell.imshow(small, cmap="gray", vmin=low, vmax=high, extent=extent, interpolation="antialiased")
        cell.set(xlim=extent[:2], ylim=extent[2:])
        cell.set_axis_off()
        for group in groups:
            for x, y in group.xy_px:
                cell.add_patch(
                    Circle(
                        (float(x), float(y)), group.radius_px, fill=False, color=group.color, linewidth=0.9
                    )
                )
            if group.label:
                cell.plot([], [], "o", markerfacecolor="none", color=group.color, label=group.label)
        if any(group.label for group in groups):
            cell.legend(loc="upper right", fontsize=8, frameon=True)


def plot_orthogonal_slices(path: Path, volume: Array, *, title: str = "") -> None:
    """Save the three central slices of a volume [z, y, x], with one gray scale."""
    center_z, center_y, center_x = (edge // 2 for edge in volume.shape)
    slices = (("xy", volume[center_z]), ("xz", volume[:, center_y]), ("yz", volume[:, :, center_x]))
    low, high = display_limits(volume, percentiles=(0.5, 99.9))
    with panels(path, 1, 3, size_in=(3.0, 3.2), title=title) as axes:
        for cell, (name, picture) in zip(axes[0], slices, strict=True):
            draw_image(cell, picture, title=name, limits=(low, high))


def plot_mask(path: Path, volume: Array, mask: Array) -> None:
    """Save the three central slices of a volume with the outlines of its mask."""
    middle = volume.shape[0] // 2
    cuts: list[tuple[str, tuple[slice | int, ...]]] = [
        ("xy", (middle,)),
        ("xz", (slice(None), middle)),
        ("yz", (slice(None), slice(None), middle)),
    ]
    with panels(path, 1, 3, size_in=(3.0, 3.2), title="outlines of the mask at 1, 0.5 and 0") as axes:
        for cell, (name, cut) in zip(axes[0], cuts, strict=True):
            draw_image(cell, volume[cut], title=name)
            colors = ["#4c9fb0", "#35d04f", "#c99a2e"]
            cell.contour(mask[cut], levels=[0.02, 0.5, 0.98], colors=colors, linewidths=0.9)


def plot_scatter(
    path: Path,
    groups: Sequence[tuple[str, Array, Array]],
    *,
    x_label: str,
    y_label: str,
    title: str = "",
    marks: Sequence[Mark] = (),
) -> None:
    """Save a scatter plot of labelled groups (label, x, y)."""
    with panels(path) as axes:
        cell = axes[0, 0]
        for label, x, y in groups:
            cell.scatter(x, y, s=14, alpha=0.8, linewidths=0, label=label or None)
        draw_marks(cell, marks)
        label_axes(cell, x_label=x_label, y_label=y_label, title=title)
        draw_legend(cell)


def display_limits(image: Array, percentiles: tuple[float, float] = (1.0, 99.0)) -> tuple[float, float]:
    """Gray limits at two percentiles of the finite pixels; equal limits are widened so that a flat picture
    draws.
    """
    finite = image[np.isfinite(image)]
    low, high = (float(v) for v in np.percentile(finite, percentiles)) if finite.size else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _resolution_tick(frequency_per_angstrom: float, _position: int) -> str:
    return f"{1 / frequency_per_angstrom:.3g} Å" if frequency_per_angstrom > 0 else "∞"
