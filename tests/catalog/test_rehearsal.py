"""A workflow is forecast by playing its own generator through."""

from __future__ import annotations

from typing import Any

import pytest

from cryocloud.catalog import load_workflow
from cryocloud.catalog.base import Facts, Luck
from cryocloud.catalog.facts import facts_of_header, facts_of_result
from cryocloud.catalog.forecasting import Cost, Record, learn
from cryocloud.catalog.rehearsal import Unforeseeable, WorkflowForecast, forecast_workflow, rehearse

SPA = load_workflow("spa")
FACTS = Facts(items=20, image_height_px=1000, image_width_px=1000, pixel_size_angstrom=2.0)


def played(facts: Facts = FACTS, *, records: tuple[Record, ...] = (), **given: Any) -> WorkflowForecast:
    reference = {"reference": given.pop("reference")} if "reference" in given else {}
    parameters = SPA.parameters.model_validate({"particle_diameter_angstrom": 150, **given})
    inputs = {"micrographs": "dataset:x", **reference}
    return forecast_workflow(SPA, parameters, inputs, facts, experience=learn(records), threads=2)


def test_the_steps_are_those_that_the_workflow_will_make() -> None:
    names = [step.job_type for step in played().steps]
    assert names == [
        "import_micrographs", "ctf", "curate", "pick", "extract", "class2d", "select2d", "abinitio", "extract",
        "refine", "postprocess", "extract", "refine",
    ]  # fmt: skip
    assert [step.is_optional for step in played().steps[-2:]] == [True, False]
    assert "abinitio" not in [step.job_type for step in played(reference="file:y").steps]


def test_a_run_costs_what_its_steps_cost() -> None:
    found = played()
    assert found.wall_s.likely == pytest.approx(sum(step.ranges.wall_s.likely for step in found.steps))
    assert found.memory_bytes.likely == max(step.ranges.memory_bytes.likely for step in found.steps)
    assert found.wall_s.low < found.wall_s.likely < found.wall_s.high
    assert found.wall_s.likely < found.cpu_s.likely


def test_more_data_takes_longer() -> None:
    many = played(Facts(200, 1000, 1000, pixel_size_angstrom=2.0))
    assert many.wall_s.likely > 2 * played().wall_s.likely
    assert many.disk_bytes.likely > 5 * played().disk_bytes.likely


def test_what_jobs_took_changes_the_whole() -> None:
    slow = tuple(Record("refine", Cost(10, 10, 1e9), Cost(50, 50, 1e9)) for _ in range(10))
    assert played(records=slow).wall_s.likely > played().wall_s.likely


def test_where_little_is_found_the_null_control_is_left_out() -> None:
    parameters = SPA.parameters.model_validate({"particle_diameter_angstrom": 150})
    courses = {luck: list(rehearse(SPA, parameters, {"micrographs": "x"}, FACTS, luck)) for luck in Luck}
    assert [one.job_type.name for one in courses[Luck.LITTLE] if one.is_left_out] == ["extract"]
    assert len(courses[Luck.LITTLE]) + 1 == len(courses[Luck.LIKELY]) == len(courses[Luck.MUCH])
    picks = [courses[luck][3].metrics["picks"] for luck in Luck]
    assert picks == sorted(picks) and len(set(picks)) == 3


@pytest.mark.parametrize("missing", ["items", "image_width_px", "pixel_size_angstrom"])
def test_without_a_size_nothing_is_made_up(missing: str) -> None:
    known = {name: getattr(FACTS, name) for name in vars(FACTS) if name != missing}
    with pytest.raises(Unforeseeable):
        played(Facts(**known))


def test_sizes_come_from_the_job_itself_before_those_that_it_read() -> None:
    own = {"particles": 900, "box_size_px": 64}
    before = [{"picks": 1200, "micrographs": 12, "box_size_px": 128, "image_width_px": 4000}]
    found = facts_of_result("particles.star", [[own], before])
    assert (found.items, found.box_size_px, found.micrographs, found.image_width_px) == (900, 64, 12, 4000)


@pytest.mark.parametrize("forged", [float("nan"), float("inf"), -3, 10**40, "12", None, True, [1]])
def test_numbers_that_a_job_made_up_are_not_believed(forged: Any) -> None:
    found = facts_of_result("particles.star", [[{"particles": forged, "box_size_px": forged}]])
    assert found == Facts()


def test_a_cube_is_a_map_and_a_stack_has_a_box() -> None:
    cube = facts_of_header({"width_px": 64, "height_px": 64, "sections": 64, "pixel_size_angstrom": 2.0})
    assert (cube.box_size_px, cube.pixel_size_angstrom, cube.items) == (64, 2.0, 0)
    stack = facts_of_header({"width_px": 96, "height_px": 96, "sections": 500, "content": "stack"})
    assert stack.box_size_px == 96
    assert facts_of_header({"width_px": 4096, "height_px": 4096, "sections": 1}).box_size_px == 0
