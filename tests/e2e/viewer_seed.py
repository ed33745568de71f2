"""Run in a home of its own: results of known shape, their previews, and a person's session, told as JSON."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import django
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ["DJANGO_SETTINGS_MODULE"] = "cryocloud.web.settings"
django.setup()

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY  # noqa: E402
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402

from cryocloud.engine.io.mrc import write_mrc  # noqa: E402
from cryocloud.web.accounts.models import User  # noqa: E402
from cryocloud.web.core.places import dataset_folder  # noqa: E402
from cryocloud.web.data.models import Dataset  # noqa: E402
from cryocloud.web.organizations.models import Membership, Organization, Role  # noqa: E402
from cryocloud.web.results.tasks import make_previews  # noqa: E402
from web.results import examples  # noqa: E402


def write_maps(folder: Path) -> None:
    """A ball in the middle, and a half map that is a smaller ball, so that colors tell which is seen."""
    examples.write_refine(folder)
    write_mrc(folder / "map.mrc", examples.blob(sigma_px=8.0), 2.0)
    write_mrc(folder / "half1.mrc", np.roll(examples.blob(sigma_px=3.0), 12, axis=2), 2.0)


def main() -> None:
    user = User.objects.create_user("ada@lab.example", "the Thon rings are round", name="Ada")
    organization = Organization.objects.create(name="Lab of Ada")
    Membership.unscoped.create(organization=organization, user=user, role=Role.OWNER)
    dataset = Dataset.unscoped.create(organization=organization, name="micrographs", created_by_id=user.pk)
    folder = dataset_folder(dataset.pk)
    examples.write_micrographs(folder)
    names = [f"../../../datasets/{dataset.pk}/files/{path.name}" for path in sorted(folder.iterdir())]
    refine = examples.publish(organization, user, "refine", write_maps)
    writers = {
        "ctf": lambda out: examples.write_ctf(out, names),
        "pick": lambda out: examples.write_picks(out, names),
        "class2d": examples.write_class2d,
    }
    told = {"refine": refine.pk}
    inputs = {"input": f"dataset:{dataset.pk}"}
    for job_type, write in writers.items():
        job = examples.publish(organization, user, job_type, write, project=refine.project, inputs=inputs)
        told[job_type] = job.pk
    for job_id in told.values():
        make_previews.func(job_id, organization_id=organization.pk)
    session = SessionStore()
    session[SESSION_KEY] = user.pk
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    print(json.dumps(told | {"session": session.session_key}))


if __name__ == "__main__":
    main()
