"""``cryocloud run JOBTYPE``: options from the catalog, then over to the local lane."""

from __future__ import annotations

import argparse
import glob
import os
import sys
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cryocloud.catalog import UnknownJobType, job_type_names, load_job_type
from cryocloud.catalog.base import Input, JobType
from cryocloud.catalog.messages import option_name, plain_validation_message
from cryocloud.client.options import add_parameter, parameter_values
from cryocloud.client.processes import become_module

BAD_INPUT = 2


class BadOption(ValueError):
    """An option that cannot be used; the message is for the person who typed it."""


def run(arguments: list[str]) -> int:
    """Parse, check what can be checked without the engine, and become the local lane."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print_job_types()
        return 0 if arguments else BAD_INPUT
    try:
        job_type = load_job_type(arguments[0])
    except UnknownJobType as error:
        print(f"cryocloud run: {error}", file=sys.stderr)
        return BAD_INPUT
    options = vars(job_parser(job_type).parse_args(arguments[1:]))
    try:
        order = make_order(job_type, options)
    except ValidationError as error:
        return _refuse(job_type, plain_validation_message(error))
    except BadOption as error:
        return _refuse(job_type, str(error))
    become_module("cryocloud.compute.lane", order)


def print_job_types() -> None:
    """What can be run, a line each."""
    print("usage: cryocloud run JOBTYPE [options]      (cryocloud run JOBTYPE --help lists them)\n")
    for name in job_type_names():
        print(f"  {name:<22} {load_job_type(name).title}")


def job_parser(job_type: JobType) -> argparse.ArgumentParser:
    """The parser of one job type."""
    parser = argparse.ArgumentParser(
        prog=f"cryocloud run {job_type.name}", usage="%(prog)s [options] --out DIR", description=job_type.summary, allow_abbrev=False
    )
    inputs = parser.add_argument_group("inputs")
    for entry in job_type.inputs:
        words = f" (or the word {' or '.join(entry.literals)})" if entry.literals else ""
        inputs.add_argument(
            option_name(entry.name), dest=f"input:{entry.name}", required=entry.required,
            metavar="PATH", help=(entry.help + words).replace("%", "%%"),
        )  # fmt: skip
    parameters = parser.add_argument_group("parameters")
    for name, field in job_type.parameters.model_fields.items():
        add_parameter(parameters, name, field)
    add_run_options(parser.add_argument_group("run"))
    return parser


def add_run_options(group: argparse._ArgumentGroup) -> None:
    """Options that every job has."""
    group.add_argument("--out", required=True, metavar="DIR", help="folder for the results; an unfinished job in it is resumed")
    group.add_argument("--threads", type=positive, default=None, metavar="N", help="CPU threads (default: all cores at hand)")
    group.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="where to compute (default auto)")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all random draws (default 0)")
    group.add_argument("--progress", choices=["auto", "json", "plain"], default="auto", help="form of the progress on stderr")
    group.add_argument("--overwrite", action="store_true", help="redo the job that DIR holds")


def positive(text: str) -> int:
    """A whole number above zero."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be at least 1")
    return number


def make_order(job_type: JobType, options: dict[str, Any]) -> dict[str, Any]:
    """What the lane needs to know, with validated parameters and absolute paths."""
    parameters = job_type.parameters.model_validate(parameter_values(job_type.parameters, options))
    inputs = {}
    for entry in job_type.inputs:
        value = options[f"input:{entry.name}"]
        if value is not None:
            inputs[entry.name] = resolve_input(entry, value)
    return {
        "job_type": job_type.name,
        "parameters": parameters.model_dump(mode="json"),
        "inputs": inputs,
        **run_options(options),
    }


def run_options(options: dict[str, Any]) -> dict[str, Any]:
    """The options of ``add_run_options`` as the lane takes them."""
    return {
        "out": str(Path(options["out"]).absolute()),
        "seed": options["seed"],
        "threads": options["threads"] or len(os.sched_getaffinity(0)),
        "device": options["device"],
        "overwrite": options["overwrite"],
        "progress": options["progress"],
    }


def resolve_input(entry: Input, value: str) -> str:
    """An absolute path or pattern that stands for something, or the literal word."""
    if value in entry.literals:
        return value
    path = Path(value).expanduser().absolute()
    if path.exists() or any(Path(match).is_file() for match in glob.iglob(str(path))):
        return str(path)
    if glob.has_magic(value):
        raise BadOption(f"{option_name(entry.name)} '{value}': no file matches; check the folder and the quotes")
    raise BadOption(f"{option_name(entry.name)} {value}: no such file or folder")


def _refuse(job_type: JobType, message: str) -> int:
    print(f"{job_type.name}: {message}", file=sys.stderr)
    return BAD_INPUT
