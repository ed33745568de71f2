"""A workflow played through before it runs: its own generator, answered with the metrics that are to be expected.

It is played three times, with little, likely and much to be found. Where little is found an optional step refuses its
input; that is the shortest way that a run takes to its end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryocloud.catalog import load_job_type
from cryocloud.catalog.base import Facts, JobType, Luck
from cryocloud.catalog.facts import Metrics, facts_of_result
from cryocloud.catalog.forecasting import Experience, JobRanges, Range
from cryocloud.catalog.workflow import Finished, Step, Workflow

STEPS_MAX = 200
PLAYED = "played:"
NOT_DONE = "forecast without it"


@dataclass(frozen=True)
class Played:
    """A step with the sizes it will meet, and what it is expected to tell."""

    step: Step
    job_type: JobType
    parameters: Any
    facts: Facts
    metrics: Metrics
    is_left_out: bool


@dataclass(frozen=True)
class StepForecast:
    """A step of the likely course."""

    job_type: str
    title: str
    is_optional: bool
    ranges: JobRanges


@dataclass(frozen=True)
class WorkflowForecast:
    """Times and disk in all, memory of the largest step."""

    cpu_s: Range
    wall_s: Range
    memory_bytes: Range
    disk_bytes: Range
    least_memory_bytes: float
    steps: tuple[StepForecast, ...]


class Unforeseeable(Exception):
    """A size is missing that the forecast rests on; the message names it."""


def forecast_workflow(
    workflow: Workflow,
    parameters: Any,
    inputs: Mapping[str, str],
    facts: Facts,
    *,
    experience: Experience,
    threads: int,
) -> WorkflowForecast:
    """``facts`` are those of the workflow's inputs. Raises ``Unforeseeable`` where too little is known of them."""
    courses = {
        luck: [
            _step_forecast(one, experience, threads)
            for one in rehearse(workflow, parameters, inputs, facts, luck)
            if not one.is_left_out
        ]
        for luck in Luck
    }
    likely = courses[Luck.LIKELY]
    return WorkflowForecast(
        cpu_s=_in_all(courses, "cpu_s"),
        wall_s=_in_all(courses, "wall_s"),
        memory_bytes=Range(
            *(max(getattr(one.ranges.memory_bytes, end) for one in courses[luck]) for luck, end in _ENDS)
        ),
        disk_bytes=_in_all(courses, "disk_bytes"),
        least_memory_bytes=max(one.ranges.least_memory_bytes for one in courses[Luck.LITTLE]),
        steps=tuple(likely),
    )


_ENDS = ((Luck.LITTLE, "low"), (Luck.LIKELY, "likely"), (Luck.MUCH, "high"))


def _in_all(courses: Mapping[Luck, Sequence[StepForecast]], quantity: str) -> Range:
    """From the low end of a run that finds little to the high end of one that finds much."""
    totals = {}
    for luck, steps in courses.items():
        ranges: list[Range] = [getattr(one.ranges, quantity) for one in steps]
        total = ranges[0]
        for one in ranges[1:]:
            total = total + one
        totals[luck] = total
    return Range(totals[Luck.LITTLE].low, totals[Luck.LIKELY].likely, totals[Luck.MUCH].high)


def _step_forecast(played: Played, experience: Experience, threads: int) -> StepForecast:
    job_type = played.job_type
    forecast = job_type.forecast(played.parameters, played.facts)
    ranges = experience.ranges(job_type.name, forecast, threads)
    return StepForecast(job_type.name, job_type.title, played.step.optional, ranges)


def rehearse(
    workflow: Workflow, parameters: Any, inputs: Mapping[str, str], facts: Facts, luck: Luck
) -> Iterator[Played]:
    """The steps, one after the other, each with what it is expected to meet and to tell."""
    plan = workflow.plan(parameters, inputs)
    played: list[Played] = []
    try:
        step = next(plan)
        for number in range(STEPS_MAX):
            one = _play(step, played, facts, luck)
            played.append(one)
            yield one
            failure = NOT_DONE if one.is_left_out else ""
            numbers = {name: value for name, value in one.metrics.items() if isinstance(value, int | float)}
            step = plan.send(Finished(f"{PLAYED}{number}", numbers, failure))
    except StopIteration:
        return
    except LookupError as error:
        raise Unforeseeable(str(error)) from None
    raise Unforeseeable(f"more than {STEPS_MAX} steps")


def _play(step: Step, played: Sequence[Played], given: Facts, luck: Luck) -> Played:
    job_type = load_job_type(step.job_type)
    parameters = job_type.parameters.model_validate(dict(step.parameters))
    facts = Facts()
    for declared in job_type.inputs:
        if declared.name in step.inputs:
            facts = facts.completed(_facts_of_input(step.inputs[declared.name], played, given))
    missing = missing_facts(job_type, facts)
    if missing:
        raise Unforeseeable(f"{job_type.title}: {missing}")
    metrics = job_type.expects(parameters, facts, luck)
    return Played(step, job_type, parameters, facts, metrics, step.optional and luck is Luck.LITTLE)


def _facts_of_input(text: str, played: Sequence[Played], given: Facts) -> Facts:
    if not text.startswith(PLAYED):
        return given
    number, _, name = text.removeprefix(PLAYED).partition("/")
    own = facts_of_result(name, _generations(played, int(number)))
    return own.completed(Facts(pixel_size_angstrom=given.pixel_size_angstrom))


def _generations(played: Sequence[Played], number: int) -> Iterator[list[Metrics]]:
    """Metrics of a step, of those that it reads, and so on."""
    generation = [number]
    while generation:
        yield [played[one].metrics for one in generation]
        texts = [text for one in generation for text in played[one].step.inputs.values()]
        generation = [
            int(text.removeprefix(PLAYED).partition("/")[0]) for text in texts if text.startswith(PLAYED)
        ]


FACT_WORDS = {
    "items": "how many there are",
    "image_width_px": "how large the images are",
    "box_size_px": "how large the box is",
    "pixel_size_angstrom": "how large a pixel is",
}


def missing_facts(job_type: JobType, facts: Facts) -> str:
    """What the forecast needs and nobody knows yet, in words; empty if there is all."""
    words = [FACT_WORDS[name] for name in job_type.rests_on if not getattr(facts, name)]
    return f"it is not known {' and '.join(words)}" if words else ""
