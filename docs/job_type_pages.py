"""Hook of mkdocs: one page for each job type and workflow, made from the catalog."""

from __future__ import annotations

from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from cryocloud.catalog import job_type_names, load_job_type, load_workflow, workflow_names
from cryocloud.catalog.files import meaning_of
from cryocloud.catalog.messages import option_name
from cryocloud.catalog.metrics import METRICS, metric_unit
from cryocloud.client.options import choices, default_text, range_text, unit


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages, and the list that leads to them."""
    entries = [(load_job_type(name), f"cryocloud run {name}") for name in job_type_names()]
    entries += [(load_workflow(name), f"cryocloud workflow run {name}") for name in workflow_names()]
    listed = ["# Job types and workflows", ""]
    for entry, command in entries:
        path = f"guide/job_types/{entry.name}.md"
        files.append(File.generated(config, path, content=_page(entry, command)))
        listed.append(f"- [{entry.title}](job_types/{entry.name}.md) (`{entry.name}`): {entry.summary}")
    files.append(File.generated(config, "guide/job_types.md", content="\n".join(listed) + "\n"))
    files.append(File.generated(config, "guide/numbers.md", content=_numbers()))
    return files


def _numbers() -> str:
    lines = [
        "# Numbers that jobs report",
        "",
        "They stand on the page of each job, and in its `metrics.json`.",
        "",
    ]
    lines += ["| number | in the file | unit | meaning |", "|---|---|---|---|"]
    for name, one in METRICS.items():
        unit_words = {"share": "%", "yes_no": "yes or no"}.get(one.form, metric_unit(name))
        lines.append(f"| {one.label} | `{name}` | {unit_words} | {one.help} |")
    return "\n".join(lines) + "\n"


def _page(entry: Any, command: str) -> str:
    lines = [f"# {entry.title}", "", entry.summary, "", f"    {command} ... --out DIR", "", "## Inputs", ""]
    for item in entry.inputs:
        need = "" if item.required else " (optional)"
        lines.append(f"- `{option_name(item.name)}`{need}: {item.help}")
    lines += ["", "## Parameters", "", "| option | default | range | meaning |", "|---|---|---|---|"]
    for name, field in entry.parameters.model_fields.items():
        allowed = " ".join(f"`{word}`" for word in choices(field)) or range_text(field)
        default = f"{default_text(field)} {unit(field) if not field.is_required() else ''}"
        row = (f"`{option_name(name)}`", default.strip(), allowed, field.description or "")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    outputs = getattr(entry, "outputs", ())
    if outputs:
        lines += ["", "## Files", "", *(f"- `{name}`: {meaning_of(name)}" for name in outputs)]
    return "\n".join(lines) + "\n"
