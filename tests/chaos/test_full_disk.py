"""The home fills up, again and again, in bytes and in inodes; nobody but the one who fills it notices for long."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from web.operations.test_up import Platform, environment, running

MIB = 1 << 20
DISK_BYTES = 120 * MIB
INODES = 400
ROUNDS = 50
KEEP_EVERY = 5
PASSWORD = "the Thon rings are round"
PATIENCE_S = 30.0
SEED = """
import json, os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "cryocloud.web.settings"
import django
django.setup()
from datetime import timedelta
from allauth.account.models import EmailAddress
from cryocloud.web.accounts.models import ApiToken, User
from cryocloud.web.core.clock import now
from cryocloud.web.core.secret_words import hash_of, new_secret
from cryocloud.web.organizations.models import Membership, Organization, Role
told = {}
for name in ("filler", "other"):
    organization = Organization.objects.create(name=f"Lab of {name}")
    user = User.objects.create_user(f"{name}@lab.example", sys.argv[1], name=name)
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    Membership.unscoped.create(organization=organization, user=user, role=Role.OWNER)
    secret = new_secret("cryo_")
    ApiToken.objects.create(
        user=user, organization_id=organization.pk, name="test", secret_hash=hash_of(secret), scope="write",
        expires_at=now() + timedelta(days=1),
    )
    told[name] = [organization.pk, secret]
print(json.dumps(told))
"""


def prepared(kind: str, image: Path) -> list[str]:
    """The arguments with which a small disk is mounted."""
    if kind == "tmpfs":
        return ["-t", "tmpfs", "-o", f"size={DISK_BYTES},nr_inodes={INODES},mode=700", "cryocloud-test"]
    with image.open("wb") as stream:
        stream.truncate(DISK_BYTES)
    made = subprocess.run(["mkfs.ext4", "-q", "-N", str(INODES), str(image)], check=False)
    if made.returncode:
        pytest.skip("no ext4 file system can be made here")
    return ["-o", "loop", str(image)]


@contextmanager
def small_disk(folder: Path, kind: str) -> Iterator[Path]:
    folder.mkdir()
    if os.geteuid() != 0 or not all(map(shutil.which, ("mount", "mkfs.ext4"))):
        pytest.skip("only root can mount a small disk, with mount and mkfs.ext4")
    mounted = subprocess.run(
        ["mount", *prepared(kind, folder.with_suffix(".img")), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def wait_for(what: str, condition: Callable[[], Any]) -> Any:
    """What the condition gives, once it gives something; errors on the way count as not yet."""
    deadline_s = time.monotonic() + PATIENCE_S
    last: object = None
    while time.monotonic() < deadline_s:
        with suppress(httpx.TransportError):
            last = condition()
            if last:
                return last
        time.sleep(0.2)
    raise AssertionError(f"not within {PATIENCE_S:.0f} s: {what} ({last!r})")


@dataclass
class Tenant:
    """An organization and its token; ``acknowledged`` is what the platform has said that it keeps."""

    name: str
    address: str
    organization_id: str
    secret: str
    acknowledged: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        headers = {"Authorization": f"Bearer {self.secret}", "Tus-Resumable": "1.0.0"}
        self.http = httpx.Client(base_url=self.address, headers=headers, timeout=30)

    def new_dataset(self, name: str) -> str:
        body = {"organization_id": self.organization_id, "name": name}
        answer = wait_for(
            "a dataset", lambda: self._answered(self.http.post("/api/v1/datasets", json=body), 201)
        )
        return str(answer.json()["id"])

    def upload(self, dataset_id: str, name: str, content: bytes) -> int:
        """The status at which it ended: 204 or 201 if the file is kept."""
        pairs = (("dataset", dataset_id), ("path", name))
        metadata = ",".join(f"{key} {base64.b64encode(text.encode()).decode()}" for key, text in pairs)
        given = {"Upload-Length": str(len(content)), "Upload-Metadata": metadata}
        answer = self.http.post("/uploads/", headers=given)
        if answer.status_code == 201 and content:
            head = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
            answer = self.http.patch(answer.headers["location"], headers=head, content=content)
        if answer.status_code in (201, 204):
            self.acknowledged[f"{dataset_id}/{name}"] = hashlib.sha256(content).hexdigest()
        return answer.status_code

    def delete(self, dataset_id: str) -> None:
        path = f"/api/v1/datasets/{dataset_id}"
        wait_for("the trash", lambda: self._answered(self.http.post(f"{path}/trash"), 200, 409))
        wait_for("the order to delete", lambda: self._answered(self.http.delete(path), 202, 404, 409))
        wait_for("the end of the dataset", lambda: self.http.get(path).status_code == 404)
        for name in [name for name in self.acknowledged if name.startswith(dataset_id)]:
            del self.acknowledged[name]

    def log_in(self) -> bool:
        """Through the page, as a person does, to the list of datasets."""
        with httpx.Client(base_url=self.address, timeout=30, follow_redirects=True) as browser:
            page = browser.get("/accounts/login/")
            found = re.search(r'csrfmiddlewaretoken" value="(\w+)"', page.text)
            if found is None:
                return False
            form = {
                "login": f"{self.name}@lab.example",
                "password": PASSWORD,
                "csrfmiddlewaretoken": found[1],
            }
            browser.post(
                "/accounts/login/", data=form, headers={"Referer": f"{self.address}/accounts/login/"}
            )
            answer = browser.get("/datasets/")
            return answer.status_code == 200 and answer.url.path == "/datasets/"

    @staticmethod
    def _answered(answer: httpx.Response, *statuses: int) -> httpx.Response | None:
        if answer.status_code < 500 and answer.status_code not in statuses:
            raise AssertionError(f"{answer.status_code}: {answer.text[:500]}")
        return answer if answer.status_code in statuses else None


@dataclass
class Siege:
    """A platform on a small disk, one tenant who fills it, and another who only works there."""

    home: Path
    platform: Platform
    filler: Tenant
    other: Tenant
    chance: random.Random = field(default_factory=lambda: random.Random(8))

    def round(self, number: int, fill: Callable[[str], None]) -> None:
        if number % KEEP_EVERY == 0:
            own = self.other.new_dataset(f"to keep {number}")
            assert self.other.upload(own, "kept.bin", self.chance.randbytes(20_000)) == 204
        passing = self.other.new_dataset(f"to delete {number}")
        assert self.other.upload(passing, "gone.bin", self.chance.randbytes(MIB)) == 204
        dataset_id = self.filler.new_dataset(f"to fill {number}")
        fill(dataset_id)
        wait_for("refusal", lambda: self.filler.upload(dataset_id, f"{time.monotonic()}", b"") == 507)
        ready = httpx.get(f"{self.filler.address}/health/ready", timeout=30)
        assert ready.status_code == 503
        wait_for("log-in of another", self.other.log_in)
        self.other.delete(passing)
        self.filler.delete(dataset_id)
        self._clear_strange_files()
        wait_for(
            "health", lambda: httpx.get(f"{self.filler.address}/health/ready", timeout=30).status_code == 200
        )
        self.check()

    def fill_with_bytes(self, dataset_id: str) -> None:
        self._fill(dataset_id, lambda: self.chance.randbytes(4 * MIB))

    def fill_with_files(self, dataset_id: str) -> None:
        self._fill(dataset_id, lambda: b"")

    def fill_to_the_last_byte(self, dataset_id: str) -> None:
        """As a job or another program does, which asks nobody."""
        self.filler.upload(dataset_id, "one.bin", self.chance.randbytes(MIB))
        with suppress(OSError), (self.home.parent / "strange0").open("wb", buffering=0) as stream:
            while True:
                stream.write(bytes(MIB // 16))

    def fill_to_the_last_inode(self, dataset_id: str) -> None:
        self.filler.upload(dataset_id, "one.bin", b"1")
        with suppress(OSError):
            for number in range(INODES + 1):
                (self.home.parent / f"strange{number}").touch()

    def _fill(self, dataset_id: str, content: Callable[[], bytes]) -> None:
        for number in range(INODES):
            try:
                if self.filler.upload(dataset_id, f"{number}.bin", content()) == 507:
                    return
            except httpx.WriteError:
                # The refusal came before the whole body had been sent.
                return
        raise AssertionError("never refused")

    def _clear_strange_files(self) -> None:
        for path in self.home.parent.glob("strange*"):
            path.unlink()

    def check(self) -> None:
        """Nothing is corrupt, and each file whose arrival was told is there, byte for byte."""
        with closing(
            sqlite3.connect(f"file:{self.home}/db.sqlite3?mode=ro", uri=True, timeout=30)
        ) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert database.execute("PRAGMA foreign_key_check").fetchall() == []
            rows = database.execute(
                "SELECT f.dataset_id || '/' || f.path, s.key, s.sha256 FROM data_datasetfile f "
                "JOIN data_storedobject s ON s.id = f.stored_id"
            ).fetchall()
        kept = {path: sha256 for path, _, sha256 in rows}
        assert (self.filler.acknowledged | self.other.acknowledged).items() <= kept.items()
        for path, key, sha256 in rows:
            blob = self.home / "blobs" / key[:2] / key
            assert hashlib.sha256(blob.read_bytes()).hexdigest() == sha256, path


@pytest.fixture(params=["tmpfs"])
def siege(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Siege]:
    with small_disk(tmp_path / "disk", request.param) as disk:
        home = disk / "home"
        settings = {"CRYOCLOUD_HOME": str(home), "CRYOCLOUD_SAMPLE_DATA": "false"}
        for command in (["-m", "cryocloud.web", "prepare"], ["-c", SEED, PASSWORD]):
            done = subprocess.run(
                [sys.executable, *command],
                env=environment(settings),
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        with running(home, CRYOCLOUD_SAMPLE_DATA="false") as platform:
            platform.wait_ready()
            address = f"http://127.0.0.1:{platform.port}"
            tenants = {name: Tenant(name, address, *given) for name, given in told.items()}
            yield Siege(home, platform, tenants["filler"], tenants["other"])


def fills(siege: Siege) -> list[Callable[[str], None]]:
    return [
        siege.fill_with_bytes,
        siege.fill_to_the_last_inode,
        siege.fill_with_files,
        siege.fill_to_the_last_byte,
    ]


def test_others_log_in_and_delete_on_a_full_disk(siege: Siege) -> None:
    siege.round(0, siege.fill_with_bytes)
    siege.round(1, siege.fill_with_files)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("siege", ["ext4"], indirect=True)
def test_fifty_rounds_on_a_full_disk(siege: Siege) -> None:
    for number in range(ROUNDS):
        siege.round(number, fills(siege)[number % 4])
