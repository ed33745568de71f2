"""States of runs, jobs and attempts as people say them, each with a line that explains it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cryocloud.web.runs.models import CONTROL, DOUBTFUL, Attempt, Job, Run


@dataclass(frozen=True)
class StateWords:
    """``word`` is short enough for a table: the color beside it says the rest."""

    word: str
    help: str


STATE_WORDS = {
    "queued": StateWords("Queued", "It waits for a free slot and starts by itself."),
    "submitted": StateWords("Submitted", "It has been handed to a computer and is about to start."),
    "running": StateWords("Running", "It is at work; you may close the browser."),
    "waiting": StateWords("Needs you", "A result is not to be trusted: you decide how the run goes on."),
    "paused": StateWords(
        "Paused",
        "No compute is left to it; what is done is kept, and it goes on by itself when there is some.",
    ),
    "done": StateWords("Done", "It has finished, and every item was used."),
    "succeeded": StateWords("Succeeded", "This try finished the job."),
    "exceptions": StateWords(
        "With exceptions", "It has finished; some items could not be used and are listed with the reason."
    ),
    DOUBTFUL: StateWords(
        "Not to be trusted", "It has finished, but the result may be wrong; its page says why."
    ),
    CONTROL: StateWords("Control", "It shows what the method makes of noise: evidence, not a result."),
    "failed": StateWords("Failed", "It has stopped; its message says why and what to change."),
    "cancelled": StateWords("Cancelled", "Somebody stopped it; it can go on from its last checkpoint."),
    "lost": StateWords(
        "Lost", "The computer stopped working on this try; it costs nothing, and the job begins again."
    ),
}
OF_JOBS, OF_RUNS, OF_ATTEMPTS = Job.State.values, Run.State.values, Attempt.State.values
STANDINGS = (
    "queued",
    "running",
    "waiting",
    "paused",
    "done",
    "exceptions",
    DOUBTFUL,
    CONTROL,
    "failed",
    "cancelled",
)
"""As pages show jobs and runs."""


def describe_states(states: Iterable[str]) -> str:
    """For the reference of the API."""
    return " ".join(f"{state}: {STATE_WORDS[state].help}" for state in states)
