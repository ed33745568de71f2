"""Where things lie in the home of the platform.

``attempts/ID/out`` and ``results/JOB/ATTEMPT`` are equally deep, so relative names in STAR files stay true when a
result is published; ``datasets/ID/files`` holds hard links, under their own names, to the blobs that jobs read.
"""

from __future__ import annotations

from pathlib import Path

from cryocloud.compute.warm import installed_folder, is_warm
from cryocloud.web.configuration import configuration


def attempt_folder(attempt_id: str) -> Path:
    return configuration().home / "attempts" / attempt_id


def result_folder(job_id: str, attempt_id: str) -> Path:
    return configuration().home / "results" / job_id / attempt_id


def dataset_folder(dataset_id: str) -> Path:
    return configuration().home / "datasets" / dataset_id / "files"


def preview_folder(dataset_id: str) -> Path:
    return configuration().home / "previews" / dataset_id


def partial_file(upload_id: str) -> Path:
    return configuration().home / "uploads" / upload_id


def blob_file(key: str) -> Path:
    return configuration().home / "blobs" / key[:2] / key


def warm_folder() -> Path:
    """Compiled kernels and font lists, made by ourselves at set-up or at the first start; jobs get a copy."""
    installed = installed_folder()
    return installed if is_warm(installed) else configuration().home / "warm"
