"""The sample dataset: simulated micrographs for a first run, made by the worker at the first start of the platform."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db import transaction
from django_tasks import task

from cryocloud.compute.attached import run_attached
from cryocloud.compute.body import COMMAND_LINE_ENVIRONMENT
from cryocloud.compute.isolation.confine import kept_environment
from cryocloud.web.accounts.actor import Actor
from cryocloud.web.configuration import configuration
from cryocloud.web.core import places
from cryocloud.web.core.errors import Conflict
from cryocloud.web.core.ids import new_id
from cryocloud.web.core.models import BackgroundTask
from cryocloud.web.core.periodic import every
from cryocloud.web.data.inspection import order_inspection
from cryocloud.web.data.models import Dataset, DatasetFile, StoredObject
from cryocloud.web.data.partial_file import hash_of_file, link_under_name
from cryocloud.web.data.services import create_dataset
from cryocloud.web.organizations.access import require_role
from cryocloud.web.organizations.models import Organization, Role

NAME = "Sample: simulated protein, octahedral"
DESCRIPTION = (
    "Six simulated micrographs of a protein that does not exist, with 60 particles each, for a first run. "
    "Give the particle diameter 160 Å and the symmetry O; the optics are filled in."
)
PROFILE = {
    "pixel_size_angstrom": 2.5,
    "voltage_kv": 300.0,
    "spherical_aberration_mm": 2.7,
    "amplitude_contrast": 0.1,
}
PARTICLE = {"particle_diameter_angstrom": 160.0, "symmetry": "O"}
OBJECT = {"pixel_size_angstrom": PROFILE["pixel_size_angstrom"], "symmetry": PARTICLE["symmetry"]}
IMAGING = {
    "micrographs": 6,
    "particles_per_micrograph": 60,
    "width_px": 960,
    "height_px": 960,
    **{name: value for name, value in PROFILE.items() if name != "pixel_size_angstrom"},
}
SEED = 1
TIMEOUT_S = 1800
NICENESS = 10

_log = logging.getLogger("cryocloud.sample")


def sample_folder() -> Path:
    """Complete as soon as it exists."""
    return configuration().home / "sample"


def sample_files() -> list[Path]:
    """Empty while the sample is not made yet."""
    return sorted(sample_folder().glob("*.mrc"))


def use_sample_data(*, actor: Actor, organization: Organization) -> Dataset:
    """The organization's sample dataset; it is added if there is none. It does not count as storage."""
    require_role(actor, organization.id, Role.EDITOR)
    with transaction.atomic():
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        present = Dataset.unscoped.filter(organization=organization, is_sample=True, trashed_at=None).first()
        if present is not None:
            return present
        files = sample_files()
        if not files:
            raise Conflict(
                "The sample data are not made yet; that takes about a minute after the first start."
            )
        dataset = create_dataset(
            actor=actor,
            organization=organization,
            name=NAME,
            description=DESCRIPTION,
            profile=PROFILE,
            is_sample=True,
        )
        for file in files:
            _add(dataset, file)
        order_inspection(organization.pk)
    return dataset


def _add(dataset: Dataset, file: Path) -> None:
    """A hard link: the bytes at rest are never written again, so all organizations may share them on the disk."""
    key = new_id()
    blob = places.blob_file(key)
    blob.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.link(file, blob)
    link_under_name(blob, places.dataset_folder(dataset.pk) / file.name)
    own = {"organization_id": dataset.organization_id}
    size_bytes, sha256 = file.stat().st_size, hash_of_file(file)
    stored = StoredObject.unscoped.create(**own, key=key, size_bytes=size_bytes, sha256=sha256)
    DatasetFile.unscoped.create(**own, dataset=dataset, path=file.name, stored=stored)


@every(timedelta(hours=24))
def order_sample() -> None:
    """At the first start, where the engine is installed."""
    if not configuration().sample_data or sample_files():
        return
    if importlib.util.find_spec("torch") is None:
        _log.warning("no sample data: the engine is not installed here (pip install 'cryocloud[engine]')")
        return
    waiting = BackgroundTask.objects.filter(path=make_sample.module_path)
    if not waiting.filter(state__in=(BackgroundTask.State.READY, BackgroundTask.State.RUNNING)).exists():
        make_sample.enqueue()


@task(priority=-50)
def make_sample() -> None:
    """Simulate beside, then rename: half a sample is never seen."""
    if sample_files():
        return
    work, ready = sample_folder().with_name("sample.making"), sample_folder().with_name("sample.ready")
    shutil.rmtree(work, ignore_errors=True)
    shutil.rmtree(ready, ignore_errors=True)
    _run("simulate_map", OBJECT, {"model": "procedural"}, work / "object")
    _run("simulate_micrographs", IMAGING, {"map": str(work / "object/map.mrc")}, work / "simulated")
    ready.mkdir(mode=0o700)
    for file in sorted((work / "simulated/micrographs").glob("*.mrc")):
        file.chmod(0o400)
        file.rename(ready / file.name)
    ready.rename(sample_folder())
    shutil.rmtree(work, ignore_errors=True)
    _log.info("sample made")


def _run(job_type: str, parameters: dict[str, Any], inputs: dict[str, str], out: Path) -> None:
    order = {"job_type": job_type, "parameters": parameters, "inputs": inputs, "out": str(out), "seed": SEED}
    environment = kept_environment(COMMAND_LINE_ENVIRONMENT)
    run_attached(order, environment=environment, niceness=NICENESS, timeout_s=TIMEOUT_S)
