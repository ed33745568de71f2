"""What a job type declares: parameters with units, typed inputs, outputs and a cost forecast."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

REQUIRED: Any = ...
START_CPU_S = 4.0
"""Of one thread, to load the libraries: no job takes less."""


class Parameters(BaseModel):
    """Base of every job type's parameters: frozen, and unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def parameter(default: Any, *, unit: str = "", help: str, **constraints: Any) -> Any:
    """Declare one parameter; ``REQUIRED`` as default makes it required.

    ``constraints`` are pydantic's (``gt``, ``ge``, ``lt``, ``le``, ``min_length`` ...). The unit goes
    to the help page, the forms and the documentation. Returns ``Any`` as pydantic's ``Field`` does,
    so that it can stand as the default of a field of any type.
    """
    return Field(default, description=help, json_schema_extra={"unit": unit}, **constraints)


@dataclass(frozen=True)
class Input:
    """A file, folder or glob that a job reads; ``name`` is its option on the command line.

    ``literals`` are words taken instead of a path (``simulate_map --model procedural``). Of particles
    the images are read too, unless ``reads_images`` says that the table is enough.
    """

    name: str
    kind: str
    help: str
    required: bool = True
    literals: tuple[str, ...] = ()
    reads_images: bool = True


@dataclass(frozen=True)
class Facts:
    """What a forecast may know before the job starts; zero where a fact does not apply or is not known."""

    items: int = 0
    image_height_px: int = 0
    image_width_px: int = 0
    frames: int = 0
    box_size_px: int = 0
    micrographs: int = 0
    pixel_size_angstrom: float = 0.0

    @property
    def image_pixels(self) -> int:
        return self.image_height_px * self.image_width_px

    def completed(self, other: Facts) -> Facts:
        """Where this one knows nothing, what the other knows."""
        return Facts(*(getattr(self, one.name) or getattr(other, one.name) for one in fields(self)))


@dataclass(frozen=True)
class Forecast:
    """Expected cost of a job by counts of operations, before anything is learnt from jobs that have run."""

    memory_bytes: float
    disk_bytes: float
    cpu_s: float

    def wall_s(self, threads: int) -> float:
        """Threads share all but the start."""
        start_s = min(START_CPU_S, self.cpu_s)
        return start_s + (self.cpu_s - start_s) / threads


class Luck(Enum):
    """How much a job finds: a workflow is forecast for each."""

    LITTLE = 0
    LIKELY = 1
    MUCH = 2

    def of(self, little: float, likely: float, much: float) -> float:
        return (little, likely, much)[self.value]


@dataclass(frozen=True)
class Group:
    """A result that other jobs take up: a ``kind`` as inputs ask for, and what people call it.

    ``file`` is its name in the job's folder; none stands for the folder itself.
    """

    kind: str
    file: str
    title: str


@dataclass(frozen=True)
class JobType:
    """One kind of job. ``outputs`` are the fixed file names that it leaves, ``groups`` what of it can be an input.

    ``doubt(metrics)`` says why a result is not to be trusted, nor anything made from it; empty where nothing speaks
    against it. ``rebuildable`` names large outputs that only further computation reads, and that the same order makes
    again: they may be deleted to free space while all else of the job stays.
    against it. A ``forecast`` needs the facts named in ``rests_on``. ``expects`` are the metrics that a workflow would
    decide by, before the job has run. One without ``keeps_checkpoints`` begins anew when it was stopped.
    """

    name: str
    version: int
    title: str
    summary: str
    parameters: type[Parameters]
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    forecast: Callable[[Any, Facts], Forecast]
    doubt: Callable[[Mapping[str, float]], str] = lambda metrics: ""
    groups: tuple[Group, ...] = ()
    rebuildable: tuple[str, ...] = ()
    rests_on: tuple[str, ...] = ()
    expects: Callable[[Any, Facts, Luck], Mapping[str, float]] = lambda parameters, facts, luck: {}
    keeps_checkpoints: bool = False
