"""What a workflow is: a generator of steps that decides from the results of the steps before."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryocloud.catalog.base import Input, Parameters


@dataclass(frozen=True)
class Decision:
    """A choice that the workflow made by itself, with what it rests on."""

    what: str
    value: Any
    why: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """The next job: its inputs are paths, its parameters those that differ from the defaults.

    If an ``optional`` step refuses its input, the workflow learns why and goes on. ``doubt`` says why what the step
    builds on is not to be trusted: the workflow stops there and asks, unless it was told to accept that. A
    ``control`` measures what the method makes of noise; what it leaves is evidence, never a result.
    """

    job_type: str
    inputs: Mapping[str, str]
    parameters: Mapping[str, Any]
    decisions: tuple[Decision, ...] = ()
    optional: bool = False
    doubt: str = ""
    control: bool = False


@dataclass(frozen=True)
class Finished:
    """What a workflow learns of a finished job; ``failure`` is why an optional one was not done."""

    folder: str
    metrics: Mapping[str, float]
    failure: str = ""

    def file(self, name: str) -> str:
        """Path of one of its results."""
        return f"{self.folder}/{name}"

    def metric(self, name: str) -> float:
        """A number from its ``metrics.json`` that the workflow cannot do without."""
        value = self.metrics.get(name)
        if value is None:
            raise LookupError(f"{self.folder}/metrics.json: no number '{name}', which the workflow needs")
        return value


@dataclass(frozen=True)
class Conclusion:
    """Last words of a workflow.

    ``warnings`` stand first in the report and on the terminal, then ``key_numbers`` and ``decisions``,
    then the job in the folder ``result``.
    """

    result: str
    decisions: tuple[Decision, ...] = ()
    warnings: tuple[str, ...] = ()
    key_numbers: Mapping[str, float] = field(default_factory=dict)


Plan = Generator[Step, Finished, Conclusion]


@dataclass(frozen=True)
class Workflow:
    """A recipe that chains job types. ``plan(parameters, inputs)`` yields its steps."""

    name: str
    title: str
    summary: str
    parameters: type[Parameters]
    inputs: tuple[Input, ...]
    plan: Callable[[Any, Mapping[str, str]], Plan]
