"""The ``cryocloud`` command. Everything heavier than argparse is imported by the command that needs it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from cryocloud import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser()
    command = parser.parse_args(arguments[:1])
    if command.command is None:
        parser.print_help()
        return 0
    rest = arguments[1:]
    match command.command:
        case "run":
            from cryocloud.client.run import run
            return run(rest)
    parser.error(f"unknown command {command.command}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cryocloud", description="Cryo-EM micrographs to density maps.")
    parser.add_argument("--version", action="version", version=f"cryocloud {__version__}")
    parser.add_argument("command", nargs="?", choices=["run"])
    return parser


if __name__ == "__main__":
    sys.exit(main())
