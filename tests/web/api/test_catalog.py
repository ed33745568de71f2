"""The catalog through the API: what forms and other programs need to know of a job."""

import pytest

from cryocloud.catalog import job_type_names, load_job_type, workflow_names


def test_all_job_types_and_workflows_are_listed(owner):
    listed = owner.api("GET", "/catalog/job-types").json()
    assert [one["name"] for one in listed] == job_type_names()
    assert [one["name"] for one in owner.api("GET", "/catalog/workflows").json()] == workflow_names()


@pytest.mark.parametrize("name", job_type_names())
def test_each_job_type_tells_its_parameters_with_units_and_bounds(owner, name):
    told = owner.api("GET", f"/catalog/job-types/{name}").json()
    declared = load_job_type(name)
    assert [one["name"] for one in told["parameters"]] == list(declared.parameters.model_fields)
    assert [one["name"] for one in told["inputs"]] == [item.name for item in declared.inputs]
    assert told["version"] == declared.version
    assert set(told["parameters_schema"]["properties"]) == set(declared.parameters.model_fields)


def test_facts_of_a_parameter(owner):
    told = owner.api("GET", "/catalog/job-types/pick").json()["parameters"]
    by_name = {one["name"]: one for one in told}
    diameter = by_name["particle_diameter_angstrom"]
    assert (diameter["unit"], diameter["type"], diameter["is_required"]) == ("Å", "number", True)
    assert diameter["bounds"] == {"gt": 20, "lt": 5000}
    assert by_name["method"]["choices"] == ["log", "template"]
    assert by_name["max_picks"]["may_be_null"] is True


def test_an_unknown_name_is_answered_with_a_close_one(owner):
    answer = owner.api("GET", "/catalog/job-types/pickk")
    assert answer.status_code == 404
    assert "pick" in answer.json()["error"]
    assert owner.api("GET", "/catalog/workflows/..").status_code == 404
