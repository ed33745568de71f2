"""What a person would see in a dataset is said before anything starts, beside the field, with counts."""

from __future__ import annotations

from typing import Any

import pytest

from cryocloud.web.core.errors import Refused
from cryocloud.web.data.models import Dataset
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.finding import Finding
from cryocloud.web.runs.models import Job, Run
from cryocloud.web.runs.preflight import check_order
from cryocloud.web.runs.services import create_job, start_run
from platform_orders import OPTICS, finished_job, make_dataset

GIVEN = {**OPTICS, "particle_diameter_angstrom": 125.0}
HEADER = {"content": "image", "width_px": 4096, "height_px": 4096, "pixel_size_angstrom": 1.5}


def dataset(owner: Any, count: int = 4, *, others: tuple[str, ...] = ()) -> Dataset:
    made = make_dataset(owner, {**{f"m{n}.mrc": b"" for n in range(count)}, **dict.fromkeys(others, b"")})
    made.files.filter(path__endswith=".mrc").update(header=HEADER, state="read")
    return made


def found(owner: Any, project: Project, made: Dataset, **parameters: Any) -> dict[str, list[Finding]]:
    inputs = {"micrographs": f"dataset:{made.pk}"}
    by_field: dict[str, list[Finding]] = {}
    checked = check_order(
        actor=owner.actor, project=project, kind_and_name=("workflow", "spa"), parameters=GIVEN | parameters,
        inputs=inputs,
    )  # fmt: skip
    for finding in checked.findings:
        by_field.setdefault(finding.field, []).append(finding)
    return by_field


def start(owner: Any, project: Project, made: Dataset, **parameters: Any) -> Run:
    inputs = {"micrographs": f"dataset:{made.pk}"}
    return start_run(
        actor=owner.actor, project=project, workflow="spa", parameters=GIVEN | parameters, inputs=inputs
    )


def test_a_good_dataset_needs_no_words(owner: Any, project: Project) -> None:
    assert set(found(owner, project, dataset(owner, others=("notes.txt",)))) <= {"", "pixel_size_angstrom"}


@pytest.mark.parametrize(
    ("others", "said"), [((), "No micrograph among 0 files"), (("a.txt", "b.csv"), "2 files")]
)
def test_an_empty_dataset_is_refused(
    owner: Any, project: Project, others: tuple[str, ...], said: str
) -> None:
    made = dataset(owner, 0, others=others)
    (finding,) = found(owner, project, made)["micrographs"]
    assert finding.level == "error" and said in finding.text
    with pytest.raises(Refused) as refusal:
        start(owner, project, made)
    assert refusal.value.fields == {"micrographs": finding.text}
    assert Run.unscoped.count() == Job.unscoped.count() == 0


def test_damaged_files_are_counted_and_named(owner: Any, project: Project) -> None:
    made = dataset(owner, 6)
    made.files.filter(path__lt="m4.mrc").update(state="damaged", header={})
    (finding,) = found(owner, project, made)["micrographs"]
    assert finding.level == "warning"
    assert finding.text.startswith("4 damaged files: m0.mrc, m1.mrc, m2.mrc and 1 more. They are set aside")
    made.files.update(state="damaged")
    assert found(owner, project, made)["micrographs"][0].level == "error"


def test_movies_are_no_micrographs(owner: Any, project: Project) -> None:
    made = dataset(owner, 2, others=("a.tif", "b.eer"))
    (finding,) = found(owner, project, made)["micrographs"]
    assert finding.level == "warning" and finding.text.startswith(
        "2 movies: a.tif, b.eer: movies are not read"
    )
    made.files.filter(path__endswith=".mrc").update(header=HEADER | {"content": "stack", "sections": 40})
    (finding,) = found(owner, project, made)["micrographs"]
    assert finding.level == "error" and "4 movies" in finding.text
    with pytest.raises(Refused) as refusal:
        create_job(
            actor=owner.actor, project=project, job_type="import_micrographs", parameters=OPTICS,
            inputs={"input": f"dataset:{made.pk}"},
        )  # fmt: skip
    assert "movies are not read" in refusal.value.fields["input"]


def test_mixed_sizes_and_pixel_sizes_are_counted(owner: Any, project: Project) -> None:
    made = dataset(owner, 5)
    changed = HEADER | {"width_px": 3838, "height_px": 3710, "pixel_size_angstrom": 0.75}
    made.files.filter(path="m0.mrc").update(header=changed)
    texts = [finding.text for finding in found(owner, project, made)["micrographs"]]
    assert texts == [
        "The micrographs have more than one size: 4 of 4096 × 4096 px, 1 of 3838 × 3710 px. Is that meant?",
        "The micrographs have more than one pixel size: 4 of 1.5 Å, 1 of 0.75 Å. Is that meant?",
    ]


def test_optics_that_images_do_not_tell_are_asked_for(owner: Any, project: Project) -> None:
    missing = dict.fromkeys(("voltage_kv", "spherical_aberration_mm", "amplitude_contrast"))
    by_field = found(owner, project, dataset(owner), **missing)
    assert {name for name in missing if by_field[name][0].level == "error"} == set(missing)
    with pytest.raises(Refused) as refusal:
        start(owner, project, dataset(owner), voltage_kv=None)
    assert refusal.value.fields == {"voltage_kv": "Give it: the images do not tell."}
    with_table = dataset(owner, others=("session.star",))
    assert "voltage_kv" not in found(owner, project, with_table, **missing)


@pytest.mark.parametrize(
    ("diameter_angstrom", "level", "said"),
    [
        (2900.0, "error", "The micrographs are 5,700 Å across; particles of 2,900 Å do not fit"),
        (1200.0, "warning", "only 4.8 particles across"),
        (125.0, "", ""),
    ],
)
def test_a_diameter_is_held_against_the_micrograph(
    owner: Any, project: Project, diameter_angstrom: float, level: str, said: str
) -> None:
    made = dataset(owner)
    made.files.update(header=HEADER | {"width_px": 3800, "height_px": 3800})
    by_field = found(owner, project, made, particle_diameter_angstrom=diameter_angstrom)
    findings = by_field.get("particle_diameter_angstrom", [])
    assert [finding.level for finding in findings] == ([level] if level else [])
    assert all(said in finding.text for finding in findings)


def test_a_diameter_of_a_few_pixels_is_doubted(owner: Any, project: Project) -> None:
    made = dataset(owner)
    (finding,) = found(owner, project, made, particle_diameter_angstrom=30.0, pixel_size_angstrom=4.0)[
        "particle_diameter_angstrom"
    ]
    assert finding.level == "warning" and "7.5 pixels across" in finding.text


def test_a_mask_wider_than_the_box_is_refused(owner: Any, project: Project) -> None:
    metrics = {"particles": 900, "box_size_px": 64, "pixel_size_angstrom": 3.0}
    made = finished_job(owner, project, "extract", ("particles.star",), metrics=metrics)
    checked = check_order(
        actor=owner.actor, project=project, kind_and_name=("job", "class2d"),
        parameters={"mask_diameter_angstrom": 200.0}, inputs={"input": f"job:{made.pk}/particles.star"},
    )  # fmt: skip
    texts = [finding.text for finding in checked.findings if finding.field == "mask_diameter_angstrom"]
    assert texts == ["Wider than the box of 192 Å; take less, or extract with a larger box."]


@pytest.mark.parametrize("value", ["many", 10**400, [1.5], {"x": 1}, True, -1])
@pytest.mark.parametrize("name", ["pixel_size_angstrom", "width_px", "height_px"])
def test_headers_that_hold_no_numbers_tell_nothing(
    owner: Any, project: Project, name: str, value: Any
) -> None:
    made = dataset(owner)
    made.files.filter(path="m0.mrc").update(header=HEADER | {name: value})
    assert not any(
        "more than one" in one.text for ones in found(owner, project, made).values() for one in ones
    )
