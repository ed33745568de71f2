"""``cryocloud run JOBTYPE``: options from the catalog, then over to the local lane."""

from __future__ import annotations

import argparse
import glob
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cryocloud.catalog import UnknownName, job_type_names, load_job_type, load_workflow, workflow_names
from cryocloud.catalog.base import Input, JobType
from cryocloud.catalog.messages import option_name, plain_validation_message
from cryocloud.catalog.workflow import Workflow
from cryocloud.client.options import catalog_parser, parameter_values
from cryocloud.client.processes import become_module

BAD_INPUT = 2

CatalogEntry = JobType | Workflow


class BadOption(ValueError):
    """An option that cannot be used; the message is for the person who typed it."""


def run(arguments: list[str]) -> int:
    """Parse, check what can be checked without the engine, and become the local lane."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: cryocloud run JOBTYPE [options]      (cryocloud run JOBTYPE --help lists them)\n")
        _print_job_types()
        return 0 if arguments else BAD_INPUT
    return start_from_catalog("run", arguments, load_job_type, "job_type", "cryocloud.compute.lane")


def jobs(arguments: list[str]) -> int:
    """Everything that can be run, a line each."""
    argparse.ArgumentParser(prog="cryocloud jobs", description=jobs.__doc__).parse_args(arguments)
    print("job types (cryocloud run JOBTYPE --help)\n")
    _print_job_types()
    print("\nworkflows (cryocloud workflow run NAME --help)\n")
    for name in workflow_names():
        print(f"  {name:<22} {load_workflow(name).title}")
    return 0


def start_from_catalog(
    command: str,
    arguments: list[str],
    load: Callable[[str], CatalogEntry],
    kind: str,
    module: str,
) -> int:
    """Become ``module`` with the order that ``arguments`` (name and options) describe."""
    try:
        entry = load(arguments[0])
    except UnknownName as error:
        print(f"cryocloud {command}: {error}", file=sys.stderr)
        return BAD_INPUT
    if any(word.split("=")[0] == "--project" for word in arguments):
        return _order_on_server(command, entry, arguments[1:])
    options = vars(entry_parser(command, entry).parse_args(arguments[1:]))
    try:
        order = {kind: entry.name, **make_order(entry, options)}
    except ValidationError as error:
        return _refuse(entry, plain_validation_message(error))
    except BadOption as error:
        return _refuse(entry, str(error))
    become_module(module, order)


def _order_on_server(command: str, entry: CatalogEntry, arguments: list[str]) -> int:
    try:
        from cryocloud.client.platform.ordering import order
    except ModuleNotFoundError as error:
        return _refuse(entry, f"--project needs {error.name}: pip install 'cryocloud[client]'")
    try:
        return order(command, entry, arguments)
    except ValidationError as error:
        return _refuse(entry, plain_validation_message(error))
    except ValueError as error:
        return _refuse(entry, str(error))


def entry_parser(command: str, entry: CatalogEntry) -> argparse.ArgumentParser:
    """The parser for the options of one job type or workflow."""
    parser = catalog_parser(
        command,
        entry,
        usage="%(prog)s [options] --out DIR       (on the server: --project ID instead of --out)",
        inputs="inputs",
        metavar="PATH",
    )
    group = parser.add_argument_group("run")
    _add_run_options(group)
    if isinstance(entry, Workflow):
        group.add_argument(
            "--accept-untrusted", action="store_true", help="build even on a result that is not to be trusted"
        )
    return parser


def make_order(entry: CatalogEntry, options: dict[str, Any]) -> dict[str, Any]:
    """What the lane needs to know, with validated parameters and absolute paths."""
    parameters = entry.parameters.model_validate(parameter_values(entry.parameters, options))
    given = {item: options[f"input:{item.name}"] for item in entry.inputs}
    only_workflows = {"accept_untrusted": options["accept_untrusted"]} if isinstance(entry, Workflow) else {}
    return {
        **only_workflows,
        "parameters": parameters.model_dump(mode="json"),
        "inputs": {item.name: resolve_input(item, text) for item, text in given.items() if text is not None},
        "out": str(Path(options["out"]).expanduser().absolute()),
        "seed": options["seed"],
        "threads": options["threads"] or len(os.sched_getaffinity(0)),
        "device": options["device"],
        "overwrite": options["overwrite"],
        "progress": options["progress"],
    }


def resolve_input(item: Input, text: str) -> str:
    """An absolute path or pattern that stands for something, or the literal word."""
    if text in item.literals:
        return text
    path = Path(text).expanduser().absolute()
    if path.exists() or any(Path(match).is_file() for match in glob.iglob(str(path))):
        return str(path)
    if glob.has_magic(text):
        raise BadOption(
            f"{option_name(item.name)} '{text}': no file matches; check the folder and the quotes"
        )
    raise BadOption(f"{option_name(item.name)} {text}: no such file or folder")


def _add_run_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--out", required=True, metavar="DIR", help="folder for the results, resumed if unfinished"
    )
    group.add_argument("--threads", type=_positive, metavar="N", help="CPU threads (default: all cores)")
    group.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="default auto")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="of all random draws (default 0)")
    group.add_argument("--progress", choices=["auto", "json", "plain"], default="auto", help="form on stderr")
    group.add_argument("--overwrite", action="store_true", help="redo what DIR holds")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be at least 1")
    return number


def _print_job_types() -> None:
    for name in job_type_names():
        print(f"  {name:<22} {load_job_type(name).title}")


def _refuse(entry: CatalogEntry, message: str) -> int:
    print(f"{entry.name}: {message}", file=sys.stderr)
    return BAD_INPUT
