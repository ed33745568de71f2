"""Run in a home of its own: an organization that has worked for a while, and sessions of its people, told as JSON."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import django

sys.path.insert(0, str(Path(__file__).parents[2]))
os.environ["DJANGO_SETTINGS_MODULE"] = "cryocloud.web.settings"
django.setup()

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY  # noqa: E402
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402

from cryocloud.web.accounts.models import User  # noqa: E402
from cryocloud.web.core.places import dataset_folder  # noqa: E402
from cryocloud.web.data.models import Dataset  # noqa: E402
from cryocloud.web.organizations.models import Membership, Organization, Role  # noqa: E402
from cryocloud.web.results.files import job_folder  # noqa: E402
from cryocloud.web.results.tasks import make_previews  # noqa: E402
from web.pages.laboratory import seed_laboratory  # noqa: E402
from web.results import examples  # noqa: E402


def person(organization: Organization, role: Role, name: str) -> tuple[User, str]:
    user = User.objects.create_user(f"{name}@lab.example", "the Thon rings are round", name=name.title())
    Membership.unscoped.create(organization=organization, user=user, role=role)
    session = SessionStore()
    session[SESSION_KEY] = user.pk
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return user, str(session.session_key)


def main() -> None:
    organization = Organization.objects.create(name="Lab of Ada")
    user, session = person(organization, Role.OWNER, "ada")
    _, viewer_session = person(organization, Role.VIEWER, "vera")
    laboratory = seed_laboratory(SimpleNamespace(user=user, organization=organization))
    examples.write_refine(job_folder(laboratory.jobs[10]))
    dataset = Dataset.unscoped.create(organization=organization, name="micrographs", created_by_id=user.pk)
    examples.write_micrographs(dataset_folder(dataset.pk))
    files = sorted(dataset_folder(dataset.pk).iterdir())
    names = [f"../../../datasets/{dataset.pk}/files/{path.name}" for path in files]
    writers = {
        "ctf": lambda out: examples.write_ctf(out, names),
        "pick": lambda out: examples.write_picks(out, names),
        "class2d": examples.write_class2d,
    }
    inputs = {"input": f"dataset:{dataset.pk}"}
    looked_at = {"result": laboratory.jobs[10]}
    for job_type, write in writers.items():
        looked_at[job_type] = examples.publish(
            organization, user, job_type, write, project=laboratory.project, inputs=inputs
        )
    for job in looked_at.values():
        make_previews.func(job.pk, organization_id=organization.pk)
    told = {
        "sessions": {"owner": session, "viewer": viewer_session},
        "project": laboratory.project.pk,
        "run": laboratory.run.pk,
        "jobs": {name: job.pk for name, job in looked_at.items()},
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
