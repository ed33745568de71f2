"""The commands that speak to a server: ``login, logout, datasets, projects, upload, watch, download``."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from cryocloud.client.platform.client import CryoCloud
from cryocloud.client.platform.connection import Refusal, Unreachable
from cryocloud.client.platform.display import Progress, size_text
from cryocloud.client.platform.downloading import WrongChecksum
from cryocloud.client.platform.following import follow
from cryocloud.client.platform.kept_login import (
    Login,
    NotLoggedIn,
    forget_login,
    keep_login,
    login_file,
    read_login,
)
from cryocloud.client.platform.shapes import Artifact, Dataset, DatasetFile, Project
from cryocloud.client.platform.uploading import UploadProgress

DONE, FAILED, BAD_INPUT, INCOMPLETE = 0, 1, 2, 3
REFUSED_BY_SERVER = 500


def login(arguments: list[str]) -> int:
    parser = _parser("login", "Keep the address and a token of a CryoCloud server, after trying them.")
    parser.add_argument("address", metavar="ADDRESS", help="such as https://cryo.example.org")
    parser.add_argument("--token-stdin", action="store_true", help="read the token from standard input")
    given = parser.parse_args(arguments)
    address = given.address.rstrip("/")
    if not address.startswith(("https://", "http://")):
        return _refuse("login", f"{given.address}: give the whole address, with https://")
    if given.token_stdin:
        token = sys.stdin.readline().strip()
    else:
        print(f"Make a token at {address}/settings/tokens/ and paste it here.", file=sys.stderr)
        token = getpass.getpass("Token: ").strip()
    if not (token.isascii() and token.isprintable() and token):
        return _refuse("login", "no token was given")
    return with_server("login", lambda server: _keep(server, address, token), Login(address, token))


def _keep(server: CryoCloud, address: str, token: str) -> int:
    told = server.who_am_i()
    path = keep_login(Login(address, token))
    where = ", ".join(organization.name for organization in told.organizations)
    print(f"Logged in as {told.user.name} ({told.user.email}), {where}. Kept in {path}.")
    return DONE


def logout(arguments: list[str]) -> int:
    _parser("logout", "Forget address and token. The token itself is revoked in the settings.").parse_args(
        arguments
    )
    print(f"Forgotten: {login_file()}" if forget_login() else "There was no login.")
    return DONE


def datasets(arguments: list[str]) -> int:
    _parser("datasets", "List the datasets of your organization.").parse_args(arguments)
    return with_server("datasets", lambda server: _list(server.datasets()))


def projects(arguments: list[str]) -> int:
    _parser("projects", "List the projects of your organization.").parse_args(arguments)
    return with_server("projects", lambda server: _list(server.projects()))


def _list(items: Iterator[Dataset] | Iterator[Project]) -> int:
    for item in items:
        print(f"{item.id}  {item.created_at:%Y-%m-%d}  {item.name}")
    return DONE


def upload(arguments: list[str]) -> int:
    parser = _parser("upload", "Send a folder to a dataset; call it again and it goes on where it was.")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a folder or one file")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--dataset", metavar="ID", help="add to this dataset")
    group.add_argument("--name", help="name of the dataset (default: that of the folder)")
    given = parser.parse_args(arguments)
    folder = given.folder.expanduser().absolute()
    if not folder.exists():
        return _refuse("upload", f"{given.folder}: no such file or folder")
    return with_server("upload", lambda server: _upload(server, folder, given.dataset, given.name))


def _upload(server: CryoCloud, folder: Path, dataset_id: str | None, name: str | None) -> int:
    dataset = server.dataset(dataset_id) if dataset_id else _dataset_called(server, name or folder.name)
    progress = Progress("upload")

    def show(now: UploadProgress) -> None:
        text = f"{now.files_done} of {now.files} files, {size_text(now.done_bytes)} of {size_text(now.total_bytes)}"
        progress.show(now.done_bytes / now.total_bytes if now.total_bytes else 1.0, text)

    ended = server.upload_folder(folder, dataset.id, watcher=show)
    for path, reason in sorted(ended.failures.items()):
        progress.say(f"{path}: {reason}")
    already = f", {ended.files_known} of them were there already" if ended.files_known else ""
    progress.say(f"{ended.files_done} of {ended.files} files are in “{dataset.name}”{already}")
    print(f"dataset:{dataset.id}")
    return INCOMPLETE if ended.failures else DONE


def _dataset_called(server: CryoCloud, name: str) -> Dataset:
    """The one of that name that an interrupted upload began, or a new one."""
    found = next((dataset for dataset in server.datasets() if dataset.name == name), None)
    return found or server.create_dataset(name)


def watch(arguments: list[str]) -> int:
    parser = _parser("watch", "Follow a job or a run until it has ended; its end is the exit code.")
    parser.add_argument("reference", metavar="ID", help="job:ID or run:ID")
    given = parser.parse_args(arguments)
    return with_server("watch", lambda server: follow(server, given.reference))


def download(arguments: list[str]) -> int:
    parser = _parser("download", "Fetch results or datasets, resumed and with their checksums verified.")
    parser.add_argument(
        "reference",
        metavar="REFERENCE",
        help="job:ID, job:ID/FILE, run:ID (its result), dataset:ID or file:ID",
    )
    parser.add_argument(
        "--out", type=Path, default=Path(), metavar="DIR", help="default: the working directory"
    )
    given = parser.parse_args(arguments)
    out = given.out.expanduser().absolute()
    return with_server("download", lambda server: _download(server, given.reference, out))


def _download(server: CryoCloud, reference: str, out: Path) -> int:
    items = _items(server, reference)
    total_bytes = sum(item.size_bytes for item in items)
    done_bytes, progress = 0, Progress("download")

    def add(more_bytes: int) -> None:
        nonlocal done_bytes
        done_bytes += more_bytes
        text = f"{size_text(done_bytes)} of {size_text(total_bytes)}"
        progress.show(done_bytes / total_bytes if total_bytes else 1.0, text)

    for item in items:
        print(server.download(item, out, add=add))
    progress.say(f"{len(items)} files, {size_text(total_bytes)}, checksums verified")
    return DONE


def _items(server: CryoCloud, reference: str) -> list[Artifact] | list[DatasetFile]:
    kind, _, rest = reference.rpartition(":") if ":" in reference else ("job", "", reference)
    object_id, _, name = rest.partition("/")
    if kind == "run":
        run = server.run(object_id)
        if not run.result_job_id:
            raise BadReference(f"run {run.number} is {run.state} and has no result yet")
        kind, object_id = "job", run.result_job_id
    match kind:
        case "dataset":
            return list(server.files(object_id))
        case "file":
            return [server.file(object_id)]
        case "job":
            found = [one for one in server.artifacts(object_id) if not name or one.path == name]
            if not found:
                raise BadReference(f"job {object_id} has no {name or 'results yet'}")
            return found
    raise BadReference(f"{reference}: give job:ID, job:ID/FILE, run:ID, dataset:ID or file:ID")


class BadReference(ValueError):
    """What cannot be fetched; the message is for the person who typed it."""


def with_server(command: str, act: Callable[[CryoCloud], int], login: Login | None = None) -> int:
    """Run a command with the server that is logged in to; errors become messages and exit codes."""
    try:
        known = login or read_login()
        with CryoCloud(known.address, known.token) as server:
            return act(server)
    except (NotLoggedIn, BadReference, FileNotFoundError) as error:
        return _refuse(command, str(error))
    except Refusal as refusal:
        _refuse(command, str(refusal))
        return FAILED if refusal.status >= REFUSED_BY_SERVER else BAD_INPUT
    except (Unreachable, WrongChecksum, OSError, ValueError) as error:
        _refuse(command, str(error))
        return FAILED


def _refuse(command: str, message: str) -> int:
    print(f"cryocloud {command}: {message}", file=sys.stderr)
    return BAD_INPUT


def _parser(name: str, description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=f"cryocloud {name}", description=description, allow_abbrev=False)
