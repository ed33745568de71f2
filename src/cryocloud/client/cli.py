"""The ``cryocloud`` command. What is heavier than argparse is imported by the command that needs it."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from cryocloud import __version__

BAD_INPUT = 2
CANCELLED = 130


@dataclass(frozen=True)
class Command:
    """A sub-command: ``module:function`` takes the rest of the command line and returns the exit code."""

    function: str
    help: str


COMMANDS = {
    "run": Command("cryocloud.client.run:run", "run one job"),
    "workflow": Command("cryocloud.client.workflow:workflow", "run a whole workflow, such as spa"),
    "jobs": Command("cryocloud.client.run:jobs", "list the job types and workflows"),
    "login": Command("cryocloud.client.platform.commands:login", "keep address and token of a server"),
    "logout": Command("cryocloud.client.platform.commands:logout", "forget them"),
    "upload": Command(
        "cryocloud.client.platform.commands:upload", "send a folder to a dataset on the server"
    ),
    "datasets": Command("cryocloud.client.platform.commands:datasets", "list the datasets on the server"),
    "projects": Command("cryocloud.client.platform.commands:projects", "list the projects on the server"),
    "watch": Command("cryocloud.client.platform.commands:watch", "follow a job or a run on the server"),
    "download": Command("cryocloud.client.platform.commands:download", "fetch results or datasets, verified"),
    "demo": Command(
        "cryocloud.client.demo:demo", "simulate micrographs, process them, compare with the truth"
    ),
    "up": Command("cryocloud.client.up:up", "start the platform: web pages, scheduler, worker"),
    "backup": Command("cryocloud.client.up:backup", "copy the platform's database and files, verified"),
    "restore": Command("cryocloud.client.up:restore", "make a home of the platform from a backup"),
    "pause": Command("cryocloud.client.up:pause", "start no further jobs on the platform"),
    "resume": Command("cryocloud.client.up:resume", "start jobs again after a pause"),
    "deactivate": Command("cryocloud.client.up:deactivate", "close the account of a person"),
    "doctor": Command("cryocloud.client.doctor:doctor", "say what this machine offers and what is missing"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser()
    name = parser.parse_args(given[:1]).command
    if name is None:
        parser.print_help()
        return 0
    module, function = COMMANDS[name].function.split(":")
    try:
        return int(getattr(importlib.import_module(module), function)(given[1:]))
    except KeyboardInterrupt:
        return CANCELLED
    except ModuleNotFoundError as error:
        if error.name != "httpx":
            raise
        print(f"cryocloud {name}: needs httpx: pip install 'cryocloud[client]'", file=sys.stderr)
        return BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    listed = "\n".join(f"  {name:<10} {command.help}" for name, command in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="cryocloud",
        usage="cryocloud COMMAND [options]",
        description="Cryo-EM micrographs to density maps, on the command line or in a browser.",
        epilog=f"commands:\n{listed}\n\ncryocloud COMMAND --help tells more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"cryocloud {__version__}")
    parser.add_argument("command", nargs="?", choices=COMMANDS, metavar="COMMAND", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
