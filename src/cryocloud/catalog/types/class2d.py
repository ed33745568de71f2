"""Sort particles by view and quality and average them."""

from __future__ import annotations

from collections.abc import Mapping

from cryocloud.catalog.base import Facts, Forecast, Group, Input, JobType, Luck, Parameters, parameter

CPU_S_PER_VISIT = 1.6e-3
VISITS_PER_PARTICLE = 8


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
    working_px = min(facts.box_size_px, 100)
    plane_bytes = 12 * (2 * working_px) * working_px
    turned_bytes = 30 * working_px**2 * 6 * working_px
    return Forecast(
        memory_bytes=1.4e9 + parameters.classes * (10 * plane_bytes + turned_bytes) + 400 * facts.items,
        disk_bytes=parameters.classes * 5 * plane_bytes + 700 * facts.items,
        cpu_s=20 + CPU_S_PER_VISIT * VISITS_PER_PARTICLE * facts.items * parameters.classes / 50,
    )


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
)
