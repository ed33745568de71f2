"""What a person would see in the images of an order at a glance, told from their headers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from django.db.models import QuerySet

from cryocloud.catalog.facts import number_in
from cryocloud.catalog.optics import OpticsParameters
from cryocloud.web.data.models import DatasetFile
from cryocloud.web.runs.finding import Finding
from cryocloud.web.runs.references import IMAGE_SUFFIXES, ending_in

MOVIE_SUFFIXES = (".tif", ".tiff", ".eer")
NAMES_SHOWN = 3
PARTICLES_ACROSS, PARTICLES_ACROSS_WANTED = 2, 6
PIXELS_ACROSS_WANTED = 10
TABLE_SUFFIXES = (".star", ".cs")
_OPTICS = tuple(name for name in OpticsParameters.model_fields if name != "pixel_size_angstrom")


def micrograph_findings(field: str, files: QuerySet[DatasetFile]) -> Iterator[Finding]:
    """About a dataset where micrographs are wanted: none, damaged ones, movies, mixed sizes and pixel sizes."""
    kinds: dict[str, list[str]] = {kind: [] for kind in ("movie", "damaged", "usable", "other")}
    headers = []
    for path, state, header in files.values_list("path", "state", "header"):
        kind = _kind(path, state, header)
        kinds[kind].append(path)
        if kind == "usable" and number_in(header, "width_px") and number_in(header, "height_px"):
            headers.append(header)
    yield from _unusable(field, kinds)
    yield from _mixed(field, "size", (f"{one['width_px']} × {one['height_px']} px" for one in headers))
    sizes = (number_in(one, "pixel_size_angstrom") for one in headers)
    yield from _mixed(field, "pixel size", (f"{size:.4g} Å" for size in sizes if size))


def _kind(path: str, state: str, header: Mapping[str, Any]) -> str:
    lower = path.lower()
    if lower.endswith(MOVIE_SUFFIXES) or header.get("content") in ("stack", "movie"):
        return "movie"
    if not lower.endswith(IMAGE_SUFFIXES):
        return "other"
    return "damaged" if state == DatasetFile.State.DAMAGED else "usable"


def _unusable(field: str, kinds: Mapping[str, list[str]]) -> Iterator[Finding]:
    """What cannot be taken is a warning as long as something can."""
    level: Literal["warning", "error"] = "warning" if kinds["usable"] else "error"
    movies, damaged = kinds["movie"], kinds["damaged"]
    if movies:
        text = f"{_counted(movies, 'movie')}: movies are not read here. Align and sum the frames, and upload the sums."
        yield Finding(field, level, text)
    if damaged:
        rest = "It is" if len(damaged) == 1 else "They are"
        text = f"{_counted(damaged, 'damaged file')}. {rest} set aside; the page of the dataset says what is wrong."
        yield Finding(field, level, text)
    if not any((movies, damaged, kinds["usable"])):
        text = f"No micrograph among {len(kinds['other']):,} files; MRC files are wanted."
        yield Finding(field, "error", text)


def _counted(paths: list[str], what: str) -> str:
    """Three damaged files: a.mrc, b.mrc and so on."""
    named = ", ".join(path.rsplit("/", 1)[-1] for path in paths[:NAMES_SHOWN])
    more = f" and {len(paths) - NAMES_SHOWN:,} more" if len(paths) > NAMES_SHOWN else ""
    return f"{len(paths):,} {what}{'' if len(paths) == 1 else 's'}: {named}{more}"


def _mixed(field: str, what: str, values: Iterable[str]) -> Iterator[Finding]:
    """Micrographs of one session are alike; if not, two sessions were mixed, or some were binned."""
    found = Counter(values).most_common()
    if len(found) > 1:
        each = ", ".join(f"{count:,} of {value}" for value, count in found[:NAMES_SHOWN])
        yield Finding(field, "warning", f"The micrographs have more than one {what}: {each}. Is that meant?")


def optics_findings(
    parameters: Any, files: QuerySet[DatasetFile], header: Mapping[str, Any]
) -> Iterator[Finding]:
    """What images do not tell must be given; tables may tell it."""
    tables, images = (
        files.filter(path__iregex=ending_in(suffixes)) for suffixes in (TABLE_SUFFIXES, IMAGE_SUFFIXES)
    )
    if tables.exists() or not images.exists():
        return
    missing = [name for name in _OPTICS if getattr(parameters, name, 0) is None]
    if getattr(parameters, "pixel_size_angstrom", 0) is None and not number_in(header, "pixel_size_angstrom"):
        missing.append("pixel_size_angstrom")
    for name in missing:
        yield Finding(name, "error", "Give it: the images do not tell.")


def diameter_findings(
    diameter_angstrom: float, pixel_size_angstrom: float, image_px: tuple[int, int]
) -> Iterator[Finding]:
    """Whether a particle of this size can be in images of that size; a slip of units is 10 times off."""
    field = "particle_diameter_angstrom"
    edge_angstrom = min(image_px) * pixel_size_angstrom
    across_px = diameter_angstrom / pixel_size_angstrom
    if PARTICLES_ACROSS * diameter_angstrom > edge_angstrom > 0:
        text = (
            f"The micrographs are {edge_angstrom:,.0f} Å across; particles of {diameter_angstrom:,.0f} Å do not fit. "
            "Is it given in Å, and the pixel size too?"
        )
        yield Finding(field, "error", text)
    elif PARTICLES_ACROSS_WANTED * diameter_angstrom > edge_angstrom > 0:
        text = f"The micrographs are only {edge_angstrom / diameter_angstrom:.1f} particles across. Is it given in Å?"
        yield Finding(field, "warning", text)
    if across_px < PIXELS_ACROSS_WANTED:
        text = f"A particle would be {across_px:.1f} pixels across, too few to see it. Is it given in Å?"
        yield Finding(field, "warning", text)
