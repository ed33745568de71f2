"""Drives a workflow: ``python -m cryocloud.compute.workflow`` reads one JSON order on standard input.

Each job runs in ``OUT/NNN_jobtype`` through the runner. A workflow that was stopped goes on where it
was: its generator is asked again, and jobs that are finished answer from their records.
"""

from __future__ import annotations

import json
import shutil
import sys
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryocloud.catalog import load_job_type, load_workflow
from cryocloud.catalog.workflow import Conclusion, Decision, Finished, Step, Workflow
from cryocloud.compute import attempt as protocol
from cryocloud.compute.display import Display, make_display
from cryocloud.compute.files import read_json, write_json
from cryocloud.compute.lane import command_line_code, disk_full_message, run
from cryocloud.compute.report import write_report
from cryocloud.compute.results_folder import Order, RefusedError, make_folder

RECORD = "workflow.json"
DECISIONS = "decisions.json"
CONTROL_MARK, DOUBT_MARK = "a control, not a result", "not to be trusted"


@dataclass(frozen=True)
class WorkflowOrder:
    """What ``cryocloud workflow run`` asks for."""

    workflow: str
    parameters: dict[str, Any]
    inputs: dict[str, str]
    out: str
    seed: int
    threads: int
    device: str
    overwrite: bool
    progress: str
    accept_untrusted: bool


class StepFailed(Exception):
    """A job of the workflow ended without a result."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Untrusted(Exception):
    """The next job would build on a result that is not to be trusted; the message is for the user."""


def main() -> int:
    order = WorkflowOrder(**json.load(sys.stdin))
    display = make_display(order.progress, order.workflow)
    try:
        return Project(order, load_workflow(order.workflow)).run(display)
    except RefusedError as refusal:
        display.error(str(refusal))
        return protocol.BAD_INPUT
    except StepFailed as failure:
        return command_line_code(failure.code)
    except Untrusted as doubt:
        display.error(str(doubt))
        return protocol.UNTRUSTED
    except KeyboardInterrupt:
        return protocol.CANCELLED
    except OSError as error:
        if error.errno not in protocol.DISK_FULL_ERRORS:
            raise
        display.error(disk_full_message(order.out))
        return protocol.INTERNAL_ERROR
    except Exception as error:
        log = Path(order.out, "log.txt")
        with log.open("a", encoding="utf-8") as stream:
            traceback.print_exc(file=stream)
        display.error(f"internal error: {type(error).__name__}: {error}; the trace is in {log}")
        return protocol.INTERNAL_ERROR


class Project:
    """The folder of one run of a workflow, with its jobs and decisions so far."""

    def __init__(self, order: WorkflowOrder, workflow: Workflow) -> None:
        self.order = order
        self.workflow = workflow
        self.out = Path(order.out)
        self.decisions: list[dict[str, Any]] = []
        self.warnings: list[str] = []
        self.folders: list[Path] = []
        self.marks: dict[str, str] = {}
        self.is_doubtful = False
        self.exceptions = 0

    def run(self, display: Display) -> int:
        """All steps, one after the other; the exit code of the command line."""
        self._prepare()
        plan = self.workflow.plan(
            self.workflow.parameters.model_validate(self.order.parameters), self.order.inputs
        )
        try:
            step = next(plan)
            while True:
                step = plan.send(self._finish(step))
        except StopIteration as stop:
            conclusion: Conclusion = stop.value
        self._record("", conclusion.decisions)
        self.warnings += conclusion.warnings
        self._save(conclusion)
        for warning in self.warnings:
            display.error(f"WARNING: {warning}")
        code = protocol.DONE_WITH_EXCEPTIONS if self.exceptions else protocol.DONE
        display.summary(conclusion.key_numbers, str(self.out / "report.html"))
        return code

    def _prepare(self) -> None:
        """Refuse a folder that holds another run; go on with the same one."""
        record = self.out / RECORD
        order = self.order
        identity = {name: getattr(order, name) for name in ("workflow", "parameters", "inputs", "seed")}
        if order.overwrite and record.exists():
            shutil.rmtree(self.out)
        make_folder(self.out)
        if record.exists():
            former = read_json(record)
            for name, value in identity.items():
                if former[name] != json.loads(json.dumps(value)):
                    raise RefusedError(
                        f"--out {self.out}: holds a workflow with other {name} ({former[name]}); "
                        "choose another folder, or --overwrite"
                    )
        write_json(record, identity)

    def _finish(self, step: Step) -> Finished:
        """Run one job, or read the records of one that is finished."""
        folder = self.out / f"{len(self.folders) + 1:03d}_{step.job_type}"
        order = self._job_order(step, folder)
        finished = _is_finished(folder, order)
        if not finished:
            self._stop_if_untrusted(step)
        self.folders.append(folder)
        self._mark(step, folder.name)
        self._record(folder.name, step.decisions)
        if not finished:
            self._save(None)
            ending = run(order, make_display(self.order.progress, folder.name))
            if step.optional and ending.code == protocol.BAD_INPUT:
                return Finished(str(folder), {}, ending.message)
            if ending.code not in (protocol.DONE, protocol.DONE_WITH_EXCEPTIONS):
                self._save(None)
                raise StepFailed(ending.code)
        job = read_json(folder / "job.json")
        self.exceptions += job["exceptions"]
        self._record(folder.name, tuple(Decision(**decision) for decision in job["decisions"]))
        job_type, metrics = load_job_type(step.job_type), read_json(folder / "metrics.json")
        self.warnings += [f"{job_type.title}: {text}" for text in job["warnings"]]
        if job_type.doubt(metrics):
            self.marks[folder.name] = DOUBT_MARK
        return Finished(str(folder), metrics)

    def _mark(self, step: Step, name: str) -> None:
        """What the report says beside the title of a job whose result is none, or rests on doubt."""
        self.is_doubtful = self.is_doubtful or bool(step.doubt)
        if step.control:
            self.marks[name] = CONTROL_MARK
        elif self.is_doubtful:
            self.marks[name] = DOUBT_MARK

    def _stop_if_untrusted(self, step: Step) -> None:
        if not step.doubt or self.order.accept_untrusted:
            return
        self.warnings.append(step.doubt)
        self._save(None)
        raise Untrusted(
            f"{step.doubt} The workflow ends here; the same command with --accept-untrusted goes on all the same."
        )

    def _job_order(self, step: Step, folder: Path) -> Order:
        model = load_job_type(step.job_type).parameters
        return Order(
            job_type=step.job_type,
            parameters=model.model_validate(dict(step.parameters)).model_dump(mode="json"),
            inputs=dict(step.inputs),
            out=str(folder),
            seed=self.order.seed,
            threads=self.order.threads,
            device=self.order.device,
            progress=self.order.progress,
        )

    def _record(self, job: str, decisions: tuple[Decision, ...]) -> None:
        self.decisions += [{"job": job, **asdict(decision)} for decision in decisions]

    def _save(self, conclusion: Conclusion | None) -> None:
        """Decisions and report as of now; the report of an unfinished workflow says so."""
        written = {
            "workflow": self.workflow.name,
            "finished": conclusion is not None,
            "warnings": self.warnings,
            "key_numbers": dict(conclusion.key_numbers) if conclusion else {},
            "result": Path(conclusion.result).name if conclusion else None,
            "decisions": self.decisions,
            "marks": self.marks,
        }
        write_json(self.out / DECISIONS, written)
        write_report(self.out, self.workflow.title, written, self.folders)


def _is_finished(folder: Path, order: Order) -> bool:
    record = folder / "job.json"
    if not record.exists():
        return False
    job = read_json(record)
    inputs = {name: entry["path"] for name, entry in job["inputs"].items()}
    if (job["parameters"], inputs, job["seed"]) != (order.parameters, order.inputs, order.seed):
        raise RefusedError(
            f"{folder}: finished with other parameters or inputs than the workflow now asks for; "
            "choose another --out, or --overwrite"
        )
    return True


if __name__ == "__main__":
    sys.exit(main())
