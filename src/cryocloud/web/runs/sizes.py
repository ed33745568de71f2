"""How many things an order reads and how large they are: from file headers and from what earlier jobs told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from django.db.models import QuerySet

from cryocloud.catalog.base import Facts, Input
from cryocloud.catalog.facts import Metrics, facts_of_header, facts_of_result, number_in
from cryocloud.web.accounts.actor import Actor
from cryocloud.web.core.errors import PlatformError
from cryocloud.web.data.models import Dataset, DatasetFile
from cryocloud.web.organizations import access
from cryocloud.web.runs.lineage import references_of
from cryocloud.web.runs.models import Job
from cryocloud.web.runs.references import IMAGE_SUFFIXES, Reference, ending_in, parse_reference

GENERATIONS_MAX = 20


def known_facts(actor: Actor, declared: Iterable[Input], inputs: Mapping[str, str]) -> Facts:
    """Of what an order would read, as far as the actor may see it; of two inputs the one declared first counts."""
    facts = Facts()
    for one in declared:
        reference = parse_reference(inputs.get(one.name, ""))
        if reference is None or reference.kind == "edits":
            continue
        try:
            facts = facts.completed(_facts_seen(actor, reference))
        except PlatformError:
            continue  # a complaint beside the input says what is wrong with it
    return facts


def _facts_seen(actor: Actor, reference: Reference) -> Facts:
    if reference.kind == "job":
        return _facts_of_job(access.get(actor, Job, reference.id), reference.name)
    if reference.kind == "dataset":
        return _facts_of_images(access.get(actor, Dataset, reference.id).files.all())
    return _facts_of_file(access.get(actor, DatasetFile, reference.id))


def facts_behind(job: Job) -> Facts:
    """The same for an order that was checked when it came."""
    facts = Facts()
    for reference in references_of(job):
        own = {"pk": reference.id, "organization_id": job.organization_id}
        if reference.kind == "job":
            maker = Job.unscoped.filter(**own).first()
            found = _facts_of_job(maker, reference.name) if maker else Facts()
        elif reference.kind == "dataset":
            dataset = Dataset.unscoped.filter(**own).first()
            found = _facts_of_images(dataset.files.all()) if dataset else Facts()
        else:
            file = DatasetFile.unscoped.filter(**own).first()
            found = _facts_of_file(file) if file else Facts()
        facts = facts.completed(found)
    return facts


def _facts_of_images(files: QuerySet[DatasetFile]) -> Facts:
    images = files.filter(path__iregex=ending_in(IMAGE_SUFFIXES))
    first = images.filter(header__has_key="width_px").order_by("path").first()
    return Facts(items=images.count()).completed(facts_of_header(first.header if first else {}))


def _facts_of_file(file: DatasetFile) -> Facts:
    """A map, or a table, whose images lie beside it."""
    tables = file.header.get("tables")
    if not isinstance(tables, list):
        return facts_of_header(file.header)
    rows = [int(number_in(table, "rows")) for table in tables if isinstance(table, dict)]
    stack = file.dataset.files.filter(header__content="stack").order_by("path").first()
    return Facts(items=max(rows, default=0)).completed(facts_of_header(stack.header if stack else {}))


def _facts_of_job(job: Job, name: str) -> Facts:
    return facts_of_result(name, generations(job))


def generations(job: Job) -> Iterator[list[Metrics]]:
    """Metrics of the job, of those that it reads, of those that these read, and so on."""
    generation: list[Job] = [job]
    for _ in range(GENERATIONS_MAX):
        yield [one.metrics if isinstance(one.metrics, dict) else {} for one in generation]
        ids = [one.id for job in generation for one in references_of(job) if one.kind == "job"]
        generation = list(Job.unscoped.filter(pk__in=ids, project_id=job.project_id)) if ids else []
        if not generation:
            return
