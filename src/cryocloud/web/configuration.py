"""What an operator can set, read once from the environment (``CRYOCLOUD_*``) into one frozen object."""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from datetime import date
from functools import cache
from importlib.util import find_spec
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

PREFIX = "CRYOCLOUD_"
KEY_FILE = "secret-key"
LISTS = ("server_folders", "allowed_hosts", "proxies", "webhook_networks")
SECRETS = ("database", "secret_key", "smtp_url")
MAILBOX = r"^([^@\s<>\"]+@[^@\s<>\"]+)?$"
MOLLIE_KEY = re.compile(r"(live|test)_\w+")
MOLLIE_TOKEN = re.compile(r"access_\w+")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


EVERYBODY = "*"


class ServerFolder(BaseModel):
    """A folder on the server and the organizations that may import from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    organization_ids: frozenset[str]

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        path, equals, names = given.rpartition("=")
        ids = frozenset(name.strip() for name in names.split("|")) - {""}
        if not (equals and ids and path.startswith("/")):
            raise ValueError(
                "a folder is written /FOLDER=ORGANIZATION|ORGANIZATION with the ids of those that may import from "
                f"it, or /FOLDER={EVERYBODY} for every organization"
            )
        return {"path": path, "organization_ids": ids}

    def is_open_for(self, organization_id: str) -> bool:
        return bool(self.organization_ids & {organization_id, EVERYBODY})


class Configuration(BaseModel):
    """Every setting with its default. Trial figures are shown on the public pages and enforced from here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = Field(Path("cryocloud-data"), description="Folder for the database, uploads and results")
    database: SecretStr = Field(
        SecretStr(""), description="postgresql://user:password@host:port/name; SQLite in the home if empty"
    )
    address: str = Field(
        "",
        pattern=r"^(https?://[^/\s]+/?)?$",
        description="Address under which browsers reach the service; http://127.0.0.1:PORT if empty",
    )
    port: int = Field(8000, ge=1, le=65535, description="Port of the web process on the loopback interface")
    allowed_hosts: tuple[str, ...] = Field((), description="Further host names, separated by commas")
    secret_key: str = Field("", description="Signs sessions and links; made and kept in the home if empty")
    smtp_url: str = Field(
        "", description="smtp://user:password@host:port; mails are kept in home/mail if empty"
    )
    inbox_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Port on 127.0.0.1 where a mail server hands over mails (LMTP); none if empty",
    )
    mail_from: str = Field("CryoCloud <cryocloud@localhost>", description="Sender of all mails")
    contact: str = Field("", pattern=MAILBOX, description="Mailbox for questions, shown on the public pages")
    controller: str = Field(
        "",
        max_length=200,
        description="Who runs the platform and answers for personal data, as the privacy policy names it",
    )
    controller_address: str = Field("", max_length=500, description="Its postal address")
    data_protection_contact: str = Field(
        "", pattern=MAILBOX, description="Mailbox of the data protection officer; the contact if empty"
    )
    authority: str = Field("", max_length=200, description="Name of the data protection authority in charge")
    authority_url: str = Field("", pattern=r"^(https://\S+)?$", description="Its address on the web")
    policy: Path | None = Field(
        None, description="File with a whole privacy policy of the operator's own, as HTML without scripts"
    )
    policy_since: date | None = Field(
        None, description="Day (YYYY-MM-DD) from which that policy holds; also its version"
    )
    server_folders: tuple[ServerFolder, ...] = Field(
        (),
        description="Folders on the server that may be imported, each with the organizations that may: "
        "/FOLDER=ID|ID, or /FOLDER=* for all; separated by commas",
    )
    sign_up_open: bool = Field(True, description="Whether anybody may sign up, or only invited people")
    slots: int = Field(1, ge=1, le=1024, description="Attempts that run at the same time")
    slots_per_organization: int = Field(64, ge=1, description="Of these, at most for one organization")
    threads_per_job: int = Field(
        0, ge=0, description="CPU threads of a job; all cores shared by the slots if 0"
    )
    isolation: str = Field(
        "auto",
        pattern="^(auto|namespaces|landlock|off)$",
        description="Walls around jobs: the best there are, certain ones, or none",
    )
    job_cpu_hours: int = Field(
        720, ge=1, description="Hours of processor time after which an attempt is stopped"
    )
    sample_data: bool = Field(True, description="Whether the sample dataset is made at the first start")
    trials: str = Field(
        "others",
        pattern="^(all|others|none)$",
        description="Organizations that begin with a trial: all, all others than those that operators make, or none",
    )
    trial_days: int = Field(30, ge=1, description="Days of the trial")
    trial_compute_hours: int = Field(20, ge=0, description="Hours of compute in the trial")
    trial_storage_bytes: int = Field(2 * 10**12, ge=0, description="Bytes of storage in the trial")
    trial_files: int = Field(100_000, ge=0, description="Files in the trial, empty ones included")
    refund_days: int = Field(30, ge=0, description="Days in which a subscription is refunded in full")
    retrieval_days: int = Field(
        30, ge=1, description="Days after the end of a trial or a plan in which data can be read and fetched"
    )
    billing: Path | None = Field(
        None, description="File (TOML) with the seller, plans and prices; nothing is sold without it"
    )
    stripe_key: str = Field("", description="Secret key of an account with Stripe; no cards without it")
    stripe_webhook_secret: str = Field("", description="Signing secret of Stripe's webhook, whsec_...")
    stripe_url: str = Field(
        "https://api.stripe.com",
        pattern=r"^https?://[^/\s]+$",
        description="Where Stripe's API is; for tests",
    )
    mollie_key: str = Field("", description="API key of an account with Mollie, live_... or test_...")
    mollie_reports_token: str = Field(
        "",
        description="Access token of the same account with Mollie, access_..., that may read balances: books its fees",
    )
    mollie_url: str = Field(
        "https://api.mollie.com",
        pattern=r"^https?://[^/\s]+$",
        description="Where Mollie's API is; for tests",
    )
    upload_bytes_max: int = Field(10**12, ge=1, description="Largest single file")
    proxies: tuple[str, ...] = Field(
        (),
        description="Addresses of reverse proxies whose X-Forwarded-For is believed; 127.0.0.1 if the address is https",
    )
    connections: int = Field(4000, ge=16, description="Connections that may be open at the same time")
    connections_per_client: int = Field(
        300, ge=8, description="Of these, and of running requests, at most for one IPv4 address or IPv6 /64"
    )
    head_wait_s: float = Field(10, gt=0, description="Seconds in which the headers of a request must arrive")
    body_wait_s: float = Field(60, gt=0, description="Seconds in which a body must arrive; not for uploads")
    password_hashes_at_once: int = Field(
        1,
        ge=1,
        le=64,
        description="Passwords that are checked at the same time; each needs 100 MiB and all cores",
    )
    idle_wait_s: int = Field(15, ge=1, description="Seconds that a connection is kept without a request")
    webhook_networks: tuple[IPv4Network | IPv6Network, ...] = Field(
        (),
        description="Private networks that webhooks may call, such as 10.1.0.0/16, separated by commas; only addresses "
        "of the public internet if empty. In loopback networks also by http",
    )
    disk_reserve_bytes: int = Field(
        2 * 2**30,
        ge=0,
        description="Free bytes below which nothing new is taken; 5 % of the disk (at least 32 MiB) if that is less",
    )
    log_bytes_max: int = Field(
        50 * 2**20, ge=1024, description="A log file of this size is set aside; four older ones are kept"
    )
    frozen_after_s: int = Field(
        60, ge=10, description="A process of the platform that gives no sign of life for so long is replaced"
    )
    tombstones: Path | None = Field(
        None,
        description="Folder for the list of removals that a restore repeats, best on another disk; home/tombstones",
    )
    log_format: str = Field(
        "json", pattern="^(json|plain)$", description="json: one object a line; plain: for people"
    )
    test_seams: bool = Field(
        False, description="For testers on their own computer only: the clock can be set forward"
    )

    @property
    def is_https(self) -> bool:
        return self.address.startswith("https://")

    @property
    def has_trials(self) -> bool:
        """Whether those who sign up begin with a trial."""
        return self.trials != "none"

    @property
    def contact_words(self) -> str:
        """Whom to write to, for a sentence."""
        return self.contact or "whoever runs this installation"

    @property
    def mail_folder(self) -> Path:
        """Where mails are kept if there is no mail server."""
        return self.home / "mail"

    @property
    def trusted_proxies(self) -> tuple[str, ...]:
        """The platform speaks no TLS, so an https address says that a proxy stands in front of it."""
        return self.proxies or (("127.0.0.1",) if self.is_https else ())

    @property
    def database_file(self) -> Path:
        """Where SQLite keeps everything."""
        return self.home / "db.sqlite3"


class ConfigurationError(Exception):
    """The environment holds a value that cannot be used; the message names it and the remedy."""


@cache
def _of_environment() -> Configuration:
    return read_configuration(os.environ)


def configuration() -> Configuration:
    """The settings of this process."""
    return _of_environment()


def read_configuration(environment: os._Environ[str] | dict[str, str]) -> Configuration:
    """Settings from variables such as CRYOCLOUD_SLOTS; an unknown one is refused, because it is a typing error."""
    given: dict[str, object] = {}
    for name, text in environment.items():
        if name.startswith(PREFIX):
            key = name.removeprefix(PREFIX).lower()
            given[key] = tuple(part for part in text.split(",") if part) if key in LISTS else text
    try:
        read = Configuration.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        given_words = "" if field in SECRETS else f" (given: {first['input']!r})"
        raise ConfigurationError(f"{PREFIX}{field.upper()}: {first['msg']}{given_words}") from None
    _require_apart(read)
    _require_controller(read)
    _require_keys(read)
    _require_private_seams(read)
    address = read.address.rstrip("/") or f"http://127.0.0.1:{read.port}"
    buried = read.tombstones and read.tombstones.absolute()
    return read.model_copy(update={"home": read.home.absolute(), "address": address, "tombstones": buried})


def _require_controller(settings: Configuration) -> None:
    """Whoever collects personal data says who that is; on one's own computer nobody else is asked."""
    host = urlsplit(settings.address).hostname or LOOPBACK[0]
    missing = next((name for name in ("controller", "contact") if not getattr(settings, name)), None)
    if host not in LOOPBACK and missing:
        raise ConfigurationError(
            f"{PREFIX}{missing.upper()}: a platform that others reach at {settings.address} must say in its privacy "
            f"policy who runs it and where to write; set {PREFIX}CONTROLLER, {PREFIX}CONTROLLER_ADDRESS and "
            f"{PREFIX}CONTACT"
        )
    if settings.inbox_port is not None and not settings.contact:
        raise ConfigurationError(
            f"{PREFIX}INBOX_PORT: mails are taken for the mailbox in {PREFIX}CONTACT; set it too"
        )
    if (settings.policy is None) != (settings.policy_since is None):
        raise ConfigurationError(
            f"{PREFIX}POLICY and {PREFIX}POLICY_SINCE belong together: a text and its day"
        )
    if settings.policy is not None and not settings.policy.is_file():
        raise ConfigurationError(f"{PREFIX}POLICY: there is no file {settings.policy}")


def _require_keys(settings: Configuration) -> None:
    """Of payment providers; no message tells a key."""
    if bool(settings.stripe_key) != bool(settings.stripe_webhook_secret):
        raise ConfigurationError(
            f"{PREFIX}STRIPE_KEY and {PREFIX}STRIPE_WEBHOOK_SECRET belong together: without the one nothing is "
            "charged, without the other nothing is heard"
        )
    if settings.mollie_key and not MOLLIE_KEY.fullmatch(settings.mollie_key):
        raise ConfigurationError(
            f"{PREFIX}MOLLIE_KEY: a key begins with live_ or test_ and goes on with letters and digits"
        )
    if settings.mollie_reports_token and not (
        settings.mollie_key and MOLLIE_TOKEN.fullmatch(settings.mollie_reports_token)
    ):
        raise ConfigurationError(
            f"{PREFIX}MOLLIE_REPORTS_TOKEN: a token begins with access_, goes on with letters and digits, and needs "
            f"{PREFIX}MOLLIE_KEY beside it"
        )


def _require_private_seams(settings: Configuration) -> None:
    """What tests may do belongs to no platform that others reach, and installed ones do not even hold it."""
    if not settings.test_seams:
        return
    hosts = [urlsplit(settings.address).hostname or LOOPBACK[0], *settings.allowed_hosts]
    public = next((host for host in hosts if host not in LOOPBACK), None)
    if public is not None:
        raise ConfigurationError(
            f"{PREFIX}TEST_SEAMS: at {public} others reach this platform, and its clock must not be set; leave "
            f"{PREFIX}TEST_SEAMS out, or serve at http://127.0.0.1"
        )
    if find_spec("cryocloud.web.seams") is None:
        raise ConfigurationError(
            f"{PREFIX}TEST_SEAMS: this installation holds no test seams; they are in the sources only"
        )


def _require_apart(settings: Configuration) -> None:
    """What may be imported must not hold the database, the key and the files of everybody."""
    home = settings.home.resolve()
    for folder in settings.server_folders:
        opened = folder.path.resolve()
        if home.is_relative_to(opened) or opened.is_relative_to(home):
            raise ConfigurationError(
                f"{PREFIX}SERVER_FOLDERS: {folder.path} and the home of the platform, {settings.home}, lie one in the "
                "other; open a folder beside the home"
            )


def secret_key(settings: Configuration) -> str:
    """The given key, or the one that was made at the first start; without either, one for this process alone."""
    kept = settings.home / KEY_FILE
    if settings.secret_key:
        return settings.secret_key
    return kept.read_text(encoding="ascii") if kept.exists() else secrets.token_urlsafe(48)


def keep_secret_key(settings: Configuration) -> None:
    """Make the key that all processes of this home share, readable for its owner only."""
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with suppress(FileExistsError):
        descriptor = os.open(settings.home / KEY_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_urlsafe(48))
