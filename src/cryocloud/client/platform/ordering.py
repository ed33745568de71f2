"""``cryocloud run JOBTYPE --project ID`` and ``cryocloud workflow run NAME --project ID``: order it on the server."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from cryocloud.catalog.base import JobType
from cryocloud.catalog.forecasting import Range
from cryocloud.catalog.messages import option_name
from cryocloud.catalog.range_words import duration_words, hours_words, size_words
from cryocloud.catalog.workflow import Workflow
from cryocloud.client.options import catalog_parser, parameter_values
from cryocloud.client.platform.client import CryoCloud
from cryocloud.client.platform.commands import with_server
from cryocloud.client.platform.following import follow
from cryocloud.client.platform.shapes import Forecast

KINDS = ("dataset:", "file:", "job:")


def order(command: str, entry: JobType | Workflow, arguments: list[str]) -> int:
    """Parse, check with the same catalog that the server has, and place the order."""
    given = vars(_parser(command, entry).parse_args(arguments))
    parameters = parameter_values(entry.parameters, given)
    entry.parameters.model_validate(parameters)
    inputs = {item.name: given[f"input:{item.name}"] for item in entry.inputs}
    inputs = {name: _reference(name, text, entry) for name, text in inputs.items() if text is not None}

    def foresee(server: CryoCloud) -> int:
        kind = "workflow" if isinstance(entry, Workflow) else "job_type"
        ordered = {kind: entry.name, "parameters": parameters, "inputs": inputs}
        print(_in_words(server.forecast_order(given["project"], ordered)))
        return 0

    def place(server: CryoCloud) -> int:
        reference, page = _place(server, entry, given, parameters, inputs)
        print(f"{entry.name}: ordered, {page}", file=sys.stderr)
        print(reference, flush=True)
        return follow(server, reference) if given["watch"] else 0

    return with_server(f"{command} {entry.name}", foresee if given["forecast"] else place)


def _in_words(found: Forecast) -> str:
    wall_s, memory_bytes, disk_bytes = (
        Range(one.low, one.likely, one.high) for one in (found.wall_s, found.memory_bytes, found.disk_bytes)
    )
    return "\n".join(
        (
            f"time     {duration_words(wall_s)} on {found.threads} CPU thread{'' if found.threads == 1 else 's'}",
            f"compute  {hours_words(wall_s)}",
            f"memory   {size_words(memory_bytes)}",
            f"disk     {size_words(disk_bytes)}",
        )
    )


def _place(
    server: CryoCloud,
    entry: JobType | Workflow,
    given: dict[str, Any],
    parameters: dict[str, Any],
    inputs: dict[str, str],
) -> tuple[str, str]:
    address = server.connection.address
    ordered: dict[str, Any] = {"inputs": inputs, "parameters": parameters, "seed": given["seed"]}
    if isinstance(entry, Workflow):
        run = server.start_run(given["project"], entry.name, **ordered)
        return f"run:{run.id}", f"{address}/runs/{run.id}/"
    job = server.create_job(given["project"], entry.name, **ordered)
    return f"job:{job.id}", f"{address}/jobs/{job.id}/"


def _reference(name: str, text: str, entry: JobType | Workflow) -> str:
    words = next(item.literals for item in entry.inputs if item.name == name)
    if text.startswith(KINDS) or text in words:
        return text
    raise ValueError(
        f"{option_name(name)} {text}: on the server an input is dataset:ID, file:ID, job:ID or job:ID/FILE "
        "(cryocloud datasets lists datasets; cryocloud upload makes one)"
    )


def _parser(command: str, entry: JobType | Workflow) -> argparse.ArgumentParser:
    parser = catalog_parser(
        command,
        entry,
        usage="%(prog)s --project ID [options]",
        inputs="inputs: dataset:ID, file:ID, job:ID or job:ID/FILE",
        metavar="REFERENCE",
    )
    group = parser.add_argument_group("run")
    group.add_argument("--project", required=True, metavar="ID", help="project on the server")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="of all random draws (default 0)")
    group.add_argument("--forecast", action="store_true", help="say what it would take, and start nothing")
    group.add_argument("--watch", action="store_true", help="follow it until it has ended")
    return parser
