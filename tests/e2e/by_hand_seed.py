"""Run in a home of its own before the platform starts: a person, simulated micrographs, a refinement of known shape."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from datetime import timedelta
from pathlib import Path

import django

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ["DJANGO_SETTINGS_MODULE"] = "cryocloud.web.settings"
django.setup()

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY  # noqa: E402
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402

from cryocloud.web.accounts.models import ApiToken, User  # noqa: E402
from cryocloud.web.core.clock import now  # noqa: E402
from cryocloud.web.core.ids import new_id  # noqa: E402
from cryocloud.web.core.places import dataset_folder  # noqa: E402
from cryocloud.web.core.secret_words import hash_of, new_secret  # noqa: E402
from cryocloud.web.data.models import Dataset, DatasetFile, StoredObject  # noqa: E402
from cryocloud.web.organizations.models import Membership, Organization, Role  # noqa: E402
from cryocloud.web.results.tasks import make_previews  # noqa: E402
from web.results import examples  # noqa: E402


def write_dataset(organization: Organization, user: User, images: Path) -> Dataset:
    dataset = Dataset.unscoped.create(organization=organization, name="Simulated", created_by_id=user.pk)
    folder = dataset_folder(dataset.pk)
    folder.mkdir(parents=True)
    for image in sorted(images.glob("*.mrc")):
        shutil.copy(image, folder / image.name)
        digest = hashlib.sha256(image.read_bytes()).hexdigest()
        stored = StoredObject.unscoped.create(
            organization=organization, key=new_id(), size_bytes=image.stat().st_size, sha256=digest
        )
        DatasetFile.unscoped.create(
            organization=organization, dataset=dataset, path=image.name, stored=stored, state="read"
        )
    return dataset


def write_maps(folder: Path) -> None:
    """Maps alone: the particles of the example are none that a job can read."""
    examples.write_refine(folder)
    (folder / "particles.star").unlink()


def session_of(user: User) -> str:
    session = SessionStore()
    session[SESSION_KEY] = user.pk
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return str(session.session_key)


def main(images: Path) -> None:
    user = User.objects.create_user("ada@lab.example", "the Thon rings are round", name="Ada")
    organization = Organization.objects.create(name="Lab of Ada")
    Membership.unscoped.create(organization=organization, user=user, role=Role.OWNER)
    secret = new_secret("cryo_")
    ApiToken.objects.create(
        user=user,
        organization_id=organization.pk,
        name="test",
        secret_hash=hash_of(secret),
        scope=ApiToken.Scope.WRITE,
        expires_at=now() + timedelta(days=1),
    )
    dataset = write_dataset(organization, user, images)
    refine = examples.publish(organization, user, "refine", write_maps)
    make_previews.func(refine.pk, organization_id=organization.pk)
    told = {"dataset": dataset.pk, "project": refine.project_id, "refine": refine.pk, "token": secret}
    print(json.dumps(told | {"session": session_of(user)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
