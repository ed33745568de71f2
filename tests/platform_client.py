"""A program that uses the API of a running platform: orders a small job and waits for its end."""

from __future__ import annotations

import httpx

from platform_up import wait_for

JOB = {
    "job_type": "simulate_map",
    "inputs": {"model": "procedural"},
    "parameters": {"pixel_size_angstrom": 8.0},
}


def api_of(address: str, secret: str) -> httpx.Client:
    return httpx.Client(
        base_url=f"{address}/api/v1", headers={"Authorization": f"Bearer {secret}"}, timeout=60
    )


def _made(answer: httpx.Response) -> str:
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def finished_job(address: str, secret: str) -> str:
    with api_of(address, secret) as api:
        organization = api.get("/organizations").json()["items"][0]["id"]
        project = _made(api.post("/projects", json={"name": "P", "organization_id": organization}))
        job = _made(api.post(f"/projects/{project}/jobs", json=JOB))
        wait_for(lambda: api.get(f"/jobs/{job}").json()["state"] in ("done", "failed", "exceptions"))
        assert api.get(f"/jobs/{job}").json()["state"] == "done", api.get(f"/jobs/{job}").text
    return job
