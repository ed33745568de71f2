"""What a job gets for a reference when it starts."""

from __future__ import annotations

from pathlib import Path

from cryocloud.catalog.base import Input
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.references import path_of


def resolve(project: Project, declared: Input, text: str, links: Path) -> str:
    """A path, or a word that stands for itself."""
    return text if text in declared.literals else str(path_of(project, text, links))
