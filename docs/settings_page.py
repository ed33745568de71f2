"""Hook of mkdocs: the table of settings, made from the platform's configuration."""

from __future__ import annotations

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from cryocloud.web.configuration import PREFIX, Configuration

HEAD = """# Settings

The platform reads its settings once, from environment variables, when it starts. A name that it does not know, or a
value that it cannot use, stops it with a message. Lists are separated by commas.

| variable | default | meaning |
|---|---|---|
"""
FOR_TESTERS = {"test_seams"}  # stands in CONTRIBUTING.md


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page."""
    rows = [
        f"| `{PREFIX}{name.upper()}` | {_default(field.default)} | {field.description} |"
        for name, field in Configuration.model_fields.items()
        if name not in FOR_TESTERS
    ]
    files.append(File.generated(config, "operations/settings.md", content=HEAD + "\n".join(rows) + "\n"))
    return files


def _default(value: object) -> str:
    return f"`{value}`" if value not in ("", ()) else "empty"
