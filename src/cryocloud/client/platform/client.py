"""The client: one object for one server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from cryocloud.client.platform import downloading, uploading, watching
from cryocloud.client.platform.connection import Connection
from cryocloud.client.platform.shapes import (
    Artifact,
    Dataset,
    DatasetFile,
    Finding,
    Forecast,
    Job,
    Organization,
    Project,
    Run,
    WhoAmI,
)


class CryoCloud:
    """Everything that the pages do.

    ``CryoCloud("https://cryo.example.org", "cryo_…")``; tokens are made in the settings of the pages. What the
    server refuses is a ``Refusal`` with its message; usable in a ``with`` block, and from several threads.
    """

    def __init__(self, address: str, token: str) -> None:
        self.connection = Connection(address, token)

    def __enter__(self) -> CryoCloud:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.connection.close()

    def who_am_i(self) -> WhoAmI:
        return WhoAmI.model_validate(self.connection.get("/me"))

    def organizations(self) -> Iterator[Organization]:
        return map(Organization.model_validate, self.connection.items("/organizations"))

    def projects(self) -> Iterator[Project]:
        return map(Project.model_validate, self.connection.items("/projects"))

    def project(self, project_id: str) -> Project:
        return Project.model_validate(self.connection.get(f"/projects/{project_id}"))

    def create_project(self, name: str, *, description: str = "", organization_id: str = "") -> Project:
        order = {
            "name": name,
            "description": description,
            "organization_id": self._organization(organization_id),
        }
        return Project.model_validate(self.connection.send("POST", "/projects", order))

    def datasets(self) -> Iterator[Dataset]:
        return map(Dataset.model_validate, self.connection.items("/datasets"))

    def dataset(self, dataset_id: str) -> Dataset:
        return Dataset.model_validate(self.connection.get(f"/datasets/{dataset_id}"))

    def create_dataset(
        self, name: str, *, profile: dict[str, float] | None = None, organization_id: str = ""
    ) -> Dataset:
        order = {"name": name, "profile": profile, "organization_id": self._organization(organization_id)}
        return Dataset.model_validate(self.connection.send("POST", "/datasets", order))

    def files(self, dataset_id: str) -> Iterator[DatasetFile]:
        return map(DatasetFile.model_validate, self.connection.items(f"/datasets/{dataset_id}/files"))

    def file(self, file_id: str) -> DatasetFile:
        return DatasetFile.model_validate(self.connection.get(f"/files/{file_id}"))

    def upload_folder(
        self, folder: Path | str, dataset_id: str, *, watcher: uploading.Watcher = lambda _: None
    ) -> uploading.UploadProgress:
        """Send a folder (or one file); call it again after an interruption and it goes on where it was."""
        return uploading.upload_folder(self.connection, Path(folder), dataset_id, watcher)

    def jobs(self, *, project_id: str = "", run_id: str = "") -> Iterator[Job]:
        query = {"project_id": project_id, "run_id": run_id}
        return map(Job.model_validate, self.connection.items("/jobs", **query))

    def job(self, job_id: str) -> Job:
        return Job.model_validate(self.connection.get(f"/jobs/{job_id}"))

    def create_job(
        self,
        project_id: str,
        job_type: str,
        *,
        inputs: dict[str, str],
        parameters: dict[str, Any] | None = None,
        seed: int = 0,
    ) -> Job:
        """Inputs are references: ``dataset:ID``, ``file:ID``, ``job:ID``, ``job:ID/FILE``."""
        order = {"job_type": job_type, "inputs": inputs, "parameters": parameters or {}, "seed": seed}
        return Job.model_validate(self.connection.send("POST", f"/projects/{project_id}/jobs", order))

    def cancel_job(self, job_id: str) -> Job:
        return Job.model_validate(self.connection.send("POST", f"/jobs/{job_id}/cancel"))

    def run(self, run_id: str) -> Run:
        return Run.model_validate(self.connection.get(f"/runs/{run_id}"))

    def start_run(
        self,
        project_id: str,
        workflow: str,
        *,
        inputs: dict[str, str],
        parameters: dict[str, Any] | None = None,
        seed: int = 0,
    ) -> Run:
        order = {"workflow": workflow, "inputs": inputs, "parameters": parameters or {}, "seed": seed}
        return Run.model_validate(self.connection.send("POST", f"/projects/{project_id}/runs", order))

    def cancel_run(self, run_id: str) -> Run:
        return Run.model_validate(self.connection.send("POST", f"/runs/{run_id}/cancel"))

    def check_order(self, project_id: str, order: dict[str, Any]) -> list[Finding]:
        """What is wrong with ``{"job_type" or "workflow", "parameters", "inputs"}``; nothing is started."""
        found = self.connection.send("POST", f"/projects/{project_id}/preflight", order)
        return [Finding.model_validate(one) for one in found]

    def forecast_order(self, project_id: str, order: dict[str, Any]) -> Forecast:
        """What the same order would take; nothing is started."""
        return Forecast.model_validate(
            self.connection.send("POST", f"/projects/{project_id}/forecast", order)
        )

    def log(self, job_id: str) -> str:
        return str(self.connection.get(f"/jobs/{job_id}/log")["text"])

    def watch(self, job_id: str) -> Iterator[Job]:
        """The job after each change, until it has ended."""
        return watching.watch_job(self.connection, job_id)

    def watch_run(self, run_id: str) -> Iterator[Run]:
        """The run with its jobs after each change, until it has ended."""
        return watching.watch_run(self.connection, run_id)

    def artifacts(self, job_id: str) -> Iterator[Artifact]:
        return map(Artifact.model_validate, self.connection.items(f"/jobs/{job_id}/artifacts"))

    def download(self, item: Artifact | DatasetFile, folder: Path | str, **named: Any) -> Path:
        """Fetch a file under its own path below ``folder``, resumed and verified; returns where it is."""
        target = downloading.place_below(Path(folder), item.path)
        kind = "artifacts" if isinstance(item, Artifact) else "files"
        downloading.download(
            self.connection,
            f"/{kind}/{item.id}/content",
            target,
            size_bytes=item.size_bytes,
            sha256=item.sha256,
            **named,
        )
        return target

    def _organization(self, organization_id: str) -> str:
        """The one given, or the only one that the token reaches."""
        return organization_id or self.who_am_i().organizations[0].id
