"""A density map of an atomic model, or of a made-up protein."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cryocloud.catalog.base import Facts
from cryocloud.catalog.simulation import PROCEDURAL
from cryocloud.catalog.types.simulate_map import JOB_TYPE, SimulateMapParameters
from cryocloud.compute.context import JobContext
from cryocloud.engine.geometry import symmetry_operators
from cryocloud.engine.io.atomic_model import (
    PDB_CHAINS,
    read_atomic_model,
    read_biological_assembly,
    write_atomic_model,
)
from cryocloud.engine.io.mrc import write_mrc
from cryocloud.engine.records.atomic_model import AtomicModel
from cryocloud.engine.simulate.density import density_map, mass_kda, smallest_box_px
from cryocloud.engine.simulate.protein import procedural_model
from cryocloud.engine.simulate.symmetry_frame import at_origin, symmetric_assembly
from cryocloud.jobs.kit.plots import draw_image, panels, plot_orthogonal_slices
from cryocloud.jobs.kit.preflight import require_resources

BOX_TO_DIAMETER = 1.3
EDGE_OF_SHAPE_PERCENTILE = 99.5


def run(job: JobContext) -> None:
    """Write ``map.mrc`` and the atoms behind it, in the frame of the map."""
    parameters: SimulateMapParameters = job.parameters
    job.progress(0.0, "model")
    model = _model(job)
    box = parameters.box_size_px or _box_px(model, parameters.pixel_size_angstrom)
    require_resources(JOB_TYPE.forecast(parameters, Facts(box_size_px=box)), job.out)
    job.progress(0.6, "map")
    volume = density_map(
        model,
        box_size_px=box,
        pixel_size_angstrom=parameters.pixel_size_angstrom,
        resolution_angstrom=parameters.resolution_angstrom,
        b_factor_angstrom2=parameters.b_factor_angstrom2,
        in_ice=parameters.environment == "ice",
    ).numpy()
    write_mrc(job.out / "map.mrc", volume, parameters.pixel_size_angstrom)
    _write_model(job, model, box // 2 * parameters.pixel_size_angstrom)
    plot_orthogonal_slices(job.plots / "slices.png", volume, title="Central slices")
    with panels(job.plots / "projections.png", 1, 3, size_in=(3.0, 3.2), title="Projections") as axes:
        for cell, (axis, name) in zip(axes[0], enumerate("zyx"), strict=True):
            draw_image(cell, volume.sum(axis), title=f"along {name}")
    job.metrics(
        atoms=len(model),
        chains=len(np.unique(model.chain)),
        mass_kda=round(mass_kda(model), 1),
        symmetry_operators=len(symmetry_operators(parameters.symmetry)),
        diameter_angstrom=round(_diameter_angstrom(model), 1),
        box_size_px=box,
        pixel_size_angstrom=parameters.pixel_size_angstrom,
    )


def _model(job: JobContext) -> AtomicModel:
    parameters: SimulateMapParameters = job.parameters
    source = job.inputs["model"]
    if str(source) == PROCEDURAL:
        rng = np.random.default_rng(job.seed)
        return procedural_model(parameters.symmetry, rng, mass_kda=parameters.mass_kda)
    if parameters.align_symmetry == "origin":
        found = at_origin(read_atomic_model(source), parameters.symmetry)
    else:
        assembly = read_biological_assembly(source)
        found = symmetric_assembly(
            read_atomic_model(source) if assembly is None else assembly, parameters.symmetry
        )
    through = ", ".join(f"{x:.2f}" for x in found.center_angstrom)
    job.decision("symmetry axes", f"through ({through}) Å", found.how)
    return found.model


def _box_px(model: AtomicModel, pixel_size_angstrom: float) -> int:
    wanted = BOX_TO_DIAMETER * _diameter_angstrom(model) / pixel_size_angstrom
    return max(16, 2 * round(wanted / 2), smallest_box_px(model, pixel_size_angstrom))


def _diameter_angstrom(model: AtomicModel) -> float:
    radius = np.linalg.norm(model.positions_angstrom, axis=1)
    return 2 * float(np.percentile(radius, EDGE_OF_SHAPE_PERCENTILE))


def _write_model(job: JobContext, model: AtomicModel, center_angstrom: float) -> None:
    """Viewers place voxel 0 at the origin, so the atoms move to the middle of the box."""
    placed = replace(model, positions_angstrom=model.positions_angstrom + center_angstrom)
    write_atomic_model(job.out / "model.cif", placed)
    chains = len(np.unique(model.chain))
    if chains <= PDB_CHAINS:
        write_atomic_model(job.out / "model.pdb", placed)
    else:
        job.log(f"model.pdb not written: PDB files name at most {PDB_CHAINS} chains, the model has {chains}")
