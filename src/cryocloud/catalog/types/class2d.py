"""Sort particles by view and quality and average them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from cryocloud.catalog.base import Facts, Forecast, Group, Input, JobType, Luck, Parameters, parameter

# Measured: an image of 60 px in the working box takes 1 ms for each look at it, an average 10 ms for each update.
CPU_S_PER_PIXEL_AND_VISIT = 2.6e-7
CPU_S_PER_PIXEL_AND_AVERAGE = 3e-6
IMAGES_AT_ONCE = 2000
UNKNOWN_PIXEL_ANGSTROM = 3.0


class Class2dParameters(Parameters):
    classes: int = parameter(50, help="Number of classes", ge=1, le=500)
    max_resolution_angstrom: float = parameter(
        6.0,
        unit="Å",
        help="Finest detail that is compared; sets the size to which images are reduced",
        gt=2,
        le=40,
    )
    mask_diameter_angstrom: float | None = parameter(
        None,
        unit="Å",
        help="Diameter of the soft mask around class averages; 90 % of the box if not given",
        gt=10,
    )
    shift_range_angstrom: float | None = parameter(
        None, unit="Å", help="Largest shift that is searched; a tenth of the mask if not given", gt=0, le=200
    )
    online_updates: int = parameter(
        20, help="Updates on growing random batches before the full passes", ge=1, le=500
    )
    full_passes: int = parameter(2, help="Updates on all particles at the end", ge=1, le=50)
    recenter: bool = parameter(True, help="Move class averages to the center after each update")


def forecast(parameters: Class2dParameters, facts: Facts) -> Forecast:
    """Images are cut to the box that holds the finest detail; batches grow to half of the particles."""
    pixel_angstrom = facts.pixel_size_angstrom or UNKNOWN_PIXEL_ANGSTROM
    finest_px = facts.box_size_px * pixel_angstrom / parameters.max_resolution_angstrom
    pixels = min(facts.box_size_px, max(24, 2 * (math.ceil(finest_px) + 1))) ** 2
    updates = parameters.online_updates + parameters.full_passes
    visits = _visits(parameters, facts.items)
    turned_bytes = 20 * parameters.classes * pixels**1.5
    return Forecast(
        memory_bytes=6.5e8
        + min(facts.items, IMAGES_AT_ONCE) * (60 * pixels + 8 * facts.box_size_px**2)
        + turned_bytes
        + 400 * facts.items,
        disk_bytes=1e6 + 20 * parameters.classes * pixels + 700 * facts.items,
        cpu_s=5
        + CPU_S_PER_PIXEL_AND_VISIT * pixels * visits
        + CPU_S_PER_PIXEL_AND_AVERAGE * pixels * parameters.classes * updates,
    )


def _visits(parameters: Class2dParameters, items: int) -> float:
    """How often an image is looked at: mini-batches that grow by the same factor, full passes, and a last rating."""
    first = min(items, max(20 * parameters.classes, 0.02 * items))
    last = max(first, items / 2)
    mean = first if last <= first else (last - first) / math.log(last / first)
    return parameters.online_updates * mean + (parameters.full_passes + 1) * items


def expects(parameters: Class2dParameters, facts: Facts, luck: Luck) -> Mapping[str, float]:
    return {"particles": facts.items}


JOB_TYPE = JobType(
    name="class2d",
    version=1,
    title="2D classification",
    summary="Sorts particles into classes of like images, averages each and judges how good it is.",
    parameters=Class2dParameters,
    inputs=(Input("input", "particles", "particles.star"),),
    outputs=("particles.star", "classes.mrcs", "classes.star"),
    groups=(
        Group("particles", "particles.star", "classified particles"),
        Group("images", "classes.mrcs", "class averages"),
    ),
    forecast=forecast,
    rests_on=("items", "box_size_px"),
    expects=expects,
    keeps_checkpoints=True,
)
